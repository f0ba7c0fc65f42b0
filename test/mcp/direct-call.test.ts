// A plain call is answered without the SDK's server: the same answers, and not one message more let in.

import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createDirectReader } from '../../src/adapters/mcp/direct-call.ts'
import { agent, entry } from '../support/manifest-set.ts'
import { manifests, post, type Served, serveMcp } from './support.ts'

const VERSION = '2026-07-28'
const META = {
  'io.modelcontextprotocol/protocolVersion': VERSION,
  'io.modelcontextprotocol/clientInfo': { name: 'test', version: '1.0.0' },
  'io.modelcontextprotocol/clientCapabilities': {},
}
const message = (name: string, given: object | undefined, more: object = {}, meta: object = META) => ({
  jsonrpc: '2.0',
  id: 7,
  method: 'tools/call',
  params: { name, ...(given === undefined ? {} : { arguments: given }), _meta: meta },
  ...more,
})
const headersOf = (name: string) => ({
  'mcp-protocol-version': VERSION,
  'mcp-method': 'tools/call',
  'mcp-name': name,
})
/** The name as the specification lets a client write it as well: the direct way leaves that to the SDK. */
const encoded = (name: string) => `=?base64?${Buffer.from(name).toString('base64')}?=`

describe('over the wire', () => {
  let served: Served
  let authorization: { Authorization: string }
  beforeEach(async () => {
    served = await serveMcp()
    authorization = { Authorization: `Bearer ${(await served.session('triage-bot')).token}` }
  })
  afterEach(() => served.close())
  const send = (body: object, headers: Record<string, string>) =>
    post(served.url, JSON.stringify(body), { ...headers, ...authorization })

  test.each([
    ['list_access', {}],
    ['list_access', undefined],
    ['list_access', { surprise: 1 }],
    ['issue_token', { grantId: 'grt_unknown' }],
    ['issue_token', {}],
    ['request_access', { tool: 'ticket', scopes: ['ticket:read'], reason: 'INC-1' }],
    ['release_access', { grantId: 'grt_1', requestId: 'req_1' }],
  ])('%s %j is answered as the SDK would (P8)', async (name, given) => {
    const direct = await send(message(name, given), headersOf(name))
    const throughSdk = await send(message(name, given), { ...headersOf(name), 'mcp-name': encoded(name) })
    expect(direct.status).toBe(200)
    expect(throughSdk.status).toBe(200)
    expect(await direct.json()).toEqual(await throughSdk.json())
    for (const name of ['content-type', 'cache-control'])
      expect(direct.headers.get(name)).toBe(throughSdk.headers.get(name))
  })

  test('a list is, byte for byte (P8)', async () => {
    for (const id of [7, 'a "quoted" one']) {
      const listing = { ...message('', undefined), id, method: 'tools/list', params: { _meta: META } }
      const named = { 'mcp-protocol-version': VERSION, 'mcp-method': 'tools/list' }
      const sent = [
        await send(listing, named),
        await send(listing, named),
        // There is one page, whatever is asked for: the SDK answers this one.
        await send({ ...listing, params: { cursor: 'next', _meta: META } }, named),
      ]
      const [first, again, throughSdk] = await Promise.all(sent.map((one) => one.text()))
      expect(first).toBe(throughSdk)
      expect(again).toBe(throughSdk)
      expect(JSON.parse(first!)).toMatchObject({ id, result: { ttlMs: 0, cacheScope: 'private' } })
      for (const name of ['content-type', 'cache-control'])
        expect(sent[0]!.headers.get(name)).toBe(sent[2]!.headers.get(name))
    }
  })

  test('a list follows what is in force, and whoever lost it all lists nothing (P3)', async () => {
    const listing = { jsonrpc: '2.0', id: 1, method: 'tools/list', params: { _meta: META } }
    const list = async () =>
      (await send(listing, { 'mcp-protocol-version': VERSION, 'mcp-method': 'tools/list' })).text()
    expect(await list()).toContain('"ticket:comment"')
    const [tickets, metrics] = manifests()
    await served.inForce(tickets!, metrics!, agent('triage-bot', { access: [entry('tickets', ['ticket:read'])] }))
    const narrowed = await list()
    expect(narrowed).toContain('"ticket:read"')
    expect(narrowed).not.toContain('"ticket:comment"')
  })

  test('after a good envelope was seen, a bad message is refused as before (S13)', async () => {
    const good = message('list_access', {})
    const named = headersOf('list_access')
    expect((await send(good, named)).status).toBe(200)
    const bad: [object, Record<string, string>][] = [
      [good, { ...named, 'mcp-method': 'tools/list' }],
      [good, { ...named, 'mcp-name': 'issue_token' }],
      [good, { ...named, 'mcp-protocol-version': '2025-11-25' }],
      [good, { 'mcp-protocol-version': VERSION, 'mcp-method': 'tools/call' }],
      [message('list_access', {}, { jsonrpc: '1.0' }), named],
      [message('list_access', {}, { id: 1.5 }), named],
      [message('list_access', {}, {}, { ...META, 'io.modelcontextprotocol/clientInfo': 'nobody' }), named],
      [message('list_access', {}, {}, { 'io.modelcontextprotocol/protocolVersion': VERSION }), named],
    ]
    for (const [body, headers] of bad) {
      const response = await send(body, headers)
      expect([response.status, JSON.stringify(body)]).toEqual([400, JSON.stringify(body)])
      expect(await response.json()).toMatchObject({ error: { code: expect.any(Number) } })
    }
  })

  test('whoever is cut off while a call is under way gets no answer of it (S3)', async () => {
    const { limiters } = served.edge
    const { take } = limiters.call
    let cut: Promise<void> | undefined
    Object.assign(limiters.call, {
      take: (key: string, cost?: number) => {
        cut = served.mcp.cut('triage-bot')
        return take(key, cost)
      },
    })
    const response = await send(message('list_access', {}), headersOf('list_access'))
    await cut
    expect(response.status).toBe(409)
    expect(await response.json()).toMatchObject({ error: { data: { code: 'conflict', retryable: true } } })
  })
})

