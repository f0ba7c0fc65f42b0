// Every "no" of the verifiers' edge: problem+json (RFC 9457) with our stable code, and the challenge a client needs (RFC 6750).

import type { Context } from 'hono'
import type { EdgeVariables } from '../../actions/edge.ts'
import type { Problem } from '../../core/problem.ts'

export type VerifierContext = Context<{ Variables: EdgeVariables }>

type RefusalStatus = 400 | 401 | 403 | 409 | 413 | 429 | 500 | 503

export type Refused = {
  readonly problem: Problem
  readonly status: RefusalStatus
  /** `WWW-Authenticate`. */
  readonly challenge?: string
}

/** The status of what any route here may answer; a token's own refusals are forward-auth's to word. */
function statusOf({ code }: Problem): RefusalStatus {
  switch (code) {
    case 'unauthenticated':
      return 401
    case 'invalid_request':
      return 400
    case 'conflict':
      return 409
    case 'rate_limited':
      return 429
    case 'overloaded':
    case 'stale_view':
    case 'audit_unavailable':
    case 'not_initialized':
      return 503
    case 'internal':
      return 500
    default:
      return 403
  }
}

export const refused = (problem: Problem): Refused => ({ problem, status: statusOf(problem) })

export function refusal(c: VerifierContext, { problem, status, challenge }: Refused): Response {
  const { code, message, hint, retryAfterSeconds } = problem
  return c.json(
    {
      type: 'about:blank',
      title: message,
      status,
      code,
      ...(hint === undefined ? {} : { hint }),
      requestId: c.get('requestId'),
    },
    status,
    {
      'Content-Type': 'application/problem+json',
      'Cache-Control': 'no-store',
      ...(challenge === undefined ? {} : { 'WWW-Authenticate': challenge }),
      ...(retryAfterSeconds === undefined ? {} : { 'Retry-After': String(retryAfterSeconds) }),
    },
  )
}
