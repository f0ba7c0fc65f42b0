// What this process knows of the log: the view that authority is judged from, the listeners that follow it, and the
// last record's leaf, by which a log that is no longer the same one is found out. Nothing but the log's order writes it.

import type { Change } from '../../../actions/ports.ts'
import type { Instant, Kind, Seq } from '../../../core/model.ts'
import { type ChangeFeed, createFeed } from '../feed.ts'
import { createView, type Held, type View } from '../view.ts'

export type Memory = {
  readonly view: View
  readonly feed: ChangeFeed
  /** Leaf of the last record that is known; null of an empty log. */
  readonly tail: Uint8Array | null
  /** The highest time any commit carried, since it was last set. */
  readonly time: Instant
  /** The next change. What is known already is passed over. */
  apply(past: Past): void
  load(state: LoadedState): void
  /** Resolves true once everything below `seq` is seen here, false after `ms`. */
  reached(seq: Seq, ms: number): Promise<boolean>
}

/** A change with its last record's leaf and the highest time as it left it. */
export type Past = { readonly change: Change; readonly leaf: Uint8Array; readonly time: Instant }

export type LoadedState = {
  readonly rows: readonly { readonly kind: Kind; readonly held: Held }[]
  readonly size: Seq
  readonly time: Instant
  readonly tail: Uint8Array | null
}

export function createMemory(
  first: LoadedState,
  missed: (after: Seq, limit: number) => Promise<readonly Change[]>,
  isFresh: () => boolean,
): Memory {
  const view = createView()
  const feed = createFeed({ seq: first.size, missed, isFresh })
  const waiting = new Set<() => void>()
  let tail: Uint8Array | null = null
  let time: Instant = 0

  const wake = () => {
    for (const look of waiting) look()
  }
  const take = (state: LoadedState) => {
    view.load(state.rows, state.size)
    tail = state.tail
    time = state.time
  }
  take(first)

  return {
    view,
    feed,
    get tail() {
      return tail
    },
    get time() {
      return time
    },
    apply(past) {
      const { change } = past
      if (change.last < view.seq) return
      view.apply(change)
      tail = past.leaf
      time = past.time
      feed.push(change)
      wake()
    },
    load(state) {
      if (state.size <= view.seq) return
      take(state)
      feed.restart(view.seq)
      wake()
    },
    reached(seq, ms) {
      if (view.seq >= seq) return Promise.resolve(true)
      const { promise, resolve } = Promise.withResolvers<boolean>()
      const settle = (isReached: boolean) => {
        waiting.delete(look)
        clearTimeout(timer)
        resolve(isReached)
      }
      const look = () => {
        if (view.seq >= seq) settle(true)
      }
      const timer = setTimeout(() => settle(false), ms)
      waiting.add(look)
      return promise
    },
  }
}
