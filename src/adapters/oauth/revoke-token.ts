// RFC 7009: an agent takes back its own session or credential. What is not there, or not its own, is answered the same way;
// trying to take another's is on the trail.

import { type AgentCaller, authenticateSession } from '../../actions/authenticate-session.ts'
import type { Edge } from '../../actions/edge.ts'
import { rawHeader } from '../../actions/raw-header.ts'
import { revoke } from '../../actions/revoke.ts'
import { useAssertion } from '../../actions/use-assertion.ts'
import { problem } from '../../core/problem.ts'
import { err, ok, type Result } from '../../core/result.ts'
import { authenticateClient, type OauthContext, stranger } from './authenticate-client.ts'
import type { ClientDoor } from './client-door.ts'
import { type Form, invalidRequest } from './form.ts'
import { asClient } from './grant-session.ts'
import type { Refused } from './problem-to-oauth.ts'

const ROUTE = 'POST /oauth/revoke'
const DEAD_SESSION = { error: 'invalid_client', status: 401 } as const

export async function revokeToken(
  edge: Edge,
  door: ClientDoor,
  c: OauthContext,
  form: Form,
): Promise<Result<null, Refused>> {
  const requestId = c.get('requestId')
  const agent = await agentOf(edge, door, c, form)
  if (!agent.ok) return agent
  const caller = agent.value
  const limited = edge.limiters.call.take(caller.agent)
  if (!limited.ok) return err({ problem: limited.error })
  const token = form.get('token')
  if (token === undefined) return err(invalidRequest('token is missing.'))

  const claims = await edge.verify(token)
  if (claims === null) return ok(null)
  const { aud, sid, jti } = claims
  const isSession = aud === edge.deps.settings.mcpUrl
  const id = isSession ? sid : jti
  if (typeof id !== 'string') return ok(null)
  const context = { caller, requestId }
  const revoked = await revoke(edge.deps, context, { kind: isSession ? 'session' : 'credential', id, reason: null })
  if (revoked.ok) return ok(null)
  await edge.refusals.note(context, revoked.error, ROUTE, { agent: caller.agent })
  const isOthers = revoked.error.code === 'forbidden' || revoked.error.code === 'invalid_request'
  return isOthers ? ok(null) : err({ problem: revoked.error })
}

/** By an assertion, or by the session's own token as Bearer; never by both. */
async function agentOf(
  edge: Edge,
  door: ClientDoor,
  c: OauthContext,
  form: Form,
): Promise<Result<AgentCaller, Refused>> {
  const [header, ...more] = rawHeader(c, 'authorization')
  const isBearer = header !== undefined && /^bearer /i.test(header)
  if (isBearer && more.length === 0 && !form.has('client_assertion') && !form.has('client_secret')) {
    const session = await authenticateSession(edge.deps, edge.verify, header.slice('bearer '.length).trim())
    if (session.ok) return session
    const { code } = session.error
    if (code !== 'unauthenticated' && code !== 'session_revoked') return err({ problem: session.error })
    const refused = stranger(edge, c, session.error)
    const challenge = { 'WWW-Authenticate': 'Bearer error="invalid_token"' }
    return err(refused.problem === session.error ? { ...refused, ...DEAD_SESSION, headers: challenge } : refused)
  }
  const proof = await authenticateClient(edge, door, c, form)
  if (!proof.ok) return proof
  if (proof.value === null)
    return err(
      stranger(
        edge,
        c,
        problem('unauthenticated', 'Revocation needs to know whose token this is.', {
          hint: 'Authenticate with private_key_jwt, or send your session token as Bearer.',
        }),
      ),
    )
  const { agent } = proof.value
  const caller: AgentCaller = { role: 'agent', agent, session: '' }
  const used = await useAssertion(edge.deps, proof.value, c.get('requestId'))
  if (used.ok) return ok(caller)
  const refusal = asClient(used.error)
  await edge.refusals.note({ caller, requestId: c.get('requestId') }, refusal, ROUTE, { agent })
  return err({ problem: refusal })
}
