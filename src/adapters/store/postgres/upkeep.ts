// What follows commits in its own time: tree nodes, and forgetting what no promise needs any more. All of it may be
// done late, twice, by several instances, or after a crash; none of it may hold up or fail a commit.

import type { Log } from '../../../actions/ports.ts'
import type { Instant, Seq } from '../../../core/model.ts'
import { type Line, QueryError } from './connections.ts'

const PRUNE_EVERY = 1_024
const PRUNED_AT_ONCE = 5_000
/** A used value outlives its use by this: a clock that ran ahead for days must not make it new. */
const USED_KEPT_MS = 7 * 24 * 3_600_000

export type Upkeep = {
  /** Something was committed: do what is due, later. */
  after(size: Seq, now: Instant): void
  /** Ends after what is being done. */
  close(): Promise<void>
}

export function createUpkeep(line: Line, keepChanges: number, log?: Log): Upkeep {
  const pruneEvery = Math.min(PRUNE_EVERY, keepChanges)
  let due: { readonly size: Seq; readonly now: Instant } | null = null
  let running: Promise<void> | null = null
  let prunedAt: Seq = 0
  let integratedAt: Seq = -1

  async function tend(): Promise<void> {
    for (let next = due; next !== null; next = due) {
      due = null
      const { size, now } = next
      try {
        // A call for every group would cost what it saves: only where a chunk may have been completed.
        if (Math.floor(size / 256) !== integratedAt) {
          while (await integrate(size));
          integratedAt = Math.floor(size / 256)
        }
        if (size - prunedAt >= pruneEvery) {
          await prune(now)
          prunedAt = size
        }
      } catch (thrown) {
        if (!(thrown instanceof QueryError)) throw thrown
        log?.warn({ error: thrown.message }, 'upkeep of the store waits for the next commit')
      }
    }
  }

  function start(): void {
    running ??= tend().finally(() => {
      running = null
      if (due !== null) start()
    })
  }

  async function integrate(size: Seq): Promise<boolean> {
    const [row] = await line.query<{ more: boolean }>({
      name: 'integrate',
      text: 'select hallpass_integrate($1) as more',
      values: [size],
    })
    return row?.more ?? false
  }

  async function prune(now: Instant): Promise<void> {
    await line.query({
      text: 'delete from change where last <= (select last from change order by last desc limit 1 offset $1)',
      values: [keepChanges],
    })
    // Rows that a commit holds are left for the next time: neither waits for the other.
    await line.query({
      text: `delete from single_use where (space, value) in (
        select space, value from single_use where until < $1 limit $2 for update skip locked)`,
      values: [now - USED_KEPT_MS, PRUNED_AT_ONCE],
    })
  }

  return {
    after(size, now) {
      due = { size, now }
      start()
    },
    async close() {
      await running
    },
  }
}
