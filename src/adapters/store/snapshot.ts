// Rows as of one instant, as actions see them: what was not asked for cannot be had.

import type { Snapshot } from '../../actions/ports.ts'
import { type Key, type Kind, keyOf, type Rows, type Seq } from '../../core/model.ts'
import type { Held } from './view.ts'

/** Null is a row that does not exist. */
export const snapshotOf = (found: ReadonlyMap<Key, Held | null>, seq: Seq): Snapshot => new HeldRows(found, seq)

class HeldRows implements Snapshot {
  readonly seq: Seq
  readonly #found: ReadonlyMap<Key, Held | null>
  #versions: Map<Key, number> | null = null

  constructor(found: ReadonlyMap<Key, Held | null>, seq: Seq) {
    this.#found = found
    this.seq = seq
  }

  /** Made where they are asked for: whoever checks does not commit. */
  get versions(): ReadonlyMap<Key, number> {
    if (this.#versions === null) {
      this.#versions = new Map()
      for (const [key, held] of this.#found) this.#versions.set(key, held?.version ?? 0)
    }
    return this.#versions
  }

  get<K extends Kind>(kind: K, id: string): Rows[K] | undefined {
    const held = this.#found.get(keyOf(kind, id))
    if (held === undefined) throw new Error(`${kind}/${id} was not asked for`)
    return held?.row as Rows[K] | undefined
  }
}
