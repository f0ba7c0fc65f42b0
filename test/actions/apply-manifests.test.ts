import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Applied, applyManifests } from '../../src/actions/apply-manifests.ts'
import { decommissionAgent } from '../../src/actions/decommission-agent.ts'
import { liftLock, setLock } from '../../src/actions/lock.ts'
import { planManifests } from '../../src/actions/plan-manifests.ts'
import { requestAccess } from '../../src/actions/request-access.ts'
import { settleRevision } from '../../src/actions/settle-revision.ts'
import { knownNames } from '../../src/actions/standing.ts'
import type { AgentManifest, Manifest } from '../../src/core/manifest.ts'
import { as, createHarness, type Harness } from '../support/harness.ts'
import { agent, entry, key, role, setOf, team, tool } from '../support/manifest-set.ts'
import { unwrap } from '../support/store-on-disk.ts'

let h: Harness
beforeEach(async () => {
  h = await createHarness()
})
afterEach(() => h.close())

const tickets = tool('tickets')
const free = (scopes: readonly string[], more = {}) => entry('tickets', scopes, { approval: 'none', ...more })
const bot = (more: Partial<AgentManifest> = {}) => agent('bot', { access: [free(['read', 'comment'])], ...more })
const apply = async (...manifests: readonly Manifest[]): Promise<Applied> =>
  unwrap(await applyManifests(h.deps, as.watcher, { set: setOf(...manifests), base: null }))
const kinds = async (from: number) => (await h.trail(from)).map(({ kind }) => kind)
const size = async () => (await h.trail()).length
const scopesNow = async () => {
  const value = (await h.row('slice', 'access/bot/tickets'))?.value
  return value?.of === 'access' ? value.entitlements.flatMap(({ scopes }) => scopes) : []
}

/** A session, a grant for `scopes` and a credential under it, all alive. */
async function holding(scopes: readonly string[], keyId?: string) {
  const session = await h.session('bot', keyId)
  const grant = await h.grant(session, 'tickets', scopes)
  const { credential } = unwrap(await h.credential(session, grant))
  return { session, grant, credential }
}
const states = async ({ session, grant, credential }: Awaited<ReturnType<typeof holding>>) => [
  (await h.row('session', session.id))?.state,
  (await h.row('grant', grant.id))?.state,
  (await h.row('credential', credential.id))?.state,
]

