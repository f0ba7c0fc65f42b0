import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { decommissionAgent } from '../../src/actions/decommission-agent.ts'
import { liftLock, setLock } from '../../src/actions/lock.ts'
import type { Deps } from '../../src/actions/ports.ts'
import { reconcileTargets } from '../../src/actions/reconcile-targets.ts'
import { requestAccess } from '../../src/actions/request-access.ts'
import { presentRevocation, revoke } from '../../src/actions/revoke.ts'
import { approveRequest } from '../../src/actions/settle-request.ts'
import type { VerifiedBy } from '../../src/core/manifest.ts'
import type { Grant, LockKind, Session } from '../../src/core/model.ts'
import { as, createHarness, type Harness } from '../support/harness.ts'
import { agent, entry, setOf, tool } from '../support/manifest-set.ts'
import { unwrap } from '../support/store-on-disk.ts'

let h: Harness
beforeEach(async () => {
  h = await createHarness()
})
afterEach(() => h.close())

const verified = (verifiedBy: VerifiedBy) =>
  tool(verifiedBy, { token: { alg: 'ES256', maxTtlSeconds: 600, verifiedBy, leewaySeconds: 60 } })
const tools = (['asks', 'guard', 'alone'] as const).map(verified)
const bot = agent('bot', { access: tools.map(({ name }) => entry(name, ['read', 'comment'], { approval: 'none' })) })

async function holding(names: readonly string[] = ['asks']) {
  const session = await h.session('bot')
  const held: { grant: Grant; jti: string }[] = []
  for (const name of names) {
    const grant = await h.grant(session, name, ['read'])
    held.push({ grant, jti: unwrap(await h.credential(session, grant)).credential.id })
  }
  return { session, held }
}
const mints = async (session: Session, grant: Grant) => (await h.credential(session, grant)).ok
const lock = (kind: LockKind, name: string, revokeGrants = false) =>
  setLock(h.deps, as.admin, { kind, name, reason: 'incident', forSeconds: null, revokeGrants })

describe('a session revoked', () => {
  test('takes its grants and credentials, in every row and by judgement (S11)', async () => {
    await h.start(setOf(...tools, bot))
    const { session, held } = await holding(['asks'])
    const receipt = unwrap(await revoke(h.deps, as.admin, { kind: 'session', id: session.id, reason: 'found' }))
    expect(receipt).toMatchObject({ state: 'complete', counts: { sessions: 1, grants: 1, credentials: 1 } })
    expect((await h.row('credential', held[0]!.jti))?.revocation).toBe(receipt.id)
    const again = await h.session('bot')
    expect(await mints(session, held[0]!.grant)).toBe(false)
    expect(await mints(again, held[0]!.grant)).toBe(false)
  })

  test('takes the grants also where a lock had ended the session before, and once (S11, S12)', async () => {
    await h.start(setOf(...tools, bot))
    const { session, held } = await holding()
    const { lock: set } = unwrap(await lock('agent', 'bot'))
    unwrap(await liftLock(h.deps, as.admin, { lock: set.id, reason: null }))
    expect(await mints(await h.session('bot'), held[0]!.grant)).toBe(true)
    const take = () => revoke(h.deps, as.admin, { kind: 'session', id: session.id, reason: null })
    expect(unwrap(await take()).counts).toMatchObject({ sessions: 0, grants: 1, credentials: 1 })
    expect(await mints(await h.session('bot'), held[0]!.grant)).toBe(false)
    expect(unwrap(await take()).act).toBe('locked')
  })

  test('leaves what other sessions asked for alone, and a second call answers the same receipt (S11)', async () => {
    await h.start(setOf(...tools, bot))
    const mine = await holding()
    const other = await h.session('bot')
    const first = unwrap(await revoke(h.deps, as.admin, { kind: 'session', id: other.id, reason: null }))
    expect(await mints(mine.session, mine.held[0]!.grant)).toBe(true)
    expect(unwrap(await revoke(h.deps, as.admin, { kind: 'session', id: other.id, reason: null })).id).toBe(first.id)
  })

  test('an owner of something else, an auditor and another agent may not (S7)', async () => {
    await h.start(setOf(...tools, bot))
    const { session } = await holding()
    for (const by of [
      as.owner('mallory@example.com'),
      as.auditor,
      as.publisher,
      { caller: { role: 'agent', agent: 'x', session: 's' }, requestId: 'r' } as const,
    ])
      expect(await revoke(h.deps, by, { kind: 'session', id: session.id, reason: null })).toMatchObject({
        ok: false,
        error: { code: 'forbidden' },
      })
    expect((await h.row('session', session.id))?.state).toBe('open')
  })
})

