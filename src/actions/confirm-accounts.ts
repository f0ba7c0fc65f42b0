// What a receipt says of accounts in tools: which an act took, and that each was removed, read back and tried in vain.
// An account that is not gone by its row is never said to be dead, whichever act is being confirmed (S15).

import {
  type Account,
  type AccountProof,
  type Confirmation,
  type Credential,
  keyOf,
  type Revocation,
} from '../core/model.ts'
import { accountsWithin } from './dead-rows.ts'
import type { Deps } from './ports.ts'
import { listAll } from './standing.ts'
import type { Look } from './transact.ts'

/**
 * Every account that this act's receipt must wait for: those it marked, in this chunk and before, and those within its
 * reach that were leaving already, for an earlier act or by themselves.
 */
export async function withAccounts(
  deps: Pick<Deps, 'store'>,
  revocation: Revocation,
  marked: readonly Account[],
): Promise<readonly Account[]> {
  const accounts = new Map(marked.map((row) => [row.id, row]))
  for (const row of await listAll(deps, 'account', { revocation: revocation.id })) accounts.set(row.id, row)
  for (const takes of revocation.takes)
    for (const row of await accountsWithin(deps, takes, ['leaving'])) accounts.set(row.id, row)
  return [...accounts.values()]
}

const proofOf = ({ id, name, state, removedAt, readBackAt, probedAt, lastFailure }: Account): AccountProof => ({
  id,
  name,
  gone: state === 'gone',
  removedAt,
  readBackAt,
  probedAt,
  lastFailure: state === 'gone' ? null : lastFailure,
})

/** One confirmation a tool; `taken` counts the credentials that were handed out of them. */
export function accountsToConfirm(
  { toolCalls }: Pick<Deps, 'toolCalls'>,
  revocation: Revocation,
  accounts: readonly Account[],
  taken: readonly Credential[],
): readonly Confirmation[] {
  const tools = [...new Set(accounts.map(({ tool }) => tool))].sort()
  return tools.map((tool) => {
    const held = accounts.filter((account) => account.tool === tool)
    const ids = new Set(held.map(({ id }) => id))
    return {
      tool,
      verifiedBy: 'target' as const,
      accounts: held.map(proofOf),
      credentials: taken.filter(({ account }) => account !== undefined && ids.has(account)).length,
      deadAt: Math.max(...held.map(({ until }) => until)),
      deadline: revocation.at + toolCalls.limits.goneMs,
      confirmedAt: null,
      how: null,
    }
  })
}

/** The receipt with the reason why this account is still there. */
export const withFailure = (revocation: Revocation, account: Account): Revocation => ({
  ...revocation,
  confirmations: revocation.confirmations.map((confirmation) =>
    confirmation.accounts === undefined
      ? confirmation
      : {
          ...confirmation,
          accounts: confirmation.accounts.map((proof) => (proof.id === account.id ? proofOf(account) : proof)),
        },
  ),
})

export type GoneAccount = { readonly tool: string; readonly proof: AccountProof; readonly how: string }

/** The confirmations of tools with accounts as their rows are now, and the accounts that are newly gone. */
export async function accountsConfirmed(
  look: Look,
  revocation: Revocation,
): Promise<{ readonly confirmations: ReadonlyMap<string, Confirmation>; readonly gone: readonly GoneAccount[] }> {
  const waiting = revocation.confirmations.filter((c) => c.verifiedBy === 'target' && c.confirmedAt === null)
  const keys = waiting.flatMap(({ accounts }) => accounts ?? []).map(({ id }) => keyOf('account', id))
  const rows = keys.length === 0 ? null : await look.read(keys)
  const gone: GoneAccount[] = []
  const confirmations = new Map<string, Confirmation>()
  for (const confirmation of waiting) {
    const accounts = (confirmation.accounts ?? []).map((before) => {
      const row = rows?.get('account', before.id)
      const proof = row === undefined ? before : proofOf(row)
      if (proof.gone && !before.gone) gone.push({ tool: confirmation.tool, proof, how: howGone([proof]) })
      return proof
    })
    const isDone = accounts.every((proof) => proof.gone)
    confirmations.set(confirmation.tool, {
      ...confirmation,
      accounts,
      ...(isDone ? { confirmedAt: look.now, how: howGone(accounts) } : {}),
    })
  }
  return { confirmations, gone }
}

/** In words; an account without a secret that anybody knew had nothing to try. */
function howGone(accounts: readonly AccountProof[]): string {
  const probed = accounts.filter(({ probedAt }) => probedAt !== null).length
  const all = accounts.length === 1 ? 'the account was' : `${accounts.length} accounts were`
  if (probed === accounts.length) return `${all} removed, read back and probed dead`
  return probed === 0 ? `${all} removed and read back` : `${all} removed and read back, ${probed} probed dead`
}