describe('narrowing', () => {
  test('acts with the commit: the slice shrinks, the grant is superseded, its credential dies, the receipt is complete (P3, S9)', async () => {
    await h.start(setOf(tickets, bot()))
    const held = await holding(['comment'])
    const from = await size()
    const applied = await apply(tickets, bot({ access: [free(['read'])] }))
    expect(applied.narrowings).toEqual(['access/bot/tickets: - scope comment'])
    expect(await scopesNow()).toEqual(['read'])
    expect(await states(held)).toEqual(['open', 'superseded', 'revoked'])
    expect(applied.revocations).toMatchObject([
      { act: 'narrowed', target: 'agent/bot', state: 'complete', counts: { sessions: 0, grants: 1, credentials: 1 } },
    ])
    const trail = await h.trail(from)
    expect(trail.map(({ kind }) => kind).slice(0, 3)).toEqual([
      'revision.proposed',
      'revision.in_force',
      'grant.superseded',
    ])
    expect(trail[2]?.subject).toMatchObject({ agent: 'bot', tool: 'tickets', grant: held.grant.id })
    expect(trail[1]?.body.diff).toEqual(['access/bot/tickets: - scope comment'])
    expect((await h.credential(held.session, held.grant)).ok).toBe(false)
  })

  test('leaves a grant alone that one entitlement still covers (S9)', async () => {
    await h.start(setOf(tickets, bot()))
    const held = await holding(['read'])
    const applied = await apply(tickets, bot({ access: [free(['read'])] }))
    expect(await states(held)).toEqual(['open', 'active', 'issued'])
    expect(applied.revocations).toEqual([])
  })

  test('a stricter approval ends what was given without one (S8, S9)', async () => {
    await h.start(setOf(tickets, bot()))
    const held = await holding(['read'])
    await apply(tickets, bot({ access: [entry('tickets', ['read', 'comment'])] }))
    expect(await states(held)).toEqual(['open', 'superseded', 'revoked'])
  })

  test('a raised approval of a scope on the tool ends what was given without one, for every agent (S1, S9)', async () => {
    await h.start(setOf(tickets, bot()))
    const held = await holding(['read'])
    const raised = tool('tickets', {
      scopes: { ...tickets.scopes, read: { ...tickets.scopes.read!, approval: 'owner' } },
    })
    const applied = await apply(raised, bot())
    expect(await states(held)).toEqual(['open', 'superseded', 'revoked'])
    expect(applied.waiting).toEqual([])
  })

  test('a key that left takes its sessions, their requests, grants and credentials; another key keeps its own (S11)', async () => {
    const two = bot({
      keys: [key('one'), key('two')],
      access: [free(['read', 'comment']), entry('tickets', ['close'])],
    })
    await h.start(setOf(tickets, two))
    const gone = await holding(['read'], 'one')
    const kept = await holding(['comment'], 'two')
    const caller = { role: 'agent', agent: 'bot', session: gone.session.id } as const
    unwrap(
      await requestAccess(
        h.deps,
        caller,
        { tool: 'tickets', scopes: ['close'], reason: 'x', durationSeconds: null, details: {} },
        'req_1',
      ),
    )
    const applied = await apply(tickets, { ...two, keys: [key('two')] })
    expect(await states(gone)).toEqual(['revoked', 'revoked', 'revoked'])
    expect(await states(kept)).toEqual(['open', 'active', 'issued'])
    expect((await h.rows('request')).map(({ state }) => state)).toContain('withdrawn')
    expect(applied.revocations[0]?.counts).toEqual({ sessions: 1, requests: 1, grants: 1, credentials: 1 })
  })

  test('an agent whose document goes holds nothing any more, and its epochs rise (P3, S4)', async () => {
    await h.start(setOf(tickets, bot()))
    const held = await holding(['read'])
    await apply(tickets)
    expect(await states(held)).toEqual(['revoked', 'superseded', 'revoked'])
    expect(await h.row('agent', 'bot')).toMatchObject({ epoch: 2, grantEpoch: 2, state: 'active' })
    expect((await h.row('slice', 'agent/bot'))?.value).toBeNull()
  })

  test('state: decommissioned stops the agent at once, and undoing it waits for an owner (S4)', async () => {
    await h.start(setOf(tickets, bot()))
    const held = await holding(['read'])
    await apply(tickets, bot({ state: 'decommissioned' }))
    expect(await states(held)).toEqual(['revoked', 'superseded', 'revoked'])
    await expect(h.session('bot')).rejects.toThrow('agent_decommissioned')
    const back = await apply(tickets, bot())
    expect(back.waiting.map(({ slice, diff }) => [slice, diff])).toEqual([
      ['agent/bot', ['~ state decommissioned → active']],
    ])
    await expect(h.session('bot')).rejects.toThrow('agent_decommissioned')
  })

  test('a tool whose document goes ends every grant on it, with one receipt (S1)', async () => {
    const metrics = tool('metrics')
    await h.start(setOf(tickets, metrics, bot()))
    const held = await holding(['read'])
    const applied = await apply(metrics, bot({ access: [] }))
    expect(await states(held)).toEqual(['open', 'superseded', 'revoked'])
    expect(applied.revocations.map(({ target, state }) => [target, state])).toEqual([['tool/tickets', 'complete']])
    expect(await h.row('tool', 'tickets')).toMatchObject({ epoch: 2, grantEpoch: 2 })
  })

  test('an agent and its tool that go together: each grant is on one receipt and once on the trail (P5)', async () => {
    await h.start(setOf(tickets, tool('metrics'), bot()))
    const held = await holding(['read'])
    const from = await size()
    const applied = await apply(tool('metrics'))
    expect(await states(held)).toEqual(['revoked', 'superseded', 'revoked'])
    expect(applied.revocations.map(({ counts }) => counts.grants)).toEqual([1])
    expect((await kinds(from)).filter((kind) => kind === 'grant.superseded')).toHaveLength(1)
  })

  test('when nobody is left to decide for an agent, the trail shouts (S2)', async () => {
    await h.start(setOf(tickets, bot()))
    const from = await size()
    await apply(tickets, bot({ owners: ['mallory@example.com'] }))
    expect((await h.trail(from)).find(({ kind }) => kind === 'authority.orphaned')?.body).toMatchObject({
      of: 'agent',
      name: 'bot',
    })
  })
})

