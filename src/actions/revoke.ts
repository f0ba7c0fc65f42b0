// Taking away a session, a grant or a credential. The commit makes it dead by judgement; rows and confirmations follow
// in reconcile-targets. "Revoked" is said only once the tools confirmed it (P5, S15).

import { mayMove, move } from '../core/lifecycle.ts'
import type { Act } from '../core/matrix.ts'
import type { AccountProof, Credential, Grant, Revocation, Row, Session } from '../core/model.ts'
import { type Problem, problem } from '../core/problem.ts'
import { type AuditRecord, personal, rfc3339 } from '../core/record.ts'
import { err, ok, type Result } from '../core/result.ts'
import { authorize } from './authorize.ts'
import { finishRevocation } from './finish-revocation.ts'
import type { Context, Deps } from './ports.ts'
import { type Look, recordOf, transact } from './transact.ts'

export type RevokeInput = {
  readonly kind: 'session' | 'grant' | 'credential'
  readonly id: string
  readonly reason: string | null
}

const ACTS: Record<RevokeInput['kind'], Act> = {
  session: 'session.revoke',
  grant: 'grant.revoke',
  credential: 'credential.revoke',
}

/** How many rows one act takes in its own commit; the rest are dead by judgement and follow (STORE rule 4). */
const IN_ONE_COMMIT = 500

/** Who took it, as a receipt says it. */
export const byOf = (caller: Context['caller']): string => {
  switch (caller.role) {
    case 'owner':
      return caller.email
    case 'agent':
      return caller.agent
    case 'operator':
      return 'operator'
    case 'verifier':
      return caller.tool
    case 'system':
      return caller.part
    default:
      return caller.id
  }
}

/** The receipt of one act of taking away. Rows and confirmations follow: a mint may commit until this does. */
export const newRevocation = (
  deps: Pick<Deps, 'ids'>,
  context: Context,
  at: number,
  of: Pick<Revocation, 'act' | 'target' | 'agent' | 'tool' | 'reason' | 'revision' | 'takes'> & {
    readonly counts?: Partial<Revocation['counts']>
  },
): Revocation => ({
  ...of,
  id: deps.ids.next('rvk'),
  by: byOf(context.caller),
  at,
  seq: null,
  state: 'open',
  rowsFollowed: false,
  counts: { sessions: 0, requests: 0, grants: 0, credentials: 0, ...of.counts },
  confirmations: [],
  completedAt: null,
})

const ended = (because: string, reason: string | null) => ({
  because,
  ...(reason === null ? {} : { reason: personal(reason) }),
})

export async function revoke(deps: Deps, context: Context, input: RevokeInput): Promise<Result<Revocation, Problem>> {
  const done = await transact<Revocation>(deps, 'narrowing', async (look) => {
    const row = await look.row(input.kind, input.id)
    const agent = row?.agent ?? null
    const tool = row !== undefined && 'tool' in row ? row.tool : null
    const refused = await authorize(look, context.caller, ACTS[input.kind], { agent, tool })
    if (refused !== null) return err(refused)
    if (row === undefined) return err(problem('invalid_request', `There is no such ${input.kind}.`, { missing: true }))
    if (row.state === 'revoked' && row.revocation !== null && !(await leftMore(deps, input))) {
      const before = await look.row('revocation', row.revocation)
      if (before !== undefined) return ok({ value: before, records: [] })
    }
    switch (input.kind) {
      case 'session':
        return ok(await takeSession(deps, context, look, row as Session, input.reason))
      case 'grant':
        return ok(takeGrant(deps, context, look, row as Grant, input.reason, 'grant revoked'))
      case 'credential':
        return ok(takeCredential(deps, context, look, row as Credential, input.reason))
    }
  })
  if (!done.ok) return done
  const revocation = await finishRevocation(deps, done.value.value)
  if (input.kind === 'session' && revocation.agent !== null)
    deps.notifier.notify({ type: 'agent.cut', agent: revocation.agent })
  return ok(revocation)
}

/** A lock ends an agent's sessions and only suspends its grants: revoking such a session takes what was asked for in it. */
async function leftMore(deps: Pick<Deps, 'store'>, { kind, id }: RevokeInput): Promise<boolean> {
  if (kind !== 'session') return false
  const [requests, grants] = await Promise.all([
    deps.store.list({ kind: 'request', where: { session: id, state: 'pending' }, limit: 1 }),
    deps.store.list({ kind: 'grant', where: { session: id, state: 'active' }, limit: 1 }),
  ])
  return requests.rows.length + grants.rows.length > 0
}

type Taken = { readonly value: Revocation; readonly put: readonly Row[]; readonly records: readonly AuditRecord[] }

/**
 * The session, and the grants asked for in it that are known by now. Its requests can be approved no more, its credentials
 * are dead by judgement; both follow, and so do grants that were being made meanwhile (S11).
 */
