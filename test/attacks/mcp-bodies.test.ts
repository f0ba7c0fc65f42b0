// What a hostile agent, with a good session of its own, can write into a body at /mcp: on the modern arm, and on the legacy
// arm with and without a session. Each is refused in the protocol's own words, nothing of it is executed twice or unseen, and
// the broker goes on.

import { request } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BODY_BYTES } from '../../src/core/limits.ts'
import { post, type Rates, type Served, serveMcp } from '../mcp/support.ts'

const VERSION = '2026-07-28'
const META = {
  'io.modelcontextprotocol/protocolVersion': VERSION,
  'io.modelcontextprotocol/clientInfo': { name: 'attack', version: '1.0.0' },
  'io.modelcontextprotocol/clientCapabilities': {},
}

let served: Served
let authorization: { Authorization: string }
const serve = async (rates: Rates = {}) => {
  served = await serveMcp(rates)
  authorization = { Authorization: `Bearer ${(await served.session('triage-bot')).token}` }
}
const close = async () => {
  // Whatever was written: it holds nothing, has asked nobody, and is still served.
  expect((await served.deps.store.list({ kind: 'grant', limit: 1 })).rows).toEqual([])
  expect((await served.deps.store.list({ kind: 'request', limit: 1 })).rows).toEqual([])
  await served.close()
}
beforeAll(() => serve())
afterAll(close)

/** A broker with other rates, and the first one's again. */
async function withRates(rates: Rates, act: () => Promise<void>): Promise<void> {
  await close()
  await serve(rates)
  try {
    await act()
  } finally {
    await close()
    await serve()
  }
}

type Arm = {
  readonly name: string
  /** What a client of this arm sends with a message of this method. */
  headers(method: string, name?: string): Promise<Record<string, string>>
  readonly params: object
}

/** One a broker, as a client has it. */
const sessions = new WeakMap<Served, Promise<Record<string, string>>>()
const inSession = (): Promise<Record<string, string>> => {
  const open = sessions.get(served) ?? openSession()
  sessions.set(served, open)
  return open
}

const openSession = async (): Promise<Record<string, string>> => {
  const init = {
    protocolVersion: '2025-11-25',
    capabilities: {},
    clientInfo: { name: 'attack', version: '1.0.0' },
  }
  const response = await post(
    served.url,
    JSON.stringify({ jsonrpc: '2.0', id: 0, method: 'initialize', params: init }),
    authorization,
  )
  await response.text()
  return { 'mcp-session-id': response.headers.get('mcp-session-id') ?? '', 'mcp-protocol-version': '2025-11-25' }
}

const ARMS: readonly Arm[] = [
  {
    name: 'modern',
    headers: async (method, name) => ({
      'mcp-protocol-version': VERSION,
      'mcp-method': method,
      ...(name === undefined ? {} : { 'mcp-name': name }),
    }),
    params: { _meta: META },
  },
  { name: 'legacy', headers: async () => ({}), params: {} },
  { name: 'legacy in a session', headers: inSession, params: {} },
]

const send = async (body: string, headers: Record<string, string>) => {
  const response = await post(served.url, body, { ...headers, ...authorization })
  const text = await response.text()
  // An answer on a stream is its last event.
  const json =
    text.startsWith('{') || text.startsWith('[')
      ? text
      : (text
          .match(/^data: (.+)$/gm)
          ?.at(-1)
          ?.slice(6) ?? '')
  return { status: response.status, answer: json === '' ? null : JSON.parse(json), text }
}

const SLOW: Rates = { call: { capacity: 20, refillPerSecond: 0.001, maxKeys: 10 } }

