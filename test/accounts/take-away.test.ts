// Accounts taken away: in what order, how often, by whom it is confirmed, and what is never said.

import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { applyManifests } from '../../src/actions/apply-manifests.ts'
import { decommissionAgent } from '../../src/actions/decommission-agent.ts'
import { liftLock, setLock } from '../../src/actions/lock.ts'
import { readLoad } from '../../src/actions/read-status.ts'
import { presentRevocation, revoke } from '../../src/actions/revoke.ts'
import { settleRevision } from '../../src/actions/settle-revision.ts'
import { createTakingAway } from '../../src/actions/take-accounts-away.ts'
import { TARGET } from '../../src/core/limits.ts'
import type { Fault } from '../support/fake-tool.ts'
import { as } from '../support/harness.ts'
import { accountTool, agent, entry, setOf } from '../support/manifest-set.ts'
import { unwrap } from '../support/store-on-disk.ts'
import { createStage, SET, type Stage } from './stage.ts'

/** Accounts that are taken away of one tool at a time. */
const AT_ONCE = TARGET.atOnce

let s: Stage
beforeEach(async () => {
  s = await createStage()
})
afterEach(() => s.close())

const take = async (kind: 'session' | 'grant' | 'credential', id: string) =>
  unwrap(await revoke(s.h.deps, as.admin, { kind, id, reason: null }))
const receipt = async (id: string) => {
  const row = await s.h.row('revocation', id)
  if (row === undefined) throw new Error('no receipt')
  return presentRevocation(row, s.h.deps.clock.now())
}
const account = async () => (await s.h.rows('account'))[0]!

describe('an account is taken away', () => {
  test.each(['session', 'grant', 'credential'] as const)(
    'with its %s, and its receipt says what was removed, read back and tried (P5, S15)',
    async (kind) => {
      const { credential, token } = unwrap(await s.mint())
      const ids = { session: s.session.id, grant: s.grant.id, credential: credential.id }
      const { id, state } = await take(kind, ids[kind])
      expect(state).toBe('open')
      expect((await receipt(id)).status).toBe('revoking')
      await s.rounds(2)
      expect(s.tool.works(token)).toBe(false)
      expect(s.tool.calls.slice(-3).map((call) => call.split(' ')[0])).toEqual(['remove', 'look', 'probe'])
      expect(await receipt(id)).toMatchObject({
        status: 'revoked',
        confirmations: [
          {
            tool: 'desk',
            verifiedBy: 'target',
            credentials: 1,
            how: 'the account was removed, read back and probed dead',
            accounts: [{ status: 'gone', removedAfterMilliseconds: 1000, probedDeadAfterMilliseconds: 1000 }],
          },
        ],
      })
      expect(await account()).toMatchObject({ state: 'gone', sealed: null })
    },
  )

  test('with a session whose credential had ended, for whoever had it still knows the secret (S11)', async () => {
    unwrap(await s.mint())
    const later = await s.h.session('bot')
    s.h.disk.clock.advance(299)
    const { token } = unwrap(await s.mint(later))
    s.h.disk.clock.advance(250)
    // Asked for in another session, so that the grant outlives the one that is taken.
    const grant = await s.h.grant(later, 'board', ['read'])
    unwrap(await s.mint(s.session, grant))
    s.h.disk.clock.advance(200)
    unwrap(await s.mint(later, grant))
    const { id } = await take('session', s.session.id)
    await s.rounds(3)
    expect(s.other.active()).toEqual([])
    expect(s.tool.works(token)).toBe(false)
    expect((await receipt(id)).status).toBe('revoked')
  })

  test('by a lock, that suspends the grant; lifted, the grant makes another of the next generation (S12)', async () => {
    const first = unwrap(await s.mint())
    const { lock } = unwrap(
      await setLock(s.h.deps, as.admin, {
        kind: 'agent',
        name: 'bot',
        reason: 'x',
        forSeconds: null,
        revokeGrants: false,
      }),
    )
    await s.rounds(2)
    expect(s.tool.active()).toEqual([])
    unwrap(await liftLock(s.h.deps, as.admin, { lock: lock.id, reason: null }))
    s.session = await s.h.session('bot')
    const second = unwrap(await s.mint())
    expect(second.token).not.toBe(first.token)
    expect((await s.h.rows('account')).map(({ generation, state }) => [generation, state])).toEqual([
      [1, 'gone'],
      [2, 'present'],
    ])
  })

  test('by a narrowing, and no other grant’s is touched (P3)', async () => {
    const read = unwrap(await s.mint())
    const other = unwrap(await s.mint(s.session, await s.h.grant(s.session, 'desk', ['comment'])))
    const set = setOf(
      ...SET.tools.values(),
      agent('bot', {
        access: [entry('desk', ['comment'], { approval: 'none' }), entry('board', ['read'], { approval: 'none' })],
      }),
    )
    unwrap(await applyManifests(s.h.deps, as.watcher, { set, base: null }))
    await s.rounds(2)
    expect([s.tool.works(read.token), s.tool.works(other.token)]).toEqual([false, true])
  })

  test('when its last credential ended, in no receipt (S11)', async () => {
    const { token } = unwrap(await s.mint())
    s.h.disk.clock.advance(299)
    await s.rounds(1, 0)
    expect(s.tool.works(token)).toBe(true)
    await s.rounds(2)
    expect(s.tool.works(token)).toBe(false)
    expect((await account()).because).toBe('its last credential ended')
  })

  test('by a decommission, which is complete only when every tool showed it dead (P6)', async () => {
    unwrap(await s.mint())
    unwrap(await s.mint(s.session, await s.h.grant(s.session, 'board', ['read'])))
    s.other.fault = () => 'down'
    const done = unwrap(await decommissionAgent(s.h.deps, as.admin, { agent: 'bot', reason: null }))
    await s.rounds(20, 2)
    expect(s.tool.active()).toEqual([])
    expect((await s.h.row('agent', 'bot'))?.state).toBe('decommissioning')
    expect(await receipt(done.id)).toMatchObject({ status: 'outstanding' })
    s.other.fault = () => null
    await s.rounds(60, 5)
    expect(s.other.active()).toEqual([])
    expect((await s.h.row('agent', 'bot'))?.state).toBe('decommissioned')
  })

  test('an act waits for an account that an earlier one could not take away yet (S15)', async () => {
    unwrap(await s.mint())
    s.tool.fault = () => 'down'
    await take('grant', s.grant.id)
    await s.rounds(2)
    const done = unwrap(await decommissionAgent(s.h.deps, as.admin, { agent: 'bot', reason: null }))
    expect((await receipt(done.id)).status).not.toBe('revoked')
    expect((await s.h.row('agent', 'bot'))?.state).toBe('decommissioning')
    s.tool.fault = () => null
    await s.rounds(60, 5)
    expect((await receipt(done.id)).status).toBe('revoked')
  })
})

