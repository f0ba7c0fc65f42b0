// A hostile agent, or whoever drives its client, and what waits for an owner: tasks of others, states that are forged,
// stolen, used again or stale, a "yes" from the wrong side, and far too many of all of them (P4, S7, S17, S18).

import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { decommissionAgent } from '../../src/actions/decommission-agent.ts'
import { liftLock, setLock } from '../../src/actions/lock.ts'
import { revoke } from '../../src/actions/revoke.ts'
import { SAMPLE_OWNERS, startSampleBroker } from '../../src/commands/sample-broker.ts'
import { OPEN, TASK } from '../../src/core/limits.ts'
import { LINKS, modern, type Rpc, TASKS } from '../mcp/modern.ts'
import { manifests, OWNER, type Served, serveMcp } from '../mcp/support.ts'
import { agent, entry } from '../support/manifest-set.ts'
import { keyOf } from '../support/mcp-clients.ts'
import { testDatabase } from '../support/test-store.ts'
import { openSession, readIdentity } from '../tools/people-and-agents.ts'
import { send } from './wire.ts'

const ASK = { tool: 'tickets', scopes: ['ticket:read'], reason: 'INC-1', details: { queue: ['incidents'] } }
/** Of the storm; more by hand. */
const ASKS = Number(process.env.HALLPASS_ASKS ?? 300)
const ENOUGH = { capacity: 1_000_000, refillPerSecond: 1_000_000, maxKeys: 100 }

let served: Served
let token: string
let other: string
beforeEach(async () => {
  served = await serveMcp({ ask: ENOUGH, call: ENOUGH })
  // other-bot may ask for the same, of the same owner: nothing but whose it is tells its requests apart.
  const access = [entry('tickets', ['ticket:read'], { details: { queue: ['incidents'] } })]
  await served.inForce(...manifests().filter(({ name }) => name !== 'other-bot'), agent('other-bot', { access }))
  token = await session('triage-bot')
  other = await session('other-bot')
})
afterEach(() => served.close())

const session = async (name: string) => (await served.session(name)).token
const ask = (as: string, capabilities: object, given: object = ASK, more: object = {}) =>
  modern(served, as, 'tools/call', { name: 'request_access', arguments: given, ...more }, capabilities)
const task = (as: string, method: string, taskId: string) =>
  modern(served, as, `tasks/${method}`, { taskId, inputResponses: {} }, TASKS, `=?base64?${btoa(taskId)}?=`)
const accepted = { owner: { action: 'accept' } }
const comeBack = (as: string, requestState: string, given: object = ASK) =>
  ask(as, LINKS, given, { requestState, inputResponses: accepted })
const stateOf = async (id: string) => (await served.deps.store.read([`request/${id}`])).get('request', id)?.state
const shownTimes = async () => (await served.trail()).filter(({ kind }) => kind === 'request.shown').length
const by = (caller: Parameters<typeof revoke>[1]['caller']) => ({ caller, requestId: served.deps.ids.next('rid') })
const admin = () => by({ role: 'admin', id: 'root@example.com', bearer: 'brr_root' })

const newTask = async (as = token) => String((await ask(as, TASKS)).result?.taskId)
async function newState(as = token): Promise<string> {
  const { result } = await ask(as, LINKS)
  expect(result).toMatchObject({ resultType: 'input_required' })
  return String(result?.requestState)
}
const idIn = (state: string) => state.split('.')[0] ?? ''
const INVALID = { status: 200, error: { code: -32602, message: 'Invalid or expired requestState' } }

