// A drill makes an account with rights in a tool. Mallory writes the manifests' repository and owns an agent: whatever she
// schedules, widens or takes out, nothing else is made in the tool than before, until an admin says yes (S1, S2).

import { setImmediate as turn } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { applyManifests } from '../../src/actions/apply-manifests.ts'
import { drillTool } from '../../src/actions/drill-tool.ts'
import { createDrills, type Drills } from '../../src/actions/run-drills.ts'
import { settleRevision } from '../../src/actions/settle-revision.ts'
import type { DrillSchedule } from '../../src/core/manifest.ts'
import { createStage, SET, type Stage } from '../accounts/stage.ts'
import { as } from '../support/harness.ts'
import { accountTool, setOf } from '../support/manifest-set.ts'
import { unwrap } from '../support/store-on-disk.ts'

const DAILY: DrillSchedule = { everySeconds: 86_400, scope: null, details: {} }
const OWNER_OF_AGENT = as.owner('alice@example.com')
const OWNER_OF_TOOL = as.owner('tina@example.com')

let s: Stage
let drills: Drills
beforeEach(async () => {
  s = await createStage()
  drills = createDrills(s.h.deps)
})
afterEach(async () => {
  await drills.stop()
  await s.close()
})

async function push(drill: DrillSchedule | null) {
  const desk = accountTool('desk', drill === null ? {} : { drill })
  const set = setOf(...SET.agents.values(), desk, SET.tools.get('board')!)
  const applied = unwrap(await applyManifests(s.h.deps, as.watcher, { set, base: null }))
  return applied.revision.id
}
const accept = (by: Parameters<typeof settleRevision>[1], id: string) =>
  settleRevision(s.h.deps, by, { id, decision: 'accept', reason: null })
const rights = () => [...s.tool.accounts.values()].map((account) => account.rights)
async function look() {
  const { ended } = await drills.round()
  let over = false
  void ended.then(() => {
    over = true
  })
  for (let left = 400; !over && left > 0; left--) {
    await s.rounds(1, 0)
    await turn()
  }
}
async function days(count: number) {
  for (let left = count; left > 0; left--) {
    await look()
    s.h.disk.clock.advance(86_400)
  }
}

test("a drill scheduled on another team's tool makes nothing until an admin accepts it (S1, S2)", async () => {
  const id = await push(DAILY)
  await days(2)
  for (const by of [OWNER_OF_AGENT, as.owner('mallory@example.com'), as.publisher, as.auditor]) {
    expect(await accept(by, id)).toMatchObject({ ok: false })
    await days(1)
  }
  expect(s.tool.calls).toEqual([])
  unwrap(await accept(as.admin, id))
  await look()
  expect(rights()).toEqual([['Read']])
})

test.each<[string, DrillSchedule | null]>([
  ['with the right of high risk', { ...DAILY, scope: 'close' }],
  ['far more often', { ...DAILY, everySeconds: 3600 }],
  ['never', null],
])('a schedule in force goes on as accepted, whoever writes %s (S1)', async (_, drill) => {
  unwrap(await accept(as.admin, await push(DAILY)))
  const id = await push(drill)
  expect(await accept(OWNER_OF_AGENT, id)).toMatchObject({ ok: false })
  await days(2)
  for (let hour = 0; hour < 3; hour++) {
    await look()
    s.h.disk.clock.advance(3600)
  }
  expect(rights()).toEqual([['Read'], ['Read'], ['Read']])
})

test('and who may not drill by hand may not by a schedule either (S7)', async () => {
  const input = { tool: 'desk', scope: null, details: {} }
  const { signal } = new AbortController()
  for (const by of [OWNER_OF_AGENT, as.publisher, as.auditor])
    expect(await drillTool(s.h.deps, by, input, signal)).toMatchObject({ ok: false, error: { code: 'forbidden' } })
  const id = await push(DAILY)
  // The owner of the tool may drill, and yet connects nothing: what a target is waits for an admin.
  expect(await accept(OWNER_OF_TOOL, id)).toMatchObject({ ok: false })
  await look()
  expect(s.tool.calls).toEqual([])
})
