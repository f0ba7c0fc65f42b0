// Drills that a manifest schedules: when one begins, when none does, and what is heard of one that fails.

import { setImmediate as turn } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { applyManifests } from '../../src/actions/apply-manifests.ts'
import { drillTool, isDrillFailing } from '../../src/actions/drill-tool.ts'
import { liftLock, setLock } from '../../src/actions/lock.ts'
import { readLoad, readStatus } from '../../src/actions/read-status.ts'
import { createDrills, type Drills } from '../../src/actions/run-drills.ts'
import { settleRevision } from '../../src/actions/settle-revision.ts'
import type { DrillSchedule } from '../../src/core/manifest.ts'
import { as } from '../support/harness.ts'
import { accountTool, setOf } from '../support/manifest-set.ts'
import { unwrap } from '../support/store-on-disk.ts'
import { createStage, SET, type Stage } from './stage.ts'

const HOUR = 3600
const HOURLY: DrillSchedule = { everySeconds: HOUR, scope: null, details: {} }

let s: Stage
let drills: Drills
beforeEach(async () => {
  s = await createStage()
  drills = createDrills(s.h.deps)
  await schedule({ desk: HOURLY })
})
afterEach(async () => {
  await drills.stop()
  await s.close()
})

async function schedule(of: { desk?: DrillSchedule; board?: DrillSchedule }) {
  const tools = (['desk', 'board'] as const).map((name) => {
    const drill = of[name]
    return accountTool(name, drill === undefined ? {} : { drill })
  })
  const set = setOf(...SET.agents.values(), ...tools)
  const applied = unwrap(await applyManifests(s.h.deps, as.watcher, { set, base: null }))
  unwrap(await settleRevision(s.h.deps, as.admin, { id: applied.revision.id, decision: 'accept', reason: null }))
}
/** Everything that comes round comes, until this has ended or patience has; whether it has. */
async function whilst(working: Promise<unknown>, patience = 400) {
  let over = false
  void working.finally(() => {
    over = true
  })
  for (let left = patience; !over && left > 0; left--) {
    await s.rounds(1, 0)
    await turn()
  }
  return over
}
/** One look for what is due, and what it began. */
const look = async (patience = 400) => whilst((await drills.round()).ended, patience)
const drilled = async () =>
  (await s.h.trail())
    .filter(({ kind }) => kind === 'tool.drilled')
    .map(({ subject, body }) => [subject.tool, body.outcome])
