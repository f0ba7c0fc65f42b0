// Open streams: who is told that a toolset changed, and what ends them.

import type { Client } from '@modelcontextprotocol/client'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { revoke } from '../../src/actions/revoke.ts'
import { agent, entry, tool } from '../support/manifest-set.ts'
import { operator, unwrap } from '../support/store-on-disk.ts'
import { LEGACY, MODERN, manifests, post, rpc, type Served, serveMcp } from './support.ts'

let served: Served
beforeEach(async () => {
  served = await serveMcp()
})
afterEach(() => served.close())

async function listening(name: string) {
  const { token, session } = await served.session(name)
  const client = await served.client(token)
  let changes = 0
  client.setNotificationHandler('notifications/tools/list_changed', () => {
    changes++
  })
  const stream = await client.listen({ toolsListChanged: true })
  return { token, session, client, stream, changes: () => changes }
}

const takeAway = (name: string, tool: string) =>
  served.put({ kind: 'slice', row: { id: `access/${name}/${tool}`, value: null, digest: 'gone', resumable: null } })

const toolEnum = async (client: Client) => {
  const { tools } = await client.listTools()
  const ask = tools.find(({ name }) => name === 'request_access')?.inputSchema.properties as
    | Record<string, { enum?: string[]; items?: { enum?: string[] } }>
    | undefined
  return { tool: ask?.tool?.enum, scopes: ask?.scopes?.items?.enum }
}

test('a changed toolset is told to its agent alone, and listed at once (P3)', async () => {
  const triage = await listening('triage-bot')
  const other = await listening('other-bot')
  expect(triage.stream.honoredFilter).toEqual({ toolsListChanged: true })
  expect(await toolEnum(triage.client)).toEqual({
    tool: ['metrics', 'tickets'],
    scopes: ['metrics:read', 'ticket:comment', 'ticket:read'],
  })
  expect(await toolEnum(other.client)).toEqual({ tool: ['metrics'], scopes: ['metrics:read'] })

  await takeAway('triage-bot', 'tickets')
  await vi.waitFor(() => expect(triage.changes()).toBe(1), 10_000)
  expect(await toolEnum(triage.client)).toEqual({ tool: ['metrics'], scopes: ['metrics:read'] })
  await takeAway('other-bot', 'metrics')
  await vi.waitFor(() => expect(other.changes()).toBe(1), 10_000)
  expect(triage.changes()).toBe(1)
})

test('an agent that may ask for nothing gets no enum, and its client still accepts the list', async () => {
  await served.inForce(tool('tickets'), agent('triage-bot'))
  for (const id of ['access/triage-bot/tickets', 'access/triage-bot/metrics'])
    await served.put({ kind: 'slice', row: { id, value: null, digest: 'gone', resumable: null } })
  const { token } = await served.session('triage-bot')
  expect(await toolEnum(await served.client(token))).toEqual({ tool: undefined, scopes: undefined })
})

test('a new scope is listed without a restart, though the list is compiled once (P3)', async () => {
  const { token } = await served.session('other-bot')
  const client = await served.client(token)
  expect((await toolEnum(client)).tool).toEqual(['metrics'])
  const more = [entry('tickets', ['ticket:read']), entry('metrics', ['metrics:read'])]
  await served.inForce(...manifests().filter(({ name }) => name !== 'other-bot'), agent('other-bot', { access: more }))
  expect((await toolEnum(client)).tool).toEqual(['metrics', 'tickets'])
})

test('cutting an agent ends its streams, and after a revoke its next call is refused (P5)', async () => {
  const triage = await listening('triage-bot')
  const other = await listening('other-bot')
  unwrap(await revoke(served.deps, operator, { kind: 'session', id: triage.session.id, reason: null }))
  await served.mcp.cut('triage-bot')
  expect(await triage.stream.closed).toBe('graceful')
  await expect(triage.client.callTool({ name: 'list_access', arguments: {} })).rejects.toThrow()
  await expect(triage.client.listen({ toolsListChanged: true })).rejects.toThrow()
  expect((await other.client.callTool({ name: 'list_access', arguments: {} })).isError).toBeFalsy()
  await served.mcp.cut(null)
  expect(await other.stream.closed).toBe('graceful')
  expect((await other.client.callTool({ name: 'list_access', arguments: {} })).isError).toBeFalsy()
})

test('a stream that opens while its agent is cut off does not stay open (P5, S16)', async () => {
  const { token } = await served.session('triage-bot')
  const client = await served.client(token)
  const read = served.deps.store.read
  vi.spyOn(served.deps.store, 'read').mockImplementation(async (keys) => {
    const snapshot = await read(keys)
    if (keys.includes('agent/triage-bot')) await served.mcp.cut('triage-bot')
    return snapshot
  })
  await expect(client.listen({ toolsListChanged: true })).rejects.toThrow()
  const response = await post(served.url, rpc('tools/list'), { Authorization: `Bearer ${token}` })
  expect(response.status).toBe(409)
  expect(await response.json()).toMatchObject({ error: { data: { code: 'conflict', retryable: true } } })
})

test.each([
  ['modern', MODERN],
  ['legacy', LEGACY],
])('cutting an agent ends a call that waits for its owner (%s) (P5)', async (_era, options) => {
  const { token } = await served.session('triage-bot')
  const client = await served.client(token, options)
  const ask = { tool: 'tickets', scopes: ['ticket:read'], reason: 'INC-1', details: { queue: ['incidents'] } }
  const asked = await client.callTool({ name: 'request_access', arguments: ask })
  const { request } = asked.structuredContent as { request: { id: string } }
  const changes = vi.spyOn(served.deps.store, 'changes')
  const since = Date.now()
  const waiting = client
    .callTool({ name: 'access_status', arguments: { requestId: request.id, waitSeconds: 50 } })
    .then(
      ({ structuredContent }) => structuredContent,
      (thrown: unknown) => thrown,
    )
  await vi.waitFor(() => expect(changes).toHaveBeenCalled(), 10_000)
  await served.mcp.cut('triage-bot')
  const outcome = await waiting
  expect(outcome instanceof Error ? outcome.message : JSON.stringify(outcome)).toMatch(/taken away|"pending"/)
  expect(Date.now() - since).toBeLessThan(10_000)
})

test('a stream ends when its token does (S11)', async () => {
  const { token } = await served.session('triage-bot')
  served.clock.advance(3599)
  const client = await served.client(token)
  const stream = await client.listen({ toolsListChanged: true })
  expect(await stream.closed).toBe('remote')
})

test('one agent holds four streams and no more (S17)', async () => {
  const { token } = await served.session('triage-bot')
  const client = await served.client(token)
  for (let i = 0; i < 4; i++) await client.listen({ toolsListChanged: true })
  await expect(client.listen({ toolsListChanged: true })).rejects.toThrow('Subscription limit reached')
})
