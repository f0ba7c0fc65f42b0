// Sessions of 2025-era clients: what ends them, and that they open nothing by themselves.

import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { revoke } from '../../src/actions/revoke.ts'
import { MCP_SESSIONS } from '../../src/core/limits.ts'
import { operator, unwrap } from '../support/store-on-disk.ts'
import { openRawSession, post, rpc, type Served, serveMcp } from './support.ts'

let served: Served
beforeEach(async () => {
  served = await serveMcp()
})
afterEach(() => served.close())

test('a session is deleted by its client, and is then not found (MCP 2025-11-25)', async () => {
  const { token } = await served.session('triage-bot')
  const session = await openRawSession(served.url, token)
  expect((await session.post(rpc('tools/list'))).status).toBe(200)
  expect((await session.send('DELETE')).status).toBe(200)
  const gone = await session.post(rpc('tools/list'))
  expect(gone.status).toBe(404)
  expect(await gone.json()).toMatchObject({ error: { code: -32001 } })
})

test('without a session everything goes on as before', async () => {
  const { token } = await served.session('triage-bot')
  const bearer = { Authorization: `Bearer ${token}` }
  expect((await post(served.url, rpc('tools/list'), bearer)).headers.has('mcp-session-id')).toBe(false)
  expect((await fetch(served.url, { headers: { ...bearer, Accept: 'text/event-stream' } })).status).toBe(405)
})

test('cutting an agent ends its sessions: what waits is told so, and the next call finds none (P5)', async () => {
  const { token, session } = await served.session('triage-bot')
  const { token: again } = await served.session('triage-bot')
  const { token: foreign } = await served.session('other-bot')
  const mine = await openRawSession(served.url, token)
  const other = await openRawSession(served.url, foreign)
  const stream = await mine.send('GET')
  expect(stream.headers.get('content-type')).toBe('text/event-stream')
  const changes = vi.spyOn(served.deps.store, 'changes')
  const ask = { tool: 'tickets', scopes: ['ticket:read'], reason: 'INC-1', details: { queue: ['incidents'] } }
  const asked = await mine.call('request_access', ask)
  const waiting = mine.post(
    rpc('tools/call', {
      name: 'access_status',
      arguments: { requestId: asked.structuredContent.request.id, waitSeconds: 50 },
    }),
  )
  await vi.waitFor(() => expect(changes).toHaveBeenCalled(), 10_000)
  unwrap(await revoke(served.deps, operator, { kind: 'session', id: session.id, reason: null }))
  await served.mcp.cut('triage-bot')
  expect(await (await waiting).text()).toContain('taken away')
  expect(await stream.text()).not.toContain('"result"')
  expect((await mine.post(rpc('tools/list'))).status).toBe(401)
  expect((await mine.with(again).post(rpc('tools/list'))).status).toBe(404)
  expect((await other.post(rpc('tools/list'))).status).toBe(200)
})

test('a session that opens while its agent is cut off is not there afterwards (P5, S16)', async () => {
  const { token } = await served.session('triage-bot')
  const read = served.deps.store.read
  const spy = vi.spyOn(served.deps.store, 'read').mockImplementation(async (keys) => {
    const snapshot = await read(keys)
    if (keys.includes('agent/triage-bot')) await served.mcp.cut('triage-bot')
    return snapshot
  })
  await expect(openRawSession(served.url, token)).rejects.toThrow('409')
  spy.mockRestore()
  expect((await openRawSession(served.url, token)).id).toMatch(/^[A-Za-z0-9_-]{43}$/)
})

test('a stream ends with the token that opened it, and a new token of the same agent opens the next (S11)', async () => {
  const { token } = await served.session('triage-bot')
  served.clock.advance(3599)
  const session = await openRawSession(served.url, token)
  const stream = await session.send('GET')
  expect(await stream.text()).toBe('')
  served.clock.advance(2)
  expect((await session.send('GET')).status).toBe(401)
  const renewed = session.with((await served.session('triage-bot')).token)
  expect((await renewed.send('GET')).status).toBe(200)
  expect((await renewed.post(rpc('tools/list'))).status).toBe(200)
})

