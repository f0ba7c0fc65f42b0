import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Applied, applyManifests } from '../../src/actions/apply-manifests.ts'
import { decommissionAgent } from '../../src/actions/decommission-agent.ts'
import { setLock } from '../../src/actions/lock.ts'
import type { Context } from '../../src/actions/ports.ts'
import { type SettleInput, settleRevision } from '../../src/actions/settle-revision.ts'
import { recordOf, transact } from '../../src/actions/transact.ts'
import type { AgentManifest, Manifest } from '../../src/core/manifest.ts'
import { as, createHarness, type Harness } from '../support/harness.ts'
import { agent, entry, key, scope, setOf, team, tool } from '../support/manifest-set.ts'
import { unwrap } from '../support/store-on-disk.ts'

let h: Harness
beforeEach(async () => {
  h = await createHarness()
})
afterEach(() => h.close())

const alice = as.owner('alice@example.com')
const tina = as.owner('tina@example.com')
const mallory = as.owner('mallory@example.com')
const tickets = tool('tickets')
const free = (scopes: readonly string[], more = {}) => entry('tickets', scopes, { approval: 'none', ...more })
const bot = (more: Partial<AgentManifest> = {}) => agent('bot', { access: [free(['read'])], ...more })
const apply = async (...manifests: readonly Manifest[]): Promise<Applied> =>
  unwrap(await applyManifests(h.deps, as.watcher, { set: setOf(...manifests), base: null }))
const settle = (context: Context, id: string, decision: SettleInput['decision'] = 'accept') =>
  settleRevision(h.deps, context, { id, decision, reason: null })
const size = async () => (await h.trail()).length
const scopesNow = async () => {
  const value = (await h.row('slice', 'access/bot/tickets'))?.value
  return value?.of === 'access' ? value.entitlements.flatMap(({ scopes }) => scopes) : []
}
const refused = (code: string) => ({ ok: false, error: { code } })

test('one act accepts all that the caller may; it is in force, and on the trail with the digests it binds (S1, S3)', async () => {
  await h.start(setOf(tickets, bot()))
  const { revision, waiting } = await apply(
    tickets,
    bot({ keys: [key('bot-key'), key('more')], access: [free(['read', 'comment'])] }),
  )
  const from = await size()
  const settled = unwrap(await settle(alice, revision.id))
  expect(settled.settled.map(({ slice, state, decidedBy }) => [slice, state, decidedBy])).toEqual([
    ['access/bot/tickets', 'accepted', 'alice@example.com'],
    ['agent/bot', 'accepted', 'alice@example.com'],
  ])
  expect(await scopesNow()).toEqual(['comment', 'read'])
  expect(await h.session('bot', 'more')).toMatchObject({ state: 'open' })
  const trail = (await h.trail(from)).filter(({ kind }) => kind === 'widening.accepted')
  expect(trail.map(({ body }) => [body.slice, body.before, body.after])).toEqual(
    waiting.map(({ slice, before, after }) => [slice, before, after]),
  )
  expect(trail[0]?.actor).toEqual({ type: 'owner', id: 'alice@example.com' })
})

test('a widening can be accepted by its own id, and the rest goes on waiting (S1)', async () => {
  await h.start(setOf(tickets, bot()))
  const { waiting } = await apply(tickets, bot({ keys: [key('more')], access: [free(['read', 'comment'])] }))
  const settled = unwrap(await settle(alice, waiting[0]!.id))
  expect(settled.settled).toHaveLength(1)
  expect((await h.row('widening', waiting[1]!.id))?.state).toBe('waiting')
})

test('two needs: it is in force only after both said yes, in either order (S1)', async () => {
  await h.start(setOf(tickets, bot()))
  const { revision } = await apply(tickets, bot({ access: [free(['read', 'close'])] }))
  const first = unwrap(await settle(tina, revision.id))
  expect(first.settled.map(({ state }) => state)).toEqual(['waiting'])
  expect(await scopesNow()).toEqual(['read'])
  expect(await settle(tina, revision.id)).toMatchObject(refused('forbidden'))
  expect(unwrap(await settle(alice, revision.id)).settled.map(({ state }) => state)).toEqual(['accepted'])
  expect(await scopesNow()).toEqual(['close', 'read'])
})

