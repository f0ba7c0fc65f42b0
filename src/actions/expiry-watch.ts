// Knows when a token has surely expired, by elapsed monotonic time: a wall clock that is wrong, or is set forward, must
// not confirm that anything is dead (S15). Where it cannot know, it says that the token may be alive.

import { LRUCache } from 'lru-cache'
import { LEEWAY_SECONDS_MAX, LIFETIME } from '../core/limits.ts'
import type { Instant } from '../core/model.ts'
import type { Clock, ExpiryWatch } from './ports.ts'

/** No token that was minted by a clock that was right is accepted anywhere after this. */
const LONGEST_MS = (LIFETIME.tokenMax + LEEWAY_SECONDS_MAX) * 1000

/**
 * `highest` is the highest time that the store had seen before this process wrote anything: unlike the wall clock at the
 * start, that much is surely past.
 */
export function createExpiryWatch(clock: Clock, highest: Instant): ExpiryWatch {
  const counted = new LRUCache<string, number>({ max: 100_000 })
  let start = { wall: clock.now(), monotonic: clock.monotonic(), highest }

  const uptime = () => clock.monotonic() - start.monotonic
  /** The wall clock, as far as it went by itself since `from`. */
  const gone = (from: Instant) => Math.min(clock.now(), from + uptime())
  const sinceStart = () => gone(Math.max(start.wall, start.highest))

  return {
    saw(revocation) {
      if (!counted.has(revocation)) counted.set(revocation, clock.monotonic())
    },
    counts(revocation) {
      counted.set(revocation, clock.monotonic())
    },
    // What is older than this process may have been issued by another clock than the one that it was started with.
    past: (issuedAt) => (issuedAt < start.wall ? gone(start.highest) : sinceStart()),
    pastForAll: () => (uptime() >= LONGEST_MS ? sinceStart() : gone(start.highest)),
    passed(revocation, livesMs) {
      const since = counted.get(revocation)
      return since !== undefined && clock.monotonic() - since >= livesMs
    },
    restart(mark) {
      start = { wall: clock.now(), monotonic: clock.monotonic(), highest: mark }
    },
  }
}