describe('"revoked" is said only when it is dead (P5, S15)', () => {
  const guardsSay = (all: boolean): Deps => ({
    ...h.deps,
    guards: { ...h.deps.guards, acknowledged: () => ({ all, guards: 2 }) },
  })

  test('a tool that asks is confirmed with the commit; a guard only once it acknowledged; a tool alone only past exp and leeway', async () => {
    await h.start(setOf(...tools, bot))
    const { session } = await holding(['asks', 'guard', 'alone'])
    const deps = guardsSay(false)
    const receipt = unwrap(await revoke(deps, as.admin, { kind: 'session', id: session.id, reason: null }))
    const now = () => h.disk.clock.now()
    const statuses = async () =>
      presentRevocation((await h.row('revocation', receipt.id))!, now()).confirmations.map(
        ({ tool, status }) => `${tool} ${status}`,
      )
    expect(await statuses()).toEqual(['alone revoking', 'asks revoked', 'guard revoking'])
    await reconcileTargets(guardsSay(true), new Set())
    expect(await statuses()).toEqual(['alone revoking', 'asks revoked', 'guard revoked'])
    h.disk.clock.advance(300 + 60)
    await reconcileTargets(guardsSay(true), new Set())
    expect(await statuses()).toEqual(['alone revoked', 'asks revoked', 'guard revoked'])
    expect((await h.row('revocation', receipt.id))?.state).toBe('complete')
  })

  test('one that is late is outstanding, loud on the trail once, and still tried', async () => {
    await h.start(setOf(...tools, bot))
    const { session } = await holding(['guard'])
    const deps = guardsSay(false)
    const receipt = unwrap(await revoke(deps, as.admin, { kind: 'session', id: session.id, reason: null }))
    h.disk.clock.advance(16)
    const shouted = new Set<string>()
    await reconcileTargets(deps, shouted)
    await reconcileTargets(deps, shouted)
    expect(presentRevocation((await h.row('revocation', receipt.id))!, h.disk.clock.now()).status).toBe('outstanding')
    expect((await h.trail()).filter(({ kind }) => kind === 'revocation.outstanding')).toHaveLength(1)
    await reconcileTargets(guardsSay(true), shouted)
    expect((await h.row('revocation', receipt.id))?.state).toBe('complete')
  })
})

