// Goes on with every act of taking away that is not complete: after a crash, until each tool confirmed it (P5, P9).

import type { Revocation } from '../core/model.ts'
import { rfc3339 } from '../core/record.ts'
import { ok } from '../core/result.ts'
import { finishRevocation } from './finish-revocation.ts'
import type { Deps } from './ports.ts'
import { recordOf, transact } from './transact.ts'

/** Remembers which lateness was shouted about already, so that the trail holds it once a process. */
export type Shouted = Set<string>

/** One round over all open revocations. Answers how many are still open. */
export async function reconcileTargets(deps: Deps, shouted: Shouted): Promise<number> {
  let open = 0
  let after: string | null = null
  do {
    const page: { rows: readonly Revocation[]; next: string | null } = await deps.store.list({
      kind: 'revocation',
      where: { state: 'open' },
      limit: 100,
      ...(after === null ? {} : { after }),
    })
    for (const revocation of page.rows) {
      const current = await finishRevocation(deps, revocation)
      if (current.state === 'open') {
        open++
        await shoutIfLate(deps, current, shouted)
      }
    }
    after = page.next
  } while (after !== null)
  return open
}

const keeper = (revocation: Revocation) => ({
  caller: { role: 'system', part: 'reconciler' } as const,
  requestId: revocation.id,
})

async function shoutIfLate(deps: Deps, revocation: Revocation, shouted: Shouted): Promise<void> {
  const now = deps.clock.now()
  for (const { tool, deadline, confirmedAt } of revocation.confirmations) {
    const key = `${revocation.id} ${tool}`
    if (confirmedAt !== null || now <= deadline || shouted.has(key)) continue
    deps.log.warn({ revocation: revocation.id, tool, deadline: rfc3339(deadline) }, 'a revocation is outstanding')
    const done = await transact(deps, 'normal', async (look) =>
      ok({
        value: null,
        records: [
          recordOf(
            keeper(revocation),
            look.now,
            'revocation.outstanding',
            { revocation: revocation.id, tool },
            {
              since: rfc3339(revocation.at),
              deadline: rfc3339(deadline),
            },
          ),
        ],
      }),
    )
    if (done.ok) shouted.add(key)
  }
}
