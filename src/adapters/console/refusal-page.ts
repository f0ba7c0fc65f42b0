// A refusal as the page shows it, with a status that is true. The precise reason stays on the trail.

import type { Problem } from '../../core/problem.ts'
import { problemFragment } from './fragments.ts'
import { PAGE_HEADERS } from './page.ts'

export function refusalPage(refused: Problem, requestId: string, status = statusOf(refused)): Response {
  const headers = new Headers({ ...PAGE_HEADERS, 'content-type': 'text/html; charset=utf-8' })
  if (refused.retryAfterSeconds !== undefined) headers.set('retry-after', String(refused.retryAfterSeconds))
  return new Response(String(problemFragment(refused, requestId)), { status, headers })
}

/** 401 signs the page out; the rest only has to be true. */
function statusOf({ code, missing }: Problem): number {
  if (missing) return 404
  switch (code) {
    case 'unauthenticated':
    case 'session_revoked':
      return 401
    case 'forbidden':
      return 403
    case 'invalid_request':
      return 400
    case 'rate_limited':
      return 429
    case 'not_initialized':
    case 'audit_unavailable':
    case 'stale_view':
    case 'overloaded':
      return 503
    case 'internal':
      return 500
    default:
      return 409
  }
}
