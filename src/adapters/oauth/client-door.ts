// Whose signature is looked at, before it is (S17). Behind a reverse proxy everybody has one remote address, so strangers
// there must not shut out its agents, and who merely says to be an agent must not shut out that agent. Four purses, asked in
// this order; each pays for one check that fails, and gets back what a good one took:
// 1. the pair of address and agent, where that agent proved itself from there of late;
// 2. the address, as at every other edge;
// 3. one of many small ones, found by a secret hash of the name that is claimed: after a restart, when nobody is remembered,
//    a flood under other names leaves an honest one its share;
// 4. one that all share: under a flood in an agent's own name, its next tries still meet some.
// So signatures are checked at a bounded rate, whoever floods; memory is bounded; forgetting anything lets nobody in. What a
// request says of its origin (X-Forwarded-*) is never read (S14).

import { createHmac, randomBytes } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { Edge } from '../../actions/edge.ts'
import { createRateLimiter, type RateLimiter } from '../../actions/rate-limit.ts'
import { DOOR, RATE } from '../../core/limits.ts'
import type { Problem } from '../../core/problem.ts'
import { err, ok, type Result } from '../../core/result.ts'

/** One who may try. */
export type Try = {
  /** What whoever proves nothing is told instead of the reason, where the address had used its own up. */
  readonly slowed: Problem | null
  /** The signature was good: the try cost nothing, and the pair is remembered. */
  proved(): void
  /** No signature was looked at: the try cost nothing. */
  untried(): void
}

export interface ClientDoor {
  knock(remote: string, agent: string): Result<Try, Problem>
}

export function createClientDoor({ deps, limiters }: Pick<Edge, 'deps' | 'limiters'>): ClientDoor {
  const secret = randomBytes(32)
  const proven = new LRUCache<string, true>({ max: RATE.provenPair.maxKeys, ttl: DOOR.remembersSeconds * 1000 })
  const pairs = createRateLimiter(RATE.provenPair, deps.clock)
  const names = createRateLimiter(RATE.claimedName, deps.clock)
  const all = createRateLimiter(RATE.claimedByAnybody, deps.clock)
  const slotOf = (agent: string) =>
    String(createHmac('sha256', secret).update(agent).digest().readUInt32BE(0) % RATE.claimedName.maxKeys)

  return {
    knock(remote, agent) {
      const pair = `${remote} ${agent}`
      const from = (purse: RateLimiter, key: string, slowed: Problem | null): Try | Problem => {
        const taken = purse.take(key)
        if (!taken.ok) return taken.error
        const untried = () => void purse.take(key, -1)
        const proved = () => {
          untried()
          proven.set(pair, true)
        }
        return { slowed, proved, untried }
      }
      const known = proven.has(pair) ? from(pairs, pair, null) : null
      if (known !== null && !isProblem(known)) return ok(known)
      const own = from(limiters.stranger, remote, null)
      if (!isProblem(own)) return ok(own)
      const named = from(names, slotOf(agent), own)
      if (!isProblem(named)) return ok(named)
      const shared = from(all, '', own)
      return isProblem(shared) ? err(shared) : ok(shared)
    },
  }
}

const isProblem = (one: Try | Problem): one is Problem => 'code' in one
