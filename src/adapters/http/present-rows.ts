// Rows as the API shows them: statuses derived now from everything that has a say (never stored ones alone), times in
// RFC 3339, nothing secret. Hashes of secrets and sealed keys are never copied.

import { ownersOf } from '../../actions/authorize.ts'
import { readApprovers } from '../../actions/grants.ts'
import type { Reader } from '../../actions/list-rows.ts'
import { mayMeet, type SeenRevision } from '../../actions/list-widenings.ts'
import { loadWorld } from '../../actions/load-world.ts'
import { stands } from '../../actions/lock.ts'
import type { Caller } from '../../actions/ports.ts'
import { presentGrant } from '../../actions/present.ts'
import { presentRevocation } from '../../actions/revoke.ts'
import { isLocked, judgeCredential, judgeGrant, judgeSession, reviewEnd } from '../../core/judge.ts'
import type { Details } from '../../core/manifest.ts'
import {
  type Agent,
  type Credential,
  type Grant,
  keyOf,
  type Lock,
  type Session,
  type SigningKey,
  type Widening,
} from '../../core/model.ts'
import type { ProblemCode } from '../../core/problem.ts'
import { rfc3339 } from '../../core/record.ts'
import { sliceId } from '../../core/slice.ts'

const unlessEmpty = (details: Details) => (Object.keys(details).length === 0 ? {} : { details })
const receiptOf = (revocation: string | null) => (revocation === null ? {} : { receipt: revocation })

export async function presentAgent(reader: Reader, agent: Agent) {
  const value = (await reader.read([keyOf('slice', sliceId.agent(agent.id))])).get(
    'slice',
    sliceId.agent(agent.id),
  )?.value
  const identity = value?.of === 'agent' ? value : null
  return {
    name: agent.id,
    status: agentStatus(),
    ...(identity === null ? {} : { purpose: identity.purpose, labels: identity.labels }),
    owners: identity?.owners ?? [],
    people: await ownersOf(reader, 'agent', agent.id),
    keys: identity?.keys.map(({ kid, alg }) => ({ kid, alg })) ?? [],
    roles: identity?.roles ?? [],
    ...(identity === null || identity.reviewBy === null ? {} : { reviewBy: identity.reviewBy }),
    ...(identity === null ? {} : { manifest: { file: identity.source.file, line: identity.source.line } }),
    locks: agent.locks.filter((lock) => lock.until === null || reader.now < lock.until).map((lock) => lock.id),
    ...receiptOf(agent.decommission),
  }

  function agentStatus() {
    if (agent.state !== 'active') return agent.state
    if (identity === null) return 'absent' as const
    // Said in the manifest, not confirmed yet (S4): it is stopped, and not for ever.
    if (identity.state === 'decommissioned') return 'decommissioning' as const
    if (isLocked(agent, reader.now)) return 'locked' as const
    return reader.now >= reviewEnd(identity.reviewBy) ? ('overdue' as const) : ('active' as const)
  }
}

export async function presentSession(reader: Reader, session: Session) {
  const problem = judgeSession(await loadWorld(reader, session.agent, null), session)
  return {
    id: session.id,
    agent: session.agent,
    key: session.key,
    openedAt: rfc3339(session.openedAt),
    expiresAt: rfc3339(session.expiresAt),
    status: sessionStatus(),
    ...receiptOf(session.revocation),
  }

  function sessionStatus() {
    if (session.state === 'revoked') return 'revoked' as const
    if (reader.now >= session.expiresAt) return 'expired' as const
    if (problem === null) return 'open' as const
    return SUSPENDS.has(problem.code) ? ('suspended' as const) : ('revoked' as const)
  }
}

/** What may be lifted again; everything else is for good. */
const SUSPENDS: ReadonlySet<ProblemCode> = new Set([
  'agent_locked',
  'tool_locked',
  'approval_required',
  'review_overdue',
  'not_initialized',
])

export async function presentFullGrant(reader: Reader, grant: Grant, issuer: string) {
  const world = await loadWorld(reader, grant.agent, grant.tool)
  const judged = judgeGrant(world, grant, await readApprovers(reader, grant.approvers))
  return {
    ...presentGrant(grant, world.toolValue, judged.ok ? judged.value.endsAt : grant.expiresAt, issuer),
    agent: grant.agent,
    session: grant.session,
    ...(grant.request === null ? {} : { requestId: grant.request }),
    approval: grant.approval,
    approvedBy: grant.approvers,
    createdAt: rfc3339(grant.createdAt),
    status: grantStatus(),
    ...receiptOf(grant.revocation),
  }

  function grantStatus() {
    if (grant.state !== 'active') return grant.state
    if (judged.ok) return 'active' as const
    if (judged.error.code === 'grant_expired' || reader.now >= grant.expiresAt) return 'expired' as const
    return SUSPENDS.has(judged.error.code) ? ('suspended' as const) : ('revoked' as const)
  }
}

