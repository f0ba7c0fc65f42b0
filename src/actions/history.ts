// What authority was at an instant that is past. Rows are written over, so each row that decides what an agent may do is
// kept once more, beside itself and in the same commit, for as long as the trail. Nothing is ever decided from it.

import {
  type Instant,
  type Key,
  type Kind,
  PAST_KINDS,
  type Past,
  type PastKind,
  type Row,
  type Rows,
} from '../core/model.ts'
import { type Problem, problem } from '../core/problem.ts'
import { rfc3339 } from '../core/record.ts'
import { err, ok, type Result } from '../core/result.ts'
import type { Deps, Snapshot } from './ports.ts'

const isKept = (put: Row): put is Past['kept'] => (PAST_KINDS as readonly Kind[]).includes(put.kind)

/** Sorts by time, below every id of the same or a later millisecond. */
const startOf = (at: Instant): string => `pst_${String(at).padStart(15, '0')}`

/** The rows to put beside `put`; `versions` are those that the commit asserts. */
export function pastOf(
  deps: Pick<Deps, 'ids'>,
  at: Instant,
  put: readonly Row[],
  versions: ReadonlyMap<Key, number>,
): readonly Row[] {
  return put.flatMap((kept): Row[] => {
    if (!isKept(kept)) return []
    const of: Key = `${kept.kind}/${kept.row.id}`
    const row = { id: `${startOf(at)}_${deps.ids.next('at')}`, of, at, isFirst: versions.get(of) === 0, kept }
    return [{ kind: 'past', row }]
  })
}

/**
 * These rows as they were at `at`, by the broker's clock of then. `invalid_request` where one of them was written before
 * versions were kept and has been written over since.
 */
export async function readAsOf(
  deps: Pick<Deps, 'store'>,
  at: Instant,
  keys: readonly Key[],
): Promise<Result<Pick<Snapshot, 'get'>, Problem>> {
  const present = await deps.store.read(keys)
  const found = new Map<Key, Row['row']>()
  for (const key of keys) {
    const where = { slice: key }
    const [before] = (
      await deps.store.list({ kind: 'past', where, after: startOf(at + 1), limit: 1, newestFirst: true })
    ).rows
    if (before !== undefined) {
      found.set(key, before.kept.row)
      continue
    }
    const [since] = (await deps.store.list({ kind: 'past', where, limit: 1 })).rows
    if (since?.isFirst === true) continue
    if (since !== undefined)
      return err(
        problem('invalid_request', `What ${key} was before ${rfc3339(since.at)} was not kept.`, {
          hint: 'The trail has it in words: hallpass audit list.',
        }),
      )
    // Never written since versions are kept: it is what it was.
    const [kind, id] = [key.slice(0, key.indexOf('/')) as PastKind, key.slice(key.indexOf('/') + 1)]
    const row = present.get(kind, id)
    if (row !== undefined) found.set(key, row)
  }
  return ok({
    get<K extends Kind>(kind: K, id: string): Rows[K] | undefined {
      return found.get(`${kind}/${id}`) as Rows[K] | undefined
    },
  })
}