describe('what is read directly', () => {
  const read = createDirectReader()
  const readAs = (body: unknown, name = 'issue_token') => read(body, new Headers(headersOf(name)))

  test('a plain call is (P8)', () => {
    const given = { grantId: 'grt_1' }
    expect(readAs(message('issue_token', given))).toMatchObject({
      method: 'tools/call',
      id: 7,
      name: 'issue_token',
      given,
    })
    expect(readAs(message('issue_token', given, { id: 'a' }))).toMatchObject({ id: 'a' })
    expect(readAs(message('list_access', undefined), 'list_access')).toMatchObject({ given: {} })
  })

  test('anything else is left to the SDK (S13)', () => {
    const plain = message('issue_token', {})
    const others: unknown[] = [
      undefined,
      null,
      'text',
      [plain],
      { ...plain, extra: 1 },
      { ...plain, id: null },
      { ...plain, id: undefined },
      { ...plain, method: 'tools/list' },
      { ...plain, params: [] },
      { ...plain, params: { ...plain.params, requestState: 'x' } },
      { ...plain, params: { ...plain.params, arguments: [] } },
      { ...plain, params: { ...plain.params, arguments: null } },
      { ...plain, params: { ...plain.params, _meta: undefined } },
      message('access_status', { waitSeconds: 5 }),
      message('toString', {}),
      message('issue_token', {}, {}, { ...META, 'io.modelcontextprotocol/protocolVersion': '2027-01-01' }),
      message('issue_token', {}, {}, { ...META, 'io.modelcontextprotocol/clientCapabilities': 'all' }),
    ]
    for (const body of others) expect([readAs(body), body]).toEqual([null, body])
    expect(readAs(message('access_status', {}), 'access_status')).toBeNull()
    expect(readAs(JSON.parse('{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{},"__proto__":{}}'))).toBeNull()
  })

  test('of lists the plainest is, and no other (S13)', () => {
    const plain = { jsonrpc: '2.0', id: 1, method: 'tools/list', params: { _meta: META } }
    const named = { 'mcp-protocol-version': VERSION, 'mcp-method': 'tools/list' }
    const list = (body: unknown, headers: Record<string, string> = named) => read(body, new Headers(headers))
    expect(list(plain)).toEqual({ method: 'tools/list', id: 1 })
    expect(list({ ...plain, params: { ...plain.params, cursor: 'next' } })).toBeNull()
    expect(list({ ...plain, params: {} })).toBeNull()
    expect(list({ ...plain, params: undefined })).toBeNull()
    expect(list({ ...plain, id: undefined })).toBeNull()
    expect(list({ ...plain, method: 'prompts/list' }, { ...named, 'mcp-method': 'prompts/list' })).toBeNull()
    expect(list(plain, { ...named, 'mcp-name': 'list_access' })).toBeNull()
    expect(list(plain, { ...named, 'mcp-method': 'tools/call' })).toBeNull()
    expect(list(plain, { ...named, 'mcp-protocol-version': '2025-11-25' })).toBeNull()
    expect(list([plain])).toBeNull()
  })
})
