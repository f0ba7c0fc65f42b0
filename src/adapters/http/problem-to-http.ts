// From a Problem to what goes over HTTP: one status a code, and RFC 9457 problem details. The precise reason (`detail`
// of the Problem) stays on the trail and is never sent.

import type { Problem, ProblemCode } from '../../core/problem.ts'

/** Adding a code without a row here fails the build. */
export const STATUS_OF: Readonly<Record<ProblemCode, number>> = {
  unauthenticated: 401,
  forbidden: 403,
  not_initialized: 503,
  unknown_agent: 404,
  unknown_tool: 404,
  scope_not_in_manifest: 403,
  details_not_allowed: 403,
  approval_required: 403,
  approval_denied: 403,
  request_expired: 410,
  grant_expired: 410,
  grant_revoked: 410,
  session_revoked: 401,
  agent_locked: 403,
  agent_decommissioned: 403,
  tool_locked: 403,
  review_overdue: 403,
  rate_limited: 429,
  overloaded: 503,
  delivery_not_inline: 409,
  manifest_invalid: 422,
  audit_unavailable: 503,
  stale_view: 503,
  conflict: 409,
  invalid_request: 400,
  internal: 500,
}

const TITLE_OF: Readonly<Record<ProblemCode, string>> = {
  unauthenticated: 'Not authenticated',
  forbidden: 'Not allowed',
  not_initialized: 'Not initialised',
  unknown_agent: 'Unknown agent',
  unknown_tool: 'Unknown tool',
  scope_not_in_manifest: 'Scope not in the manifest',
  details_not_allowed: 'Details not allowed',
  approval_required: 'Approval required',
  approval_denied: 'Approval denied',
  request_expired: 'Request expired',
  grant_expired: 'Grant expired',
  grant_revoked: 'Grant revoked',
  session_revoked: 'Session revoked',
  agent_locked: 'Agent locked',
  agent_decommissioned: 'Agent decommissioned',
  tool_locked: 'Tool locked',
  review_overdue: 'Review overdue',
  rate_limited: 'Too many calls',
  overloaded: 'Overloaded',
  delivery_not_inline: 'Delivery is not inline',
  manifest_invalid: 'Manifest invalid',
  audit_unavailable: 'Audit trail unavailable',
  stale_view: 'View is stale',
  conflict: 'Conflict',
  invalid_request: 'Invalid request',
  internal: 'Internal error',
}

export const statusOfProblem = (problem: Problem): number => (problem.missing ? 404 : STATUS_OF[problem.code])

/** RFC 9457 section 3, with the members of the contract. */
function problemDetails(problem: Problem, requestId: string, status = statusOfProblem(problem)) {
  const { code, message, hint, retryable, retryAfterSeconds, nextTool, didYouMean, manifestPatch } = problem
  return {
    type: `urn:hallpass:problem:${code}`,
    title: TITLE_OF[code],
    status,
    detail: message,
    code,
    ...(hint === undefined ? {} : { hint }),
    requestId,
    ...(retryable === undefined ? {} : { retryable }),
    ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
    ...(nextTool === undefined ? {} : { nextTool }),
    ...(didYouMean === undefined ? {} : { didYouMean }),
    ...(manifestPatch === undefined ? {} : { manifestPatch }),
  }
}

/** The whole answer; a 401 says how to authenticate (RFC 6750 section 3). */
export function problemAnswer(problem: Problem, requestId: string, status = statusOfProblem(problem)) {
  const headers: Record<string, string> = {
    'Content-Type': 'application/problem+json',
    'Cache-Control': 'no-store',
    ...(problem.retryAfterSeconds === undefined ? {} : { 'Retry-After': String(problem.retryAfterSeconds) }),
    ...(status === 401 ? { 'WWW-Authenticate': 'Bearer realm="hallpass"' } : {}),
  }
  return { status, headers, body: JSON.stringify(problemDetails(problem, requestId, status)) }
}

export function problemResponse(problem: Problem, requestId: string, status = statusOfProblem(problem)): Response {
  const { headers, body } = problemAnswer(problem, requestId, status)
  return new Response(body, { status, headers })
}
