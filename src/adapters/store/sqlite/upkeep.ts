// What follows commits in its own time: tree nodes, and forgetting what no promise needs any more. All of it may be
// done late, twice, or after a crash; none of it may hold up or fail a commit.

import Sqlite, { type Database } from 'better-sqlite3'
import type { Instant, Seq } from '../../../core/model.ts'
import { prepareIntegration } from './tree.ts'

const PRUNE_EVERY = 1_024
const PRUNED_AT_ONCE = 5_000
/** A used value outlives its use by this: a clock that ran ahead for days must not make it new. */
const USED_KEPT_MS = 7 * 24 * 3_600_000

export type Upkeep = {
  /** Integrates everything that a log of `size` records lacks: at the start, before anything is served. */
  catchUp(size: Seq): void
  /** Something was committed: do what is due, later. */
  after(size: Seq, now: Instant): void
}

/** `waits` is told why what was due stays due. */
export function prepareUpkeep(db: Database, keepChanges: number, waits: (error: string) => void): Upkeep {
  const integrate = prepareIntegration(db)
  const pruneChanges = db.prepare(
    'delete from change where last <= (select last from change order by last desc limit 1 offset ?)',
  )
  const pruneUsed = db.prepare(
    'delete from single_use where (space, value) in (select space, value from single_use where until < ? limit ?)',
  )
  const pruneEvery = Math.min(PRUNE_EVERY, keepChanges)
  let isDue = false
  let prunedAt: Seq = 0

  /** False when the database would not have it: it stays due. */
  function tried(work: () => void): boolean {
    try {
      // Lost in a crash of the machine it is made again, and the next commit's sync covers it: it waits for no disk.
      db.pragma('synchronous = NORMAL')
      work()
      return true
    } catch (thrown) {
      if (!(thrown instanceof Sqlite.SqliteError)) throw thrown
      waits(thrown.message)
      return false
    } finally {
      db.pragma('synchronous = FULL')
    }
  }

  function schedule(size: Seq, now: Instant): void {
    if (isDue) return
    isDue = true
    setImmediate(() => tend(size, now))
  }

  function tend(size: Seq, now: Instant): void {
    isDue = false
    if (!db.open) return
    const isIntegrated = tried(() => {
      // A chunk at a time: groups fly in between.
      if (integrate(size)) schedule(size, now)
    })
    if (!isIntegrated || size - prunedAt < pruneEvery) return
    const isPruned = tried(() => {
      pruneChanges.run(keepChanges)
      pruneUsed.run(now - USED_KEPT_MS, PRUNED_AT_ONCE)
    })
    if (isPruned) prunedAt = size
  }

  return {
    catchUp(size) {
      while (integrate(size));
    },
    after: schedule,
  }
}