describe('a lock', () => {
  const cases: [LockKind, string, string][] = [
    ['agent', 'bot', 'agent_locked'],
    ['tool', 'asks', 'tool_locked'],
    ['everything', '', 'agent_locked'],
  ]
  test.each(cases)(
    'on %s refuses everything for it while it stands, and lifting it revives no credential (S12)',
    async (kind, name, code) => {
      await h.start(setOf(...tools, bot))
      const { session, held } = await holding()
      const { grant, jti } = held[0]!
      const set = unwrap(await lock(kind, name))
      expect(set.revocation).toMatchObject({ act: 'locked', state: 'complete', counts: { credentials: 1 } })
      const since = new Date(h.disk.clock.now()).toISOString()
      const said = `${kind === 'everything' ? 'Everything is locked, for every agent and tool' : `${name} is locked`}: by an admin, since ${since}, until it is lifted.`
      expect(await h.credential(session, grant)).toMatchObject({ ok: false, error: { code, message: said } })
      expect((await h.row('grant', grant.id))?.state).toBe('active')
      unwrap(await liftLock(h.deps, as.admin, { lock: set.lock.id, reason: null }))
      expect((await h.row('credential', jti))?.state).toBe('revoked')
      const kept = kind === 'tool' ? session : await h.session('bot')
      expect(await mints(kept, grant)).toBe(true)
      expect((await h.row('session', session.id))?.state).toBe(kind === 'tool' ? 'open' : 'revoked')
    },
  )

  test('is set with the clock an hour back, and no expiry is confirmed by the higher time it is recorded at (S15, S17)', async () => {
    await h.start(setOf(...tools, bot))
    const { session, held } = await holding(['alone'])
    h.disk.clock.advance(3600)
    unwrap(await lock('tool', 'asks'))
    h.disk.clock.advance(-3600)
    expect(await h.credential(session, held[0]!.grant)).toMatchObject({ ok: false, error: { code: 'stale_view' } })
    const set = unwrap(await lock('agent', 'bot'))
    expect(presentRevocation(set.revocation, h.disk.clock.now()).status).toBe('revoking')
    h.disk.clock.advance(3600 + 300 + 60 + 1)
    await reconcileTargets(h.deps, new Set())
    expect(await reconcileTargets(h.deps, new Set())).toBe(0)
  })

  test('with --revoke-grants takes the grants too, for good (S12)', async () => {
    await h.start(setOf(...tools, bot))
    const { held } = await holding()
    const set = unwrap(await lock('agent', 'bot', true))
    unwrap(await liftLock(h.deps, as.admin, { lock: set.lock.id, reason: null }))
    expect((await h.row('grant', held[0]!.grant.id))?.state).toBe('revoked')
    expect(await mints(await h.session('bot'), held[0]!.grant)).toBe(false)
  })

  test('lapses by itself after its time, and kills nothing that was made since (S12)', async () => {
    await h.start(setOf(...tools, bot))
    unwrap(
      await setLock(h.deps, as.admin, { kind: 'agent', name: 'bot', reason: 'x', forSeconds: 60, revokeGrants: false }),
    )
    await expect(h.session('bot')).rejects.toThrow('agent_locked')
    h.disk.clock.advance(61)
    expect(await holding()).toBeTruthy()
  })

  test('that takes the grants of an approver takes them for good, and no later one (S12)', async () => {
    const asking = agent('bot', { access: [entry('asks', ['read', 'comment'])] })
    await h.start(setOf(...tools, asking))
    const session = await h.session('bot')
    const caller = { role: 'agent', agent: 'bot', session: session.id } as const
    const approved = async (scope: string) => {
      const asked = { tool: 'asks', scopes: [scope], reason: 'INC-1', durationSeconds: null, details: {} }
      const outcome = unwrap(await requestAccess(h.deps, caller, asked, 'req_ask'))
      if (outcome.status !== 'pending') throw new Error(outcome.status)
      const all = { request: outcome.request.id, hash: null, scopes: null, durationSeconds: null }
      return unwrap(await approveRequest(h.deps, as.owner('alice@example.com'), all)).grant
    }
    const before = await approved('read')
    expect(await mints(session, before)).toBe(true)
    const set = unwrap(await lock('owner', 'alice@example.com', true))
    expect(set.revocation).toMatchObject({ state: 'complete', counts: { grants: 1, credentials: 1 } })
    unwrap(await liftLock(h.deps, as.admin, { lock: set.lock.id, reason: null }))
    expect(await mints(session, before)).toBe(false)
    expect(await h.row('grant', before.id)).toMatchObject({ state: 'revoked', revocation: set.revocation.id })
    expect(await mints(session, await approved('comment'))).toBe(true)
  })

  test("an owner lifts their own lock and never an admin's (S7)", async () => {
    await h.start(setOf(...tools, bot))
    const alice = as.owner('alice@example.com')
    const own = unwrap(
      await setLock(h.deps, alice, { kind: 'agent', name: 'bot', reason: 'x', forSeconds: null, revokeGrants: false }),
    )
    const admins = unwrap(await lock('agent', 'bot'))
    expect(await liftLock(h.deps, alice, { lock: admins.lock.id, reason: null })).toMatchObject({
      ok: false,
      error: { code: 'forbidden' },
    })
    expect(await liftLock(h.deps, alice, { lock: own.lock.id, reason: null })).toMatchObject({ ok: true })
    expect(
      await setLock(h.deps, as.owner('mallory@example.com'), {
        kind: 'agent',
        name: 'bot',
        reason: 'x',
        forSeconds: null,
        revokeGrants: false,
      }),
    ).toMatchObject({ ok: false })
  })
})

