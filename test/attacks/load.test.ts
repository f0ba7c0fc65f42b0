// More than anybody honest sends: bodies, headers, lists and streams far past their limits, and strangers in floods. It is
// refused early, the trail does not grow with it, and who has a token is served meanwhile (S17, P10).

import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { generateKeyPair, importPKCS8, SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { SAMPLE_OWNERS, type SampleBroker, startSampleBroker } from '../../src/commands/sample-broker.ts'
import { ADMISSION } from '../../src/core/limits.ts'
import { testDatabase } from '../support/test-store.ts'
import { type Answer, bearer, FORM, form, send } from './wire.ts'

const JSON_TYPE = ['Content-Type', 'application/json'] as const
const ACCEPT = ['Accept', 'application/json, text/event-stream'] as const
const MIB = 1024 * 1024

let broker: SampleBroker
let owner: string
let verifier: string
let session: string

const keyOf = (name: string) => importPKCS8(readFileSync(broker.agents[name]!.keyPath, 'utf8'), 'ES256')
const assertion = (name: string, key: Parameters<SignJWT['sign']>[0]) =>
  new SignJWT({ jti: crypto.randomUUID() })
    .setProtectedHeader({ alg: 'ES256' })
    .setIssuer(name)
    .setSubject(name)
    .setAudience(broker.url)
    .setIssuedAt()
    .setExpirationTime('4m')
    .sign(key)
const authenticate = (signed: string, from?: string) =>
  send(`${broker.url}/oauth/token`, {
    headers: FORM,
    body: form({
      grant_type: 'client_credentials',
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: signed,
    }),
    ...(from === undefined ? {} : { from }),
  })
const size = async () => (await broker.running.broker.deps.store.tree()).size
const mcp = (body: string, headers: readonly string[] = []) =>
  send(`${broker.url}/mcp`, { headers: [...bearer(session), ...JSON_TYPE, ...ACCEPT, ...headers], body })

beforeAll(async () => {
  broker = await startSampleBroker(await testDatabase())
  owner = await broker.ownerToken(SAMPLE_OWNERS.agents)
  verifier = await broker.verifierToken('metrics')
  const opened = await authenticate(await assertion('triage-bot', await keyOf('triage-bot')))
  session = String(opened.json.access_token)
})
afterAll(() => broker?.close())

/** What came back before the connection ended; the body is sent in pieces without end until then. */
function endless(path: string, headers: readonly string[]): Promise<{ readonly head: string; readonly sent: number }> {
  const { hostname, port, host } = new URL(broker.url)
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname)
    let head = ''
    let sent = 0
    const piece = `10000\r\n${'a'.repeat(65_536)}\r\n`
    const more = () => {
      while (socket.writable && sent < 64 * MIB) {
        sent += 65_536
        if (!socket.write(piece)) return void socket.once('drain', more)
      }
      socket.end()
    }
    socket.on('connect', () => {
      const lines = headers.flatMap((name, i) => (i % 2 === 0 ? [`${name}: ${headers[i + 1]}`] : []))
      socket.write(
        `POST ${path} HTTP/1.1\r\nHost: ${host}\r\nTransfer-Encoding: chunked\r\n${lines.join('\r\n')}\r\n\r\n`,
      )
      more()
    })
    socket.on('data', (chunk) => {
      head += chunk.toString('latin1')
      if (head.includes('\r\n\r\n')) socket.destroy()
    })
    socket.on('error', () => undefined)
    socket.on('close', () => resolve({ head, sent }))
  })
}

