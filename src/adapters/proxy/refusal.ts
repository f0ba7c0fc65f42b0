// Every "no" of the proxy: problem+json (RFC 9457) with our stable code, and the challenge a client needs (RFC 6750). It
// says nothing of the tool's own credential, and nothing that the tool said.

import type { Problem, ProblemCode } from '../../core/problem.ts'

export type Refused = { readonly problem: Problem; readonly status: number }

/** A token's own end is told as RFC 6750 wants it, so that the caller gets another. */
const TOKEN_ENDED: ReadonlySet<ProblemCode> = new Set([
  'unauthenticated',
  'session_revoked',
  'grant_revoked',
  'grant_expired',
])

const STATUS: Partial<Record<ProblemCode, number>> = {
  invalid_request: 400,
  rate_limited: 429,
  overloaded: 503,
  stale_view: 503,
  audit_unavailable: 503,
  not_initialized: 503,
  conflict: 503,
  internal: 500,
}

export const refused = (problem: Problem, status?: number): Refused => ({
  problem,
  status: status ?? (TOKEN_ENDED.has(problem.code) ? 401 : (STATUS[problem.code] ?? 403)),
})

export function refusalHeaders({ problem, status }: Refused): Record<string, string> {
  const { code, message, retryAfterSeconds } = problem
  const quotable = message.replaceAll('"', "'").replace(/[^\x20-\x21\x23-\x5b\x5d-\x7e]/g, '?')
  const challenge =
    status === 401
      ? `Bearer realm="hallpass", error="invalid_token", error_description="${quotable}"`
      : code === 'scope_not_in_manifest' || code === 'details_not_allowed'
        ? 'Bearer realm="hallpass", error="insufficient_scope"'
        : null
  return {
    'Content-Type': 'application/problem+json',
    ...(challenge === null ? {} : { 'WWW-Authenticate': challenge }),
    ...(retryAfterSeconds === undefined ? {} : { 'Retry-After': String(retryAfterSeconds) }),
  }
}

export const refusalBody = ({ problem, status }: Refused, requestId: string): string =>
  JSON.stringify({
    type: 'about:blank',
    title: problem.message,
    status,
    code: problem.code,
    ...(problem.hint === undefined ? {} : { hint: problem.hint }),
    requestId,
  })