describe('tasks', () => {
  test("another agent's, a forged and an unknown one are one and the same answer, and change nothing (S7)", async () => {
    const id = await newTask()
    const forged = `${id.slice(0, -1)}${id.endsWith('0') ? '1' : '0'}`
    const grant = (await served.approve(await newTask(other))).grant.id
    const hostile = [
      forged,
      `req_${'0'.repeat(32)}`,
      `${id} `,
      id.toUpperCase(),
      grant,
      '',
      '__proto__',
      '\u0000',
      '../x',
    ]
    for (const method of ['get', 'update', 'cancel']) {
      const foreign = await task(other, method, id)
      expect(foreign).toMatchObject({ status: 200, error: { code: -32602 } })
      expect(JSON.stringify(foreign)).not.toContain(id)
      for (const taskId of hostile) expect([taskId, await task(other, method, taskId)]).toEqual([taskId, foreign])
    }
    expect(await stateOf(id)).toBe('pending')
    expect((await task(token, 'get', id)).result).toMatchObject({ status: 'working' })
  })

  test('ids that are not text, or too long for one, are refused before anything is read', async () => {
    for (const taskId of [null, 7, {}, ['x'], 'x'.repeat(129)])
      expect((await modern(served, token, 'tasks/get', { taskId }, TASKS, `${taskId}`)).error?.code).toBeLessThan(0)
  })

  test('with its session revoked nothing is told; another session of the agent learns its end (S11)', async () => {
    const mine = await served.session('triage-bot')
    const id = await newTask(mine.token)
    await revoke(served.deps, admin(), { kind: 'session', id: mine.session.id, reason: null })
    for (const method of ['get', 'update', 'cancel']) expect((await task(mine.token, method, id)).status).toBe(401)
    await expect.poll(async () => (await task(token, 'get', id)).result?.status).toBe('completed')
    await expect(served.approve(id)).rejects.toThrow()
  })

  test('after a lock, and after a decommission, they say nothing and are worth nothing (S12, P6)', async () => {
    const id = await newTask()
    const locking = { kind: 'agent', name: 'triage-bot', reason: 'odd', forSeconds: null, revokeGrants: false } as const
    const locked = await setLock(served.deps, admin(), locking)
    expect((await task(token, 'get', id)).status).toBe(401)
    await expect(served.approve(id)).rejects.toThrow()
    if (locked.ok) await liftLock(served.deps, admin(), { lock: locked.value.lock.id, reason: null })
    expect((await task(token, 'get', id)).status).toBe(401)
    token = await session('triage-bot')
    const known = await task(token, 'get', id)
    expect(known.result?.status).toMatch(/^(working|completed)$/)
    await decommissionAgent(served.deps, admin(), { agent: 'triage-bot', reason: null })
    for (const method of ['get', 'cancel']) expect((await task(token, method, id)).status).toBe(401)
    await expect(served.approve(id)).rejects.toThrow()
    expect(await served.deps.store.list({ kind: 'grant', limit: 10 })).toMatchObject({ rows: [] })
  })

  test('a yes that was due under a wider manifest is judged by the one of now (P2, S8)', async () => {
    const id = await newTask()
    await served.inForce(
      ...manifests().filter(({ name }) => name !== 'triage-bot'),
      agent('triage-bot', { access: [entry('tickets', ['ticket:comment'], { details: { queue: ['incidents'] } })] }),
    )
    await expect(served.approve(id)).rejects.toThrow()
    expect((await task(token, 'get', id)).result?.status).toBe('working')
  })
})

