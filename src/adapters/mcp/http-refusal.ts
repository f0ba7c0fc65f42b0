// A refusal before MCP is spoken: one exhaustive mapping from Problem to an HTTP answer. It names no token and no secret.

import type { Settings } from '../../actions/ports.ts'
import type { Problem, ProblemCode } from '../../core/problem.ts'

/** What proves nothing, or no longer anything, is a 401: the client opens a new session, or is told there why not. */
const STATUS: Record<ProblemCode, number> = {
  unauthenticated: 401,
  session_revoked: 401,
  unknown_agent: 401,
  agent_locked: 401,
  agent_decommissioned: 401,
  forbidden: 403,
  unknown_tool: 403,
  scope_not_in_manifest: 403,
  details_not_allowed: 403,
  approval_required: 403,
  approval_denied: 403,
  request_expired: 403,
  grant_expired: 403,
  grant_revoked: 403,
  tool_locked: 403,
  review_overdue: 403,
  delivery_not_inline: 403,
  manifest_invalid: 403,
  conflict: 409,
  invalid_request: 400,
  rate_limited: 429,
  not_initialized: 503,
  overloaded: 503,
  audit_unavailable: 503,
  stale_view: 503,
  internal: 500,
}

/** Whether the token that met this refusal is good for nothing any more, or for now. */
export const endsSession = (refused: Problem): boolean => STATUS[refused.code] === 401

/** The JSON-RPC code for what the implementation itself defines (JSON-RPC 2.0 section 5.1). */
const SERVER_ERROR = -32000

/** How the challenge names what is wrong with what was sent (RFC 6750 section 3.1); null: nothing was sent. */
export type ChallengeError = 'invalid_token' | 'invalid_request' | null

/** RFC 6750 section 3: `error_description` holds printable ASCII without quote and backslash. */
const quotable = (text: string) => text.replaceAll('"', "'").replaceAll(/[^\x20-\x21\x23-\x5b\x5d-\x7e]/g, '?')

/** RFC 9728 section 5.1: where a client that knows only this URL finds whom to ask for a token. */
const challenge = (settings: Pick<Settings, 'issuer'>, problem: Problem, error: ChallengeError): string =>
  [
    `Bearer resource_metadata="${settings.issuer}/.well-known/oauth-protected-resource/mcp"`,
    ...(error === null ? [] : [`error="${error}"`, `error_description="${quotable(problem.message)}"`]),
  ].join(', ')

/** @param status where it differs from the code's own. `error` is for a 401, and for a 400 about the token. */
export function httpRefusal(
  settings: Pick<Settings, 'issuer'>,
  requestId: string,
  problem: Problem,
  more: { readonly status?: number; readonly error?: ChallengeError; readonly rpcCode?: number } = {},
): Response {
  const status = more.status ?? STATUS[problem.code]
  const { code, message, hint } = problem
  const body = {
    jsonrpc: '2.0',
    id: null,
    error: {
      code: more.rpcCode ?? SERVER_ERROR,
      message: hint === undefined ? message : `${message} ${hint}`,
      data: {
        code,
        message,
        ...(hint === undefined ? {} : { hint }),
        retryable: problem.retryable ?? false,
        requestId,
      },
    },
  }
  const headers = new Headers({ 'Cache-Control': 'no-store' })
  if (status === 401 || (status === 400 && more.error !== undefined))
    headers.set('WWW-Authenticate', challenge(settings, problem, more.error ?? null))
  if (problem.retryAfterSeconds !== undefined) headers.set('Retry-After', String(problem.retryAfterSeconds))
  return Response.json(body, { status, headers })
}
