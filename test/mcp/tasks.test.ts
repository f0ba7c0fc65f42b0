// A request that waits, as a durable task: what it says in each state of the request, and to whom.

import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { revoke } from '../../src/actions/revoke.ts'
import { TASK } from '../../src/core/limits.ts'
import { modern, TASKS } from './modern.ts'
import { OWNER, type Served, serveMcp } from './support.ts'

const ASK = { tool: 'tickets', scopes: ['ticket:read'], reason: 'INC-1', details: { queue: ['incidents'] } }
const HOUR_MS = 3_600_000

let served: Served
let token: string
let session: string
beforeEach(async () => {
  served = await serveMcp()
  const opened = await served.session('triage-bot')
  token = opened.token
  session = opened.session.id
})
afterEach(() => served.close())

const call = (name: string, given: object, capabilities: object = TASKS, as?: string) =>
  modern(served, token, 'tools/call', { name, arguments: given }, capabilities, as)
const task = (method: string, taskId: string, more: object = {}, capabilities: object = TASKS) =>
  modern(served, token, `tasks/${method}`, { taskId, ...more }, capabilities)
const asked = async () => String((await call('request_access', ASK)).result?.taskId)
const done = { resultType: 'complete', _meta: expect.anything() }

describe('asking with the extension declared', () => {
  const created = () => ({
    resultType: 'task',
    taskId: expect.stringMatching(/^req_[0-9a-f]{32}$/),
    status: 'working',
    statusMessage: expect.stringContaining(`${served.issuer}/requests/req_`),
    createdAt: '2026-01-15T09:00:00.000Z',
    lastUpdatedAt: '2026-01-15T09:00:00.000Z',
    ttlMs: HOUR_MS + TASK.keptSeconds * 1000,
    pollIntervalMs: TASK.pollMs,
    _meta: expect.anything(),
  })

  test('what waits is a task that is stored before it is told, and asking again is the same one (P9)', async () => {
    const first = await call('request_access', ASK)
    expect(first).toEqual({ status: 200, result: created() })
    const again = await call('request_access', { ...ASK, reason: 'again' })
    expect(again.result?.taskId).toBe(first.result?.taskId)
    expect(await served.deps.store.list({ kind: 'request', limit: 10 })).toMatchObject({
      rows: [{ id: first.result?.taskId, agent: 'triage-bot', state: 'pending' }],
    })
  })

  test('a call that the SDK serves is answered the same (P8)', async () => {
    const encoded = `=?base64?${Buffer.from('request_access').toString('base64')}?=`
    const { result } = await call('request_access', ASK, TASKS, encoded)
    expect(result).toMatchObject(created())
  })

  test('what is granted or refused at once is no task', async () => {
    const granted = await call('request_access', { tool: 'metrics', scopes: ['metrics:read'], reason: 'INC-1' })
    expect(granted.result).toMatchObject({ resultType: 'complete', structuredContent: { status: 'granted' } })
    const refused = await call('request_access', { ...ASK, scopes: ['ticket:close'] })
    expect(refused.result).toMatchObject({ resultType: 'complete', isError: true })
  })

  test.each([
    [{}],
    [{ extensions: {} }],
    [{ extensions: { 'io.modelcontextprotocol/skills': {} } }],
    [{ elicitation: {} }],
    [{ tasks: {} }],
  ])('a client that declared %j gets the pending answer', async (capabilities) => {
    const { result } = await call('request_access', ASK, capabilities)
    expect(result).toMatchObject({ resultType: 'complete', structuredContent: { status: 'pending' } })
  })

  test('the server says that it has them, in the era that does', async () => {
    const { result } = await modern(served, token, 'server/discover', {})
    expect(result?.capabilities).toMatchObject(TASKS)
    const old = await served.client(token, {})
    expect(JSON.stringify(old.getServerCapabilities())).not.toContain('tasks')
  })
})

