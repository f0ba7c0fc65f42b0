// How many sessions an agent may have open. They are counted once, and then only as often as the room that was found is
// used up: what ends meanwhile only makes more of it. Losing what is remembered here costs a count, nothing else.

import { LRUCache } from 'lru-cache'
import { OPEN, PAGE } from '../core/limits.ts'
import type { Instant, Session } from '../core/model.ts'
import { type Problem, problem } from '../core/problem.ts'
import { err, type Result } from '../core/result.ts'
import type { Deps, Page, Store } from './ports.ts'

type Found = {
  /** Openings that are under way: no count sees them. */
  opening: number
  left: number
  /** When the earliest of those that were counted ends. */
  firstEnd: Instant
  /** Monotonic, milliseconds. */
  countedAt: number
  counting: Promise<void> | null
}

/** An agent that has no room cannot make us count without end. */
const RECOUNT_AFTER_MS = 250
const AGENTS = 10_000

const known = new WeakMap<Store, LRUCache<string, Found>>()

/** Runs `open` if there is room for one session more, else answers `rate_limited` with the end of the earliest. */
export async function inRoom<T>(
  deps: Pick<Deps, 'store' | 'clock'>,
  agent: string,
  open: () => Promise<Result<T, Problem>>,
): Promise<Result<T, Problem>> {
  const found = foundFor(deps.store, agent)
  if (found.left <= 0 && deps.clock.monotonic() - found.countedAt >= RECOUNT_AFTER_MS) {
    found.counting ??= count(deps, agent, found).finally(() => {
      found.counting = null
    })
    await found.counting
  }
  if (found.left <= 0) return err(noRoom(agent, Math.max(1, Math.ceil((found.firstEnd - deps.clock.now()) / 1000))))
  found.left--
  found.opening++
  try {
    const opened = await open()
    if (!opened.ok) found.left++
    return opened
  } finally {
    found.opening--
  }
}

function foundFor(store: Store, agent: string): Found {
  const agents = known.get(store) ?? new LRUCache<string, Found>({ max: AGENTS })
  known.set(store, agents)
  const found = agents.get(agent) ?? {
    opening: 0,
    left: 0,
    firstEnd: 0,
    countedAt: Number.NEGATIVE_INFINITY,
    counting: null,
  }
  agents.set(agent, found)
  return found
}

/** The newest alone, at most as many as there may be: whatever is older than those is over before them. */
async function count(deps: Pick<Deps, 'store' | 'clock'>, agent: string, found: Found): Promise<void> {
  const now = deps.clock.now()
  const ends: Instant[] = []
  let after: string | null = null
  do {
    const page: Page<'session'> = await deps.store.list({
      kind: 'session',
      where: { agent, state: 'open' },
      newestFirst: true,
      limit: PAGE.max,
      ...(after === null ? {} : { after }),
    })
    ends.push(...page.rows.flatMap(({ expiresAt }: Session) => (expiresAt > now ? [expiresAt] : [])))
    after = page.rows.some(({ expiresAt }: Session) => expiresAt <= now) ? null : page.next
  } while (after !== null && ends.length < OPEN.sessionsPerAgent)
  found.left = OPEN.sessionsPerAgent - ends.length - found.opening
  found.firstEnd = ends.reduce((first, end) => Math.min(first, end), Number.POSITIVE_INFINITY)
  found.countedAt = deps.clock.monotonic()
}

const noRoom = (agent: string, retryAfterSeconds: number): Problem =>
  problem('rate_limited', `${agent} has ${OPEN.sessionsPerAgent} sessions open, as many as one agent may have.`, {
    retryable: true,
    retryAfterSeconds,
    hint: `Use a session's token until it ends, or end one that is not needed (POST /oauth/revoke with its token). The earliest ends in ${retryAfterSeconds} s.`,
  })
