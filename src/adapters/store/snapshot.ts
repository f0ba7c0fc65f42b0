// Rows as of one instant, as actions see them: what was not asked for cannot be had.

import type { Snapshot } from '../../actions/ports.ts'
import { type Key, type Kind, keyOf, type Rows, type Seq } from '../../core/model.ts'
import type { Held } from './view.ts'

/** Null is a row that does not exist. */
export function snapshotOf(found: ReadonlyMap<Key, Held | null>, seq: Seq): Snapshot {
  let versions: Map<Key, number> | null = null
  return {
    seq,
    // Made where they are asked for: whoever checks does not commit.
    get versions() {
      if (versions === null) {
        versions = new Map()
        for (const [key, held] of found) versions.set(key, held?.version ?? 0)
      }
      return versions
    },
    get<K extends Kind>(kind: K, id: string) {
      const held = found.get(keyOf(kind, id))
      if (held === undefined) throw new Error(`${kind}/${id} was not asked for`)
      return held?.row as Rows[K] | undefined
    },
  }
}
