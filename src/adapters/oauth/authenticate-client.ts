// Who sends this form, where it proves an agent's key. An agent nobody knows and a wrong signature are one refusal; limits
// come before signatures (S17).

import type { Context } from 'hono'
import type { Edge, EdgeVariables } from '../../actions/edge.ts'
import { isFresh } from '../../actions/is-fresh.ts'
import type { Proof } from '../../actions/open-session.ts'
import type { RateLimiter } from '../../actions/rate-limit.ts'
import { rawHeader } from '../../actions/raw-header.ts'
import { auditUnavailable, clockWentBack } from '../../actions/transact.ts'
import { judgeInstallation } from '../../core/judge.ts'
import { CLOCK_SKEW_SECONDS } from '../../core/limits.ts'
import { keyOf } from '../../core/model.ts'
import { type Problem, problem } from '../../core/problem.ts'
import { err, ok, type Result } from '../../core/result.ts'
import { sliceId } from '../../core/slice.ts'
import { ASSERTION_TYPE, readAssertion, verifyAssertion, wrongAlgorithm } from './client-assertion.ts'
import type { ClientDoor } from './client-door.ts'
import { type Form, invalidRequest } from './form.ts'
import type { Refused } from './problem-to-oauth.ts'

export type OauthContext = Context<{ Variables: EdgeVariables }>

const WANTED =
  'Authenticate with private_key_jwt: client_assertion_type and client_assertion, signed with the key in your manifest.'

/** The proof, or null where none was tried. One who tries two ways at once is refused (RFC 6749 section 2.3). */
export async function authenticateClient(
  edge: Edge,
  door: ClientDoor,
  c: OauthContext,
  form: Form,
): Promise<Result<Proof | null, Refused>> {
  const authorization = rawHeader(c, 'authorization')
  const assertion = form.get('client_assertion')
  const type = form.get('client_assertion_type')
  const secret = form.has('client_secret')
  const ways = authorization.length + Number(assertion !== undefined || type !== undefined) + Number(secret)
  if (ways > 1) return err(invalidRequest('The client authenticates in more than one way.', WANTED))
  if (authorization.length > 0 || secret) {
    const challenge = authorization.length > 0 ? { headers: { 'WWW-Authenticate': 'Bearer realm="hallpass"' } } : {}
    return err({
      ...stranger(edge, c, problem('unauthenticated', 'Only private_key_jwt authenticates here.', { hint: WANTED })),
      ...challenge,
    })
  }
  if (ways === 0) return ok(null)
  if (assertion === undefined || type !== ASSERTION_TYPE)
    return err(
      stranger(
        edge,
        c,
        problem('unauthenticated', `client_assertion_type must be ${ASSERTION_TYPE}.`, { hint: WANTED }),
      ),
    )
  return proofOf(edge, door, c, assertion, form.get('client_id') ?? null)
}

async function proofOf(
  edge: Edge,
  door: ClientDoor,
  c: OauthContext,
  assertion: string,
  clientId: string | null,
): Promise<Result<Proof, Refused>> {
  const { deps, limiters } = edge
  const now = deps.clock.now()
  // Before the assertion is read: by a clock that went back an honest one seems to live too long.
  if (now < deps.store.highestTime() - CLOCK_SKEW_SECONDS * 1000) return err({ problem: clockWentBack() })
  const claimed = readAssertion(assertion, { issuer: deps.settings.issuer, now, clientId })
  if (!claimed.ok) return err(stranger(edge, c, claimed.error))
  const { agent, jti, expiresAt } = claimed.value

  const admitted = door.knock(c.get('remote'), agent)
  if (!admitted.ok) return err(counted(edge, admitted.error))
  const attempt = admitted.value
  const spent = ifSpent(limiters.token, agent)
  const broken = (await isFresh(deps.store)) ? null : auditUnavailable('the store is not fresh')
  if (spent !== null || broken !== null) {
    attempt.untried()
    return err(spent === null ? { problem: broken! } : counted(edge, spent))
  }
  const snapshot = await deps.store.read(['installation/self', keyOf('slice', sliceId.agent(agent))])
  const installation = snapshot.get('installation', 'self') ?? null
  if (installation === null || installation.initializedAt === null) {
    const uninitialized = judgeInstallation({ installation, now })
    if (uninitialized !== null) {
      attempt.untried()
      return err({ problem: uninitialized })
    }
  }
  const value = snapshot.get('slice', sliceId.agent(agent))?.value
  const keys = value?.of === 'agent' ? value.keys : []
  const misread = wrongAlgorithm(claimed.value, keys)
  if (misread !== null) return err(counted(edge, attempt.slowed ?? misread))
  const key = await verifyAssertion(assertion, claimed.value, keys)
  if (key === null) return err(counted(edge, attempt.slowed ?? notSigned))
  attempt.proved()
  const taken = limiters.token.take(agent)
  return taken.ok ? ok({ agent, key, jti, expiresAt }) : err(counted(edge, taken.error))
}

const notSigned = problem('unauthenticated', 'The client assertion was not signed by a key of an agent in force.', {
  hint: "Check the agent's name, that its manifest is accepted, and that you sign with its key. A kid, if you send one, is the key's RFC 7638 thumbprint.",
})

/** Asking costs nothing: the token goes back. */
function ifSpent(limiter: RateLimiter, key: string): Problem | null {
  const taken = limiter.take(key)
  if (taken.ok) limiter.take(key, -1)
  return taken.ok ? null : taken.error
}

/** Counted, not recorded (S17). What it costs was taken at the door. */
function counted(edge: Edge, refusal: Problem): Refused {
  edge.refusals.stranger(refusal.code)
  return { problem: refusal }
}

/** One more who proved nothing: counted, not recorded, and slowed down by address (S17). */
export function stranger(edge: Edge, c: OauthContext, refusal: Problem): Refused {
  edge.refusals.stranger(refusal.code)
  const taken = edge.limiters.stranger.take(c.get('remote'))
  return { problem: taken.ok ? refusal : taken.error }
}
