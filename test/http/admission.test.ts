// Who is let in at once, who waits and who is turned away: by counts, on a clock that the test holds.

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { createAdmission } from '../../src/adapters/http/admission.ts'
import { classOf } from '../../src/wire/admit.ts'

const ROOMS = { agents: { atOnce: 2, waiting: 3 }, people: { atOnce: 1, waiting: 1 } }
const PATIENCE = { waitMs: 1000, placeMs: 400 }

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

/** Enters `count` times, and says as it stands who is in, who waits and who was turned away. */
function crowd(count: number) {
  const admission = createAdmission<keyof typeof ROOMS>(ROOMS, PATIENCE, () => Date.now())
  const leaves: (() => void)[] = []
  let turnedAway = 0
  const enter = async (of: keyof typeof ROOMS) => {
    const leave = await admission.enter(of)
    if (leave === null) turnedAway++
    else leaves.push(leave)
  }
  for (let i = 0; i < count; i++) void enter('agents')
  return { admission, leaves, enter, turnedAway: () => turnedAway }
}
const settled = () => vi.advanceTimersByTimeAsync(0)

describe('of a crowd', () => {
  test('as many are served as there are places, as many wait as may, and the rest is turned away at once (S17)', async () => {
    const { admission, leaves, turnedAway } = crowd(50)
    await settled()
    expect(admission.occupied().agents).toEqual({ atOnce: 2, waiting: 3 })
    expect([leaves.length, turnedAway()]).toEqual([2, 45])
  })

  test('whoever waits is served in turn as places are given back, each once (S17)', async () => {
    const { admission, leaves, turnedAway } = crowd(5)
    await settled()
    for (let served = 0; served < 5; served++) {
      const leave = leaves[served]!
      leave()
      leave()
      await settled()
      expect(leaves).toHaveLength(Math.min(5, served + 3))
    }
    expect(turnedAway()).toBe(0)
    expect(admission.occupied().agents).toEqual({ atOnce: 0, waiting: 0 })
  })

  test('whoever waited too long is turned away (S17)', async () => {
    const admission = createAdmission({ agents: ROOMS.agents }, { waitMs: 1000, placeMs: 60_000 }, () => Date.now())
    void admission.enter('agents')
    void admission.enter('agents')
    const waits = admission.enter('agents')
    await vi.advanceTimersByTimeAsync(999)
    expect(admission.occupied().agents.waiting).toBe(1)
    await vi.advanceTimersByTimeAsync(1)
    expect(await waits).toBeNull()
  })

  test('a call that itself waits for somebody gives its place up, and gives none back twice (S17)', async () => {
    const { admission, leaves } = crowd(4)
    await vi.advanceTimersByTimeAsync(PATIENCE.placeMs)
    expect(leaves).toHaveLength(4)
    leaves[0]!()
    leaves[1]!()
    expect(admission.occupied().agents).toEqual({ atOnce: 2, waiting: 0 })
  })

  test('a thousand who waited too long are turned away a few at a time (S17)', async () => {
    const rooms = { agents: { atOnce: 1, waiting: 1000 } }
    const admission = createAdmission(rooms, { waitMs: 10, placeMs: 60_000 }, () => Date.now())
    for (let i = 0; i < 1001; i++) void admission.enter('agents')
    await vi.advanceTimersByTimeAsync(10)
    const left = admission.occupied().agents.waiting
    expect(left).toBeGreaterThan(900)
    await vi.advanceTimersByTimeAsync(100)
    expect(admission.occupied().agents.waiting).toBe(0)
  })

  test('nobody waits for another class (S17)', async () => {
    const { enter, leaves } = crowd(50)
    await settled()
    void enter('people')
    await settled()
    expect(leaves).toHaveLength(3)
  })

  test('whoever waits when it closes is turned away', async () => {
    const { admission, turnedAway } = crowd(5)
    await settled()
    admission.close()
    await settled()
    expect(turnedAway()).toBe(3)
  })
})

test.each([
  ['/healthz', undefined, null],
  ['/readyz', undefined, null],
  ['/forward-auth', 'Bearer eyJ', 'checks'],
  ['/oauth/introspect', undefined, 'checks'],
  ['/guard/feed', undefined, 'checks'],
  ['/.well-known/jwks.json', undefined, 'checks'],
  ['/oauth/token', undefined, 'agents'],
  ['/mcp', 'Bearer eyJ', 'agents'],
  ['/v1/requests', 'Bearer eyJ', 'agents'],
  ['/v1/requests', 'bearer  eyJ', 'agents'],
  ['/v1/locks', 'Bearer hp_admin_1', 'people'],
  ['/v1/agents/a/decommission', 'Bearer hp_admin_1', 'people'],
  ['/oauth/revoke', 'Bearer eyJ', 'people'],
  ['/console/requests', undefined, 'people'],
  ['/metrics', 'Bearer hp_auditor_1', 'people'],
])('a call of %s with %s is of class %s (S17)', (path, authorization, expected) => {
  expect(classOf(path, authorization)).toBe(expected)
})
