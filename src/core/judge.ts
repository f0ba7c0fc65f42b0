// Is it alive, now? Every liveness question of the product, judged from all rows that have a say (STORE rule 4).
// Pure: it must never be cached beyond the versions of what it judged.

import { APPROVAL_LEVELS, type ApprovalLevel, DELIVERIES, type Details } from './manifest.ts'
import type { Agent, Credential, Grant, Installation, Instant, Lockable, Person, Session, Tool } from './model.ts'
import { type Problem, problem } from './problem.ts'
import { rfc3339 } from './record.ts'
import { err, ok, type Result } from './result.ts'
import { type AccessValue, type AgentValue, detailsCover, type Entitlement, type ToolValue } from './slice.ts'

/** All that has a say over one agent on one tool, read as one snapshot. Null: never was, or is gone. */
export type World = {
  readonly now: Instant
  readonly installation: Installation | null
  readonly agent: Agent | null
  readonly identity: AgentValue | null
  readonly access: AccessValue | null
  readonly tool: Tool | null
  readonly toolValue: ToolValue | null
}

export const isLocked = (row: Lockable | null | undefined, now: Instant): boolean =>
  row?.locks.some((lock) => lock.until === null || now < lock.until) ?? false

/** `: by an admin, since 2026-01-15T09:00:00.000Z, until it is lifted`: of the locks that stand, the one that stands longest. */
function lockWords(row: Lockable, now: Instant): string {
  const standing = row.locks.filter((lock) => lock.until === null || now < lock.until)
  const lasting = standing.find((lock) => lock.until === null) ?? standing.at(-1)
  if (lasting?.by === undefined || lasting.since === undefined) return ''
  const until = lasting.until === null ? 'it is lifted' : rfc3339(lasting.until)
  return `: by ${lasting.by === 'operator' ? 'the operator' : `an ${lasting.by}`}, since ${rfc3339(lasting.since)}, until ${until}`
}

/** `reviewBy` is a UTC day; access ends after it. Null: never. */
export const reviewEnd = (reviewBy: string | null): Instant =>
  reviewBy === null ? Number.POSITIVE_INFINITY : Date.parse(`${reviewBy}T00:00:00Z`) + 86_400_000

export function judgeInstallation({ installation, now }: Pick<World, 'installation' | 'now'>): Problem | null {
  if (installation === null || installation.initializedAt === null)
    return problem('not_initialized', 'This broker has accepted no manifest set yet.', {
      hint: 'Whoever holds its data folder: run `hallpass init --owner EMAIL`.',
    })
  if (isLocked(installation, now))
    return problem('agent_locked', `Everything is locked, for every agent and tool${lockWords(installation, now)}.`, {
      hint: 'Wait: nothing is issued to anybody until an admin lifts the lock. Asking again changes nothing.',
      detail: `locked: ${installation.locks.map((lock) => lock.id).join(', ')}`,
    })
  return null
}

/** May this agent act at all? */
export function judgeAgent(world: Pick<World, 'installation' | 'agent' | 'identity' | 'now'>): Problem | null {
  const { agent, identity, now } = world
  const broken = judgeInstallation(world)
  if (broken !== null) return broken
  if (agent !== null && (agent.state !== 'active' || identity?.state === 'decommissioned'))
    return problem('agent_decommissioned', `${agent.id} is decommissioned.`, {
      hint: 'It holds nothing and gets nothing any more. Its name is not used again.',
    })
  if (agent === null || identity === null)
    return problem('unknown_agent', 'No agent of this name is in force.', {
      hint: 'Its owner: add it to the manifests and have it accepted.',
    })
  if (isLocked(agent, now))
    return problem('agent_locked', `${agent.id} is locked${lockWords(agent, now)}.`, {
      hint: 'Wait: an admin has to lift the lock. Asking again changes nothing.',
      detail: `locked: ${agent.locks.map((lock) => lock.id).join(', ')}`,
    })
  return null
}