test('whoever the edit makes an owner accepts nothing of it, not even after they are one (S2)', async () => {
  await h.start(setOf(tickets, bot()))
  const { revision, waiting } = await apply(
    tickets,
    bot({ owners: ['alice@example.com', 'mallory@example.com'], access: [free(['read', 'comment'])] }),
  )
  expect(await settle(mallory, revision.id)).toMatchObject(refused('forbidden'))
  unwrap(await settle(alice, waiting.find(({ slice }) => slice === 'agent/bot')!.id))
  expect(await settle(mallory, revision.id)).toMatchObject({
    ok: false,
    error: { code: 'forbidden', hint: expect.stringContaining('an owner of agent bot (alice@example.com)') },
  })
  expect(await scopesNow()).toEqual(['read'])
})

test('who was eligible and is an owner no more decides nothing (S2, S10)', async () => {
  await h.start(setOf(tickets, bot({ owners: ['alice@example.com', 'bob@example.com'] })))
  const both = ['alice@example.com', 'bob@example.com']
  const wide = (owners: readonly string[]) => bot({ owners, access: [free(['read', 'comment'])] })
  await apply(tickets, wide(both))
  const { revision } = await apply(tickets, wide(['bob@example.com']))
  expect(await settle(alice, revision.id)).toMatchObject(refused('forbidden'))
  expect(unwrap(await settle(as.owner('bob@example.com'), revision.id)).settled[0]?.state).toBe('accepted')
})

test('an admin accepts tools and nothing of an agent; the operator is one; nobody else is (S1, S7)', async () => {
  await h.start(setOf(tickets, bot()))
  const metrics = tool('metrics', { owners: ['max@example.com'] })
  const { revision } = await apply(tickets, metrics, bot({ access: [free(['read', 'comment'])] }))
  for (const context of [as.publisher, as.auditor, as.watcher, tina, as.owner('max@example.com')])
    expect(await settle(context, revision.id)).toMatchObject(refused('forbidden'))
  expect(unwrap(await settle(as.admin, revision.id)).settled.map(({ slice }) => slice)).toEqual(['tool/metrics'])
  expect(await h.row('tool', 'metrics')).toMatchObject({ epoch: 1 })
  expect(await settle(as.admin, revision.id)).toMatchObject(refused('forbidden'))
  expect(await settle(as.operator, revision.id)).toMatchObject(refused('forbidden'))
  expect(await scopesNow()).toEqual(['read'])
})

test('a new agent is in force once an owner of its tool said yes, with a row of its own (S1)', async () => {
  await h.start(setOf(tickets, bot()))
  const { revision } = await apply(
    tickets,
    bot(),
    agent('fresh', { owners: ['mallory@example.com'], access: [free(['read'])] }),
  )
  expect(await settle(mallory, revision.id)).toMatchObject(refused('forbidden'))
  expect(await settle(alice, revision.id)).toMatchObject(refused('forbidden'))
  expect(unwrap(await settle(tina, revision.id)).settled.map(({ state }) => state)).toEqual(['accepted', 'accepted'])
  expect(await h.row('agent', 'fresh')).toMatchObject({ epoch: 1, state: 'active', skeleton: 'fresh' })
  expect(await h.session('fresh')).toMatchObject({ state: 'open' })
})

test('a slice that moved under a widening voids it; nothing of it is in force (S3)', async () => {
  await h.start(setOf(tickets, bot({ access: [free(['read', 'comment'])] })))
  const { waiting, revision } = await apply(
    tickets,
    bot({ access: [free(['read', 'comment'], { grantForSeconds: 9 * 3600 })] }),
  )
  const slice = (await h.row('slice', 'access/bot/tickets'))!
  unwrap(
    await transact(h.deps, 'normal', async (look) => ({
      ok: true as const,
      value: {
        value: null,
        put: [{ kind: 'slice' as const, row: { ...slice, value: null } }],
        records: [recordOf(as.operator, look.now, 'rows.followed', {}, { rows: 'all', count: 0 })],
      },
    })),
  )
  const from = await size()
  expect(await settle(alice, revision.id)).toMatchObject(refused('conflict'))
  expect((await h.row('widening', waiting[0]!.id))?.state).toBe('void')
  expect((await h.trail(from)).map(({ kind }) => kind)).toEqual(['widening.voided'])
  expect((await h.row('slice', 'access/bot/tickets'))?.value).toBeNull()
})

