// What stays open at /mcp: streams and sessions kept past what they rest on, thousands of them, other agents' sessions, and
// messages whose headers say something else than their bodies. None of it hears, does or ends what is not its own.

import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { importPKCS8, SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { type SampleBroker, startSampleBroker } from '../../src/commands/sample-broker.ts'
import { MCP_SESSIONS, MCP_STREAMS_PER_AGENT } from '../../src/core/limits.ts'
import { openRawSession, post, rawSession, rpc } from '../support/raw-mcp.ts'
import { testDatabase } from '../support/test-store.ts'
import { bearer, FORM, form, send } from './wire.ts'

/** Streams that are opened against one agent's limit; `HALLPASS_STREAMS=10000` for what the limit is there for. */
const STREAMS = Number(process.env.HALLPASS_STREAMS ?? 1_000)

let broker: SampleBroker
let url: string
beforeAll(async () => {
  broker = await startSampleBroker({
    ...(await testDatabase()),
    edit(scopes) {
      const agents = join(scopes, 'agents')
      const spy = readFileSync(join(agents, 'report-bot.yaml'), 'utf8').replaceAll('report-bot', 'watch-bot')
      writeFileSync(join(agents, 'watch-bot.yaml'), spy)
      copyFileSync(join(agents, 'keys', 'report-bot.pub.pem'), join(agents, 'keys', 'watch-bot.pub.pem'))
    },
  })
  url = `${broker.url}/mcp`
})
afterAll(() => broker?.close())

async function signIn(name: string): Promise<string> {
  const key = await importPKCS8(readFileSync(broker.agents[name]!.keyPath, 'utf8'), 'ES256')
  const signed = await new SignJWT({ jti: crypto.randomUUID() })
    .setProtectedHeader({ alg: 'ES256' })
    .setIssuer(name)
    .setSubject(name)
    .setAudience(broker.url)
    .setIssuedAt()
    .setExpirationTime('4m')
    .sign(key)
  const opened = await send(`${broker.url}/oauth/token`, {
    headers: FORM,
    body: form({
      grant_type: 'client_credentials',
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: signed,
    }),
  })
  return String(opened.json.access_token)
}
const ACTED = z.object({ lock: z.object({ id: z.string() }).optional() })
const act = async (path: string, body: object | undefined = {}, method = 'POST') => {
  const said = await send(`${broker.url}${path}`, {
    method,
    headers: ['Content-Type', 'application/json', ...bearer(broker.adminToken)],
    ...(method === 'POST' ? { body: JSON.stringify(body) } : {}),
  })
  expect(said.status, said.text).toBeLessThan(300)
  return ACTED.parse(said.json)
}
const sidOf = (token: string): string =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8')).sid

const META = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientInfo': { name: 'raw', version: '1' },
  'io.modelcontextprotocol/clientCapabilities': {},
}
const modern = (token: string, method: string, params: object = {}, more: Record<string, string> = {}) =>
  post(url, rpc(method, { ...params, _meta: META }), {
    Authorization: `Bearer ${token}`,
    'MCP-Protocol-Version': '2026-07-28',
    'Mcp-Method': method,
    ...more,
  })
const listen = (token: string) => modern(token, 'subscriptions/listen', { notifications: { toolsListChanged: true } })

/** Read to its end, or until it is stopped. */
function heard(response: Response) {
  let said = ''
  let isOver = false
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  const read = async () => {
    for (let next = await reader?.read(); next?.done === false; next = await reader?.read()) said += next.value
    isOver = true
  }
  void read()
  return { text: () => said, isOver: () => isOver, stop: async () => reader?.cancel() }
}
const ACCEPT = 'application/json, text/event-stream'
const INIT = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'raw', version: '1' } }
const ASK_METRICS = { tool: 'metrics', scopes: ['metrics:read'], reason: 'INC-1' }
const ASK = { tool: 'tickets', scopes: ['ticket:read'], reason: 'INC-1', details: { queue: ['incidents'] } }