/** May this agent use or get access to this tool, before scopes are looked at? */
export function judgeTool(world: World, name: string): Problem | null {
  const { tool, toolValue, now, identity } = world
  const refused = judgeAgent(world)
  if (refused !== null) return refused
  if (tool === null || toolValue === null)
    return problem('unknown_tool', `There is no tool "${name}".`, {
      hint: 'Call list_access for the tools you may ask for.',
      nextTool: 'list_access',
    })
  if (isLocked(tool, now))
    return problem('tool_locked', `${name} is locked${lockWords(tool, now)}.`, {
      hint: 'Wait: an admin has to lift the lock. Asking again changes nothing.',
      detail: `locked: ${tool.locks.map((lock) => lock.id).join(', ')}`,
    })
  if (now >= reviewEnd(identity?.reviewBy ?? null))
    return problem('review_overdue', `The review of ${identity?.name} was due by ${identity?.reviewBy}.`, {
      hint: 'Its owner: look over its access and set a later reviewBy in its manifest.',
    })
  return null
}

/** Whoever holds a key that was withdrawn could have signed the same (S19). */
export const isWithdrawn = (installation: Installation | null, kid: string): boolean =>
  installation?.withdrawn?.some((key) => key.kid === kid) ?? false

export function judgeSession(world: Omit<World, 'access' | 'tool' | 'toolValue'>, session: Session): Problem | null {
  const refused = judgeAgent(world)
  if (refused !== null) return refused
  const { agent, installation, identity, now } = world
  const revoked = (detail: string) =>
    problem('session_revoked', 'This session was revoked.', { hint: 'Open a new session with your key.', detail })
  if (session.state === 'revoked') return revoked(`revoked by ${session.revocation}`)
  if (session.born.agent < agent!.epoch || session.born.installation < installation!.epoch)
    return revoked('opened before a lock or decommission')
  if (isWithdrawn(installation, session.signedBy)) return revoked('its token was signed with a key that was withdrawn')
  if (!identity!.keys.some((key) => key.kid === session.key)) return revoked('its key left the manifest')
  if (now >= session.expiresAt)
    return problem('unauthenticated', 'This session has expired.', { hint: 'Open a new session with your key.' })
  return null
}

const rank = (level: ApprovalLevel) => APPROVAL_LEVELS.indexOf(level)

/** The stricter of the access entry's level and its scopes' on the tool (S8). */
export const approvalOf = (entitlement: Entitlement, scopes: readonly string[], tool: ToolValue): ApprovalLevel =>
  scopes.reduce<ApprovalLevel>((level, scope) => {
    const own = tool.scopes[scope]?.approval ?? 'none'
    return rank(own) > rank(level) ? own : level
  }, entitlement.approval)

/** Entitlements that alone allow all of these scopes within these details (S9), the least approval first. */
export function covering(
  world: Pick<World, 'access' | 'toolValue'>,
  scopes: readonly string[],
  details: Details,
): readonly Entitlement[] {
  const tool = world.toolValue
  if (tool === null || world.access === null) return []
  const declared =
    scopes.every((scope) => Object.hasOwn(tool.scopes, scope)) &&
    Object.keys(details).every((key) => Object.hasOwn(tool.details, key))
  if (!declared) return []
  return world.access.entitlements
    .filter(
      (entitlement) =>
        scopes.every((scope) => entitlement.scopes.includes(scope)) &&
        Object.keys(entitlement.details).every((key) => Object.hasOwn(tool.details, key)) &&
        detailsCover(entitlement.details, details),
    )
    .sort(
      (a, b) =>
        rank(approvalOf(a, scopes, tool)) - rank(approvalOf(b, scopes, tool)) || b.grantForSeconds - a.grantForSeconds,
    )
}

/** The entitlement a grant lives under: of those that alone cover it in every field (S9), the one that lasts longest. */
export const carrying = (world: Pick<World, 'access' | 'toolValue'>, grant: Grant): Entitlement | undefined =>
  covering(world, grant.scopes, grant.details)
    .filter(
      (candidate) =>
        rank(approvalOf(candidate, grant.scopes, world.toolValue!)) <= rank(grant.approval) &&
        DELIVERIES.indexOf(candidate.delivery) <= DELIVERIES.indexOf(grant.delivery),
    )
    .sort((a, b) => b.grantForSeconds - a.grantForSeconds)[0]

/** The earliest of what was given, what the entitlement gives, and the review (S11). */
export const grantEnd = (grant: Grant, entitlement: Entitlement, reviewBy: string | null): Instant =>
  Math.min(grant.expiresAt, grant.createdAt + entitlement.grantForSeconds * 1000, reviewEnd(reviewBy))

/** The agent stays, and the key that the grant was asked for with does not (S11). */
export const keyLeft = ({ identity }: Pick<World, 'identity'>, { key }: Pick<Grant, 'key'>): boolean =>
  identity !== null && key !== undefined && !identity.keys.some(({ kid }) => kid === key)