export async function presentCredential(reader: Reader, credential: Credential) {
  const world = await loadWorld(reader, credential.agent, credential.tool)
  const rows = await reader.read([
    keyOf('session', credential.session),
    keyOf('grant', credential.grant),
    ...(credential.revocation === null ? [] : [keyOf('revocation', credential.revocation)]),
  ])
  const session = rows.get('session', credential.session)
  const grant = rows.get('grant', credential.grant)
  const approvers = grant === undefined ? new Map() : await readApprovers(reader, grant.approvers)
  const judged =
    session === undefined || grant === undefined ? null : judgeCredential(world, credential, session, grant, approvers)
  const revocation = credential.revocation === null ? undefined : rows.get('revocation', credential.revocation)
  const endsAt = judged?.ok ? judged.value.endsAt : credential.expiresAt
  return {
    id: credential.id,
    agent: credential.agent,
    session: credential.session,
    grant: credential.grant,
    tool: credential.tool,
    resource: credential.resource,
    scopes: credential.scopes,
    ...unlessEmpty(credential.details),
    kid: credential.kid,
    issuedAt: rfc3339(credential.issuedAt),
    expiresAt: rfc3339(endsAt),
    status: credentialStatus(),
    ...receiptOf(credential.revocation),
  }

  /** Revoked is said only of what its tool's side confirmed (P5). */
  function credentialStatus() {
    if (judged?.ok) return 'live' as const
    if (revocation !== undefined) {
      const isAccount = credential.account !== undefined
      const confirmation = revocation.confirmations.find(
        ({ tool, verifiedBy }) => tool === credential.tool && (verifiedBy === 'target') === isAccount,
      )
      if (revocation.state === 'complete' || confirmation?.confirmedAt != null) return 'revoked' as const
      return confirmation !== undefined && reader.now > confirmation.deadline
        ? ('outstanding' as const)
        : ('revoking' as const)
    }
    return reader.now >= credential.expiresAt ? ('expired' as const) : ('revoking' as const)
  }
}

export const presentLock = (lock: Lock, now: number) => ({
  id: lock.id,
  kind: lock.kind,
  name: lock.name,
  reason: lock.reason,
  by: lock.by,
  setAt: rfc3339(lock.setAt),
  ...(lock.until === null ? {} : { until: rfc3339(lock.until) }),
  status:
    lock.state === 'lifted' ? ('lifted' as const) : stands(lock, now) ? ('standing' as const) : ('expired' as const),
  ...(lock.liftedBy === null ? {} : { liftedBy: lock.liftedBy }),
  ...(lock.liftedAt === null ? {} : { liftedAt: rfc3339(lock.liftedAt) }),
  receipt: lock.revocation,
})

export const presentWidening = (widening: Widening, caller: Caller) => ({
  id: widening.id,
  revision: widening.revision,
  slice: widening.slice,
  diff: widening.diff,
  needs: widening.needs.map(({ as, of, eligible }, index) => {
    const given = widening.given.find(({ need }) => need === index)
    return { as, of, eligible, ...(given === undefined ? {} : { givenBy: given.by }) }
  }),
  status: widening.state,
  mayAccept: mayMeet(caller, widening),
  ...(widening.decidedBy === null ? {} : { decidedBy: widening.decidedBy }),
  ...(widening.decidedAt === null ? {} : { decidedAt: rfc3339(widening.decidedAt) }),
  createdAt: rfc3339(widening.createdAt),
})

export const presentRevision = ({ revision, widenings }: SeenRevision, caller: Caller) => ({
  id: revision.id,
  digest: revision.digest,
  base: revision.base,
  proposedBy: revision.proposedBy,
  proposedAt: rfc3339(revision.proposedAt),
  status: revision.state,
  narrowings: revision.narrowings,
  warnings: revision.warnings,
  widenings: widenings.map((widening) => presentWidening(widening, caller)),
  waiting: widenings.filter(({ state }) => state === 'waiting').length,
})

export const presentKey = ({ id, use, alg, state, createdAt, signsFrom, retiresAt, publicJwk }: SigningKey) => ({
  kid: id,
  use,
  alg,
  status: state,
  createdAt: rfc3339(createdAt),
  signsFrom: rfc3339(signsFrom),
  ...(retiresAt === null ? {} : { retiresAt: rfc3339(retiresAt) }),
  publicJwk,
})

/** `presentRevocation` with its statuses as the closed words they are. */
export const presentReceipt = (revocation: Parameters<typeof presentRevocation>[0], now: number) => {
  const shown = presentRevocation(revocation, now)
  const status: 'revoked' | 'revoking' | 'outstanding' =
    shown.status === 'revoked' ? 'revoked' : shown.status === 'outstanding' ? 'outstanding' : 'revoking'
  return { ...shown, status }
}