describe('states', () => {
  test("another agent's, with the same words and the same input, is worth nothing (S7, S18)", async () => {
    const stolen = await newState()
    await newState(other)
    expect(await comeBack(other, stolen)).toMatchObject(INVALID)
    expect(await shownTimes()).toBe(0)
    expect((await comeBack(token, stolen)).result).toMatchObject({ structuredContent: { status: 'pending' } })
  })

  test('every forgery is one and the same refusal, and on the trail (P8)', async () => {
    const state = await newState()
    const secret = state.slice(37)
    const flip = (i: number) => `${state.slice(0, i)}${state[i] === 'A' ? 'B' : 'A'}${state.slice(i + 1)}`
    const forged = [
      ...[37, 50, 78].map(flip),
      idIn(state),
      `${idIn(state)}.`,
      `${idIn(await newState(other))}.${secret}`,
      `req_${'0'.repeat(32)}.${secret}`,
      `${state}A`,
      `${state}.${state}`,
      '',
      'x'.repeat(100_000),
      '\u0000',
    ]
    const answers = new Set<string>()
    for (const requestState of forged) answers.add(JSON.stringify(await comeBack(token, requestState)))
    expect([...answers]).toHaveLength(1)
    expect(JSON.parse([...answers][0] ?? '')).toMatchObject(INVALID)
    expect(await shownTimes()).toBe(0)
    const refusals = (await served.trail()).filter(({ kind }) => kind === 'refusal')
    expect(JSON.stringify(refusals)).toContain('requestState')
    expect(JSON.stringify(await served.trail())).not.toContain(secret)
  })

  test('used again it is refused, and of twenty at once one is taken (S18)', async () => {
    const state = await newState()
    const answers = await Promise.all(Array.from({ length: 20 }, () => comeBack(token, state)))
    expect(answers.filter(({ result }) => result !== undefined)).toHaveLength(1)
    for (const answer of answers.filter(({ error }) => error !== undefined)) expect(answer).toMatchObject(INVALID)
    expect(await comeBack(token, state)).toMatchObject(INVALID)
    expect(await shownTimes()).toBe(1)
  })

  test('with another input than it was made for it is refused, and is still good for its own', async () => {
    const state = await newState()
    const others = [
      { ...ASK, scopes: ['ticket:comment'] },
      { ...ASK, reason: 'INC-2' },
      { ...ASK, durationSeconds: 60 },
      { tool: 'metrics', scopes: ['metrics:read'], reason: 'INC-1' },
    ]
    for (const given of others) expect(await comeBack(token, state, given)).toMatchObject(INVALID)
    expect(await served.deps.store.list({ kind: 'request', limit: 10 })).toMatchObject({ rows: [{ id: idIn(state) }] })
    expect((await comeBack(token, state)).result).toMatchObject({ structuredContent: { status: 'pending' } })
  })

  test('a stale one is refused; single use outlives it (S18)', async () => {
    const state = await newState()
    served.clock.advance(3600 + TASK.keptSeconds)
    token = await session('triage-bot')
    expect(await comeBack(token, state)).toMatchObject(INVALID)
  })

  test('after a lock it opens nothing, and after a decommission nobody is there to use it (S12, P6)', async () => {
    const state = await newState()
    const locking = { kind: 'tool', name: 'tickets', reason: 'odd', forSeconds: null, revokeGrants: false } as const
    await setLock(served.deps, admin(), locking)
    expect((await comeBack(token, state)).result).toMatchObject({ structuredContent: { status: 'pending' } })
    await expect(served.approve(idIn(state))).rejects.toThrow()
    await decommissionAgent(served.deps, admin(), { agent: 'triage-bot', reason: null })
    expect((await comeBack(token, state)).status).toBe(401)
  })

  test('on another tool it means nothing', async () => {
    const more = { requestState: await newState(), inputResponses: accepted }
    const listed = await modern(served, token, 'tools/call', { name: 'list_access', arguments: {}, ...more }, LINKS)
    expect(listed.result).toMatchObject({ structuredContent: { grants: [], requests: [{ status: 'pending' }] } })
    expect(await shownTimes()).toBe(0)
  })
})

describe('far too many', () => {
  test('no more wait than an agent may have, however many it asks for at once (S17)', async () => {
    const waits = { taken: 0, refused: 0 }
    const one = async (i: number) => {
      const { result } = await ask(token, TASKS, { ...ASK, durationSeconds: 60 + i })
      if (result?.resultType === 'task') waits.taken++
      else if (JSON.stringify(result).includes('rate_limited')) waits.refused++
    }
    for (let i = 0; i < ASKS; i += 100)
      await Promise.all(Array.from({ length: Math.min(100, ASKS - i) }, (_, k) => one(i + k)))
    expect(waits).toEqual({ taken: OPEN.pendingRequestsPerAgent, refused: ASKS - OPEN.pendingRequestsPerAgent })
    const { rows } = await served.deps.store.list({ kind: 'request', where: { agent: 'triage-bot' }, limit: 500 })
    expect(rows).toHaveLength(OPEN.pendingRequestsPerAgent)
    expect((await ask(other, TASKS)).result).toMatchObject({ resultType: 'task' })
  }, 600_000)

  test('twenty of the same at once are one request, one task and one link', async () => {
    const tasks = await Promise.all(Array.from({ length: 20 }, () => newTask()))
    expect(new Set(tasks).size).toBe(1)
    const links = await Promise.all(Array.from({ length: 20 }, () => ask(other, LINKS)))
    expect(links.filter(({ result }: Rpc) => result?.resultType === 'input_required')).toHaveLength(1)
    const { rows } = await served.deps.store.list({ kind: 'request', limit: 100 })
    expect(rows).toHaveLength(2)
  })
})

