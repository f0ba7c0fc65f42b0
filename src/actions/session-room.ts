// How many sessions an agent may have open, and whose turn it is to open one: whoever opens one after the same last one
// comes second, and looks again. Two bounded pages of the agent's own rows, never a count of all.

import { digest } from '../core/canonical.ts'
import { OPEN } from '../core/limits.ts'
import type { Instant } from '../core/model.ts'
import { type Problem, problem } from '../core/problem.ts'
import { err, ok, type Result } from '../core/result.ts'
import type { Deps } from './ports.ts'
import { turnOf } from './transact.ts'

/** The turn that the commit uses up, until when it is kept; or `rate_limited` with the end of the earliest session. */
export async function roomForSession(
  deps: Pick<Deps, 'store'>,
  agent: string,
  now: Instant,
  until: Instant,
): Promise<Result<ReturnType<typeof turnOf>, Problem>> {
  const newest = { kind: 'session', newestFirst: true } as const
  const [last, open] = await Promise.all([
    deps.store.list({ ...newest, where: { agent }, limit: 1 }),
    deps.store.list({ ...newest, where: { agent, state: 'open' }, limit: OPEN.sessionsPerAgent }),
  ])
  const ends = open.rows.flatMap(({ expiresAt }) => (expiresAt > now ? [expiresAt] : []))
  if (ends.length < OPEN.sessionsPerAgent) {
    const seen = [...last.rows, ...open.rows].map(({ id }) => id)
    return ok(turnOf(`session of ${agent} after ${digest(seen)}`, until))
  }
  const retryAfterSeconds = Math.max(1, Math.ceil((Math.min(...ends) - now) / 1000))
  return err(
    problem('rate_limited', `${agent} has ${ends.length} sessions open, which is as many as one agent may have.`, {
      retryable: true,
      retryAfterSeconds,
      hint: `Use a session's token until it ends, or end one that is not needed (POST /oauth/revoke with its token). The earliest ends in ${retryAfterSeconds} s.`,
    }),
  )
}