describe('a body far past its limit', () => {
  const ROUTES = () =>
    [
      ['/oauth/token', FORM],
      ['/oauth/introspect', [...FORM, 'X-Hallpass-Verifier', verifier]],
      ['/oauth/revoke', [...FORM, ...bearer(session)]],
      ['/guard/lease', [...JSON_TYPE, 'X-Hallpass-Verifier', verifier]],
      ['/mcp', [...JSON_TYPE, ...ACCEPT, ...bearer(session)]],
      ['/v1/requests', [...JSON_TYPE, ...bearer(session)]],
      ['/v1/locks', [...JSON_TYPE, ...bearer(broker.adminToken)]],
      ['/console/requests/req_1/approve', [...JSON_TYPE, ...bearer(owner)]],
    ] as const

  test('is refused by what its length says, on every route (S17)', async () => {
    for (const [path, headers] of ROUTES()) {
      const said = await send(`${broker.url}${path}`, { headers, body: 'a'.repeat(2 * MIB) }).catch(() => null)
      expect([400, 401, 403, 413, undefined], path).toContain(said?.status)
      expect(said?.status, path).not.toBe(200)
    }
  })

  test('without a length is cut off long before it ends, on every route (S17)', async () => {
    for (const [path, headers] of ROUTES()) {
      const before = process.memoryUsage().rss
      const { head, sent } = await endless(path, headers)
      if (head !== '') expect(head, path).toMatch(/^HTTP\/1\.1 (400|401|403|413)/)
      expect(sent, path).toBeLessThan(48 * MIB)
      expect(process.memoryUsage().rss - before, path).toBeLessThan(256 * MIB)
    }
  }, 60_000)

  test('deep, wide or full of names is refused, and what comes next is answered (S17, P10)', async () => {
    const bodies = [
      `${'['.repeat(200_000)}${']'.repeat(200_000)}`,
      `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}}`,
      JSON.stringify(Array.from({ length: 20_000 }, (_, id) => ({ jsonrpc: '2.0', id, method: 'tools/list' }))),
      JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'x'.repeat(500_000) }),
      `{${Array.from({ length: 50_000 }, (_, i) => `"k${i}":${i}`).join(',')}}`,
      '{"__proto__":{"admin":true},"constructor":{"prototype":{"admin":true}}}',
    ]
    for (const body of bodies) {
      const said = await mcp(body)
      expect(said.status === 200 ? said.text : '"error"').toContain('"error"')
      expect(said.text.length).toBeLessThan(4096)
      expect(
        (await send(`${broker.url}/v1/requests`, { headers: [...bearer(session), ...JSON_TYPE], body })).status,
      ).toBe(400)
    }
    expect(Object.hasOwn(Object.prototype, 'admin')).toBe(false)
  })
})

describe('lists and texts far past their limits', () => {
  test.each([
    ['10,000 scopes', { scopes: Array.from({ length: 10_000 }, (_, i) => `s:${i}`) }],
    ['10,000 details', { details: Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`k${i}`, ['v']])) }],
    ['10,000 values', { details: { queue: Array.from({ length: 10_000 }, (_, i) => `q${i}`) } }],
    ['a reason of a book', { reason: 'x'.repeat(900_000) }],
    ['a tool’s name of a mile', { tool: 'x'.repeat(900_000) }],
    ['a duration of ages', { durationSeconds: 1e15 }],
    ['a duration of less than nothing', { durationSeconds: -1 }],
  ])('%s is refused, and nothing is kept of it (S17)', async (_, more) => {
    const ask = { tool: 'metrics', scopes: ['metrics:read'], reason: 'INC-1', ...more }
    const before = await size()
    const said = await send(`${broker.url}/v1/requests`, {
      headers: [...bearer(session), ...JSON_TYPE],
      body: JSON.stringify(ask),
    })
    expect(said.status).toBe(400)
    expect(said.text.length).toBeLessThan(4096)
    // At most the one refusal of its kind in this minute.
    expect((await size()) - before).toBeLessThan(3)
  })

  test('a page of a million, an address of a mile and a hundred thousand parameters are refused (S17)', async () => {
    const get = (path: string, headers: readonly string[] = bearer(owner)) => send(`${broker.url}${path}`, { headers })
    expect((await get('/v1/requests?limit=1000000')).status).toBe(400)
    expect((await get(`/v1/requests?after=${'a'.repeat(9000)}`)).status).toBe(414)
    const many = Array.from({ length: 1000 }, (_, i) => `p${i}=1`).join('&')
    expect((await get(`/v1/requests?${many}`)).status).toBe(400)
    const asks = (query: string) => get(`/forward-auth?${query}`, ['X-Hallpass-Verifier', verifier, ...bearer('x.y.z')])
    expect((await asks(many)).status).toBe(400)
    expect((await asks(`resource=http://127.0.0.1:8432&scope=${'a%20'.repeat(1500)}`)).status).toBe(400)
  })

  test('headers past their limits end the request, doubled ones are not joined (S17)', async () => {
    for (const headers of [
      ['X-Big', 'x'.repeat(20_000)],
      [...bearer('x'.repeat(15_000))],
      Array.from({ length: 2000 }, (_, i) => [`X-${i}`, 'x'.repeat(8)]).flat(),
    ]) {
      const said = await send(`${broker.url}/v1/whoami`, { headers }).catch(() => null)
      expect([400, 401, 431, undefined]).toContain(said?.status)
    }
    expect((await send(`${broker.url}/v1/whoami`, { headers: [...bearer(owner), ...bearer(owner)] })).status).toBe(401)
  })
})

