// What dies with an agent by the thousand: marked in chunks, each row read once and once more at the end.

import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { decommissionAgent } from '../../src/actions/decommission-agent.ts'
import { as, createHarness, type Harness } from '../support/harness.ts'
import { agent, entry, scope, setOf, tool } from '../support/manifest-set.ts'
import { unwrap } from '../support/store-on-disk.ts'

const CREDENTIALS = 1_203
const access = entry('metrics', ['read'], { approval: 'none', tokenTtlSeconds: 600 })

let harness: Harness
beforeEach(async () => {
  harness = await createHarness()
  await harness.start(
    setOf(
      tool('metrics', { scopes: { read: scope() }, details: {} }),
      agent('one', { access: [access] }),
      agent('two'),
    ),
  )
})
afterEach(() => harness.close())

test('of an agent with 1,203 live credentials all are marked, 500 a commit, and each is gone through twice at most (P6)', async () => {
  const session = await harness.session('one')
  const grant = await harness.grant(session, 'metrics', ['read'])
  for (let made = 0; made < CREDENTIALS; made += 401)
    for (const issued of await Promise.all(Array.from({ length: 401 }, () => harness.credential(session, grant))))
      unwrap(issued)
  const { store } = harness.deps
  const commits = vi.spyOn(store, 'commit')
  const lists = vi.spyOn(store, 'list')
  const done = unwrap(await decommissionAgent(harness.deps, as.admin, { agent: 'one', reason: null }))

  expect(done).toMatchObject({ rowsFollowed: true, counts: { sessions: 1, grants: 1, credentials: CREDENTIALS } })
  const marked = commits.mock.calls.map(([{ put }]) => put.filter(({ kind }) => kind === 'credential').length)
  expect(Math.max(...marked)).toBeLessThanOrEqual(500)
  expect(marked.reduce((sum, count) => sum + count, 0)).toBe(CREDENTIALS)
  // By whom they were issued: three pages on the way, and one from the start that finds no more.
  const pages = lists.mock.calls.filter(([{ kind, where }]) => kind === 'credential' && where?.state === 'issued')
  expect(pages.map(([{ after }]) => after !== undefined)).toEqual([false, true, true, false])
  expect((await store.list({ kind: 'credential', where: { agent: 'one', state: 'issued' }, limit: 1 })).rows).toEqual(
    [],
  )
}, 30_000)
