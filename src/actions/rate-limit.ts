// A bounded token bucket per key, asked before anything costly (S17). It only slows: losing a bucket lets nobody in.

import { LRUCache } from 'lru-cache'
import { type Problem, problem } from '../core/problem.ts'
import { err, ok, type Result } from '../core/result.ts'
import type { Clock } from './ports.ts'

export type Rate = {
  /** Calls at once. */
  readonly capacity: number
  readonly refillPerSecond: number
  /** Buckets remembered; the least recently asked is forgotten, and full when it comes back. */
  readonly maxKeys: number
}

export interface RateLimiter {
  /** Takes `cost` from the key's bucket, or refuses with `rate_limited` and when to come back; a refusal takes nothing. */
  take(key: string, cost?: number): Result<void, Problem>
}

export function createRateLimiter(rate: Rate, clock: Pick<Clock, 'monotonic'>): RateLimiter {
  const buckets = new LRUCache<string, { left: number; at: number }>({ max: rate.maxKeys })
  return {
    take(key, cost = 1) {
      const now = clock.monotonic()
      const bucket = buckets.get(key) ?? { left: rate.capacity, at: now }
      const left = Math.min(rate.capacity, bucket.left + ((now - bucket.at) / 1000) * rate.refillPerSecond)
      const enough = left >= cost
      buckets.set(key, { left: enough ? left - cost : left, at: now })
      if (enough) return ok(undefined)
      const retryAfterSeconds = Math.max(1, Math.ceil((cost - left) / rate.refillPerSecond))
      return err(
        problem('rate_limited', 'Too many calls in a short time.', {
          retryable: true,
          retryAfterSeconds,
          hint: `Wait ${retryAfterSeconds} s before the next one.`,
        }),
      )
    },
  }
}
