// Every "no" of the verifiers' edge: problem+json (RFC 9457) with our stable code, and the challenge a client needs (RFC 6750).

import type { Context } from 'hono'
import type { EdgeVariables } from '../../actions/edge.ts'
import { rawHeader } from '../../actions/raw-header.ts'
import type { Problem } from '../../core/problem.ts'

export type VerifierContext = Context<{ Variables: EdgeVariables }>

/** As much of a request as deciding needs, whatever it came through. */
export type Asking = {
  readonly requestId: string
  readonly remote: string
  /** All values of a header (its name in lower case) as they came over the wire. */
  header(name: string): readonly string[]
}

export const askingOf = (c: VerifierContext): Asking => ({
  requestId: c.get('requestId'),
  remote: c.get('remote'),
  header: (name) => rawHeader(c, name),
})

export type Answer = {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | null
}

/** Plain headers on a plain Response: Hono's own way makes a Headers object, which is then read back into a plain one. */
export const respond = ({ status, headers, body }: Answer): Response => new Response(body, { status, headers })

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

export const refusal = (c: VerifierContext, why: Refused): Response => respond(refusalOf(c.get('requestId'), why))

export function refusalOf(requestId: string, { problem, status, challenge }: Refused): Answer {
  const { code, message, hint, retryAfterSeconds } = problem
  const body = {
    type: 'about:blank',
    title: message,
    status,
    code,
    ...(hint === undefined ? {} : { hint }),
    requestId,
  }
  return {
    status,
    headers: {
      'Content-Type': 'application/problem+json',
      'Cache-Control': 'no-store',
      ...(challenge === undefined ? {} : { 'WWW-Authenticate': challenge }),
      ...(retryAfterSeconds === undefined ? {} : { 'Retry-After': String(retryAfterSeconds) }),
    },
    body: JSON.stringify(body),
  }
}
