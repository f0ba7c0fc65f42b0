// Knows when a token has surely expired, by elapsed monotonic time: a wall clock set forward must not confirm (S15).

import { LRUCache } from 'lru-cache'
import type { Clock, ExpiryWatch } from './ports.ts'

/** After a restart the count begins anew, so nothing is confirmed by expiry before a whole life of the token has passed. */
export function createExpiryWatch(clock: Clock): ExpiryWatch {
  const firstSeen = new LRUCache<string, number>({ max: 100_000 })
  return {
    saw(revocation) {
      if (!firstSeen.has(revocation)) firstSeen.set(revocation, clock.monotonic())
    },
    passed(revocation, at, deadAt, now) {
      const since = firstSeen.get(revocation)
      return since !== undefined && now >= deadAt && clock.monotonic() - since >= deadAt - at
    },
  }
}