describe.each(ARMS)('$name', ({ headers, params }) => {
  const list = (more: object = {}) => JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list', params, ...more })
  const stillServed = async () =>
    expect((await send(list(), await headers('tools/list'))).answer).toMatchObject({ id: 1, result: { tools: {} } })

  test('a body over the limit is refused, declared or not (S17)', async () => {
    const named = await headers('tools/list')
    const big = list({ padding: 'x'.repeat(BODY_BYTES.mcp) })
    expect((await send(big, named)).status).toBe(413)
    expect(await sendInPieces(big, named)).toBe(413)
    await stillServed()
  })

  test.each([
    ['100,000 arrays', '['.repeat(100_000)],
    ['100,000 objects', '{"a":'.repeat(100_000)],
    ['arrays that end', `${'['.repeat(50_000)}${']'.repeat(50_000)}`],
    [
      'deep arguments',
      `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":${'{"a":'.repeat(40)}1${'}'.repeat(41)}`,
    ],
    ['half a body', '{"jsonrpc":"2.0","id":1,"meth'],
    ['nothing', ''],
    ['a lone surrogate in a key that ends', '{"\\ud800":'],
  ])('%s is a parse error at once (S17)', async (_what, body) => {
    const since = performance.now()
    expect(await send(body, await headers('tools/list'))).toMatchObject({
      status: 400,
      answer: { error: { code: -32700 } },
    })
    expect(performance.now() - since).toBeLessThan(5_000)
    await stillServed()
  })

  test.each([
    ['null', 'null'],
    ['a boolean', 'true'],
    ['an object', '{}'],
    ['a list', '[1]'],
    ['half a number', '1.5'],
    ['more than any number', '1e400'],
    ['an object with a prototype', '{"__proto__":{"id":1}}'],
  ])('a call whose id is %s is not made (S13)', async (_what, id) => {
    const ask = { tool: 'metrics', scopes: ['metrics:read'], reason: 'INC-1' }
    const call = {
      jsonrpc: '2.0',
      id: 0,
      method: 'tools/call',
      params: { ...params, name: 'request_access', arguments: ask },
    }
    const body = JSON.stringify(call).replace('"id":0', `"id":${id}`)
    const { status, answer } = await send(body, await headers('tools/call', 'request_access'))
    expect(status).toBeGreaterThanOrEqual(400)
    expect(status).toBeLessThan(500)
    expect(answer).toMatchObject({ error: { code: expect.any(Number) } })
    await stillServed()
  })

  test('an id as long as a body may be is answered as it came, or refused', async () => {
    const id = 'i'.repeat(100_000)
    const { status, answer } = await send(list({ id }), await headers('tools/list'))
    expect([200, 400]).toContain(status)
    if (status === 200) expect(answer.id).toBe(id)
  })

  test.each(['', 'tools/call\u0000', '__proto__', 'constructor', 'toString', 'tools/lists', 'x'.repeat(10_000)])(
    'the method %j is unknown (S13)',
    async (method) => {
      const named = await headers(/^[!-~]+$/.test(method) ? method : 'x')
      const { status, answer, text } = await send(list({ method }), named)
      expect(status).toBeLessThan(500)
      expect(answer).toMatchObject({ error: { code: expect.any(Number) } })
      expect(text).not.toContain('at Object.')
      await stillServed()
    },
  )

  test('a key given twice never says one thing to the headers and another to the tool (S13)', async () => {
    const call = (methods: string, names: string) =>
      `{"jsonrpc":"2.0","id":1,${methods},"params":{${names},"arguments":{"tool":"metrics","scopes":["metrics:read"],"reason":"x"},"_meta":${JSON.stringify(META)}}}`
    const twice = call('"method":"tools/call"', '"name":"list_access","name":"request_access"')
    const methods = call('"method":"tools/list","method":"tools/call"', '"name":"request_access"')
    const headersOf = { 'mcp-protocol-version': VERSION, 'mcp-method': 'tools/call', 'mcp-name': 'list_access' }
    expect(await send(twice, headersOf)).toMatchObject({ status: 400, answer: { error: { code: -32020 } } })
    expect(
      await send(methods, { ...headersOf, 'mcp-method': 'tools/list', 'mcp-name': 'request_access' }),
    ).toMatchObject({ status: 400, answer: { error: { code: -32020 } } })
  })

  test('a list of messages is counted by each of them, and starts nothing that is over the rate (S17)', () =>
    withRates(SLOW, async () => {
      const named = await headers('tools/list')
      const batch = JSON.stringify(
        Array.from({ length: 50 }, (_, id) => ({ jsonrpc: '2.0', id, method: 'tools/list', params })),
      )
      const { status } = await send(batch, named)
      expect([400, 429]).toContain(status)
      expect((await send('[]', named)).status).toBeGreaterThanOrEqual(400)
    }))

  test('a flood of notifications is held to the rate of calls (S17)', () =>
    withRates(SLOW, async () => {
      const method = 'notifications/cancelled'
      const named = await headers(method)
      const body = JSON.stringify({ jsonrpc: '2.0', method, params: { ...params, requestId: 1 } })
      const met = new Map<number, number>()
      for (let sent = 0; sent < 60; sent++) {
        const { status } = await send(body, named)
        met.set(status, (met.get(status) ?? 0) + 1)
      }
      expect(met.get(429)).toBeGreaterThanOrEqual(40)
      expect([...met.keys()].every((status) => status < 500)).toBe(true)
    }))

  test.each(['2099-01-01', '2026-07-29', '9999-99-99', 'latest', '2026-07-28, 2025-11-25', '0'])(
    'the version %s in the header is refused with those that are served (S13)',
    async (version) => {
      const named = { ...(await headers('tools/list')), 'mcp-protocol-version': version }
      const { status, answer } = await send(list(), named)
      expect(status).toBe(400)
      expect(answer).toMatchObject({ error: { code: expect.any(Number) } })
      await stillServed()
    },
  )
})

test('a version of the future in header and body is refused with those that are served', async () => {
  const version = '2099-01-01'
  const _meta = { ...META, 'io.modelcontextprotocol/protocolVersion': version }
  const body = JSON.stringify({ jsonrpc: '2.0', id: 5, method: 'tools/list', params: { _meta } })
  expect(await send(body, { 'mcp-protocol-version': version, 'mcp-method': 'tools/list' })).toMatchObject({
    status: 400,
    answer: { id: 5, error: { data: { requested: version, supported: expect.arrayContaining([VERSION]) } } },
  })
})

test('a client of the future that says initialize is offered the newest version that has it', async () => {
  const params = { protocolVersion: '2099-01-01', capabilities: {}, clientInfo: { name: 'attack', version: '1' } }
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'initialize', params })
  expect((await send(body, {})).answer).toMatchObject({ result: { protocolVersion: '2025-11-25' } })
})

/** Chunked: its length is not known before its end. */
const sendInPieces = (body: string, headers: Record<string, string>): Promise<number | undefined> =>
  new Promise((resolve, reject) => {
    const sent = request(
      served.url,
      {
        method: 'POST',
        headers: {
          ...headers,
          ...authorization,
          'content-type': 'application/json',
          accept: 'application/json, text/event-stream',
          'transfer-encoding': 'chunked',
        },
      },
      (answer) => {
        answer.resume()
        resolve(answer.statusCode)
        sent.destroy()
      },
    )
    sent.on('error', reject)
    for (let at = 0; at < body.length; at += 65_536) sent.write(body.slice(at, at + 65_536))
    sent.end()
  })