describe('what was opened before an agent is cut off', () => {
  const cases: [string, string, (token: string) => ReturnType<typeof act>][] = [
    ['its session is revoked', 'triage-bot', (token) => act(`/v1/sessions/${sidOf(token)}/revoke`)],
    ['it is locked', 'triage-bot', () => act('/v1/locks', { kind: 'agent', name: 'triage-bot', reason: 'odd' })],
    ['it is decommissioned', 'report-bot', () => act('/v1/agents/report-bot/decommission')],
  ]

  test.each(cases)('ends when %s, and its token opens nothing more (P5, P6, S12)', async (_when, name, cutOff) => {
    const token = await signIn(name)
    const session = await openRawSession(url, token)
    const stream = heard(await listen(token))
    const push = heard(await session.send('GET'))
    const asked = await session.call('request_access', name === 'triage-bot' ? ASK : ASK_METRICS)
    const { request, grant } = asked.structuredContent
    const wanted = request === undefined ? { grantId: grant.id } : { requestId: request.id }
    const waiting = session.post(
      rpc('tools/call', { name: 'access_status', arguments: { ...wanted, waitSeconds: 50 } }),
    )
    await vi.waitFor(() => expect(push.text()).toContain('resources/list_changed'), 10_000)
    const since = Date.now()
    const { lock } = await cutOff(token)
    await vi.waitFor(() => expect([stream.isOver(), push.isOver()]).toEqual([true, true]), 10_000)
    expect(await (await waiting).text()).toMatch(/taken away|"pending"|"granted"/)
    expect(Date.now() - since).toBeLessThan(10_000)
    for (const again of [
      () => listen(token),
      () => modern(token, 'tools/list'),
      () => session.post(rpc('tools/list')),
      () => session.send('GET'),
      () => session.send('DELETE'),
    ])
      expect((await again()).status).toBe(401)
    if (lock !== undefined) await act(`/v1/locks/${lock.id}`, undefined, 'DELETE')
  })
})

test(`${STREAMS} streams of one agent leave four open, and take nothing from others (S17)`, async () => {
  const token = await signIn('triage-bot')
  const kept: Response[] = []
  const counts = { open: 0, refused: 0 }
  const before = process.memoryUsage().rss
  let left = STREAMS
  const open = async () => {
    while (left-- > 0) {
      const answer = await listen(token)
      const isOpen = answer.headers.get('content-type') === 'text/event-stream'
      if (isOpen) kept.push(answer)
      else expect(await answer.text()).toMatch(/Subscription limit reached|rate_limited/)
      counts[isOpen ? 'open' : 'refused']++
    }
  }
  await Promise.all(Array.from({ length: 32 }, open))
  expect(counts.open).toBe(MCP_STREAMS_PER_AGENT)
  expect(counts.refused).toBeGreaterThan(0)
  expect(process.memoryUsage().rss - before).toBeLessThan(256 * 1024 * 1024)
  const other = await signIn('watch-bot')
  const stream = heard(await listen(other))
  await vi.waitFor(() => expect(stream.text()).toContain('acknowledged'), 10_000)
  expect((await modern(other, 'tools/list')).status).toBe(200)
  await Promise.all(kept.map((answer) => answer.body?.cancel()))
  await stream.stop()
}, 120_000)

test('one agent has so many sessions, and is served without one past that (S17)', async () => {
  const token = await signIn('watch-bot')
  const ids = new Set<string | null>()
  for (let i = 0; i < MCP_SESSIONS.perAgent + 5; i++) {
    const opened = await post(url, rpc('initialize', INIT), { Authorization: `Bearer ${token}` })
    expect(opened.status).toBe(200)
    ids.add(opened.headers.get('mcp-session-id'))
    await opened.text()
  }
  expect(ids.size).toBe(MCP_SESSIONS.perAgent + 1)
  expect(ids.has(null)).toBe(true)
  for (const id of ids) if (id !== null) expect((await rawSession(url, token, id).send('DELETE')).status).toBe(200)
})

describe('a session', () => {
  test("of another agent's is answered as one that never was, and goes on (S7)", async () => {
    const mine = await openRawSession(url, await signIn('triage-bot'))
    const spy = await signIn('watch-bot')
    const bodies = ['tools/list', 'ping', 'resources/list'].map((method) => rpc(method))
    const answers = async (id: string) => {
      const session = rawSession(url, spy, id)
      const said = [session.send('GET'), session.send('DELETE'), ...bodies.map((body) => session.post(body))]
      return Promise.all((await Promise.all(said)).map(async (one) => [one.status, await one.text()]))
    }
    const foreign = await answers(mine.id)
    expect(foreign).toEqual(await answers(`${mine.id.slice(0, -4)}AAAA`))
    expect(new Set(foreign.map(([status]) => status))).toEqual(new Set([404]))
    expect((await mine.post(rpc('tools/list'))).status).toBe(200)
  })

  test('is never one that its client named, and none is found by guessing', async () => {
    const token = await signIn('triage-bot')
    const fixed = 'A'.repeat(43)
    const opened = await post(url, rpc('initialize', INIT), {
      Authorization: `Bearer ${token}`,
      'Mcp-Session-Id': fixed,
    })
    expect(opened.headers.get('mcp-session-id')).toMatch(/^[A-Za-z0-9_-]{43}$/)
    expect(opened.headers.get('mcp-session-id')).not.toBe(fixed)
    const known = await openRawSession(url, token)
    const guesses = [
      fixed,
      '',
      ' ',
      '0',
      '../../x',
      '__proto__',
      'constructor',
      `${known.id}, ${known.id}`,
      known.id.toLowerCase(),
    ]
    for (const guess of guesses) {
      const said = await rawSession(url, token, guess).post(rpc('tools/list'))
      expect([said.status, said.headers.get('mcp-session-id')], guess).toEqual([404, null])
    }
    const again = await known.post(rpc('initialize', INIT))
    expect(again.status).toBe(400)
    expect((await known.post(rpc('tools/list'))).status).toBe(200)
  })

  test('gives no message of the other era what it has', async () => {
    const known = await openRawSession(url, await signIn('triage-bot'))
    const said = await modern(known.token, 'ping', {}, { 'Mcp-Session-Id': known.id })
    expect(said.headers.get('mcp-session-id')).toBeNull()
    expect(await said.text()).toContain('"error"')
    const mixed = await known.post(rpc('tools/list'), null, { 'MCP-Protocol-Version': '2026-07-28' })
    expect(mixed.status).toBe(400)
    const odd = await known.post(rpc('tools/list'), null, { 'MCP-Protocol-Version': '1999-01-01' })
    expect(odd.status).toBe(400)
  })
})

