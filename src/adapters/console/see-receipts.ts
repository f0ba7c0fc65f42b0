// What was taken away, for whoever may see its receipts (S7): what is still open first, then the latest. It shows and
// decides nothing.

import { authorize } from '../../actions/authorize.ts'
import { listRows, readerOf } from '../../actions/list-rows.ts'
import type { Caller, Deps } from '../../actions/ports.ts'
import { presentRevocation } from '../../actions/revoke.ts'
import { keyOf, type Revocation } from '../../core/model.ts'
import { type Problem, problem } from '../../core/problem.ts'
import { err, ok, type Result } from '../../core/result.ts'
import type { Html } from './fragments.ts'
import { receiptFragment, receiptsFragment } from './receipt-fragments.ts'

const SHOWN_MAX = { open: 100, complete: 50 } as const

export async function seeReceipts(deps: Deps, caller: Caller): Promise<Result<Html, Problem>> {
  const listed = (state: keyof typeof SHOWN_MAX) =>
    listRows(deps, caller, {
      kind: 'revocation',
      act: 'receipt.see',
      about: ({ agent, tool }) => ({ agent, tool }),
      where: { state },
      limit: SHOWN_MAX[state],
      newestFirst: true,
    })
  const [open, complete] = await Promise.all([listed('open'), listed('complete')])
  if (!open.ok) return open
  if (!complete.ok) return complete
  const now = deps.clock.now()
  const shown = (rows: readonly Revocation[]) => rows.map((row) => present(row, now))
  return ok(receiptsFragment(shown(open.value.rows), shown(complete.value.rows)))
}

/** With the names of whose it was, for people: an id says nothing to them. */
const present = (row: Revocation, now: number) => ({
  ...presentRevocation(row, now),
  agent: row.agent,
  tool: row.tool,
})

/** `id` null: what was asked for cannot be one. */
export async function seeReceipt(deps: Deps, caller: Caller, id: string | null): Promise<Result<Html, Problem>> {
  const row = id === null ? undefined : (await deps.store.read([keyOf('revocation', id)])).get('revocation', id)
  const refused = await authorize(readerOf(deps), caller, 'receipt.see', {
    agent: row?.agent ?? null,
    tool: row?.tool ?? null,
  })
  if (refused !== null)
    return err(
      problem('forbidden', 'There is no such receipt, or it is not yours to see.', {
        hint: 'Sign in as an owner of what was taken away, or with an admin or auditor token.',
        ...(refused.detail === undefined ? {} : { detail: refused.detail }),
      }),
    )
  return row === undefined
    ? err(problem('invalid_request', 'There is no such receipt.', { missing: true }))
    : ok(receiptFragment(present(row, deps.clock.now())))
}