describe('widening', () => {
  test('waits: nothing of it is in force (P3)', async () => {
    await h.start(setOf(tickets, bot()))
    const applied = await apply(tickets, bot({ access: [free(['read', 'comment', 'close'])] }))
    expect(await scopesNow()).toEqual(['comment', 'read'])
    expect(applied.waiting.map(({ slice, diff, state }) => [slice, diff, state])).toEqual([
      ['access/bot/tickets', ['+ scope close (high risk)'], 'waiting'],
    ])
    expect(h.told).toContainEqual({ type: 'widening.waiting' })
  })

  test('an unchanged pair stays the same widening over unrelated edits, in the newest revision (S3)', async () => {
    await h.start(setOf(tickets, bot()))
    const wide = bot({ access: [free(['read', 'comment', 'close'])] })
    const one = await apply(tickets, wide)
    const two = await apply(
      tickets,
      { ...wide, purpose: 'Another purpose' },
      agent('other', { access: [free(['read'])] }),
    )
    const of = (applied: Applied) => applied.waiting.filter(({ slice }) => slice === 'access/bot/tickets')
    expect(of(two).map(({ id }) => id)).toEqual(of(one).map(({ id }) => id))
    expect(of(two)[0]?.revision).toBe(two.revision.id)
  })

  test('keeps the people it began with: who became an owner since does not accept it (S2)', async () => {
    await h.start(setOf(tickets, bot()))
    const both = ['alice@example.com', 'mallory@example.com']
    const one = await apply(
      tickets,
      bot({ owners: both, access: [free(['read', 'comment'], { grantForSeconds: 9 * 3600 })] }),
    )
    const owners = one.waiting.find(({ slice }) => slice === 'agent/bot')!
    unwrap(
      await settleRevision(h.deps, as.owner('alice@example.com'), { id: owners.id, decision: 'accept', reason: null }),
    )
    const two = await apply(
      tickets,
      bot({ owners: both, purpose: 'x', access: [free(['read', 'comment'], { grantForSeconds: 9 * 3600 })] }),
    )
    expect(two.waiting.map(({ slice, needs }) => [slice, needs[0]?.eligible])).toEqual([
      ['access/bot/tickets', ['alice@example.com']],
    ])
  })

  test('a pair that is proposed no more is void, and is asked anew when it returns (S3)', async () => {
    await h.start(setOf(tickets, bot()))
    const wide = bot({ access: [free(['read', 'comment', 'close'])] })
    const one = await apply(tickets, wide)
    const from = await size()
    await apply(tickets, bot())
    expect((await h.row('widening', one.waiting[0]!.id))?.state).toBe('void')
    expect(await kinds(from)).toContain('widening.voided')
    const three = await apply(tickets, wide)
    expect(three.waiting[0]?.id).not.toBe(one.waiting[0]?.id)
  })

  test('a declined pair stays declined over unrelated edits (S3)', async () => {
    await h.start(setOf(tickets, bot()))
    const wide = bot({ access: [free(['read', 'comment', 'close'])] })
    const one = await apply(tickets, wide)
    unwrap(
      await settleRevision(h.deps, as.owner('alice@example.com'), {
        id: one.revision.id,
        decision: 'decline',
        reason: null,
      }),
    )
    const two = await apply(tickets, { ...wide, purpose: 'Another purpose' })
    expect(two.waiting).toEqual([])
    expect(await h.row('widening', one.waiting[0]!.id)).toMatchObject({ state: 'declined', revision: two.revision.id })
  })

  test('after an accepted pair was taken away again, it is asked anew: a yes is used once (S3)', async () => {
    await h.start(setOf(tickets, bot()))
    const wide = bot({ access: [free(['read', 'comment'], { grantForSeconds: 9 * 3600 })] })
    const one = await apply(tickets, wide)
    unwrap(
      await settleRevision(h.deps, as.owner('alice@example.com'), {
        id: one.revision.id,
        decision: 'accept',
        reason: null,
      }),
    )
    await apply(tickets, bot())
    expect((await apply(tickets, wide)).waiting).toHaveLength(1)
  })
})

