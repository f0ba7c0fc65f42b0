// A live grant becomes a credential: judged again at this instant, signed, recorded, and only then released (P1, P2).

import { digest, type Json } from '../core/canonical.ts'
import { credentialClaims } from '../core/claims.ts'
import { credentialEnd, judgeGrant, judgeSession } from '../core/judge.ts'
import type { Details } from '../core/manifest.ts'
import { type Credential, type Grant, keyOf } from '../core/model.ts'
import { type Problem, problem } from '../core/problem.ts'
import { rfc3339 } from '../core/record.ts'
import { err, ok, type Result } from '../core/result.ts'
import { detailsCover } from '../core/slice.ts'
import type { AgentCaller } from './authenticate-session.ts'
import { readApprovers } from './grants.ts'
import { worldFrom, worldKeys } from './load-world.ts'
import type { Deps } from './ports.ts'
import { mutable } from './request-access.ts'
import { signToken } from './sign-token.ts'
import { recordOf, transact } from './transact.ts'

export type IssueInput = {
  readonly grant: string
  /** Less than the grant gives; null is all of it. */
  readonly scopes: readonly string[] | null
  readonly details: Details | null
  /** Over which edge it leaves: `inline` is refused where the grant is not for it (P7). */
  readonly via: 'exchange' | 'inline'
}

export type Issued = {
  readonly credential: Credential
  readonly token: string
  readonly grant: Grant
}

const noSuchGrant = () =>
  problem('grant_expired', 'You hold no such grant.', {
    hint: 'Call list_access to see your grants.',
    nextTool: 'list_access',
  })

export async function issueCredential(
  deps: Deps,
  caller: AgentCaller,
  input: IssueInput,
  requestId: string,
): Promise<Result<Issued, Problem>> {
  const context = { caller, requestId }
  const done = await transact<Issued>(deps, 'normal', async (look) => {
    const grant = await look.row('grant', input.grant)
    if (grant === undefined || grant.agent !== caller.agent) return err(noSuchGrant())
    const snapshot = await look.read([...worldKeys(caller.agent, grant.tool), keyOf('session', caller.session)])
    const world = worldFrom(snapshot, look.now, caller.agent, grant.tool)
    const session = snapshot.get('session', caller.session)
    if (session === undefined) return err(problem('unauthenticated', 'This session is unknown here.'))
    const dead = judgeSession(world, session)
    if (dead !== null) return err(dead)
    const approvers = await readApprovers(look, grant.approvers)
    const judged = judgeGrant(world, grant, approvers)
    if (!judged.ok) return judged
    if (input.via === 'inline' && grant.delivery !== 'inline')
      return err(
        problem('delivery_not_inline', 'This grant is not delivered into the conversation.', {
          hint: 'Your runtime redeems it at the token endpoint (token exchange with this grant_id).',
        }),
      )
    const scopes = input.scopes ?? grant.scopes
    const details = { ...grant.details, ...(input.details ?? {}) }
    if (scopes.length === 0 || !scopes.every((scope) => grant.scopes.includes(scope)))
      return err(
        problem('scope_not_in_manifest', 'The grant does not hold all of these scopes.', {
          hint: `It holds: ${grant.scopes.join(' ')}.`,
        }),
      )
    if (
      !detailsCover(grant.details, details) ||
      !Object.keys(details).every((key) => Object.hasOwn(world.toolValue!.details, key))
    )
      return err(
        problem('details_not_allowed', 'The grant does not reach these details.', {
          hint: 'Ask for details within the grant.',
        }),
      )

    const endsAt = Math.floor(credentialEnd(look.now, judged.value, session, world.toolValue!) / 1000) * 1000
    if (endsAt <= look.now)
      return err(problem('grant_expired', 'What this rests on ends now.', { nextTool: 'request_access' }))
    const jti = deps.ids.next('crd')
    const claims = credentialClaims({
      issuer: deps.settings.issuer,
      jti,
      grant,
      session,
      resource: world.toolValue!.resource,
      scopes,
      details,
      manifest: world.installation!.revision ?? 'none',
      issuedAt: look.now,
      expiresAt: endsAt,
    })
    const signed = await signToken(deps, look, claims, world.toolValue!.token.alg)
    if (!signed.ok) return signed
    const { token, kid } = signed.value
    const credential: Credential = {
      id: jti,
      agent: caller.agent,
      session: session.id,
      grant: grant.id,
      tool: grant.tool,
      resource: world.toolValue!.resource,
      scopes,
      details,
      kid,
      claimsHash: digest(claims as Json),
      issuedAt: look.now,
      expiresAt: endsAt,
      state: 'issued',
      revocation: null,
      born: {
        agent: world.agent!.epoch,
        tool: world.tool!.epoch,
        installation: world.installation!.epoch,
        approvers: grant.approvers.map((email) => approvers.get(email)?.epoch ?? 1),
      },
    }
    return ok({
      value: { credential, token, grant },
      put: [{ kind: 'credential' as const, row: credential }],
      notAfter: endsAt,
      records: [
        recordOf(
          context,
          look.now,
          'credential.issued',
          { agent: caller.agent, tool: grant.tool, session: session.id, grant: grant.id, credential: jti },
          {
            claimsHash: credential.claimsHash,
            resource: credential.resource,
            scopes: [...scopes],
            details: mutable(details),
            expiresAt: rfc3339(endsAt),
            delivery: grant.delivery,
            approvalId: grant.request,
            manifest: world.installation!.revision ?? 'none',
          },
        ),
      ],
    })
  })
  return done.ok ? ok(done.value.value) : done
}
