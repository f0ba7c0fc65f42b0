import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { applyManifests } from '../../src/actions/apply-manifests.ts'
import { explainAccess } from '../../src/actions/explain-access.ts'
import { readAsOf } from '../../src/actions/history.ts'
import { liftLock, setLock } from '../../src/actions/lock.ts'
import { requestAccess } from '../../src/actions/request-access.ts'
import { revoke } from '../../src/actions/revoke.ts'
import { approveRequest } from '../../src/actions/settle-request.ts'
import { committed, tool as oldTool } from '../contracts/store-fixtures.ts'
import { as, createHarness, type Harness } from '../support/harness.ts'
import { agent, entry, setOf, tool } from '../support/manifest-set.ts'
import { unwrap } from '../support/store-on-disk.ts'

let h: Harness
let start: number
const before = setOf(tool('tickets'), agent('bot', { access: [entry('tickets', ['comment', 'read'])] }))
const narrowed = setOf(tool('tickets'), agent('bot', { access: [entry('tickets', ['read'])] }))
beforeEach(async () => {
  h = await createHarness()
  start = h.disk.clock.now()
  h.disk.clock.advance(10)
  await h.start(before)
})
afterEach(() => h.close())

const now = () => h.disk.clock.now()
const later = (seconds: number) => {
  h.disk.clock.advance(seconds)
  return now()
}
const can = async (scope: string, at?: number) => {
  const input = { agent: 'bot', tool: 'tickets', scope, ...(at === undefined ? {} : { at }) }
  return unwrap(await explainAccess(h.deps, as.admin, input))
}

describe('what the answer was', () => {
  test('before the first manifests: nothing was accepted yet', async () => {
    expect(await can('read', start)).toMatchObject({ answer: 'no', code: 'not_initialized', revision: null })
    expect((await can('read', now())).answer).toBe('needs approval')
  })

  test('follows manifests: a scope that is gone was there, and one that came was not', async () => {
    const then = later(60)
    const edited = later(60)
    unwrap(await applyManifests(h.deps, as.watcher, { set: narrowed, base: null }))
    later(60)
    expect(await can('comment')).toMatchObject({ answer: 'no', code: 'scope_not_in_manifest' })
    expect(await can('comment', then)).toMatchObject({ answer: 'needs approval', revision: before.digest })
    expect(await can('comment', edited - 1)).toMatchObject({ answer: 'needs approval' })
    expect(await can('comment', edited)).toMatchObject({ answer: 'no', revision: narrowed.digest })
    expect(await can('read', then)).toMatchObject({ answer: 'needs approval' })
  })

  test('follows locks, from when they were set to when they were lifted', async () => {
    const set = later(60)
    const lock = { kind: 'agent', name: 'bot', reason: 'incident', forSeconds: null, revokeGrants: false } as const
    const { lock: standing } = unwrap(await setLock(h.deps, as.admin, lock))
    const lifted = later(60)
    unwrap(await liftLock(h.deps, as.admin, { lock: standing.id, reason: null }))
    later(60)
    const answers = await Promise.all([set - 1, set, lifted - 1, lifted].map((at) => can('read', at)))
    expect(answers.map(({ code }) => code ?? 'none')).toEqual(['none', 'agent_locked', 'agent_locked', 'none'])
  })

  test('follows grants: given, alive, revoked, expired; a locked approver suspends', async () => {
    const session = await h.session('bot')
    const caller = { role: 'agent', agent: 'bot', session: session.id } as const
    const asked = { tool: 'tickets', scopes: ['read'], reason: 'INC-1', durationSeconds: 3600, details: {} }
    const pending = unwrap(await requestAccess(h.deps, caller, asked, 'req_1'))
    if (pending.status !== 'pending') throw new Error('no owner was asked')
    const given = later(60)
    const less = { request: pending.request.id, hash: null, scopes: null, durationSeconds: null }
    unwrap(await approveRequest(h.deps, as.owner('alice@example.com'), less))
    const [grant] = await h.rows('grant')
    const locked = later(60)
    const person = {
      kind: 'owner',
      name: 'alice@example.com',
      reason: 'odd',
      forSeconds: 30,
      revokeGrants: false,
    } as const
    unwrap(await setLock(h.deps, as.admin, person))
    const taken = later(60)
    unwrap(await revoke(h.deps, as.admin, { kind: 'grant', id: grant!.id, reason: null }))
    later(7200)
    const answers = await Promise.all(
      [given - 1, given, locked - 1, locked, locked + 31_000, taken - 1, taken, now()].map((at) => can('read', at)),
    )
    const [ask, yes] = ['needs approval', 'yes']
    expect(answers.map(({ answer }) => answer)).toEqual([ask, yes, yes, ask, yes, yes, ask, ask])
    expect(answers[1]?.grants).toMatchObject([{ id: grant!.id, approvedBy: ['alice@example.com'] }])
  })

  test('is refused of a time to come, and to whom the present answer is', async () => {
    const input = { agent: 'bot', tool: 'tickets', scope: 'read' }
    expect(await explainAccess(h.deps, as.admin, { ...input, at: now() + 1 })).toMatchObject({ ok: false })
    expect(await explainAccess(h.deps, as.owner('mallory@example.com'), { ...input, at: now() })).toMatchObject({
      ok: false,
      error: { code: 'forbidden' },
    })
  })
})

describe('rows that are older than their versions', () => {
  test('are what they are while nothing was written since, and of no answer before what was (P10)', async () => {
    // As an earlier version wrote it: the row alone.
    await committed(h.disk.store, { at: now(), put: [oldTool('old')] })
    const then = now()
    later(60)
    expect(unwrap(await readAsOf(h.deps, then, ['tool/old'])).get('tool', 'old')).toMatchObject({ id: 'old' })
    const changed = later(60)
    const lock = { kind: 'tool', name: 'old', reason: 'x', forSeconds: null, revokeGrants: false } as const
    unwrap(await setLock(h.deps, as.admin, lock))
    expect(await readAsOf(h.deps, then, ['tool/old'])).toMatchObject({
      ok: false,
      error: { code: 'invalid_request', message: expect.stringContaining('was not kept') },
    })
    expect(unwrap(await readAsOf(h.deps, changed, ['tool/old'])).get('tool', 'old')?.locks).toHaveLength(1)
    expect(unwrap(await readAsOf(h.deps, then, ['tool/never'])).get('tool', 'never')).toBeUndefined()
  })
})
