// From a session token to the agent that calls. The signature may be remembered; whether the session lives never is.

import { hash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { judgeSession } from '../core/judge.ts'
import { keyOf } from '../core/model.ts'
import { type Problem, problem } from '../core/problem.ts'
import { err, ok, type Result } from '../core/result.ts'
import { isFresh } from './is-fresh.ts'
import { worldFrom, worldKeys } from './load-world.ts'
import type { Caller, Deps } from './ports.ts'
import { auditUnavailable } from './transact.ts'

export type Claims = Readonly<Record<string, unknown>>

/** Verified claims by the SHA-256 of the token; null for what no key of ours signed. */
export type VerifyToken = (token: string) => Promise<Claims | null>

export type TokenVerifier = VerifyToken & {
  /** Its signature was checked and is remembered: to look at it again costs nothing. Nothing is said of whether it lives. */
  knows(token: string): boolean
  /** The next time it is as new. */
  forget(token: string): void
}

/** At most this long a token is looked at, characters. */
const MAX_TOKEN_LENGTH = 8192

/**
 * A bounded memory of signatures already checked. It holds what a token says, never whether it is still good: expiry,
 * revocation and the key's own standing are judged by whoever asks (S18).
 */
export function createTokenVerifier(deps: Pick<Deps, 'signer'>, max = 10_000): TokenVerifier {
  const known = new LRUCache<string, { readonly claims: Claims; readonly kid: string }>({ max, ttl: 3_600_000 })
  const fingerprintOf = (token: string) => hash('sha256', token, 'base64')
  const verify = async (token: string): Promise<Claims | null> => {
    if (token.length > MAX_TOKEN_LENGTH) return null
    const fingerprint = fingerprintOf(token)
    const hit = known.get(fingerprint)
    if (hit !== undefined) return deps.signer.jwks().keys.some((key) => key.kid === hit.kid) ? hit.claims : null
    const claims = await deps.signer.verifyToken(token)
    const kid = claims === null ? null : kidOf(token)
    if (claims !== null && kid !== null) known.set(fingerprint, { claims, kid })
    return claims
  }
  return Object.assign(verify, {
    knows: (token: string) => token.length <= MAX_TOKEN_LENGTH && known.has(fingerprintOf(token)),
    forget: (token: string) => void known.delete(fingerprintOf(token)),
  })
}

function kidOf(token: string): string | null {
  const header: unknown = JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString('utf8'))
  return typeof header === 'object' && header !== null && 'kid' in header && typeof header.kid === 'string'
    ? header.kid
    : null
}

export type AgentCaller = Extract<Caller, { role: 'agent' }>

/** Who this session token speaks for, judged now. Any other kind of token is refused (S13). */
export async function authenticateSession(
  deps: Deps,
  verify: VerifyToken,
  token: string,
): Promise<Result<AgentCaller, Problem>> {
  const claims = await verify(token)
  if (claims === null || claims.aud !== deps.settings.mcpUrl || typeof claims.sid !== 'string')
    return err(
      problem('unauthenticated', 'This is not a session token of this broker.', {
        hint: 'Open a session at the token endpoint with your key.',
      }),
    )
  if (!(await isFresh(deps.store))) return err(auditUnavailable('the store is not fresh'))
  const agent = String(claims.sub)
  const snapshot = await deps.store.read([...worldKeys(agent, null), keyOf('session', claims.sid)])
  const session = snapshot.get('session', claims.sid)
  const now = deps.clock.now()
  if (session === undefined || session.agent !== agent)
    return err(
      problem('unauthenticated', 'This session is unknown here.', { hint: 'Open a new session with your key.' }),
    )
  const refused = judgeSession(worldFrom(snapshot, now, agent, null), session)
  return refused === null ? ok({ role: 'agent', agent, session: session.id }) : err(refused)
}

/** What a verifier is told where the broker cannot know whether a credential lives. */
export const staleView = (): Problem =>
  problem('stale_view', 'The broker cannot be sure of its own state, so it answers nothing.', {
    retryable: true,
    retryAfterSeconds: 2,
  })