/** People whose approval a grant rests on, as rows; absent rows were never locked. */
export type Approvers = ReadonlyMap<string, Person>

/** Alive until `endsAt` under `entitlement`, or the reason why not. */
export function judgeGrant(
  world: World,
  grant: Grant,
  approvers: Approvers,
): Result<{ readonly entitlement: Entitlement; readonly endsAt: Instant }, Problem> {
  const refused = judgeTool(world, grant.tool)
  if (refused !== null) return err(refused)
  const { agent, tool, installation, identity, now } = world
  const dead = (detail: string) =>
    err(
      problem('grant_revoked', 'This grant is no longer in force.', {
        hint: 'Your access changed. Ask again with request_access if you still need it.',
        nextTool: 'request_access',
        detail,
      }),
    )
  if (grant.state !== 'active')
    return dead(grant.revocation === null ? grant.state : `${grant.state} by ${grant.revocation}`)
  const { born } = grant
  if (born.agent < agent!.grantEpoch || born.tool < tool!.grantEpoch || born.installation < installation!.grantEpoch)
    return dead('given before its agent, its tool or everything was taken away')
  if (grant.approvers.some((email, i) => (born.approvers[i] ?? 0) < (approvers.get(email)?.grantEpoch ?? 1)))
    return dead('approved before the grants of its approver were taken away')
  if (keyLeft(world, grant)) return dead('asked for with a key that left the manifest')
  if (grant.approvers.some((email) => isLocked(approvers.get(email), now)))
    return err(
      problem('approval_required', 'The person who approved this is locked, so the grant is suspended.', {
        hint: 'Wait for an admin, or have another owner approve a new request.',
        detail: 'suspended: an approver is locked',
      }),
    )
  const entitlement = carrying(world, grant)
  if (entitlement === undefined) return dead('no single entitlement in force covers it any more')
  const endsAt = grantEnd(grant, entitlement, identity!.reviewBy)
  if (now >= endsAt)
    return err(
      problem('grant_expired', 'This grant has expired.', {
        hint: 'Ask again with request_access if you still need it.',
        nextTool: 'request_access',
      }),
    )
  return ok({ entitlement, endsAt })
}

/** Alive until `endsAt` (S11: the earliest of everything above it), or the reason why not. */
export function judgeCredential(
  world: World,
  credential: Credential,
  session: Session,
  grant: Grant,
  approvers: Approvers,
): Result<{ readonly endsAt: Instant }, Problem> {
  const sessionRefused = judgeSession(world, session)
  if (sessionRefused !== null) return err(sessionRefused)
  const granted = judgeGrant(world, grant, approvers)
  if (!granted.ok) return granted
  const { agent, tool, toolValue, installation, now } = world
  const dead = (detail: string) => err(problem('grant_revoked', 'This credential is no longer valid.', { detail }))
  if (credential.state === 'revoked') return dead(`revoked by ${credential.revocation}`)
  if (isWithdrawn(installation, credential.kid)) return dead('signed with a key that was withdrawn')
  const { born } = credential
  if (
    born.agent < agent!.epoch ||
    born.tool < tool!.epoch ||
    born.installation < installation!.epoch ||
    grant.approvers.some((email, i) => (born.approvers[i] ?? 0) < (approvers.get(email)?.epoch ?? 1))
  )
    return dead('minted before a lock')
  if (credential.resource !== toolValue!.resource) return dead('minted for another resource of the tool')
  const endsAt = credentialEnd(credential.issuedAt, granted.value, session, toolValue!, credential.expiresAt)
  if (now >= endsAt) return err(problem('unauthenticated', 'This credential has expired.', { detail: 'expired' }))
  return ok({ endsAt })
}

/** The earliest of session, grant (which ends by `reviewBy`), tokenTtl and the tool's maxTtl (S11). */
export const credentialEnd = (
  issuedAt: Instant,
  granted: { readonly entitlement: Entitlement; readonly endsAt: Instant },
  session: Session,
  tool: ToolValue,
  atMost: Instant = Number.POSITIVE_INFINITY,
): Instant =>
  Math.min(
    atMost,
    session.expiresAt,
    granted.endsAt,
    issuedAt + granted.entitlement.tokenTtlSeconds * 1000,
    issuedAt + tool.token.maxTtlSeconds * 1000,
  )
