import { expect, test } from 'vitest'
import { createRateLimiter } from '../../src/actions/rate-limit.ts'
import { RATE } from '../../src/core/limits.ts'
import { movableClock } from '../support/store-on-disk.ts'

test('what is over the capacity is refused, and told when to come back (S17)', () => {
  const limiter = createRateLimiter({ capacity: 3, refillPerSecond: 0.5, maxKeys: 10 }, movableClock())
  expect([1, 2, 3].map(() => limiter.take('a').ok)).toEqual([true, true, true])
  expect(limiter.take('a')).toMatchObject({
    ok: false,
    error: { code: 'rate_limited', retryable: true, retryAfterSeconds: 2 },
  })
  expect(limiter.take('b').ok).toBe(true)
})

test('a bucket fills with time, up to its capacity and no further (S17)', () => {
  const clock = movableClock()
  const limiter = createRateLimiter({ capacity: 2, refillPerSecond: 1, maxKeys: 10 }, clock)
  limiter.take('a', 2)
  expect(limiter.take('a').ok).toBe(false)
  clock.advance(1)
  expect(limiter.take('a').ok).toBe(true)
  expect(limiter.take('a').ok).toBe(false)
  clock.advance(3600)
  expect([1, 2, 3].map(() => limiter.take('a').ok)).toEqual([true, true, false])
})

test('hammering at an empty bucket does not keep it empty (S17)', () => {
  const clock = movableClock()
  const limiter = createRateLimiter({ capacity: 1, refillPerSecond: 1, maxKeys: 10 }, clock)
  limiter.take('a')
  for (let tenth = 0; tenth < 9; tenth++) {
    clock.advance(0.1)
    expect(limiter.take('a').ok).toBe(false)
  }
  clock.advance(0.11)
  expect(limiter.take('a').ok).toBe(true)
})

test('the memory of a limiter is bounded, however many strangers come (S17)', () => {
  const limiter = createRateLimiter({ capacity: 1, refillPerSecond: 0.001, maxKeys: 100 }, movableClock())
  limiter.take('regular')
  for (let stranger = 0; stranger < 99; stranger++) limiter.take(`stranger-${stranger}`)
  expect(limiter.take('regular').ok).toBe(false)
  for (let stranger = 0; stranger < 200; stranger++) limiter.take(`newcomer-${stranger}`)
  expect(limiter.take('regular').ok).toBe(true)
})

test('one agent may mint thousands in a burst, and ask a person only thirty times a minute (S17)', () => {
  const clock = movableClock()
  const mints = createRateLimiter(RATE.mintPerAgent, clock)
  const asks = createRateLimiter(RATE.askPerAgent, clock)
  const allowed = (limiter: typeof mints, tries: number) =>
    Array.from({ length: tries }, () => limiter.take('triage-bot').ok).filter(Boolean).length
  expect(allowed(mints, 2500)).toBe(2000)
  expect(allowed(asks, 100)).toBe(30)
  clock.advance(60)
  expect(allowed(asks, 100)).toBe(30)
})
