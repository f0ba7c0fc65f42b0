// Finding accounts' rows, and the changes of one that more than one verb makes. Nothing here speaks to a tool.

import { accountId, CANARY } from '../core/account-name.ts'
import { move } from '../core/lifecycle.ts'
import type { TargetConnection } from '../core/manifest.ts'
import { type Account, type AccountState, type Instant, keyOf } from '../core/model.ts'
import { type Problem, problem } from '../core/problem.ts'
import { type AuditRecord, personal } from '../core/record.ts'
import { sliceId } from '../core/slice.ts'
import { TargetFailure } from '../core/target.ts'
import type { Context, Deps } from './ports.ts'
import { listAll } from './standing.ts'
import { type Look, recordOf } from './transact.ts'

export const keeper = (requestId: string): Context => ({ caller: { role: 'system', part: 'keeper' }, requestId })

/** Everything that is not gone, of all tools. */
export async function liveAccounts(
  deps: Pick<Deps, 'store'>,
  states: readonly AccountState[] = ['planned', 'present', 'leaving'],
): Promise<readonly Account[]> {
  const lists = []
  for (const state of states) lists.push(...(await listAll(deps, 'account', { state })))
  return lists
}

/** The latest generation, asserted; and the number of the next, asserted absent where the last is gone. */
export async function latestAccount(
  deps: Pick<Deps, 'store'>,
  look: Look,
  grant: string,
): Promise<{ readonly account: Account | null; readonly generation: number }> {
  const { rows } = await deps.store.list({ kind: 'account', where: { grant }, limit: 1, newestFirst: true })
  const account = rows[0] === undefined ? null : ((await look.row('account', rows[0].id)) ?? null)
  const generation = (account?.generation ?? 0) + 1
  if (account === null || account.state === 'gone') await look.row('account', accountId(grant, generation))
  return { account, generation }
}

/** Where the account is reached: as it was made, with the secret in force while it is the same place: secrets are turned. */
export async function connectionOf(deps: Pick<Deps, 'store'>, account: Account): Promise<TargetConnection> {
  const id = sliceId.tool(account.tool)
  const value = (await deps.store.read([keyOf('slice', id)])).get('slice', id)?.value
  const now = value?.of === 'tool' && value.target.type !== 'none' ? value.target : null
  return now !== null && placeOf(now) === placeOf(account.target)
    ? { ...account.target, secret: now.secret }
    : account.target
}

/** Another recipe or other values may lead elsewhere, where an account is not found that is alive at home. */
export const placeOf = ({ type, url, recipe, ownRecipe, values }: TargetConnection): string => {
  const sorted = Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1))
  return JSON.stringify([type, url, recipe, sorted, ...(ownRecipe === undefined ? [] : [ownRecipe])])
}

export const accountSubject = ({ agent, tool, grant, id, revocation }: Account) => ({
  ...(agent === CANARY ? {} : { agent, grant }),
  tool,
  account: id,
  ...(revocation === null ? {} : { revocation }),
})

/** The row as it leaves. `unsettledMs`: how long a create whose outcome nobody knows may still be carried out. */
export const leaving = (
  account: Account,
  at: Instant,
  why: { readonly because: string; readonly revocation: string | null; readonly unsettledMs: number | null },
): Account => ({
  ...move('account', account, 'leaving'),
  leavingSince: at,
  because: why.because,
  revocation: why.revocation,
  unsettledUntil: why.unsettledMs === null ? null : at + why.unsettledMs,
})

export const leavingRecord = (context: Context, at: Instant, account: Account, because: string): AuditRecord =>
  recordOf(context, at, 'account.leaving', accountSubject(account), { name: account.name, because })

export const failedRecord = (
  context: Context,
  at: Instant,
  account: Account,
  doing: 'create' | 'remove' | 'look' | 'probe',
  failure: { readonly why: string; readonly message: string },
): AuditRecord =>
  recordOf(context, at, 'account.failed', accountSubject(account), {
    name: account.name,
    doing,
    why: failure.why,
    attempts: account.attempts,
    detail: personal(failure.message.slice(0, 500) || failure.why),
  })

export const asFailure = (thrown: unknown): TargetFailure =>
  thrown instanceof TargetFailure ? thrown : new TargetFailure('garbled', String(thrown))

/** What an agent is told of a tool that could not be used. */
export function toolProblem(failure: TargetFailure, tool: string): Problem {
  const detail = `${tool}: ${failure.why}: ${failure.message}`
  if (failure.why === 'refused' || failure.why === 'garbled')
    return problem('internal', `${tool} did not make the account. Nothing was issued.`, {
      hint: 'Trying again rarely helps: tell an operator, who finds the reason on the trail.',
      detail,
    })
  return problem('overloaded', `${tool} cannot be reached or does not answer. Nothing was issued.`, {
    retryable: true,
    retryAfterSeconds: Math.max(1, Math.ceil(failure.retryAfterSeconds ?? 5)),
    hint: 'The grant stays: try again in a while.',
    detail,
  })
}
