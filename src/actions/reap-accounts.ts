// Accounts whose time is up, and intents that nobody is carrying out any more: both leave. RT and Redmine end nothing by
// themselves, so nothing lives longer than its last credential because of us.

import { orderOf } from '../core/account-name.ts'
import type { Account } from '../core/model.ts'
import { ok } from '../core/result.ts'
import { keeper, leaving, leavingRecord, liveAccounts } from './account-rows.ts'
import type { Deps } from './ports.ts'
import { transact } from './transact.ts'

/**
 * One round: starts what is due and does not wait for it, for each goes behind whoever uses the account at this moment.
 * `ended` resolves once all of it has.
 */
export async function reapAccounts(deps: Deps): Promise<{ readonly ended: Promise<unknown> }> {
  const due = (await liveAccounts(deps, ['planned', 'present'])).filter(
    ({ state, until }) => state === 'planned' || deps.clock.now() >= until,
  )
  const reaped = due.map((account) =>
    deps.toolCalls
      .inOrder(orderOf(account), () => reap(deps, account.id))
      .catch((thrown: unknown) => deps.log.error({ account: account.name, error: String(thrown) }, 'not reaped')),
  )
  return { ended: Promise.all(reaped) }
}

/** What is still planned once it is its turn belongs to nobody. */
async function reap(deps: Deps, id: string): Promise<void> {
  const done = await transact<boolean>(deps, 'normal', async (look) => {
    const row = await look.row('account', id)
    const why = row === undefined ? null : whyReaped(deps, row, look.now)
    if (row === undefined || why === null) return ok({ value: false, records: [] })
    const next = leaving(row, look.now, { ...why, revocation: null })
    return ok({
      value: true,
      put: [{ kind: 'account' as const, row: next }],
      records: [leavingRecord(keeper(id), look.now, next, why.because)],
    })
  })
  if (done.ok && done.value.value) deps.targets.wake()
}

function whyReaped({ toolCalls: { limits } }: Deps, row: Account, now: number) {
  if (row.state === 'planned') return { because: 'left over', unsettledMs: limits.createMs + limits.settleMs }
  if (row.state === 'present' && now >= row.until) return { because: 'its last credential ended', unsettledMs: null }
  return null
}