async function takeSession(
  deps: Deps,
  context: Context,
  look: Look,
  session: Session,
  reason: string | null,
): Promise<Taken> {
  const where = { session: session.id }
  const grants = await deps.store.list({ kind: 'grant', where: { ...where, state: 'active' }, limit: IN_ONE_COMMIT })
  const isOpen = mayMove('session', session.state, 'revoked')
  const revocation = newRevocation(deps, context, look.now, {
    act: 'session revoked',
    target: `session/${session.id}`,
    agent: session.agent,
    tool: null,
    reason,
    takes: [where],
    counts: { sessions: isOpen ? 1 : 0, grants: grants.rows.length },
  })
  const subject = { agent: session.agent, session: session.id, revocation: revocation.id }
  return {
    value: revocation,
    put: [
      ...(isOpen
        ? [{ kind: 'session' as const, row: { ...move('session', session, 'revoked'), revocation: revocation.id } }]
        : []),
      { kind: 'revocation', row: revocation },
      ...grants.rows.map((row): Row => ({ kind: 'grant', row: revokedGrant(row, revocation) })),
    ],
    records: [
      recordOf(context, look.now, 'session.revoked', subject, ended('asked', reason)),
      ...grants.rows.map((row) =>
        recordOf(
          context,
          look.now,
          'grant.revoked',
          { ...subject, tool: row.tool, grant: row.id },
          { because: 'session revoked' },
        ),
      ),
    ],
  }
}

const revokedGrant = (grant: Grant, revocation: Revocation): Grant => ({
  ...move('grant', grant, 'revoked'),
  revocation: revocation.id,
})

/** A grant; every credential minted under it, in whatever session, dies by judgement. */
export function takeGrant(
  deps: Deps,
  context: Context,
  look: Look,
  grant: Grant,
  reason: string | null,
  act: 'grant revoked' | 'grant released',
): Taken {
  const revocation = newRevocation(deps, context, look.now, {
    act,
    target: `grant/${grant.id}`,
    agent: grant.agent,
    tool: grant.tool,
    reason,
    takes: [{ grant: grant.id }],
    counts: { grants: 1 },
  })
  const subject = { agent: grant.agent, tool: grant.tool, grant: grant.id, revocation: revocation.id }
  return {
    value: revocation,
    put: [
      ...(mayMove('grant', grant.state, 'revoked')
        ? [{ kind: 'grant' as const, row: revokedGrant(grant, revocation) }]
        : []),
      { kind: 'revocation', row: revocation },
    ],
    records: [
      act === 'grant released'
        ? recordOf(context, look.now, 'grant.released', subject, {})
        : recordOf(context, look.now, 'grant.revoked', subject, ended('asked', reason)),
    ],
  }
}

/** The one row that is marked in its own commit: its confirmation is counted by what follows like any other. */
function takeCredential(
  deps: Deps,
  context: Context,
  look: Look,
  credential: Credential,
  reason: string | null,
): Taken {
  const { agent, tool, session, grant } = credential
  const revocation = newRevocation(deps, context, look.now, {
    act: 'credential revoked',
    target: `credential/${credential.id}`,
    agent,
    tool,
    reason,
    takes: [{ grant }],
    counts: { credentials: 1 },
  })
  const subject = { agent, tool, session, grant, credential: credential.id, revocation: revocation.id }
  return {
    value: revocation,
    put: [
      { kind: 'credential', row: { ...move('credential', credential, 'revoked'), revocation: revocation.id } },
      { kind: 'revocation', row: revocation },
    ],
    records: [recordOf(context, look.now, 'credential.revoked', subject, ended('asked', reason))],
  }
}

/** A receipt as its readers see it. `revoking` until confirmed; `outstanding` once a confirmation is late (P5). */
export function presentRevocation(revocation: Revocation, now: number) {
  const late = revocation.confirmations.filter((c) => c.confirmedAt === null && now > c.deadline)
  const status = revocation.state === 'complete' ? 'revoked' : late.length > 0 ? 'outstanding' : 'revoking'
  return {
    id: revocation.id,
    act: revocation.act,
    target: revocation.target,
    by: revocation.by,
    ...(revocation.reason === null ? {} : { reason: revocation.reason }),
    at: rfc3339(revocation.at),
    status,
    state: revocation.state,
    counts: revocation.counts,
    confirmations: revocation.confirmations.map((c) => ({
      tool: c.tool,
      verifiedBy: c.verifiedBy,
      credentials: c.credentials,
      status: c.confirmedAt !== null ? 'revoked' : now > c.deadline ? 'outstanding' : 'revoking',
      ...(c.accounts === undefined ? {} : { accounts: c.accounts.map((proof) => presentProof(proof, revocation.at)) }),
      ...(c.confirmedAt === null
        ? { deadBy: rfc3339(c.deadAt), dueBy: rfc3339(c.deadline) }
        : { confirmedAt: rfc3339(c.confirmedAt), how: c.how, afterMilliseconds: c.confirmedAt - revocation.at }),
    })),
    ...(revocation.completedAt === null
      ? {}
      : { completedAt: rfc3339(revocation.completedAt), afterMilliseconds: revocation.completedAt - revocation.at }),
  }
}

/** Milliseconds after the act, as the tool itself was seen to be. */
const presentProof = ({ name, gone, removedAt, readBackAt, probedAt, lastFailure }: AccountProof, since: number) => {
  const after = (at: number | null) => (at === null ? null : Math.max(0, at - since))
  return {
    name,
    status: gone ? ('gone' as const) : ('leaving' as const),
    removedAfterMilliseconds: after(removedAt),
    readBackAfterMilliseconds: after(readBackAt),
    probedDeadAfterMilliseconds: after(probedAt),
    ...(lastFailure === null ? {} : { lastFailure }),
  }
}
