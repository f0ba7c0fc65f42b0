// A recipe of one's own under the real actions: nothing is made by one that nobody accepted, and what was made by the last
// one is taken away by it.

import { afterEach, beforeEach, expect, test } from 'vitest'
import { applyManifests } from '../../src/actions/apply-manifests.ts'
import { settleRevision } from '../../src/actions/settle-revision.ts'
import type { Target } from '../../src/core/target.ts'
import { as } from '../support/harness.ts'
import { accountTool, agent, entry, setOf } from '../support/manifest-set.ts'
import { unwrap } from '../support/store-on-disk.ts'
import { createStage, type Stage } from './stage.ts'

const setWith = (ownRecipe: string) =>
  setOf(
    accountTool('desk', { type: 'http', ownRecipe }),
    agent('bot', { access: [entry('desk', ['read'], { approval: 'none' })] }),
  )
const [OLD, NEW] = ['{"recipe":"old"}', '{"recipe":"new"}']

let stage: Stage
let spoken: (string | undefined)[]
const apply = async (ownRecipe: string) =>
  unwrap(await applyManifests(stage.h.deps, as.watcher, { set: setWith(ownRecipe), base: null }))

beforeEach(async () => {
  stage = await createStage()
  spoken = []
  const { targets } = stage.h.deps
  const of = targets.of.bind(targets)
  // Each call to the tool notes by which recipe it is made.
  targets.of = (connection) => {
    const heard =
      <A extends unknown[], R>(act: (...args: A) => R) =>
      (...args: A): R => {
        spoken.push(connection.ownRecipe)
        return act(...args)
      }
    const target = of(connection)
    return { ...target, create: heard(target.create), remove: heard(target.remove) } satisfies Target
  }
  const { revision } = await apply(OLD)
  unwrap(await settleRevision(stage.h.deps, as.admin, { id: revision.id, decision: 'accept', reason: null }))
  stage.session = await stage.h.session('bot')
  stage.grant = await stage.h.grant(stage.session, 'desk', ['read'])
})
afterEach(() => stage.close())

test('while another recipe waits, the accepted one makes and takes; then accounts go by the recipe they were made with (S3, S5)', async () => {
  unwrap(await stage.mint())
  const { revision, waiting } = await apply(NEW)
  expect(waiting.map(({ slice, needs }) => [slice, needs.map(({ as: who }) => who)])).toEqual([
    ['tool/desk', ['admin']],
  ])
  const other = await stage.h.grant(stage.session, 'desk', ['read'])
  unwrap(await stage.mint(stage.session, other))
  expect(new Set(spoken)).toEqual(new Set([OLD]))

  const refused = await settleRevision(stage.h.deps, as.owner('tina@example.com'), {
    id: revision.id,
    decision: 'accept',
    reason: null,
  })
  expect(refused).toMatchObject({ ok: false })
  unwrap(await settleRevision(stage.h.deps, as.admin, { id: revision.id, decision: 'accept', reason: null }))
  await stage.rounds(3)
  const accounts = await stage.h.rows('account')
  expect(accounts.map(({ state }) => state)).toEqual(accounts.map(() => 'gone'))
  expect(new Set(spoken)).toEqual(new Set([OLD]))

  const session = await stage.h.session('bot')
  unwrap(await stage.mint(session, await stage.h.grant(session, 'desk', ['read'])))
  expect(spoken.at(-1)).toBe(NEW)
})