test('a yes is used once, also when it is said twice at the same time (S3)', async () => {
  await h.start(setOf(tickets, bot()))
  const { revision } = await apply(tickets, bot({ access: [free(['read', 'comment'])] }))
  const from = await size()
  const results = await Promise.all([settle(alice, revision.id), settle(alice, revision.id)])
  expect(results.map(({ ok }) => ok).toSorted()).toEqual([false, true])
  expect((await h.trail(from)).map(({ kind }) => kind)).toEqual(['widening.accepted'])
  expect(await settle(alice, revision.id)).toMatchObject(refused('conflict'))
})

test('declined: it is not in force and cannot be accepted any more (S3)', async () => {
  await h.start(setOf(tickets, bot()))
  const { revision } = await apply(tickets, bot({ access: [free(['read', 'comment'])] }))
  expect(await settle(mallory, revision.id, 'decline')).toMatchObject(refused('forbidden'))
  expect(unwrap(await settle(alice, revision.id, 'decline')).settled[0]).toMatchObject({
    state: 'declined',
    decidedBy: 'alice@example.com',
  })
  expect(await settle(alice, revision.id)).toMatchObject(refused('conflict'))
  expect(await scopesNow()).toEqual(['read'])
})

test('while a lock stands on the agent, its tool, the person or everything, nothing is accepted (S12)', async () => {
  await h.start(setOf(tickets, bot()))
  const { revision } = await apply(tickets, bot({ access: [free(['read', 'comment'])] }))
  const lock = (kind: 'agent' | 'tool' | 'owner' | 'everything', name: string) =>
    setLock(h.deps, as.admin, { kind, name, reason: 'a look', forSeconds: 60, revokeGrants: false })
  for (const [kind, name, code] of [
    ['agent', 'bot', 'agent_locked'],
    ['tool', 'tickets', 'tool_locked'],
    ['owner', 'alice@example.com', 'forbidden'],
    ['everything', '', 'agent_locked'],
  ] as const) {
    unwrap(await lock(kind, name))
    expect(await settle(alice, revision.id)).toMatchObject(refused(code))
    h.disk.clock.advance(61)
  }
  expect(unwrap(await settle(alice, revision.id)).settled[0]?.state).toBe('accepted')
})

test('a lock that is set while a yes is on its way wins or comes after it, never between (S12, S16)', async () => {
  await h.start(setOf(tickets, bot()))
  const { revision } = await apply(tickets, bot({ access: [free(['read', 'comment'])] }))
  const [yes] = await Promise.all([
    settle(alice, revision.id),
    setLock(h.deps, as.admin, {
      kind: 'owner',
      name: 'alice@example.com',
      reason: 'x',
      forSeconds: null,
      revokeGrants: false,
    }),
  ])
  const kinds = (await h.trail()).map(({ kind }) => kind)
  const locked = kinds.indexOf('lock.set')
  if (yes.ok) expect(kinds.indexOf('widening.accepted')).toBeLessThan(locked)
  else expect(yes.error.code).toBe('forbidden')
})

test("another resource under a tool's name ends its grants when it is accepted, not before (S1)", async () => {
  await h.start(setOf(tickets, bot()))
  const session = await h.session('bot')
  const grant = await h.grant(session, 'tickets', ['read'])
  const { credential } = unwrap(await h.credential(session, grant))
  const { revision } = await apply(tool('tickets', { resource: 'https://elsewhere.example.com' }), bot())
  expect((await h.row('grant', grant.id))?.state).toBe('active')
  const { revocations } = unwrap(await settle(as.admin, revision.id))
  expect((await h.row('grant', grant.id))?.state).toBe('superseded')
  expect((await h.row('credential', credential.id))?.state).toBe('revoked')
  expect(revocations).toMatchObject([
    { target: 'tool/tickets', state: 'complete', counts: { grants: 1, credentials: 1 } },
  ])
  expect(await h.row('tool', 'tickets')).toMatchObject({ epoch: 2, grantEpoch: 2 })
})

