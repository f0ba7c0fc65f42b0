// Is this token good at this tool, now? The one question behind introspection and forward-auth (S14).
// What is not live in the store is inactive, however well it is signed.

import { judgeCredential } from '../core/judge.ts'
import { CLOCK_SKEW_SECONDS } from '../core/limits.ts'
import { type Credential, type Grant, keyOf, type Session } from '../core/model.ts'
import { type Problem, problem } from '../core/problem.ts'
import { err, ok, type Result } from '../core/result.ts'
import type { ToolValue } from '../core/slice.ts'
import { type Claims, staleView, type VerifyToken } from './authenticate-session.ts'
import { readApprovers } from './grants.ts'
import { isFresh } from './is-fresh.ts'
import { worldFrom, worldKeys } from './load-world.ts'
import type { Deps } from './ports.ts'
import type { Look } from './transact.ts'

export type Checked = {
  readonly credential: Credential
  readonly session: Session
  readonly grant: Grant
  /** As it is in force. */
  readonly tool: ToolValue
  /** The judged end: what the tool is told, never later than the token's own exp. */
  readonly endsAt: number
  readonly claims: Readonly<Record<string, unknown>>
}

const inactive = (detail: string) => err(problem('unauthenticated', 'This token is not active.', { detail }))

/** `tool` is the one whose verifier asks: a token for another is inactive to it, and so is a proxy token. */
export async function checkCredential(
  deps: Pick<Deps, 'store' | 'clock'>,
  verify: VerifyToken,
  tool: string,
  token: string,
): Promise<Result<Checked, Problem>> {
  const claims = await verify(token)
  return claims === null ? inactive('not a token of ours') : checkClaims(deps, claims, tool, 'tool')
}

/** Of claims whose signature was checked. `at` the tool's own edge, or the proxy: what is good at one is not at the other (S13). */
export async function checkClaims(
  deps: Pick<Deps, 'store' | 'clock'>,
  claims: Claims,
  tool: string,
  at: 'tool' | 'proxy',
  reader: Pick<Look, 'read'> = deps.store,
): Promise<Result<Checked, Problem>> {
  const { jti, sub, sid, grant_id: grantId, aud } = claims
  if (typeof jti !== 'string' || typeof sub !== 'string' || typeof sid !== 'string' || typeof grantId !== 'string')
    return inactive('not a tool credential')
  if (!(await isFresh(deps.store))) return err(staleView())
  const snapshot = await reader.read([
    ...worldKeys(sub, tool),
    keyOf('credential', jti),
    keyOf('session', sid),
    keyOf('grant', grantId),
  ])
  const credential = snapshot.get('credential', jti)
  const session = snapshot.get('session', sid)
  const grant = snapshot.get('grant', grantId)
  if (credential === undefined || session === undefined || grant === undefined) return inactive('unknown jti')
  if (
    credential.tool !== tool ||
    (credential.audience ?? credential.resource) !== aud ||
    (credential.audience !== undefined) !== (at === 'proxy') ||
    credential.agent !== sub ||
    credential.session !== sid ||
    credential.grant !== grantId
  )
    return inactive('for another tool, or altered')
  const now = deps.clock.now()
  if (now < deps.store.highestTime() - CLOCK_SKEW_SECONDS * 1000) return err(staleView())
  const world = worldFrom(snapshot, now, sub, tool)
  const approvers = await readApprovers(reader, grant.approvers)
  const judged = judgeCredential(world, credential, session, grant, approvers)
  if (!judged.ok) return judged
  return ok({ credential, session, grant, tool: world.toolValue!, endsAt: judged.value.endsAt, claims })
}
