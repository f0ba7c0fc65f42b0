// Accounts whose time is up, and intents that nobody is carrying out any more: both leave. RT and Redmine end nothing by
// themselves, so nothing lives longer than its last credential because of us.

import { orderOf } from '../core/account-name.ts'
import type { Account } from '../core/model.ts'
import { ok } from '../core/result.ts'
import { keeper, leaving, leavingRecord, liveAccounts } from './account-rows.ts'
import type { Deps } from './ports.ts'
import { transact } from './transact.ts'

/** One round. Answers how many were made to leave. */
export async function reapAccounts(deps: Deps): Promise<number> {
  let reaped = 0
  for (const account of await liveAccounts(deps, ['planned', 'present']))
    if (account.state === 'planned' || deps.clock.now() >= account.until) {
      // Behind whoever is making it at this moment: what is then still planned belongs to nobody.
      const done = deps.toolCalls.inOrder(orderOf(account), () => reap(deps, account.id))
      if (account.state === 'present') reaped += (await done) ? 1 : 0
      else
        done.catch((thrown: unknown) => deps.log.error({ account: account.name, error: String(thrown) }, 'not reaped'))
    }
  if (reaped > 0) deps.targets.wake()
  return reaped
}

async function reap(deps: Deps, id: string): Promise<boolean> {
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
  const reaped = done.ok && done.value.value
  if (reaped) deps.targets.wake()
  return reaped
}

function whyReaped({ toolCalls: { limits } }: Deps, row: Account, now: number) {
  if (row.state === 'planned') return { because: 'left over', unsettledMs: limits.createMs + limits.settleMs }
  if (row.state === 'present' && now >= row.until) return { because: 'its last credential ended', unsettledMs: null }
  return null
}
