// Every expected refusal, as one shape with a stable code. What an agent may read is `message` and `hint`;
// `detail` is the precise reason and goes to the trail alone.

export const PROBLEM_CODES = [
  'unauthenticated',
  'forbidden',
  'not_initialized',
  'unknown_agent',
  'unknown_tool',
  'scope_not_in_manifest',
  'details_not_allowed',
  'approval_required',
  'approval_denied',
  'request_expired',
  'grant_expired',
  'grant_revoked',
  'session_revoked',
  'agent_locked',
  'agent_decommissioned',
  'tool_locked',
  'review_overdue',
  'rate_limited',
  'overloaded',
  'delivery_not_inline',
  'manifest_invalid',
  'audit_unavailable',
  'stale_view',
  'conflict',
  'invalid_request',
  'internal',
] as const

export type ProblemCode = (typeof PROBLEM_CODES)[number]

export type Problem = {
  readonly code: ProblemCode
  /** What was refused and why, for whoever asked. One sentence, no secret. */
  readonly message: string
  /** What the caller can do next. */
  readonly hint?: string
  /** The precise reason, for the trail only. */
  readonly detail?: string
  readonly retryable?: boolean
  readonly retryAfterSeconds?: number
  readonly nextTool?: string
  readonly didYouMean?: string
  /** The smallest YAML edit that would allow it, for an owner to consider; never applied. */
  readonly manifestPatch?: string
  /** What was named is not there: over HTTP this is 404. */
  readonly missing?: true
}

export const problem = (code: ProblemCode, message: string, more: Omit<Problem, 'code' | 'message'> = {}): Problem => ({
  code,
  message,
  ...more,
})
