// One account from its intent to its secret, whoever wants it: an agent's mint or a drill. What is durable before the tool
// is asked, what is known once it answered, and what a create of unknown end leaves to be taken away (P9, S16).

import { createHash } from 'node:crypto'
import { accountId, accountName, installationTag } from '../core/account-name.ts'
import { move } from '../core/lifecycle.ts'
import type { AccountTarget, TargetConnection } from '../core/manifest.ts'
import type { Account, Installation, Instant } from '../core/model.ts'
import type { Problem } from '../core/problem.ts'
import { type AuditRecord, rfc3339 } from '../core/record.ts'
import { err, ok, type Result } from '../core/result.ts'
import type { Secret } from '../core/secret.ts'
import type { MadeAccount, Target } from '../core/target.ts'
import { accountSubject, asFailure, failedRecord, leaving, toolProblem } from './account-rows.ts'
import type { Context, Deps } from './ports.ts'
import { recordOf, transact } from './transact.ts'

/** SHA-256, hex: how a secret is named on the trail and found again. */
export const hashOf = (secret: Secret): string => createHash('sha256').update(secret.reveal(), 'utf8').digest('hex')

export type Plan = {
  readonly agent: string
  readonly tool: string
  readonly grant: string
  readonly generation: number
  readonly connection: AccountTarget
  /** As the target names them. */
  readonly rights: readonly string[]
  readonly until: Instant
}

/** The intent: a row that is there before the tool is asked, and its record. */
export function planAccount(
  { settings }: Pick<Deps, 'settings'>,
  context: Context,
  now: Instant,
  installation: Installation | null | undefined,
  { connection, ...plan }: Plan,
): { readonly account: Account; readonly record: AuditRecord } {
  const tag = installationTag(settings.issuer, installation?.initializedAt ?? null)
  const account: Account = {
    ...plan,
    id: accountId(plan.grant, plan.generation),
    name: accountName(tag, plan.grant, plan.generation),
    target: connectionOnly(connection),
    state: 'planned',
    sealed: null,
    external: null,
    unsettledUntil: null,
    createdAt: now,
    leavingSince: null,
    because: null,
    revocation: null,
    attempts: 0,
    lastFailure: null,
    removedAt: null,
    readBackAt: null,
    probedAt: null,
  }
  const body = { name: account.name, rights: [...plan.rights], url: account.target.url, until: rfc3339(plan.until) }
  return { account, record: recordOf(context, now, 'account.planned', accountSubject(account), body) }
}

/** With the recipe as it is in force now: by it the account is taken away again, whatever its file says by then. */
const connectionOnly = ({ type, url, secret, recipe, ownRecipe, values }: AccountTarget): TargetConnection => ({
  type,
  url,
  secret,
  recipe,
  ...(ownRecipe === undefined ? {} : { ownRecipe }),
  values,
})

export type Made = MadeAccount & { readonly afterMilliseconds: number }

/** Asks the tool for it; throws as the target does. `label` is for people who look into the tool. */
export async function makeInTool(
  { toolCalls, clock }: Pick<Deps, 'toolCalls' | 'clock'>,
  { name, rights, until, tool }: Account,
  target: Target,
  label: string,
): Promise<Made> {
  const startedAt = clock.monotonic()
  const made = await toolCalls.call(tool, 'createMs', (signal) => target.create({ name, rights, label, until }, signal))
  return { ...made, afterMilliseconds: Math.max(0, Math.round(clock.monotonic() - startedAt)) }
}

/** The row once the tool has answered, in whatever state it is by then, and the record of it. */
export function knownAccount(
  { vault }: Pick<Deps, 'vault'>,
  context: Context,
  now: Instant,
  row: Account,
  { external, secret, afterMilliseconds }: Made,
): { readonly known: Account; readonly record: AuditRecord } {
  const secretHash = hashOf(secret)
  const sealed = vault.seal(secret, { id: row.id, purpose: 'account' })
  const body = { name: row.name, secretHash, afterMilliseconds }
  return {
    known: { ...row, external, secretHash, sealed, unsettledUntil: null },
    record: recordOf(context, now, 'account.created', accountSubject(row), body),
  }
}

/** Gone at once where the tool was surely never asked; else it leaves, and its removal repeats past what may still come. */
export async function createFailed(
  deps: Deps,
  context: Context,
  planned: Account,
  thrown: unknown,
): Promise<Result<never, Problem>> {
  const failure = asFailure(thrown)
  const unsettledMs = failure.mayHaveActed ? deps.toolCalls.limits.settleMs : null
  const noted = await transact<null>(deps, 'normal', async (look) => {
    const account = await look.row('account', planned.id)
    if (account === undefined || account.state === 'gone') return ok({ value: null, records: [] })
    const told: Account = { ...account, attempts: 1, lastFailure: failure.why }
    const row: Account =
      account.state === 'leaving'
        ? { ...told, unsettledUntil: unsettledMs === null ? null : look.now + unsettledMs }
        : unsettledMs === null
          ? { ...move('account', told, 'gone'), because: 'never made' }
          : leaving(told, look.now, { because: 'create failed', revocation: null, unsettledMs })
    return ok({
      value: null,
      put: [{ kind: 'account' as const, row: { ...row, attempts: 0 } }],
      records: [failedRecord(context, look.now, told, 'create', failure)],
    })
  })
  deps.targets.wake()
  if (!noted.ok) return noted
  deps.log.warn({ tool: planned.tool, account: planned.name, why: failure.why }, 'a tool did not make an account')
  return err(toolProblem(failure, planned.tool))
}