describe('a decommission', () => {
  test('refuses from its first commit on, takes everything, and ends in a complete receipt (P6)', async () => {
    await h.start(setOf(...tools, bot))
    const { session, held } = await holding(['asks'])
    const receipt = unwrap(await decommissionAgent(h.deps, as.admin, { agent: 'bot', reason: 'retired' }))
    expect(receipt).toMatchObject({ state: 'complete', counts: { sessions: 1, grants: 1, credentials: 1 } })
    expect(await h.row('agent', 'bot')).toMatchObject({ state: 'decommissioned', decommission: receipt.id })
    expect(await h.credential(session, held[0]!.grant)).toMatchObject({
      ok: false,
      error: { code: 'agent_decommissioned' },
    })
    await expect(h.session('bot')).rejects.toThrow('agent_decommissioned')
    expect(unwrap(await decommissionAgent(h.deps, as.admin, { agent: 'bot', reason: null })).id).toBe(receipt.id)
  })

  test.each([1, 2, 3])('that was interrupted after commit %i is finished by the reconciler (P6, P9)', async (last) => {
    await h.start(setOf(...tools, bot))
    const { held } = await holding(['asks'])
    const store = h.deps.store
    let commits = 0
    const failing = {
      ...store,
      commit: (member: Parameters<typeof store.commit>[0]) =>
        commits++ < last ? store.commit(member) : Promise.reject(new Error('killed')),
    } as typeof store
    for (const name of ['read', 'list', 'tree', 'fresh', 'highestTime'] as const)
      Object.assign(failing, { [name]: store[name].bind(store) })
    await decommissionAgent({ ...h.deps, store: failing }, as.admin, { agent: 'bot', reason: null }).catch(
      (thrown: unknown) => expect(String(thrown)).toContain('killed'),
    )
    if (last === 1) {
      expect(await h.row('agent', 'bot')).toMatchObject({ state: 'decommissioning' })
      expect((await h.row('credential', held[0]!.jti))?.state).toBe('issued')
    }
    expect(await reconcileTargets(h.deps, new Set())).toBe(0)
    expect(await h.row('agent', 'bot')).toMatchObject({ state: 'decommissioned' })
    expect((await h.row('credential', held[0]!.jti))?.state).toBe('revoked')
  })
})

describe('races lose to taking away (S16)', () => {
  test.each(['session', 'grant', 'lock', 'decommission'] as const)(
    'no mint survives a %s that it raced, in 40 rounds',
    async (how) => {
      await h.start(
        setOf(...tools, bot, ...Array.from({ length: 40 }, (_, i) => agent(`bot-${i}x`, { access: bot.access }))),
      )
      for (let round = 0; round < 40; round++) {
        const name = `bot-${round}x`
        const session = await h.session(name)
        const grant = await h.grant(session, 'asks', ['read'])
        const take = () => {
          if (how === 'session') return revoke(h.deps, as.admin, { kind: 'session', id: session.id, reason: null })
          if (how === 'grant') return revoke(h.deps, as.admin, { kind: 'grant', id: grant.id, reason: null })
          if (how === 'lock') return lock('agent', name)
          return decommissionAgent(h.deps, as.admin, { agent: name, reason: null })
        }
        const mintAll = Array.from({ length: 4 }, () => h.credential(session, grant))
        const [taken, ...minted] = await Promise.all([take(), ...mintAll, h.credential(session, grant)])
        expect(taken.ok).toBe(true)
        await reconcileTargets(h.deps, new Set())
        for (const one of minted)
          if (one.ok && 'credential' in one.value)
            expect((await h.row('credential', one.value.credential.id))?.state).toBe('revoked')
        expect((await h.credential(session, grant)).ok).toBe(false)
      }
    },
  )
})

test('a clock that was set back keeps nobody from taking away, and dates nothing before what it takes (S17, S18)', async () => {
  await h.start(setOf(...tools, bot))
  const { session, held } = await holding()
  const issuedAt = h.disk.clock.now()
  h.disk.clock.advance(-3600)
  unwrap(await lock('agent', 'bot'))
  expect((await h.row('agent', 'bot'))?.epochAt).toBe(issuedAt)
  h.disk.clock.advance(3600)
  expect(await mints(session, held[0]!.grant)).toBe(false)
})
