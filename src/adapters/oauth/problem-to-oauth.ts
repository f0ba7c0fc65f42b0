// Every refusal of the OAuth edge on the wire (RFC 6749 section 5.2): an error its clients know, and beside it our stable
// code, a hint and the request's id. The precise reason (`detail`) never leaves by here.

import type { Problem, ProblemCode } from '../../core/problem.ts'

/** RFC 6749 5.2; 8693 and 8707 (invalid_target); 9396 (invalid_authorization_details); 8628 (access_denied). */
type OauthError =
  | 'invalid_request'
  | 'invalid_client'
  | 'invalid_grant'
  | 'unauthorized_client'
  | 'unsupported_grant_type'
  | 'unsupported_token_type'
  | 'invalid_scope'
  | 'invalid_target'
  | 'invalid_authorization_details'
  | 'access_denied'
  | 'temporarily_unavailable'
  | 'server_error'

type OauthStatus = 400 | 401 | 403 | 413 | 429 | 500 | 503

/** A refusal on its way out; `error` where a place has its own word for the code. */
export type Refused = {
  readonly problem: Problem
  readonly error?: OauthError
  readonly status?: OauthStatus
  readonly headers?: Readonly<Record<string, string>>
}

/**
 * The word for each code. What waits for a person is `access_denied` (nobody has said yes, and asking this endpoint again
 * asks nobody); what was given and is gone is `invalid_grant`; a known client that gets nothing at all any more is
 * `unauthorized_client`; what mends itself is `temporarily_unavailable`.
 */
const WORDS = {
  unauthenticated: ['invalid_client', 401],
  forbidden: ['access_denied', 403],
  not_initialized: ['temporarily_unavailable', 503],
  unknown_agent: ['invalid_client', 401],
  unknown_tool: ['invalid_target', 400],
  scope_not_in_manifest: ['invalid_scope', 400],
  details_not_allowed: ['invalid_authorization_details', 400],
  approval_required: ['access_denied', 400],
  approval_denied: ['access_denied', 400],
  request_expired: ['access_denied', 400],
  grant_expired: ['invalid_grant', 400],
  grant_revoked: ['invalid_grant', 400],
  session_revoked: ['invalid_grant', 400],
  agent_locked: ['access_denied', 400],
  agent_decommissioned: ['unauthorized_client', 400],
  tool_locked: ['access_denied', 400],
  review_overdue: ['access_denied', 400],
  rate_limited: ['temporarily_unavailable', 429],
  overloaded: ['temporarily_unavailable', 503],
  delivery_not_inline: ['invalid_request', 400],
  manifest_invalid: ['invalid_request', 400],
  audit_unavailable: ['temporarily_unavailable', 503],
  stale_view: ['temporarily_unavailable', 503],
  conflict: ['temporarily_unavailable', 503],
  invalid_request: ['invalid_request', 400],
  internal: ['server_error', 500],
} as const satisfies Record<ProblemCode, readonly [OauthError, OauthStatus]>

export type OauthAnswer = {
  readonly status: OauthStatus
  readonly headers: Readonly<Record<string, string>>
  readonly body: Readonly<Record<string, string | boolean>>
}

export function problemToOauth(refused: Refused, requestId: string): OauthAnswer {
  const { problem } = refused
  const [word, status] = WORDS[problem.code]
  const error = refused.error ?? word
  return {
    status: refused.status ?? (error === word ? status : 400),
    headers: {
      ...(problem.retryAfterSeconds === undefined ? {} : { 'Retry-After': String(problem.retryAfterSeconds) }),
      ...refused.headers,
    },
    body: {
      error,
      error_description: described(problem.message),
      code: problem.code,
      ...(problem.hint === undefined ? {} : { hint: problem.hint }),
      ...(problem.didYouMean === undefined ? {} : { did_you_mean: problem.didYouMean }),
      ...(problem.manifestPatch === undefined ? {} : { manifest_patch: problem.manifestPatch }),
      ...(problem.retryable === undefined ? {} : { retryable: problem.retryable }),
      request_id: requestId,
    },
  }
}

/** RFC 6749 5.2 allows printable ASCII without quotes and backslashes. */
const described = (message: string): string =>
  message
    .replaceAll('"', "'")
    .replaceAll('…', '...')
    .replace(/[^\x20\x21\x23-\x5b\x5d-\x7e]/g, '?')
