// Tells every listener what was committed, in order and without a gap, each at its own pace. Nothing is queued for a
// listener: it reads from one bounded ring, then from the log, and is told to reload where neither reaches back.

import type { Change, Feed } from '../../actions/ports.ts'
import type { Seq } from '../../core/model.ts'

const ALIVE_MS = 1_000
const RING = 1_024
const BATCH = 256

export type ChangeFeed = {
  push(change: Change): void
  /** The view was rebuilt at `seq`: every listener starts over. */
  restart(seq: Seq): void
  listen(after: Seq, signal: AbortSignal): AsyncIterable<Feed>
  close(): void
}

/**
 * `missed` gives what the log still has from a size on, oldest first, empty where it reaches back no further.
 * `isFresh` false withholds the heartbeat: who hears none must take its view as stale.
 */
export function createFeed(options: {
  readonly seq: Seq
  readonly ring?: number
  readonly missed: (after: Seq, limit: number) => readonly Change[] | Promise<readonly Change[]>
  readonly isFresh: () => boolean
}): ChangeFeed {
  const { missed, isFresh, ring: capacity = RING } = options
  let seq = options.seq
  let generation = 0
  let isClosed = false
  let ring: Change[] = []
  const waiting = new Set<() => void>()

  const wake = () => {
    if (waiting.size === 0) return
    const resumes = [...waiting]
    waiting.clear()
    for (const resume of resumes) resume()
  }
  // One clock for all: a timer of each listener's own, made and dropped at every commit, cost more than what it told.
  const beat = setInterval(wake, ALIVE_MS)
  beat.unref()

  function from(cursor: Seq): readonly Change[] | Promise<readonly Change[]> {
    const oldest = ring[0]
    if (oldest === undefined || oldest.first > cursor) return missed(cursor, BATCH)
    const start = ring.findLastIndex((change) => change.last < cursor) + 1
    return ring.slice(start, start + BATCH)
  }

  async function* listen(after: Seq, signal: AbortSignal): AsyncGenerator<Feed> {
    let cursor = after
    let known = generation
    let resume = () => {}
    const stop = () => resume()
    signal.addEventListener('abort', stop)
    /** Resolves when something happened or a heartbeat is due. */
    const moved = () =>
      new Promise<void>((resolve) => {
        resume = resolve
        waiting.add(resolve)
      })
    const isOver = () => signal.aborted || isClosed
    try {
      while (!isOver()) {
        const batch = cursor < seq && known === generation ? await from(cursor) : []
        if (isOver()) return
        const isBehind = cursor < seq && (batch[0] === undefined || batch[0].first > cursor)
        if (known !== generation || cursor > seq || isBehind) {
          known = generation
          cursor = seq
          yield { type: 'reload', seq }
        }
        for (const change of batch) {
          if (isBehind || isOver() || known !== generation) break
          cursor = change.last + 1
          yield { type: 'change', change }
        }
        if (cursor !== seq || known !== generation || isOver()) continue
        await moved()
        if (cursor === seq && known === generation && !isOver() && isFresh()) yield { type: 'alive', seq }
      }
    } finally {
      signal.removeEventListener('abort', stop)
    }
  }

  return {
    push(change) {
      ring.push(change)
      if (ring.length > 2 * capacity) ring = ring.slice(-capacity)
      seq = change.last + 1
      wake()
    },
    restart(at) {
      ring = []
      seq = at
      generation++
      wake()
    },
    listen,
    close() {
      isClosed = true
      clearInterval(beat)
      wake()
    },
  }
}