const later = (seconds: number) => s.h.disk.clock.advance(seconds)
const made = (calls = s.tool.calls) => calls.filter((call) => call.startsWith('create')).length
describe('a drill on schedule', () => {
  test('is made at once, then once an interval, by the broker itself; and only where a manifest says so (P5)', async () => {
    await look()
    expect(await drilled()).toEqual([['desk', 'dead']])
    const [record] = (await s.h.trail()).filter(({ kind }) => kind === 'tool.drilled')
    expect(record?.actor).toMatchObject({ type: 'system' })
    await look()
    later(HOUR - 60)
    await look()
    expect(made()).toBe(1)
    later(60)
    await look()
    expect(made()).toBe(2)
    expect([s.tool.active(), s.other.calls]).toEqual([[], []])
  })

  test('accepting a schedule ends no grant, and a drill leaves its accounts alone (S1)', async () => {
    const { token } = unwrap(await s.mint())
    await schedule({ desk: { ...HOURLY, scope: 'comment' } })
    await look()
    expect(await drilled()).toEqual([['desk', 'dead']])
    expect(s.tool.works(token)).toBe(true)
  })

  test('a drill by hand counts as one, and a restart changes nothing', async () => {
    const byHand = drillTool(
      s.h.deps,
      as.operator,
      { tool: 'desk', scope: null, details: {} },
      new AbortController().signal,
    )
    await whilst(byHand)
    await s.crash()
    drills = createDrills(s.h.deps)
    later(HOUR - 60)
    await look()
    expect(made()).toBe(1)
    later(60)
    await look()
    expect(made()).toBe(2)
  })

  test('one begins at each look, and none while one of its tool is under way (P10)', async () => {
    await schedule({ desk: HOURLY, board: HOURLY })
    for (const tool of [s.tool, s.other]) tool.fault = (op) => (op === 'create' ? 'hang' : null)
    const begun: Promise<void>[] = []
    for (const canaries of [['board'], ['board', 'desk'], ['board', 'desk']]) {
      // Two at once are one.
      const [one, other] = await Promise.all([drills.round(), drills.round()])
      begun.push(one.ended, other.ended)
      await expect.poll(async () => (await s.h.rows('account')).map(({ tool }) => tool).sort()).toEqual(canaries)
    }
    await whilst(Promise.all(begun), Number.POSITIVE_INFINITY)
    expect([made(), made(s.other.calls)]).toEqual([1, 1])
  })

  test.each([
    { kind: 'tool', name: 'desk' },
    { kind: 'everything', name: '' },
  ] as const)('not while there is a lock on $kind; and then nothing is said of it (S12)', async (of) => {
    const { lock } = unwrap(
      await setLock(s.h.deps, as.admin, { ...of, reason: 'x', forSeconds: null, revokeGrants: false }),
    )
    await look()
    expect([s.tool.calls, await drilled()]).toEqual([[], []])
    unwrap(await liftLock(s.h.deps, as.admin, { lock: lock.id, reason: null }))
    await look()
    expect(await drilled()).toEqual([['desk', 'dead']])
  })

  test('that fails is loud everywhere, and tried again after a pause that grows (P10)', async () => {
    s.tool.fault = (op) => (op === 'create' ? 'down' : null)
    await look()
    expect(await drilled()).toEqual([['desk', 'not made']])
    expect((await readLoad(s.h.deps)).drillsFailing).toEqual(
      new Map([
        ['board', false],
        ['desk', true],
      ]),
    )
    await s.rounds(12, 20)
    // Well past the first pause by now; the second is twice as long.
    await look()
    expect((await drilled()).length).toBe(2)
    await s.rounds(4, 20)
    await look()
    expect((await drilled()).length).toBe(2)
    await s.rounds(12, 20)
    s.tool.fault = () => null
    await look()
    expect((await drilled()).at(-1)).toEqual(['desk', 'dead'])
    expect(await isDrillFailing(s.h.deps, 'desk', HOURLY)).toBe(false)
    expect(s.tool.active()).toEqual([])
  })

  test('makes no second canary while one may be alive, not even after a restart (S16)', async () => {
    s.tool.fault = (op) => (op === 'remove' ? 'error' : null)
    expect(await look(40)).toBe(false)
    await drills.stop()
    await s.crash()
    drills = createDrills(s.h.deps)
    later(2 * HOUR)
    await look()
    expect([made(), s.tool.active().length]).toEqual([1, 1])
    expect(await isDrillFailing(s.h.deps, 'desk', HOURLY)).toBe(true)
    s.tool.fault = () => null
    await s.rounds(8, 20)
    expect(s.tool.active()).toEqual([])
    await look()
    expect(made()).toBe(2)
  })

  test('whose secret opened nothing is a failure, though its canary is gone', async () => {
    s.tool.fault = (op) => (op === 'probe' ? 'lie' : null)
    await look()
    const { drills: shown } = unwrap(await readStatus(s.h.deps, as.admin.caller))
    expect(shown).toContainEqual({
      tool: 'desk',
      last: expect.objectContaining({ status: 'unusable' }),
      every: '1h',
      failing: true,
    })
  })

  test('that is refused before there is a canary is tried again after a pause, and holds up no other', async () => {
    const warned: unknown[] = []
    const log = { ...s.h.deps.log, warn: (fields: object) => void warned.push(fields) }
    drills = createDrills({ ...s.h.deps, log })
    await schedule({ board: { ...HOURLY, scope: 'nothing' }, desk: HOURLY })
    await look()
    await look()
    expect([s.other.calls, await drilled()]).toEqual([[], [['desk', 'dead']]])
    expect(await isDrillFailing(s.h.deps, 'board', HOURLY)).toBe(true)
    await look()
    later(60)
    await look()
    later(60)
    await look()
    const refused = { tool: 'board', code: 'scope_not_in_manifest' }
    expect(warned).toEqual([
      { ...refused, failures: 1 },
      { ...refused, failures: 2 },
    ])
  })

  test('that is overdue is failing, whatever the last one said', async () => {
    await look()
    expect(await isDrillFailing(s.h.deps, 'desk', HOURLY)).toBe(false)
    later(HOUR + 2 * 60)
    expect(await isDrillFailing(s.h.deps, 'desk', HOURLY)).toBe(true)
    expect(await isDrillFailing(s.h.deps, 'desk', undefined)).toBe(false)
  })
})
