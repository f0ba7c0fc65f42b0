// When the next drill of a tool is due, by what is stored of those before.

import { describe, expect, test } from 'vitest'
import { type Canary, drillPause, drillStatus, lowestRisk, nextDrillAt } from '../../src/core/drill-schedule.ts'
import { DRILL } from '../../src/core/limits.ts'

const HOUR = 3_600_000
const GONE = 15_000
const dead = (createdAt: number, more: Partial<Canary> = {}): Canary => ({
  state: 'gone',
  because: 'drill over',
  createdAt,
  leavingSince: createdAt + 100,
  readBackAt: createdAt + 150,
  probedAt: createdAt + 200,
  ...more,
})
const notMade = (at: number) => dead(at, { because: 'left over', probedAt: null })
const unusable = (at: number) => dead(at, { because: 'drill over, its secret opened nothing' })
const slow = (at: number) => dead(at, { probedAt: at + 100 + GONE + 1 })
const alive = (at: number) => dead(at, { state: 'leaving', probedAt: null, readBackAt: null })

describe('the next drill', () => {
  const MIN = DRILL.retryMs
  test.each<[string, readonly Canary[], number | null]>([
    ['is due at once where there was none', [], Number.NEGATIVE_INFINITY],
    ['is due an interval after one that went well', [dead(1_000)], 1_000 + 24 * HOUR],
    ['is soon after one whose account was not made', [notMade(1_000), dead(0)], 1_000 + MIN],
    ['is soon after one whose secret opened nothing', [unusable(1_000), dead(0)], 1_000 + MIN],
    ['is soon after one that died too late', [slow(1_000), dead(0)], 1_000 + MIN],
    ['waits twice as long after each that failed again', [notMade(9), slow(8), unusable(7), dead(6)], 9 + 4 * MIN],
    ['counts no failure from before one that went well', [dead(9), notMade(8), notMade(7)], 9 + 24 * HOUR],
    ['waits no longer than a quarter of a day', Array.from({ length: 12 }, () => notMade(5)), 5 + 6 * HOUR],
    ['is never due while a canary is being made', [alive(1_000), dead(0)], null],
    ['is never due while a canary may be alive', [{ ...alive(1_000), state: 'present' }], null],
  ])('%s (P9)', (_, canaries, at) => {
    expect(nextDrillAt(canaries, 24 * HOUR, GONE)).toBe(at)
  })

  test('after one that failed is never later than after one that went well', () => {
    expect(drillPause(12, HOUR)).toBe(HOUR)
    expect(drillPause(1_000, 24 * HOUR)).toBe(DRILL.retryMsMax)
  })
})

test('what a canary says of its drill', () => {
  expect([dead(1), notMade(1), unusable(1), alive(1)].map(drillStatus)).toEqual([
    'dead',
    'not made',
    'unusable',
    'outstanding',
  ])
})

test('the least that there is has the lowest risk, and the first name of those', () => {
  expect(lowestRisk({ c: { risk: 'medium' }, b: { risk: 'low' }, a: { risk: 'high' }, d: { risk: 'low' } })).toBe('b')
  expect(lowestRisk({})).toBe('')
})