describe('headers that say something else than the body', () => {
  const lies: [string, Record<string, string>][] = [
    ['another method', { 'Mcp-Method': 'tools/list', 'Mcp-Name': 'request_access' }],
    ['no method', { 'Mcp-Method': '', 'Mcp-Name': 'request_access' }],
    ['another tool', { 'Mcp-Name': 'list_access' }],
    ['no tool', {}],
    ['another version', { 'Mcp-Name': 'request_access', 'MCP-Protocol-Version': '2025-11-25' }],
    ['a version that is not known', { 'Mcp-Name': 'request_access', 'MCP-Protocol-Version': '2099-01-01' }],
  ]

  test.each(lies)('are refused, and nothing is done: %s (P10)', async (_what, headers) => {
    const token = await signIn('triage-bot')
    const { deps } = broker.running.broker
    const before = await deps.store.list({ kind: 'request', where: { agent: 'triage-bot' }, limit: 500 })
    const reason = `lie ${crypto.randomUUID()}`
    const said = await modern(token, 'tools/call', { name: 'request_access', arguments: { ...ASK, reason } }, headers)
    expect(said.status).toBe(400)
    expect(await said.text()).toContain('"error"')
    const after = await deps.store.list({ kind: 'request', where: { agent: 'triage-bot' }, limit: 500 })
    expect(after.rows).toEqual(before.rows)
  })
})

test('a page of another host or origin reaches neither era, nor a session (S20)', async () => {
  const token = await signIn('triage-bot')
  const session = await openRawSession(url, token)
  const sessionHeaders = ['Mcp-Session-Id', session.id, 'MCP-Protocol-Version', '2025-11-25']
  const body = rpc('tools/list', { _meta: META })
  const tries: { method: string; headers: string[]; body?: string }[] = [
    { method: 'POST', headers: ['MCP-Protocol-Version', '2026-07-28', 'Mcp-Method', 'tools/list'], body },
    { method: 'POST', headers: [], body: rpc('tools/list') },
    { method: 'POST', headers: [], body: rpc('initialize', INIT) },
    { method: 'POST', headers: sessionHeaders, body: rpc('tools/list') },
    { method: 'GET', headers: sessionHeaders },
    { method: 'DELETE', headers: sessionHeaders },
  ]
  const port = new URL(url).port
  for (const { headers, ...rest } of tries)
    for (const lie of [
      ['Host', `rebound.example.com:${port}`],
      ['Host', 'rebound.example.com'],
      ['Origin', 'https://rebound.example.com'],
      ['Origin', `http://127.0.0.1:${Number(port) + 1}`],
      ['Origin', 'null'],
    ]) {
      const sent = [...bearer(token), 'Content-Type', 'application/json', 'Accept', ACCEPT, ...headers, ...lie]
      const said = await send(url, { ...rest, headers: sent })
      expect([403, 421], `${rest.method} ${lie.join(' ')}`).toContain(said.status)
    }
  expect((await session.post(rpc('tools/list'))).status).toBe(200)
})

test("a resource of another agent's is answered as one that never was, read or subscribed to (S7)", async () => {
  const mine = await openRawSession(url, await signIn('triage-bot'))
  const asked = await mine.call('request_access', ASK)
  const { request, grant } = asked.structuredContent
  const uri = request === undefined ? `hallpass://grants/${grant.id}` : `hallpass://requests/${request.id}`
  const spy = await openRawSession(url, await signIn('watch-bot'))
  const ghost = uri.replace(/.{6}$/, '000000')
  for (const method of ['resources/read', 'resources/subscribe']) {
    const said = await (await spy.post(rpc(method, { uri }))).text()
    expect(said).toContain('You have no such resource')
    expect(said.replaceAll(uri, '')).toBe(
      (await (await spy.post(rpc(method, { uri: ghost }))).text()).replaceAll(ghost, ''),
    )
  }
  expect(await (await mine.post(rpc('resources/read', { uri }))).text()).toContain('"contents"')
})