describe('a document that comes back', () => {
  test('identical within ten minutes resumes its slices; what died stays dead (S3)', async () => {
    await h.start(setOf(tickets, bot()))
    const held = await holding(['read'])
    await apply(tickets)
    h.disk.clock.advance(9 * 60)
    const back = await apply(tickets, bot())
    expect(back.waiting).toEqual([])
    expect(await scopesNow()).toEqual(['comment', 'read'])
    expect(await states(held)).toEqual(['revoked', 'superseded', 'revoked'])
    expect(await h.session('bot')).toMatchObject({ state: 'open' })
  })

  test('after ten minutes it waits like a new one (S3, S4)', async () => {
    await h.start(setOf(tickets, bot()))
    await apply(tickets)
    h.disk.clock.advance(10 * 60)
    const back = await apply(tickets, bot())
    expect(back.waiting.map(({ slice }) => slice)).toEqual(['access/bot/tickets', 'agent/bot'])
    expect(await scopesNow()).toEqual([])
  })

  test('changed in anything, it waits whole (S3)', async () => {
    await h.start(setOf(tickets, bot()))
    await apply(tickets)
    const back = await apply(tickets, bot({ purpose: 'Another purpose' }))
    expect(back.waiting.map(({ slice }) => slice)).toEqual(['access/bot/tickets', 'agent/bot'])
  })

  test('a role that comes back resumes what it gave, unless the agent was edited meanwhile (S3)', async () => {
    const triage = role('triage', [free(['read'])])
    const roled = (more: Partial<AgentManifest> = {}) => bot({ access: [], roles: ['triage'], ...more })
    await h.start(setOf(tickets, triage, roled()))
    await apply(tickets, roled())
    expect(await scopesNow()).toEqual([])
    expect((await apply(tickets, triage, roled())).waiting).toEqual([])
    expect(await scopesNow()).toEqual(['read'])
    await apply(tickets, roled())
    await apply(tickets, roled({ purpose: 'edited' }))
    await apply(tickets, roled())
    expect((await apply(tickets, triage, roled())).waiting.map(({ slice }) => slice)).toEqual(['access/bot/tickets'])
  })

  test('an edit that also changes a document that stays is no absence: taking it back waits (S3)', async () => {
    const triage = role('triage', [free(['read'])])
    const roled = bot({ roles: ['triage'], access: [free(['comment'])] })
    await h.start(setOf(tickets, triage, roled))
    await apply(tickets, bot({ roles: ['triage'], access: [] }))
    expect((await apply(tickets, triage, roled)).waiting.map(({ slice }) => slice)).toEqual(['access/bot/tickets'])
  })

  test('a team edited while the agent that it owns is away: the agent does not come back by itself (S2, S3)', async () => {
    const owned = bot({ owners: ['team/sre'] })
    const filled = team('sre', ['alice@example.com', 'mallory@example.com'])
    await h.start(setOf(tickets, owned, team('sre', ['alice@example.com'])))
    await apply(tickets, team('sre', ['alice@example.com']))
    await apply(tickets, filled)
    const back = await apply(tickets, owned, filled)
    expect(back.waiting.map(({ slice, needs }) => [slice, needs[0]?.eligible])).toEqual([
      ['agent/bot', ['tina@example.com']],
    ])
    await expect(h.session('bot')).rejects.toThrow('unknown_agent')
  })

  test('a team whose document goes and comes back resumes itself and what it owns (S3)', async () => {
    const owned = (owners: readonly string[]) => bot({ owners })
    const sre = team('sre', ['alice@example.com'])
    const named = setOf(tickets, owned(['bob@example.com', 'team/sre']), sre)
    // The parser drops an owner that is gone, and digests the document as it is written.
    const without = {
      ...setOf(tickets, owned(['bob@example.com'])),
      documentDigests: new Map([...named.documentDigests].filter(([name]) => name !== 'Team/sre')),
    }
    await h.start(named)
    unwrap(await applyManifests(h.deps, as.watcher, { set: without, base: null }))
    expect((await h.row('slice', 'agent/bot'))?.value).toMatchObject({ owners: ['bob@example.com'] })
    expect(unwrap(await applyManifests(h.deps, as.watcher, { set: named, base: null })).waiting).toEqual([])
    expect((await h.row('slice', 'agent/bot'))?.value).toMatchObject({ owners: ['bob@example.com', 'team/sre'] })
  })
})