describe('a yes from the wrong side', () => {
  test('whoever sits at the client says yes in every way there is: nothing is approved (P4)', async () => {
    const state = await newState()
    const answers = [
      { owner: { action: 'accept', content: { approve: true, approved: true, approvedBy: OWNER } } },
      { owner: { action: 'approve' } },
      { approve: { action: 'accept' } },
      { owner: 'accept' },
      { owner: { role: 'assistant', content: { type: 'text', text: 'approved' }, model: 'x' } },
      { __proto__: { action: 'accept' } },
    ]
    for (const inputResponses of answers) {
      const fresh = await ask(token, LINKS, ASK, { requestState: state, inputResponses })
      expect(JSON.stringify(fresh)).not.toContain('granted')
    }
    expect(await stateOf(idIn(state))).toBe('pending')
    expect(await served.deps.store.list({ kind: 'grant', limit: 10 })).toMatchObject({ rows: [] })
  })

  test("the page behind the link signs nobody in: not the agent's token, not a link that was passed on (S20)", async () => {
    const broker = await startSampleBroker(await testDatabase())
    try {
      const identity = await readIdentity('triage-bot', keyOf(broker, 'triage-bot'))
      const mine = await openSession(broker.url, identity)
      const at = { url: `${broker.url}/mcp` }
      const given = { name: 'request_access', arguments: { ...ASK, scopes: ['ticket:comment'] } }
      const { result } = await modern(at, mine, 'tools/call', given, LINKS)
      const url = /"url":"([^"]+)"/.exec(JSON.stringify(result))?.[1] ?? ''
      const link = new URL(url)
      expect(`${link.username}${link.password}${link.search}${link.hash}`).toBe('')
      const id = link.pathname.split('/').at(-1)
      const origin = ['Origin', broker.url, 'Content-Type', 'application/json']
      const bearer = (value: string) => ['Authorization', `Bearer ${value}`]
      const elsewhere = await broker.ownerToken('stranger@example.com').catch(() => '')
      const said = JSON.stringify({
        csrf: 'x'.repeat(43),
        hash: '0'.repeat(64),
        scopes: ['ticket:comment'],
        durationSeconds: 60,
      })

      // What anybody gets is the empty page, without anything of the request.
      const page = await send(url)
      expect(page.status).toBe(200)
      expect(page.text).not.toContain('ticket:comment')
      expect(page.headers['set-cookie']).toBeUndefined()
      for (const who of [[], bearer(mine), bearer(`${result?.requestState}`), bearer(elsewhere)]) {
        const looked = await send(`${broker.url}/console/requests/${id}`, { headers: who })
        expect([401, 403]).toContain(looked.status)
        for (const path of [`/console/requests/${id}/approve`, `/v1/requests/${id}/approve`]) {
          const tried = await send(`${broker.url}${path}`, { headers: [...origin, ...who], body: said })
          expect([path, [400, 401, 403].includes(tried.status)]).toEqual([path, true])
        }
      }
      const owner = await broker.ownerToken(SAMPLE_OWNERS.agents)
      const seen = await send(`${broker.url}/v1/requests/${id}`, { headers: bearer(owner) })
      expect(seen.json).toMatchObject({ id, status: 'pending' })
    } finally {
      await broker.close()
    }
  })
})
