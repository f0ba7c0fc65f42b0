// Keeps memory level with the log, whoever writes it: a notification is only a doorbell, the head is asked for every
// 200 ms regardless. It also says how old that knowledge is, and stops everything where the log is not the same any more.

import type { Clock, Log } from '../../../actions/ports.ts'
import { type Line, QueryError } from './connections.ts'
import type { Memory } from './memory.ts'
import { HEAD, type Head, type Reader, readMissed } from './reader.ts'

const POLL_MS = 200
/** Older knowledge than this is none (STORE rule 6). */
const FRESH_MS = 1_000
/** Longer than this nobody waits for a look; memory stays as old as it is. */
const WAKE_MS = 1_000
/** Further behind than this many commits, memory is read anew. */
const MOST_MISSED = 4_096

export type Follower = {
  /** Looks at the head now, and follows it. Throws QueryError. */
  look(): Promise<void>
  /** A query that was sent at this monotonic time saw the log at a size that memory has reached. */
  sawAt(sentAt: number): void
  /** Somebody may have written. */
  ring(): void
  isFresh(): boolean
  /** Where memory is older than may be judged by, looks once more first: a process that woke up need not refuse. */
  wake(): Promise<void>
  close(): Promise<void>
}

export function follow(options: {
  readonly line: Line
  readonly memory: Memory
  readonly reader: Reader
  readonly clock: Clock
  readonly log: Log | undefined
  /** Monotonic time when the first state was asked for. */
  readonly since: number
  /** The log is shorter than memory, or another. Not called twice at once; nothing is looked at afterwards. */
  readonly onDifferent: (what: string) => void
}): Follower {
  const { line, memory, reader, clock, log, onDifferent } = options
  let freshAt = options.since
  let isRung = false
  let isOver = false
  let isFailing = false
  let resume = () => {}
  let looking = Promise.resolve()

  const sawAt = (sentAt: number) => {
    freshAt = Math.max(freshAt, sentAt)
  }

  const isFresh = () => !isOver && clock.monotonic() - freshAt <= FRESH_MS

  async function lookOnce(): Promise<void> {
    if (isOver) return
    const sentAt = clock.monotonic()
    const { seq, tail } = { seq: memory.view.seq, tail: memory.tail }
    const [head] = await line.query<Head & { leaf: Buffer | null }>({ ...HEAD, values: [seq - 1] })
    if (head === undefined) throw new Error('the head of the log is gone')
    const isSame = head.size >= seq && (seq === 0 || (head.leaf !== null && tail !== null && head.leaf.equals(tail)))
    if (!isSame) {
      isOver = true
      onDifferent(`the log has ${head.size} records where memory has ${seq}, or others in their place`)
      return
    }
    if (head.size > memory.view.seq) await catchUp()
    if (memory.view.seq >= head.size) sawAt(sentAt)
  }

  async function catchUp(): Promise<void> {
    const from = memory.view.seq
    const missed = await readMissed(line.query, from, MOST_MISSED)
    // Rows are as of the end of the snapshot: only all of it together is a state that there was.
    const isWhole = missed.changes[0]?.change.first === from && missed.changes.at(-1)?.change.last === missed.size - 1
    if (isWhole) for (const past of missed.changes) memory.apply(past)
    else if (missed.size > memory.view.seq) memory.load(await reader.whole())
  }

  /** One look at a time; each starts after it was asked for. */
  function look(): Promise<void> {
    const next = looking.then(lookOnce)
    looking = next.catch(() => {})
    return next
  }

  async function run(): Promise<void> {
    while (!isOver) {
      isRung = false
      try {
        await look()
        if (isFailing) log?.info({ seq: memory.view.seq }, 'the database answers again')
        isFailing = false
      } catch (thrown) {
        if (!(thrown instanceof QueryError)) throw thrown
        if (!isFailing && !isOver) log?.warn({ error: thrown.message }, 'the database does not answer')
        isFailing = true
      }
      if (!isRung && !isOver) await pause()
    }
  }

  function pause(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, POLL_MS)
      resume = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  const running = run()

  return {
    look,
    sawAt,
    ring() {
      isRung = true
      // After a failure the doorbell does not hurry anybody: a server that comes and goes is asked five times a second.
      if (!isFailing) resume()
    },
    isFresh,
    async wake() {
      // Known not to answer: whoever asks is refused at once.
      if (isOver || isFailing || isFresh()) return
      const { promise: late, resolve } = Promise.withResolvers<void>()
      const timer = setTimeout(resolve, WAKE_MS)
      await Promise.race([look().catch(unanswered), late]).finally(() => clearTimeout(timer))
    },
    async close() {
      isOver = true
      resume()
      await running
      await looking
    },
  }
}

/** It stays unseen, which is told elsewhere. */
function unanswered(thrown: unknown): void {
  if (!(thrown instanceof QueryError)) throw thrown
}