describe('where the tool fails a removal', () => {
  test.each([
    ['remove', 'lie'],
    ['remove', 'down'],
    ['remove', 'error'],
    ['remove', 'hang'],
    ['remove', 'late'],
    ['look', 'error'],
    ['look', 'hang'],
    ['probe', 'down'],
  ] as const)(
    '%s says "%s": never revoked before it is dead, outstanding when late, dead in the end (P5)',
    async (op, fault: Fault) => {
      const { token } = unwrap(await s.mint())
      s.tool.fault = (asked) => (asked === op ? fault : null)
      const { id } = await take('grant', s.grant.id)
      for (let n = 0; n < 12; n++) {
        await s.rounds(1, 3)
        expect((await receipt(id)).status).not.toBe('revoked')
      }
      expect((await receipt(id)).status).toBe('outstanding')
      expect((await receipt(id)).confirmations[0]?.accounts?.[0]?.lastFailure).toContain(
        op === 'remove' && fault === 'lie' ? 'look' : op,
      )
      expect((await s.h.trail()).some(({ kind }) => kind === 'revocation.outstanding')).toBe(true)
      s.tool.fault = () => null
      await s.rounds(60, 5)
      expect(s.tool.works(token)).toBe(false)
      expect((await receipt(id)).status).toBe('revoked')
    },
  )

  test('remove and look both lie: the secret is tried, still works, and it is not called dead (S15)', async () => {
    const { token } = unwrap(await s.mint())
    s.tool.fault = (op) => (op === 'remove' || op === 'look' ? 'lie' : null)
    const { id } = await take('grant', s.grant.id)
    await s.rounds(12, 3)
    expect(s.tool.works(token)).toBe(true)
    expect((await receipt(id)).status).toBe('outstanding')
    expect(await readLoad(s.h.deps)).toMatchObject({ accountsOutstanding: 1, outstandingRevocations: 1 })
    const failures = (await s.h.trail()).filter(({ kind }) => kind === 'account.failed')
    expect(failures[0]?.body).toMatchObject({ doing: 'probe', attempts: 1 })
    expect(failures.length).toBeLessThan(6)
  })

  test('what is listed as leaving before this process has heard of it stops nothing else (P10)', async () => {
    unwrap(await s.mint())
    const { id } = await take('grant', s.grant.id)
    const { store, targets } = s.h.deps
    const read = store.read.bind(store)
    let behind = 0
    let heard = false
    const late: typeof read = async (keys) => {
      const snapshot = await read(keys)
      if (heard || !keys.some((key) => key.startsWith('account/'))) return snapshot
      // As a commit is, that the writer has made durable and whose message waits for its turn.
      if (behind === 0)
        setImmediate(() => {
          heard = true
        })
      if (++behind > 1000) throw new Error('it went on and on')
      return { ...snapshot, get: () => undefined }
    }
    const takingAway = createTakingAway({ ...s.h.deps, store: { ...store, read: late, list: store.list.bind(store) } })
    targets.wake = () => void takingAway.start()
    await takingAway.start()
    await expect.poll(() => heard).toBe(true)
    expect(behind).toBe(1)
    await s.rounds(3)
    expect((await receipt(id)).status).toBe('revoked')
    await takingAway.stop()
  })

  test('a tool that asks for a pause is given it (Retry-After)', async () => {
    unwrap(await s.mint())
    s.tool.fault = (op) => (op === 'remove' ? 'busy' : null)
    const { id } = await take('grant', s.grant.id)
    s.tool.calls.length = 0
    await s.rounds(6, 1)
    expect(s.tool.calls.filter((call) => call.startsWith('remove')).length).toBe(1)
    expect((await receipt(id)).confirmations[0]?.accounts?.[0]).toMatchObject({ lastFailure: 'remove: 429' })
    const failures = (await s.h.trail()).filter(({ kind }) => kind === 'account.failed')
    expect(failures.map(({ body }) => body)).toMatchObject([{ doing: 'remove', why: 'busy', attempts: 1 }])
  })

  test('one that nobody has removed yet goes before those that are removed once more (fair, P5)', async () => {
    const taking = createTakingAway(s.h.deps)
    s.tool.fault = (op) => (op === 'create' ? 'late' : null)
    for (let left = AT_ONCE + 2; left > 0; left--) {
      const { id } = await s.h.grant(s.session, 'desk', ['read'])
      await s.mint(s.session, { ...s.grant, id })
      await take('grant', id)
      await taking.round()
    }
    s.tool.fault = () => null
    const { id } = await s.h.grant(s.session, 'desk', ['read'])
    unwrap(await s.mint(s.session, { ...s.grant, id }))
    const [alive = ''] = s.tool.active()
    await take('grant', id)
    s.h.disk.clock.advance(2)
    s.tool.calls.length = 0
    s.tool.fault = (op) => (op === 'remove' ? 'hang' : null)
    await taking.start()
    await expect.poll(() => s.tool.calls.length).toBe(AT_ONCE)
    expect(s.tool.calls).toContain(`remove ${alive}`)
    await taking.stop()
  })

  test('a tool that hangs holds up no other (fair)', async () => {
    unwrap(await s.mint())
    const grant = await s.h.grant(s.session, 'board', ['read'])
    unwrap(await s.mint(s.session, grant))
    s.tool.fault = () => 'hang'
    await take('grant', s.grant.id)
    const { id } = await take('grant', grant.id)
    await s.rounds(1)
    expect(s.other.active()).toEqual([])
    await s.rounds(1)
    expect((await receipt(id)).status).toBe('revoked')
  })

  test('a tool that fails again and again is left alone for a while, and tried again (breaker)', async () => {
    unwrap(await s.mint())
    s.tool.fault = (op) => (op === 'remove' ? 'error' : null)
    await take('grant', s.grant.id)
    s.tool.calls.length = 0
    for (let n = 0; n < 400 && s.h.deps.toolCalls.health('desk').state !== 'open'; n++) await s.rounds(1, 0.5)
    expect(s.h.deps.toolCalls.health('desk')).toMatchObject({ state: 'open', failuresInARow: 5 })
    expect(await s.mint()).toMatchObject({ ok: false })
    s.tool.fault = () => null
    await s.rounds(30, 5)
    expect(s.h.deps.toolCalls.health('desk').state).toBe('closed')
    expect(s.tool.active()).toEqual([])
  })
})

