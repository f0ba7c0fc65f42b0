// Rows that something is being taken from: from the moment a narrowing waits to be written until its outcome is known.
// Who would judge by them waits for that, so a narrowing denies while it is being written (STORE rule 6).

import { type Member, StoreUnavailable } from '../../actions/ports.ts'
import { type Key, keyOf } from '../../core/model.ts'

/** Longer than this nobody is kept waiting: they are refused. */
const WAIT_MS = 1_000

export type InDoubt = {
  /** Every row that this member puts is in doubt until the answer is called. */
  hold(member: Member): () => void
  /** Undefined where none of them is in doubt. Rejects with StoreUnavailable where one stays so for a second. */
  wait(keys: readonly Key[]): Promise<void> | undefined
}

export function createInDoubt(): InDoubt {
  const held = new Map<Key, Promise<void>>()

  return {
    hold(member) {
      const { promise, resolve } = Promise.withResolvers<void>()
      const keys = member.put.map(({ kind, row }) => keyOf(kind, row.id))
      // A later narrowing of the same row is written later: to wait for the last is to wait for all.
      for (const key of keys) held.set(key, promise)
      return () => {
        resolve()
        for (const key of keys) if (held.get(key) === promise) held.delete(key)
      }
    },
    wait(keys) {
      if (held.size === 0) return undefined
      const waits = keys.flatMap((key) => held.get(key) ?? [])
      return waits.length === 0 ? undefined : within(Promise.all(waits))
    },
  }
}

function within(done: Promise<unknown>): Promise<void> {
  return new Promise((resolve, reject) => {
    const late = () => reject(new StoreUnavailable('It is being taken away, and that is not written yet.'))
    const timer = setTimeout(late, WAIT_MS)
    void done.then(() => {
      clearTimeout(timer)
      resolve()
    })
  })
}
