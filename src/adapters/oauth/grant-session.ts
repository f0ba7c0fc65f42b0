// client_credentials: an agent's proof becomes a session and the token that names it. No refresh token, no scope.

import type { Edge } from '../../actions/edge.ts'
import { openSession, type Proof } from '../../actions/open-session.ts'
import { problem } from '../../core/problem.ts'
import { normalizeResource } from '../../core/resource-url.ts'
import { err, ok, type Result } from '../../core/result.ts'
import type { Form } from './form.ts'
import type { Refused } from './problem-to-oauth.ts'

export async function grantSession(
  edge: Edge,
  form: Form,
  proof: Proof,
  requestId: string,
): Promise<Result<object, Refused>> {
  const { deps } = edge
  const resource = form.get('resource')
  if (resource !== undefined && !isSame(resource, deps.settings.mcpUrl))
    return err({
      problem: problem('invalid_request', `A session's token is for ${deps.settings.mcpUrl} alone.`, {
        hint: 'Leave resource out, and exchange the session token for one of the tool (RFC 8693).',
      }),
      error: 'invalid_target',
    })
  const opened = await openSession(deps, proof, requestId)
  if (!opened.ok) return err({ problem: asClient(opened.error) })
  const { session, token } = opened.value
  // Remembered before it is first shown: where strangers have used the address up, it is none of theirs.
  await edge.verify(token)
  return ok({
    access_token: token,
    token_type: 'Bearer',
    expires_in: Math.max(0, Math.floor((session.expiresAt - deps.clock.now()) / 1000)),
  })
}

/** A proof that was used before, or ran out while it was being written, is no proof. */
export const asClient = (refusal: Refused['problem']): Refused['problem'] =>
  (refusal.code === 'conflict' && refusal.retryable !== true) || refusal.code === 'grant_expired'
    ? problem('unauthenticated', 'The client assertion was used before, or has expired.', {
        hint: 'Sign a new assertion with a new jti for each request.',
        ...(refusal.detail === undefined ? {} : { detail: refusal.detail }),
      })
    : refusal

const isSame = (a: string, b: string): boolean => {
  const [one, other] = [normalizeResource(a), normalizeResource(b)]
  return one.ok && other.ok && one.value === other.value
}
