import { afterEach, beforeEach, expect, test } from 'vitest'
import { applyManifests } from '../../src/actions/apply-manifests.ts'
import { initialize } from '../../src/actions/initialize.ts'
import { as, createHarness, type Harness } from '../support/harness.ts'
import { agent, entry, setOf, team, tool } from '../support/manifest-set.ts'
import { unwrap } from '../support/store-on-disk.ts'

let h: Harness
beforeEach(async () => {
  h = await createHarness()
})
afterEach(() => h.close())

const first = setOf(
  tool('tickets'),
  team('sre', ['alice@example.com']),
  agent('bot', { owners: ['team/sre'], access: [entry('tickets', ['read'])] }),
)
const input = { set: first, ownerEmail: 'alice@example.com' }

test('the first set is in force whole, with a row for every agent and tool, and on the trail (S6)', async () => {
  const before = (await h.trail()).length
  const revision = unwrap(await initialize(h.deps, as.operator, input))
  expect(revision).toMatchObject({ digest: first.digest, state: 'in force', base: null })
  expect((await h.rows('slice')).map(({ id }) => id).toSorted()).toEqual([
    'access/bot/tickets',
    'agent/bot',
    'team/sre',
    'tool/tickets',
  ])
  expect(await h.row('agent', 'bot')).toMatchObject({ epoch: 1, grantEpoch: 1, state: 'active', skeleton: 'bot' })
  expect(await h.row('tool', 'tickets')).toMatchObject({ epoch: 1, grantEpoch: 1 })
  expect(await h.row('installation', 'self')).toMatchObject({
    initializedAt: h.disk.clock.now(),
    revision: first.digest,
  })
  const trail = (await h.trail()).slice(before)
  expect(trail.map(({ kind }) => kind)).toEqual(['installation.initialized', 'revision.proposed', 'revision.in_force'])
  expect(trail[0]?.body).toMatchObject({ owner: 'alice@example.com', revision: first.digest })
  expect(await h.session('bot')).toMatchObject({ agent: 'bot' })
})

test('a store that was initialised is refused, and nothing changes (S6)', async () => {
  await h.start(first)
  const before = (await h.trail()).length
  expect(await initialize(h.deps, as.operator, { ...input, set: setOf(tool('other')) })).toMatchObject({
    ok: false,
    error: { code: 'conflict' },
  })
  expect((await h.trail()).length).toBe(before)
  expect(await h.row('slice', 'tool/other')).toBeUndefined()
})

test('of two that initialise at the same time, one wins (S6)', async () => {
  const results = await Promise.all([initialize(h.deps, as.operator, input), initialize(h.deps, as.operator, input)])
  expect(results.map(({ ok }) => ok).toSorted()).toEqual([false, true])
})

test('nobody but the operator initialises (S6, S7)', async () => {
  for (const context of [as.admin, as.publisher, as.watcher, as.owner('alice@example.com')])
    expect(await initialize(h.deps, context, input)).toMatchObject({ ok: false, error: { code: 'forbidden' } })
  expect(await h.row('installation', 'self')).toBeUndefined()
})

test('a new store takes no revision before it is initialised, and says how (S6)', async () => {
  expect(await applyManifests(h.deps, as.watcher, { set: first, base: null })).toMatchObject({
    ok: false,
    error: { code: 'not_initialized', hint: expect.stringContaining('hallpass init') },
  })
})