describe('what is refused changes nothing', () => {
  test('a set made from another revision than the one in force (S3)', async () => {
    const pushed = await createHarness({ scopesMode: 'push' })
    try {
      const set = setOf(tickets, bot())
      await pushed.start(set)
      const next = setOf(tickets, bot({ access: [free(['read'])] }))
      expect(await applyManifests(pushed.deps, as.publisher, { set: next, base: 'f'.repeat(64) })).toMatchObject({
        ok: false,
        error: { code: 'conflict' },
      })
      expect(await applyManifests(pushed.deps, as.watcher, { set: next, base: set.digest })).toMatchObject({
        ok: false,
        error: { code: 'forbidden' },
      })
      expect(unwrap(await applyManifests(pushed.deps, as.publisher, { set: next, base: set.digest })).changed).toBe(
        true,
      )
      expect(await applyManifests(pushed.deps, as.publisher, { set, base: set.digest })).toMatchObject({
        ok: false,
        error: { code: 'conflict' },
      })
    } finally {
      await pushed.close()
    }
  })

  test('a push to a broker that watches its folder, and anyone who may not propose (S3, S7)', async () => {
    const set = setOf(tickets, bot())
    await h.start(set)
    for (const context of [as.publisher, as.admin, as.operator, as.auditor, as.owner('alice@example.com')])
      expect(await applyManifests(h.deps, context, { set: setOf(tickets), base: set.digest })).toMatchObject({
        ok: false,
        error: { code: 'forbidden' },
      })
    expect(await scopesNow()).toEqual(['comment', 'read'])
  })

  test("a decommissioned agent's name, edited or like it, bars the set; its untouched document is ignored (S4, P6)", async () => {
    await h.start(setOf(tickets, bot(), agent('other', { access: [free(['read'])] })))
    unwrap(await decommissionAgent(h.deps, as.owner('alice@example.com'), { agent: 'bot', reason: null }))
    const other = agent('other')
    const untouched = await apply(tickets, bot(), other)
    expect(untouched.changed).toBe(true)
    expect(untouched.revision.warnings.join()).toContain('decommissioned for ever')
    for (const manifest of [bot({ purpose: 'Back again' }), agent('b-ot'), agent('b0t')]) {
      const refused = await applyManifests(h.deps, as.watcher, { set: setOf(tickets, other, manifest), base: null })
      expect(refused).toMatchObject({
        ok: false,
        error: { code: 'manifest_invalid', message: expect.stringContaining('decommissioned') },
      })
    }
    await expect(h.session('bot')).rejects.toThrow('agent_decommissioned')
    expect((await apply(tickets, bot({ state: 'decommissioned' }), other)).revision.warnings).toEqual([])
  })

  test('the very set that is in force: no commit, no revision (S1)', async () => {
    await h.start(setOf(tickets, bot()))
    const before = await size()
    expect((await apply(tickets, bot())).changed).toBe(false)
    expect(await size()).toBe(before)
  })
})

