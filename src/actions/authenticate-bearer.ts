// From a bearer secret to the caller it stands for. It establishes who; what they may do is looked up at each use (S10).

import { parseBearer, shapedBearer } from '../core/bearer.ts'
import type { Bearer } from '../core/model.ts'
import { type Problem, problem } from '../core/problem.ts'
import { err, ok, type Result } from '../core/result.ts'
import type { Caller, Deps } from './ports.ts'

/** Whoever holds a bearer: everybody but agents (they have sessions) and the operator (who has the socket). */
export type BearerCaller = Exclude<Caller, { role: 'agent' | 'operator' }>

/**
 * The caller, or `unauthenticated` with one message for every cause: the precise one is in `detail`, for the trail. The
 * secret is found by its hash, so no comparison's time tells anything about it.
 */
export async function authenticateBearer(
  deps: Pick<Deps, 'store' | 'clock'>,
  token: string,
): Promise<Result<BearerCaller, Problem>> {
  const parsed = shapedBearer(token)
  if (parsed === null) return err(refused('not a bearer token of this broker'))
  const { rows } = await deps.store.list({ kind: 'bearer', where: { hash: parsed.hash }, limit: 1 })
  const bearer = rows[0]
  if (bearer === undefined || bearer.hash !== parsed.hash || bearer.kind !== parsed.kind) {
    return err(refused(parseBearer(token) === null ? 'not a bearer token of this broker' : 'an unknown bearer token'))
  }
  if (bearer.revokedAt !== null) return err(refused(`bearer ${bearer.id} was revoked`))
  if (bearer.expiresAt <= deps.clock.now()) return err(refused(`bearer ${bearer.id} has expired`))
  return ok(callerOf(bearer))
}

function callerOf({ id, kind, subject }: Bearer): BearerCaller {
  switch (kind) {
    case 'owner':
      return { role: 'owner', email: subject, bearer: id }
    case 'verifier':
      return { role: 'verifier', tool: subject, bearer: id }
    default:
      return { role: kind, id: subject, bearer: id }
  }
}

const refused = (detail: string): Problem =>
  problem('unauthenticated', 'This token is not valid: unknown, revoked or expired.', {
    hint: "Ask the broker's operator for a new one.",
    detail,
  })
