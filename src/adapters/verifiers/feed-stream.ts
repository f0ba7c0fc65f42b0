// One guard's connection as a stream of server-sent events (the protocol is at the top of src/guard/feed.ts). Nothing is
// queued for it: it is asked for the next piece, and one that falls behind the ring ends.

import type { Instant, Seq } from '../../core/model.ts'
import { concerns, type DenialFeed } from './denial-feed.ts'
import type { Denial } from './denials.ts'

/** At least every 2 s, says the protocol. */
const HEARTBEAT_MS = 1_000
const DENIALS_A_PIECE = 500
/** A reader that takes nothing for this long is gone. */
const STALLED_MS = 15_000

export type FeedConnection = {
  readonly body: ReadableStream<Uint8Array>
  end(): void
  /** Has the reader stopped reading? */
  isStalled(): boolean
}

export function openFeedStream(
  feed: DenialFeed,
  options: {
    readonly tool: string
    readonly after: Seq
    /** The highest position that a lease of this tool names: the guard waits for it. */
    readonly named: () => Seq
    readonly onEnd: () => void
  },
): FeedConnection {
  const { tool, named, onEnd } = options
  const generation = feed.generation()
  const life = new AbortController()
  let askedAt = performance.now()
  let sent = options.after
  let sentAt = performance.now()
  let told = 0
  /** Numbered as they leave, so that whoever reads them sees that one is missing. */
  const line = (body: object): string => `data: ${JSON.stringify({ n: ++told, ...body })}\n\n`
  /** A commit's denials: all but the last say that more of it follows. */
  const ofCommit = ({ seq, denials }: { readonly seq: Seq; readonly denials: readonly Denial[] }): string =>
    denials
      .map((denial, i) => line({ seq, ...shown(denial), ...(i < denials.length - 1 ? { more: true } : {}) }))
      .join('')
  const pieces = produce()

  async function* produce(): AsyncGenerator<string> {
    const deltas = options.after === 0 ? null : feed.since(options.after, tool)
    if (deltas === null) yield* fullPicture()
    else {
      sent = feed.position()
      yield deltas.map(ofCommit).join('') + line({ seq: sent, synced: true })
    }
    while (isGood()) {
      const entries = feed.since(sent, tool)
      if (entries === null) return
      const position = feed.position()
      const owes = sent < named() && position >= named()
      const quietMs = HEARTBEAT_MS - (performance.now() - sentAt)
      if (entries.length === 0 && !owes && quietMs > 0) {
        await feed.moved(tool, quietMs, life.signal)
        continue
      }
      sent = position
      sentAt = performance.now()
      yield entries.map(ofCommit).join('') + line({ seq: position })
    }
  }

  /** Reset, everything, and then what happened while that was read: a position only once all of it was sent. */
  async function* fullPicture(): AsyncGenerator<string> {
    yield `event: reset\n${line({ reset: true, seq: feed.position() })}`
    const { since, denials } = await feed.full()
    const own = denials.filter((denial) => concerns(denial, tool))
    for (let i = 0; i < own.length; i += DENIALS_A_PIECE)
      yield own
        .slice(i, i + DENIALS_A_PIECE)
        .map((denial) => line({ seq: since, ...shown(denial) }))
        .join('')
    const missed = feed.since(since, tool)
    if (missed === null) return life.abort()
    sent = feed.position()
    yield missed.map(ofCommit).join('') + line({ seq: sent, synced: true })
  }

  const isStalled = () => performance.now() - askedAt > STALLED_MS
  const isGood = () => !life.signal.aborted && feed.isCurrent() && feed.generation() === generation
  const over = () => {
    if (!life.signal.aborted) life.abort()
    onEnd()
  }
  const encoder = new TextEncoder()
  let end: (() => void) | null = null
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      end = () => {
        over()
        // What nobody reads would never drain: only an error lets go of the socket.
        if (isStalled()) controller.error(new Error('the guard reads no more'))
        else controller.close()
      }
    },
    async pull(controller) {
      askedAt = performance.now()
      const piece = isGood() ? await pieces.next() : { done: true as const }
      if (life.signal.aborted && end === null) return
      if (piece.done !== true && isGood()) return controller.enqueue(encoder.encode(piece.value))
      end = null
      over()
      controller.close()
    },
    cancel: () => {
      end = null
      over()
    },
  })
  return {
    body,
    end() {
      const now = end
      end = null
      now?.()
    },
    isStalled,
  }
}

const shown = ({ deny, before, until }: Denial) => ({
  deny,
  ...(before === undefined ? {} : { before }),
  until: rfc3339(until),
})

const rfc3339 = (at: Instant): string => new Date(at).toISOString()