test("a tool's lowered risk is accepted once, by its owner, and takes nothing (S1)", async () => {
  await h.start(setOf(tickets, bot()))
  const session = await h.session('bot')
  const grant = await h.grant(session, 'tickets', ['read'])
  const { revision } = await apply(
    tool('tickets', { scopes: { ...tickets.scopes, close: scope({ risk: 'low' }) } }),
    bot(),
  )
  expect(await settle(as.admin, revision.id)).toMatchObject(refused('forbidden'))
  unwrap(await settle(tina, revision.id))
  expect((await h.row('grant', grant.id))?.state).toBe('active')
})

test('a member in force lets another into the team; nobody lets themselves in (S1, S2)', async () => {
  const owned = bot({ owners: ['team/sre'] })
  await h.start(setOf(tickets, owned, team('sre', ['alice@example.com'])))
  const { revision } = await apply(tickets, owned, team('sre', ['alice@example.com', 'mallory@example.com']))
  expect(await settle(mallory, revision.id)).toMatchObject(refused('forbidden'))
  unwrap(await settle(alice, revision.id))
  expect((await h.row('slice', 'team/sre'))?.value).toMatchObject({
    members: ['alice@example.com', 'mallory@example.com'],
  })
})

test('an agent that asks for no tool cannot be accepted, and the refusal says why (S1, P8)', async () => {
  await h.start(setOf(tickets, bot()))
  const { revision } = await apply(tickets, bot(), agent('idle'))
  for (const context of [alice, tina, as.admin, as.operator])
    expect(await settle(context, revision.id)).toMatchObject({
      ok: false,
      error: { code: 'forbidden', hint: expect.stringContaining('until it asks for a tool') },
    })
})

test('nothing is accepted for an agent that was decommissioned, nor for a name that looks like it (P6, S4)', async () => {
  await h.start(setOf(tickets, bot()))
  const { revision } = await apply(
    tickets,
    bot({ access: [free(['read', 'comment'])] }),
    agent('b-ot', { access: [free(['read'])] }),
  )
  unwrap(await decommissionAgent(h.deps, alice, { agent: 'bot', reason: null }))
  expect(await settle(alice, revision.id)).toMatchObject(refused('agent_decommissioned'))
  expect(await settle(tina, revision.id)).toMatchObject(refused('agent_decommissioned'))
  expect(await h.row('agent', 'b-ot')).toBeUndefined()
})

test('what waits nowhere is no secret and no crash (P8)', async () => {
  await h.start(setOf(tickets, bot()))
  expect(await settle(alice, 'rev_nothing')).toMatchObject(refused('conflict'))
})

test('a grant that ended by a shorter grantFor or an earlier reviewBy stays ended when the edit is taken back (S1, S11)', async () => {
  const long = { access: [free(['read'], { grantForSeconds: 36_000 })] }
  for (const shorter of [{ access: [free(['read'], { grantForSeconds: 600 })] }, { ...long, reviewBy: '2026-01-15' }]) {
    const own = await createHarness()
    try {
      await own.start(setOf(tickets, bot(long)))
      own.disk.clock.advance(12 * 3600)
      const grant = await own.grant(await own.session('bot'), 'tickets', ['read'])
      const applied = async (more: Partial<AgentManifest>) =>
        unwrap(await applyManifests(own.deps, as.watcher, { set: setOf(tickets, bot(more)), base: null }))
      await applied(shorter)
      own.disk.clock.advance(4 * 3600)
      expect((await own.credential(await own.session('bot'), grant)).ok).toBe(false)
      const { revision } = await applied(long)
      unwrap(await settleRevision(own.deps, alice, { id: revision.id, decision: 'accept', reason: null }))
      expect((await own.credential(await own.session('bot'), grant)).ok).toBe(false)
    } finally {
      await own.close()
    }
  }
})