describe('a tool that can take nothing away', () => {
  test('gets short lives, and its accounts are gone only once they surely expired (S15)', async () => {
    await s.close()
    s = await createStage({ revokes: false, expires: true, probes: false })
    const { credential } = unwrap(await s.mint())
    expect(credential.expiresAt - credential.issuedAt).toBeLessThanOrEqual(300_000)
    const { id } = await take('grant', s.grant.id)
    await s.rounds(5, 20)
    expect(s.tool.calls.some((call) => call.startsWith('remove'))).toBe(false)
    expect((await receipt(id)).status).toBe('outstanding')
    await s.rounds(30, 20)
    expect((await receipt(id)).status).toBe('revoked')
  })
})

describe('where a tool moves', () => {
  test('its accounts are taken away where they were made, and not looked for elsewhere (S5, S15)', async () => {
    const { token } = unwrap(await s.mint())
    const moved = accountTool('desk', { url: 'https://board.example.com' })
    const set = setOf(...SET.agents.values(), moved, SET.tools.get('board')!)
    const { revision } = unwrap(await applyManifests(s.h.deps, as.watcher, { set, base: null }))
    expect(s.tool.works(token)).toBe(true)
    unwrap(await settleRevision(s.h.deps, as.admin, { id: revision.id, decision: 'accept', reason: null }))
    await s.rounds(2)
    expect(s.tool.works(token)).toBe(false)
    expect(s.other.calls.some((call) => call.startsWith('remove'))).toBe(false)
  })
})
