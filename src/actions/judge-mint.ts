// May this session mint under this grant, now? All that a mint rests on, read through `look`, so that its commit asserts
// it (P2, S16). It signs nothing and asks no tool.

import { credentialEnd, judgeGrant, judgeSession, type World } from '../core/judge.ts'
import type { Details } from '../core/manifest.ts'
import { type Credential, type Grant, keyOf, type Session } from '../core/model.ts'
import { type Problem, problem } from '../core/problem.ts'
import { type AuditRecord, rfc3339 } from '../core/record.ts'
import { err, ok, type Result } from '../core/result.ts'
import { detailsCover, type ToolValue } from '../core/slice.ts'
import type { AgentCaller } from './authenticate-session.ts'
import { readApprovers } from './grants.ts'
import { worldFrom, worldKeys } from './load-world.ts'
import type { Context } from './ports.ts'
import { mutable } from './request-access.ts'
import { type Look, recordOf } from './transact.ts'

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
  /** How a tool's own secret is presented to it; null: it is a token of ours, `Authorization: Bearer`. */
  readonly use: { readonly header: string; readonly prefix: string } | null
}

export type Mintable = {
  readonly world: World
  readonly tool: ToolValue
  readonly session: Session
  readonly grant: Grant
  readonly scopes: Credential['scopes']
  readonly details: Credential['details']
  /** Whole seconds: the latest end that S11 allows. */
  readonly endsAt: number
  readonly born: Credential['born']
}

const noSuchGrant = () =>
  problem('grant_expired', 'You hold no such grant.', {
    hint: 'Call list_access to see your grants.',
    nextTool: 'list_access',
  })

export async function judgeMint(
  look: Look,
  caller: AgentCaller,
  input: IssueInput,
): Promise<Result<Mintable, Problem>> {
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
  const tool = world.toolValue!
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
  if (!detailsCover(grant.details, details) || !Object.keys(details).every((key) => Object.hasOwn(tool.details, key)))
    return err(
      problem('details_not_allowed', 'The grant does not reach these details.', {
        hint: 'Ask for details within the grant.',
      }),
    )
  const endsAt = Math.floor(credentialEnd(look.now, judged.value, session, tool) / 1000) * 1000
  if (endsAt <= look.now) return err(endsNow())
  const born = {
    agent: world.agent!.epoch,
    tool: world.tool!.epoch,
    installation: world.installation!.epoch,
    approvers: grant.approvers.map((email) => approvers.get(email)?.epoch ?? 1),
  }
  return ok({ world, tool, session, grant, scopes, details, endsAt, born })
}

export const endsNow = (): Problem =>
  problem('grant_expired', 'What this rests on ends now.', { nextTool: 'request_access' })

/** The row of what was minted. */
export const credentialRow = (
  { tool, session, grant, scopes, details, born }: Mintable,
  of: Pick<Credential, 'id' | 'kid' | 'claimsHash' | 'issuedAt' | 'expiresAt'> & {
    readonly account?: string
    readonly audience?: string
  },
): Credential => ({
  ...of,
  agent: grant.agent,
  session: session.id,
  grant: grant.id,
  tool: grant.tool,
  resource: tool.resource,
  scopes,
  details,
  state: 'issued',
  revocation: null,
  born,
})

/** Written with the row, before anything leaves (P1). */
export const issuedRecord = (context: Context, at: number, { world, grant }: Mintable, made: Credential): AuditRecord =>
  recordOf(
    context,
    at,
    'credential.issued',
    {
      agent: made.agent,
      tool: made.tool,
      session: made.session,
      grant: made.grant,
      credential: made.id,
      ...(made.account === undefined ? {} : { account: made.account }),
    },
    {
      claimsHash: made.claimsHash,
      resource: made.resource,
      scopes: [...made.scopes],
      details: mutable(made.details),
      expiresAt: rfc3339(made.expiresAt),
      delivery: grant.delivery,
      approvalId: grant.request,
      manifest: world.installation!.revision ?? 'none',
    },
  )