describe('looking', () => {
  test('it works until the owner decides, and is asked for ever more rarely', async () => {
    const id = await asked()
    served.clock.advance(100)
    const { result } = await task('get', id)
    expect(result).toEqual({
      ...done,
      taskId: id,
      status: 'working',
      statusMessage: expect.any(String),
      createdAt: '2026-01-15T09:00:00.000Z',
      lastUpdatedAt: '2026-01-15T09:00:00.000Z',
      ttlMs: 2 * HOUR_MS,
      pollIntervalMs: 10_000,
    })
    served.clock.advance(2_000)
    expect((await task('get', id)).result).toMatchObject({ pollIntervalMs: TASK.pollMsMax })
  })

  test('granted: completed, with what access_status says; judged again at every look (P2, S8)', async () => {
    const id = await asked()
    served.clock.advance(5)
    const { grant } = await served.approve(id)
    const { result } = await task('get', id)
    expect(result).toMatchObject({
      status: 'completed',
      lastUpdatedAt: '2026-01-15T09:00:05.000Z',
      result: {
        resultType: 'complete',
        structuredContent: { status: 'granted', grant: { id: grant.id } },
        content: [{ type: 'text' }],
      },
    })
    expect(result).not.toHaveProperty('result.isError')
    await call('release_access', { grantId: grant.id })
    expect((await task('get', id)).result).toMatchObject({
      status: 'completed',
      result: { isError: true, structuredContent: { error: { code: 'grant_revoked', nextTool: 'request_access' } } },
    })
  })

  test('denied: completed, never failed, with what to do (P8)', async () => {
    const id = await asked()
    await served.deny(id, 'not now')
    expect((await task('get', id)).result).toMatchObject({
      status: 'completed',
      result: {
        isError: true,
        structuredContent: { error: { code: 'approval_denied', message: expect.stringContaining('not now') } },
      },
    })
  })

  test('expired: completed with an error; past its ttl it is unknown, and no earlier (P4)', async () => {
    const id = await asked()
    served.clock.advance(3600)
    token = (await served.session('triage-bot')).token
    expect((await task('get', id)).result).toMatchObject({
      status: 'completed',
      lastUpdatedAt: '2026-01-15T10:00:00.000Z',
      result: { isError: true, structuredContent: { error: { code: 'request_expired' } } },
    })
    served.clock.advance(TASK.keptSeconds - 1)
    token = (await served.session('triage-bot')).token
    expect((await task('get', id)).result).toMatchObject({ status: 'completed' })
    served.clock.advance(1)
    expect((await task('get', id)).error?.code).toBe(-32602)
  })

  test('taken away with its session: completed with an error, for the agent did not call it off (S11)', async () => {
    const id = await asked()
    const admin = { role: 'admin', id: 'root@example.com', bearer: 'brr_test' } as const
    await revoke(
      served.deps,
      { caller: admin, requestId: served.deps.ids.next('rid') },
      { kind: 'session', id: session, reason: null },
    )
    expect((await task('get', id)).status).toBe(401)
    token = (await served.session('triage-bot')).token
    await expect
      .poll(async () => (await task('get', id)).result)
      .toMatchObject({
        status: 'completed',
        result: { isError: true, structuredContent: { error: { code: 'request_expired' } } },
      })
  })
})

describe('calling it off', () => {
  test('withdraws the request; again, or when it has ended, it is acknowledged and changes nothing', async () => {
    const id = await asked()
    expect(await task('cancel', id)).toEqual({ status: 200, result: done })
    expect((await task('get', id)).result).toMatchObject({ status: 'cancelled', statusMessage: 'Withdrawn.' })
    expect(await task('cancel', id)).toEqual({ status: 200, result: done })
    await expect(served.approve(id)).rejects.toThrow(/withdrawn/)
    expect((await served.trail()).filter(({ kind }) => kind === 'request.withdrawn')).toHaveLength(1)

    const second = await asked()
    expect(second).not.toBe(id)
    await served.approve(second)
    expect(await task('cancel', second)).toEqual({ status: 200, result: done })
    expect((await task('get', second)).result).toMatchObject({ status: 'completed' })
  })

  test('what the tool withdrew is cancelled as well', async () => {
    const id = await asked()
    await call('release_access', { requestId: id })
    expect((await task('get', id)).result).toMatchObject({ status: 'cancelled' })
  })

  test('one that expired stays expired', async () => {
    const id = await asked()
    served.clock.advance(3600)
    token = (await served.session('triage-bot')).token
    expect(await task('cancel', id)).toEqual({ status: 200, result: done })
    expect((await task('get', id)).result).toMatchObject({ status: 'completed' })
  })
})

test('an update is acknowledged and approves nothing (P4)', async () => {
  const id = await asked()
  const inputResponses = { owner: { action: 'accept', content: { approve: true } } }
  expect(await task('update', id, { inputResponses })).toEqual({ status: 200, result: done })
  expect((await task('get', id)).result).toMatchObject({ status: 'working' })
})

test('without the extension declared on this very request the methods ask for it (P8)', async () => {
  const id = await asked()
  for (const method of ['get', 'update', 'cancel'])
    expect(await task(method, id, { inputResponses: {} }, {})).toMatchObject({
      status: 400,
      error: { code: -32021, data: { requiredCapabilities: TASKS } },
    })
  expect((await task('get', id)).result).toMatchObject({ status: 'working' })
})

test('what the extension does not have is unknown, as it all is in the era before', async () => {
  for (const method of ['list', 'result'])
    expect((await task(method, await asked())).error).toMatchObject({ code: -32601 })
  const old = await served.client(token, {})
  const wire = { '~standard': { version: 1, vendor: 'test', validate: (value: unknown) => ({ value }) } } as const
  await expect(old.request({ method: 'tasks/get', params: { taskId: 'x' } }, wire)).rejects.toMatchObject({
    code: -32601,
  })
})

test('the owner sees one and the same request (P4)', async () => {
  const { result } = await call('list_access', {})
  expect(result?.structuredContent).toMatchObject({ requests: [] })
  const id = await asked()
  const listed = (await call('list_access', {})).result?.structuredContent
  expect(listed).toMatchObject({ requests: [{ id, owners: [OWNER] }] })
})