test('an edit is one commit: two at the same time are one after the other, and neither is lost (S16)', async () => {
  await h.start(setOf(tickets, bot()))
  const [one, two] = await Promise.all([
    apply(tickets, bot({ access: [free(['read'])] })),
    apply(tickets, bot({ access: [free(['comment'])] })),
  ])
  const last = (await h.rows('revision')).filter(({ state }) => state === 'in force')
  expect(last).toHaveLength(1)
  expect([one.revision.id, two.revision.id]).toContain(last[0]?.id)
  expect((await h.rows('revision')).filter(({ state }) => state === 'replaced')).toHaveLength(2)
})

test('a mint that raced a narrowing is found after it and taken too (S16)', async () => {
  await h.start(setOf(tickets, bot()))
  const session = await h.session('bot')
  const grant = await h.grant(session, 'tickets', ['comment'])
  const [minted] = await Promise.all([h.credential(session, grant), apply(tickets, bot({ access: [free(['read'])] }))])
  if (minted.ok) expect((await h.row('credential', minted.value.credential.id))?.state).toBe('revoked')
  expect((await h.row('grant', grant.id))?.state).toBe('superseded')
})

test('a plan says what would die and who would be asked, and changes nothing (P3)', async () => {
  await h.start(setOf(tickets, bot()))
  const { session, grant, credential } = await holding(['comment'])
  const before = await size()
  const plan = await planManifests(h.deps, setOf(tickets, bot({ keys: [key('new')], access: [free(['read'])] })))
  expect(plan.dies).toEqual({ sessions: [session.id], grants: [grant.id], credentials: [credential.id] })
  expect(plan.narrowings.map(({ slice }) => slice)).toEqual(['access/bot/tickets', 'agent/bot'])
  expect(plan.widenings.map(({ slice, needs }) => [slice, needs[0]?.eligible])).toEqual([
    ['agent/bot', ['alice@example.com']],
  ])
  expect(await size()).toBe(before)
  expect(await scopesNow()).toEqual(['comment', 'read'])
})

test('names once in force stay known when their documents go (P3)', async () => {
  await h.start(
    setOf(tickets, tool('metrics'), role('triage', [free(['read'])]), team('sre', ['alice@example.com']), bot()),
  )
  const { read: _, ...left } = tickets.scopes
  await apply(tool('tickets', { scopes: left, details: {} }), agent('other', { access: [free(['comment'])] }))
  await apply(tool('tickets', { scopes: left, details: {} }))
  const known = await knownNames(h.deps)
  expect([...known.agents]).toEqual(['bot'])
  expect([...known.tools].toSorted()).toEqual(['metrics', 'tickets'])
  expect([[...known.roles], [...known.teams]]).toEqual([['triage'], ['sre']])
  expect([...(known.scopes?.get('tickets') ?? [])]).toEqual(['close', 'comment', 'read'])
  expect([...(known.details?.get('tickets') ?? [])]).toEqual(['queue'])
})

test('a key taken out takes the grants asked for with it, also in a session that expired or that a lock ended (S11)', async () => {
  const access = [entry('tickets', ['read'], { approval: 'none', grantForSeconds: 8 * 3600 })]
  const withKeys = (...keys: readonly string[]) => agent('bot', { keys: keys.map((name) => key(name)), access })
  for (const end of ['expiry', 'lock'] as const) {
    const own = await createHarness()
    try {
      await own.start(setOf(tool('tickets'), withKeys('stolen', 'good')))
      const grant = await own.grant(await own.session('bot', 'stolen'), 'tickets', ['read'])
      if (end === 'expiry') own.disk.clock.advance(2 * 3600)
      else {
        const input = { kind: 'agent', name: 'bot', reason: 'x', forSeconds: null, revokeGrants: false } as const
        const { lock } = unwrap(await setLock(own.deps, as.admin, input))
        unwrap(await liftLock(own.deps, as.admin, { lock: lock.id, reason: null }))
      }
      const set = setOf(tool('tickets'), withKeys('good'))
      expect((await own.credential(await own.session('bot', 'good'), grant)).ok).toBe(true)
      unwrap(await applyManifests(own.deps, as.watcher, { set, base: null }))
      expect((await own.credential(await own.session('bot', 'good'), grant)).ok).toBe(false)
      expect((await own.row('grant', grant.id))?.state).toBe('revoked')
    } finally {
      await own.close()
    }
  }
})
