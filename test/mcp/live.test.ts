// What an agent is told, in every era, of what becomes of its access: at a grant, a denial, a narrowing, a revocation, a
// lock and when time ends something; and that nobody else is.

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { revoke } from '../../src/actions/revoke.ts'
import { NEW_LOCKABLE } from '../../src/core/model.ts'
import { agent } from '../support/manifest-set.ts'
import { operator, unwrap } from '../support/store-on-disk.ts'
import { type AnyClient, LISTEN, type Told } from './clients.ts'
import { manifests, openRawSession, rpc, type Served, serveMcp } from './support.ts'

let served: Served
beforeEach(async () => {
  served = await serveMcp()
})
afterEach(() => served.close())

const ASK = { tool: 'tickets', scopes: ['ticket:read'], reason: 'INC-1', details: { queue: ['incidents'] } }
const METRICS = { tool: 'metrics', scopes: ['metrics:read'], reason: 'INC-1' }
const ANSWER = z.object({ structuredContent: z.any() })

const call = async (client: AnyClient, name: string, given: Record<string, unknown>) =>
  ANSWER.parse(await client.callTool({ name, arguments: given })).structuredContent

/** Heard, in whatever order, and nothing else; forgotten afterwards. */
async function hears(told: Told, ...expected: string[]) {
  await vi.waitFor(() => expect([...told].sort()).toEqual([...expected].sort()), 10_000)
  told.length = 0
}

describe.each(Object.entries(LISTEN))('%s', (_name, listen) => {
  const start = async (name: string) => {
    const { token, session } = await served.session(name)
    return { session, ...(await listen(served, token)) }
  }

  test('is told of a request, its grant and its end, and nobody else is (P3, P5)', async () => {
    const triage = await start('triage-bot')
    const other = await start('other-bot')
    const { request } = await call(triage.client, 'request_access', ASK)
    await hears(triage.told, 'resources')
    const uri = `hallpass://requests/${request.id}`
    await triage.subscribe(uri)
    await served.approve(request.id)
    await hears(triage.told, 'tools', 'resources', uri)
    const { grant } = await call(triage.client, 'access_status', { requestId: request.id })
    await triage.subscribe(`hallpass://grants/${grant.id}`)
    unwrap(await revoke(served.deps, operator, { kind: 'grant', id: grant.id, reason: null }))
    await hears(triage.told, 'tools', 'resources', `hallpass://grants/${grant.id}`)
    expect(other.told).toEqual([])
  })

  test('is told of a denial, of a narrowing and of what stays as it was not at all (P3)', async () => {
    const triage = await start('triage-bot')
    const { request } = await call(triage.client, 'request_access', ASK)
    await hears(triage.told, 'resources')
    await served.deny(request.id, 'not today')
    await hears(triage.told, 'resources')
    await triage.subscribe('hallpass://access')
    await served.inForce(...manifests())
    const others = manifests().filter(({ name }) => name !== 'triage-bot')
    const purpose = 'Another purpose'
    await served.inForce(...others, agent('triage-bot', { access: accessOf('triage-bot'), purpose }))
    await hears(triage.told, 'hallpass://access')
    await served.put({
      kind: 'slice',
      row: { id: 'access/triage-bot/metrics', value: null, digest: 'gone', resumable: null },
    })
    await hears(triage.told, 'tools', 'hallpass://access')
  })

  test('is told of a lock on its tool and of its end by time (S12)', async () => {
    const triage = await start('triage-bot')
    const { grant } = await call(triage.client, 'request_access', METRICS)
    await hears(triage.told, 'tools', 'resources')
    await triage.subscribe(`hallpass://grants/${grant.id}`)
    const until = served.clock.now() + 1_500
    await served.put({ kind: 'tool', row: { ...NEW_LOCKABLE, id: 'metrics', locks: [{ id: 'lck_1', until }] } })
    await hears(triage.told, 'tools', 'resources', `hallpass://grants/${grant.id}`)
    served.clock.advance(1.5)
    await hears(triage.told, 'tools', 'resources', `hallpass://grants/${grant.id}`)
  })
})

const accessOf = (name: string) => {
  const found = manifests().find((one) => one.kind === 'Agent' && one.name === name)
  return found?.kind === 'Agent' ? found.access : []
}

test('a grant that ends by time alone is told of at that moment (S11)', async () => {
  const { token } = await served.session('triage-bot')
  const session = await openRawSession(served.url, token)
  await session.call('request_access', { ...METRICS, durationSeconds: 60 })
  await session.send('DELETE')
  served.clock.advance(58.5)
  const started = await openRawSession(served.url, token)
  const stream = await started.send('GET')
  const reader = stream.body?.pipeThrough(new TextDecoderStream()).getReader()
  expect((await started.call('list_access', {})).structuredContent.grants).toHaveLength(1)
  served.clock.advance(1.5)
  expect((await reader?.read())?.value).toContain('notifications/tools/list_changed')
  await reader?.cancel()
})

test('what a session missed while nothing listened is told as soon as something does', async () => {
  const { token } = await served.session('triage-bot')
  const session = await openRawSession(served.url, token)
  await session.call('request_access', METRICS)
  const heard = async () => {
    const stream = await session.send('GET')
    const reader = stream.body?.pipeThrough(new TextDecoderStream()).getReader()
    const text = (await reader?.read())?.value
    await reader?.cancel()
    return text
  }
  expect(await heard()).toContain('list_changed')
})

test('an agent that is decommissioned by its manifest holds no stream afterwards (P6, S4)', async () => {
  const { token } = await served.session('triage-bot')
  const session = await openRawSession(served.url, token)
  const stream = await session.send('GET')
  const others = manifests().filter(({ name }) => name !== 'triage-bot')
  await served.inForce(...others, agent('triage-bot', { access: accessOf('triage-bot'), state: 'decommissioned' }))
  expect(await stream.text()).toBe('')
})

test('a client that listens to nothing is told by the refusal that its access changed (P8)', async () => {
  const { token } = await served.session('triage-bot')
  const session = await openRawSession(served.url, token)
  const hint = async () => (await session.call('request_access', ASK)).structuredContent.error?.hint
  await served.put({
    kind: 'slice',
    row: { id: 'access/triage-bot/tickets', value: null, digest: 'gone', resumable: null },
  })
  expect(await hint()).not.toContain('changed')
  await served.inForce(...manifests())
  await (await session.post(rpc('tools/list'))).text()
  await served.put({
    kind: 'slice',
    row: { id: 'access/triage-bot/tickets', value: null, digest: 'gone', resumable: null },
  })
  expect(await hint()).toMatch(/^Your access changed since you listed your tools: list them again\. /)
  await (await session.post(rpc('tools/list'))).text()
  expect(await hint()).not.toContain('changed')
})