test('a call ends with the token that it was made with (S11)', async () => {
  const { token } = await served.session('triage-bot')
  const session = await openRawSession(served.url, token)
  const ask = { tool: 'tickets', scopes: ['ticket:read'], reason: 'INC-1', details: { queue: ['incidents'] } }
  const asked = await session.call('request_access', ask)
  served.clock.advance(3599)
  const given = { requestId: asked.structuredContent.request.id, waitSeconds: 50 }
  const since = Date.now()
  const waited = await session.post(rpc('tools/call', { name: 'access_status', arguments: given }))
  expect(await waited.text()).toContain('session token ended')
  expect(Date.now() - since).toBeLessThan(20_000)
})

test('a call whose client left or gave it up is aborted', async () => {
  const { token } = await served.session('triage-bot')
  const session = await openRawSession(served.url, token)
  const ask = { tool: 'tickets', scopes: ['ticket:read'], reason: 'INC-1', details: { queue: ['incidents'] } }
  const asked = await session.call('request_access', ask)
  const given = { requestId: asked.structuredContent.request.id, waitSeconds: 50 }
  const signals: AbortSignal[] = []
  const changes = served.deps.store.changes
  vi.spyOn(served.deps.store, 'changes').mockImplementation((after, signal) => {
    signals.push(signal)
    return changes(after, signal)
  })
  const left = new AbortController()
  const leaving = await session.post(rpc('tools/call', { name: 'access_status', arguments: given }, 7), left.signal)
  const cancelling = await session.post(rpc('tools/call', { name: 'access_status', arguments: given }, 8))
  await vi.waitFor(() => expect(signals).toHaveLength(2), 10_000)
  expect(signals.map(({ aborted }) => aborted)).toEqual([false, false])
  left.abort()
  await expect(leaving.text()).rejects.toThrow()
  const notice = { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 8 } }
  expect((await session.post(JSON.stringify(notice))).status).toBe(202)
  expect(await cancelling.text()).toBe('')
  await vi.waitFor(() => expect(signals.map(({ aborted }) => aborted)).toEqual([true, true]), 10_000)
})

test('past its limit an agent gets a session where one was idle for long, which then is gone; a busy one stays (S17)', async () => {
  const { token } = await served.session('triage-bot')
  const busy = await openRawSession(served.url, token)
  const ask = { tool: 'tickets', scopes: ['ticket:read'], reason: 'INC-1', details: { queue: ['incidents'] } }
  const asked = await busy.call('request_access', ask)
  const given = { requestId: asked.structuredContent.request.id, waitSeconds: 50 }
  const changes = vi.spyOn(served.deps.store, 'changes')
  const waiting = busy.post(rpc('tools/call', { name: 'access_status', arguments: given }))
  await vi.waitFor(() => expect(changes).toHaveBeenCalled(), 10_000)
  const idle = await openRawSession(served.url, token)
  const others = []
  while (others.length < MCP_SESSIONS.perAgent - 2) others.push(await openRawSession(served.url, token))
  await expect(openRawSession(served.url, token)).rejects.toThrow('no session: 200')

  served.clock.advance(MCP_SESSIONS.idleMs / 1000 + 1)
  const next = await openRawSession(served.url, token)
  expect((await next.post(rpc('ping'))).status).toBe(200)
  expect((await idle.post(rpc('ping'))).status).toBe(404)
  expect((await others[0]!.post(rpc('ping'))).status).toBe(200)
  await served.deny(given.requestId, 'no')
  expect(await (await waiting).text()).toContain('approval_denied')
})

test('a session that nobody used for a day is let go', async () => {
  const session = await openRawSession(served.url, (await served.session('triage-bot')).token)
  served.clock.advance(MCP_SESSIONS.forgottenMs / 1000 - 10)
  const kept = session.with((await served.session('triage-bot')).token)
  expect((await kept.post(rpc('ping'))).status).toBe(200)
  served.clock.advance(MCP_SESSIONS.forgottenMs / 1000 + 10)
  const late = session.with((await served.session('triage-bot')).token)
  expect((await late.post(rpc('ping'))).status).toBe(404)
})