test('one agent opens no more streams than its share, and the others theirs (S17)', async () => {
  const other = String((await authenticate(await assertion('report-bot', await keyOf('report-bot')))).json.access_token)
  const ends: AbortController[] = []
  const stream = async (token: string) => {
    const end = new AbortController()
    ends.push(end)
    const init = {
      jsonrpc: '2.0',
      id: ends.length,
      method: 'initialize',
      params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'flood', version: '1' } },
    }
    const headers = { authorization: `Bearer ${token}`, accept: 'application/json, text/event-stream' }
    await fetch(`${broker.url}/mcp`, {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/json' },
      body: JSON.stringify(init),
    }).then((answer) => answer.body?.cancel())
    const answer = await fetch(`${broker.url}/mcp`, { headers, signal: end.signal })
    return answer.status
  }
  const mine: number[] = []
  for (let i = 0; i < 12; i++) mine.push(await stream(session))
  expect(mine.filter((status) => status === 200).length).toBeLessThanOrEqual(4)
  expect((await mcp(JSON.stringify({ jsonrpc: '2.0', id: 99, method: 'tools/list', params: {} }))).status).toBe(200)
  expect(await stream(other)).toBe(mine[0])
  for (const end of ends) end.abort()
})

test('a flood of 3,000 strangers leaves no trace each, and everybody with a token is served meanwhile (S17, P8)', async () => {
  const FLOOD = 3000
  const from = '127.9.9.9'
  const stranger = await generateKeyPair('ES256')
  const forged = await assertion('triage-bot', stranger.privateKey)
  const call = { jsonrpc: '2.0', id: 1, method: 'tools/list', params: {} }
  const nonsense: (() => ReturnType<typeof send>)[] = [
    () => send(`${broker.url}/v1/whoami`, { from }),
    () => send(`${broker.url}/v1/whoami`, { headers: bearer('hp_owner_nothing'), from }),
    () => send(`${broker.url}/v1/whoami`, { headers: bearer('eyJ.eyJ.x'), from }),
    () => send(`${broker.url}/mcp`, { headers: [...bearer('eyJ.eyJ.x'), ...JSON_TYPE, ...ACCEPT], body: '{}', from }),
    () => authenticate(forged, from),
    () => send(`${broker.url}/guard/feed`, { headers: ['X-Hallpass-Verifier', 'hp_verify_nothing'], from }),
    () => send(`${broker.url}/console/requests`, { headers: bearer('hp_owner_nothing'), from }),
  ]
  // Known before the flood, from the very same address.
  const fromThere = { headers: [...bearer(session), ...JSON_TYPE, ...ACCEPT], body: JSON.stringify(call), from }
  expect((await send(`${broker.url}/mcp`, fromThere)).status).toBe(200)

  const before = await size()
  const memory = process.memoryUsage().heapUsed
  const said = new Map<number, number>()
  let sent = 0
  const worker = async () => {
    while (sent < FLOOD) {
      sent++
      const { status } = await nonsense[sent % nonsense.length]!()
      said.set(status, (said.get(status) ?? 0) + 1)
    }
  }
  const flood = Promise.all(Array.from({ length: 24 }, worker))
  const waits: number[] = []
  const honest = async () => {
    while (sent < FLOOD) {
      const started = performance.now()
      const [api, verifies, agent] = await Promise.all([
        send(`${broker.url}/v1/whoami`, { headers: bearer(owner), from }),
        send(`${broker.url}/oauth/introspect`, {
          headers: [...FORM, 'X-Hallpass-Verifier', verifier],
          body: form({ token: 'x.y.z' }),
          from,
        }),
        send(`${broker.url}/mcp`, fromThere),
      ])
      waits.push(performance.now() - started)
      expect([api.status, verifies.status, agent.status]).toEqual([200, 200, 200])
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
  await Promise.all([flood, honest()])
  expect([...said.keys()].sort()).toEqual([401, 429])
  expect((await size()) - before).toBeLessThan(20)
  expect(process.memoryUsage().heapUsed - memory).toBeLessThan(200 * MIB)
  expect(waits.length).toBeGreaterThan(3)
  // Taking away works from the flooded address too.
  const lock = await send(`${broker.url}/v1/locks`, {
    headers: [...bearer(owner), ...JSON_TYPE],
    body: JSON.stringify({ kind: 'agent', name: 'report-bot', reason: 'flood' }),
    from,
  })
  expect(lock.status, lock.text).toBeLessThan(300)
  waits.sort((a, b) => a - b)
  console.log(
    `load: ${FLOOD} strangers refused, honest rounds ${waits.length}, median ${waits[waits.length >> 1]?.toFixed(0)} ms`,
  )
}, 90_000)

test('a flood of mints on a disk that stands still is bounded, and whoever takes away or checks never waits for it (S17)', async () => {
  const FLOOD = 600
  const { store } = broker.running.broker.deps
  const asked = await send(`${broker.url}/v1/requests`, {
    headers: [...bearer(session), ...JSON_TYPE],
    body: JSON.stringify({ tool: 'metrics', scopes: ['metrics:read'], reason: 'INC-1' }),
  })
  const exchange = () =>
    send(`${broker.url}/oauth/token`, {
      headers: FORM,
      body: form({
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
        subject_token: session,
        grant_id: (asked.json.grant as { id: string }).id,
      }),
    })
  const minted = await exchange()
  expect(minted.status, minted.text).toBe(200)

  const disk = Promise.withResolvers<void>()
  let standing = 0
  const commit = store.commit
  const held = vi.spyOn(store, 'commit').mockImplementation(async (member) => {
    if (member.put.some(({ kind }) => kind === 'credential') && member.lane === 'normal') {
      standing++
      await disk.promise
    }
    return commit(member)
  })
  try {
    const answers: Answer[] = []
    const flood = Array.from({ length: FLOOD }, async () => void answers.push(await exchange()))
    await vi.waitFor(() => expect(standing).toBeGreaterThanOrEqual(ADMISSION.agents.atOnce), 10_000)

    const check = `${broker.url}/forward-auth?resource=${encodeURIComponent('http://127.0.0.1:8432')}&scope=metrics:read`
    const headers = ['X-Hallpass-Verifier', verifier, ...bearer(String(minted.json.access_token))]
    for (let round = 0; round < 20; round++) {
      expect((await send(`${broker.url}/healthz`)).status).toBe(200)
      const checked = await send(check, { headers })
      expect(checked.status, checked.text).toBe(200)
    }
    const lock = await send(`${broker.url}/v1/locks`, {
      headers: [...bearer(broker.adminToken), ...JSON_TYPE],
      body: JSON.stringify({ kind: 'tool', name: 'tickets', reason: 'flood' }),
    })
    expect(lock.status, lock.text).toBeLessThan(300)

    // As many as are still there are held at the disk; no refusal of another kind comes before it moves.
    await vi.waitFor(() => expect(answers.length + standing).toBe(FLOOD), 30_000)
    expect(answers.length).toBeGreaterThan(0)
    for (const { status, headers: said, json } of answers) {
      expect([status, json.error, json.code]).toEqual([503, 'temporarily_unavailable', 'overloaded'])
      expect(Number(said['retry-after'])).toBeGreaterThan(0)
    }
    const refused = answers.length
    disk.resolve()
    await Promise.all(flood)
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(FLOOD - refused)

    const metrics = await send(`${broker.url}/metrics`, { headers: bearer(broker.adminToken) })
    expect(metrics.text).toContain(`hallpass_turned_away_total{class="agents"} ${refused}`)
    expect(metrics.text).toContain('hallpass_calls_waiting{class="agents"} 0')
  } finally {
    disk.resolve()
    held.mockRestore()
  }
}, 60_000)

test('how long a refusal takes does not tell a known agent from an unknown one (S17)', async () => {
  const stranger = await generateKeyPair('ES256')
  const names = { known: 'triage-bot', unknown: 'triagebot' } as const
  const took: Record<keyof typeof names, number[]> = { known: [], unknown: [] }
  const texts = new Set<string>()
  for (let round = 0; round < 220; round++)
    for (const kind of round % 2 === 0 ? (['known', 'unknown'] as const) : (['unknown', 'known'] as const)) {
      const signed = await assertion(names[kind], stranger.privateKey)
      const started = performance.now()
      const said = await authenticate(signed)
      if (round >= 20) took[kind].push(performance.now() - started)
      expect(said.status).toBe(401)
      texts.add(JSON.stringify({ ...said.json, requestId: undefined, request_id: undefined }))
    }
  expect(texts.size).toBe(1)
  // A busy machine only ever adds: what the answer itself takes is near the bottom.
  const atBest = (of: readonly number[]) => [...of].sort((a, b) => a - b)[of.length >> 3]!
  const [known, unknown] = [atBest(took.known), atBest(took.unknown)]
  console.log(`load: refusing a known agent takes ${known.toFixed(2)} ms, an unknown one ${unknown.toFixed(2)} ms`)
  // A signature check alone is a good part of such an answer: to leave it out for one of them would show.
  expect(Math.abs(known - unknown)).toBeLessThan(Math.max(0.5, 0.35 * Math.min(known, unknown)))
}, 60_000)
