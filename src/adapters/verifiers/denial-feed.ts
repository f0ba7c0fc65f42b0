// Follows the store's log once for all guards: what each commit denies, computed once, in one bounded ring that every
// connection reads at its own pace. A position is the log's size after a commit.

import { setTimeout as delay } from 'node:timers/promises'
import type { Change, Deps } from '../../actions/ports.ts'
import type { Seq } from '../../core/model.ts'
import { allDenials, type Denial, denialsOf } from './denials.ts'

/** Denials that the ring reaches back; who is further behind starts over. */
const RING = 20_000
/** A store that says nothing for this long (it beats every second while it is fresh) is lost. */
const SILENCE_MS = 3_000
const RETRY_MS = 500
/** How long one full picture serves those who start over at the same time. */
const FULL_MS = 2_000

type Entry = { readonly seq: Seq; readonly denials: readonly Denial[] }

export type DenialFeed = {
  /** Everything that was committed up to here has been looked at. */
  position(): Seq
  /** False until the store's log is followed, and whenever it is not: then nobody may rely on `position`. */
  isCurrent(): boolean
  /** Rises when what connections were told may not fit any more: they end. */
  generation(): number
  /** What concerns the tool after that position, oldest first; null where the ring no longer reaches back. */
  since(after: Seq, tool: string): readonly Entry[] | null
  /** The least position that whoever applied it knows every denial of the tool up to `seq`. */
  needed(tool: string, seq: Seq): Seq
  /** All denials of rows as they are, and a position that it surely holds everything up to. */
  full(): Promise<{ readonly since: Seq; readonly denials: readonly Denial[] }>
  /** Resolves when something for this tool may be there, when `nudge` is called, or after `ms`. */
  moved(tool: string, ms: number, signal: AbortSignal): Promise<void>
  nudge(tool: string): void
  close(): Promise<void>
}

export const concerns = (denial: Denial, tool: string): boolean => denial.tool === null || denial.tool === tool

export function createDenialFeed(
  deps: Pick<Deps, 'store' | 'signer' | 'clock' | 'expiry' | 'log'>,
  onChange: (change: Change) => void,
): DenialFeed {
  const stop = new AbortController()
  const waiting = new Map<string, Set<() => void>>()
  let ring: Entry[] = []
  let held = 0
  let position: Seq = 0
  /** Every denial after it is in the ring. */
  let completeFrom: Seq = 0
  let isFollowing = false
  let generation = 0
  let silence: ReturnType<typeof setTimeout> | undefined
  let full: {
    readonly at: number
    readonly generation: number
    readonly answer: ReturnType<DenialFeed['full']>
  } | null = null

  const wake = (tool: string | null) => {
    const resumes = tool === null ? [...waiting.values()].flatMap((set) => [...set]) : [...(waiting.get(tool) ?? [])]
    for (const resume of resumes) resume()
  }
  const lost = () => {
    isFollowing = false
    generation++
    wake(null)
  }
  const heard = () => {
    isFollowing = true
    if (silence === undefined) silence = setTimeout(lost, SILENCE_MS).unref()
    else silence.refresh()
  }
  const hush = () => {
    clearTimeout(silence)
    silence = undefined
  }
  const startOver = (seq: Seq) => {
    ring = []
    held = 0
    position = seq
    completeFrom = seq
    generation++
    wake(null)
  }

  const add = async (change: Change) => {
    const denials = await denialsOf(deps, change, deps.clock.now())
    position = change.last + 1
    if (denials.length === 0) return
    ring.push({ seq: position, denials })
    held += denials.length
    while (held > RING && ring.length > 1) {
      const oldest = ring.shift()
      held -= oldest?.denials.length ?? 0
      completeFrom = oldest?.seq ?? completeFrom
    }
    const tools = new Set(denials.map(({ tool }) => tool))
    for (const tool of tools.has(null) ? [null] : tools) wake(tool)
  }

  const follow = async () => {
    let isFirst = true
    while (!stop.signal.aborted) {
      try {
        if (isFirst) startOver((await deps.store.read([])).seq)
        isFirst = false
        heard()
        for await (const fed of deps.store.changes(position, stop.signal)) {
          if (fed.type === 'reload') startOver(fed.seq)
          if (fed.type === 'change') {
            await add(fed.change)
            onChange(fed.change)
          }
          heard()
        }
      } catch (thrown) {
        deps.log.error({ err: thrown }, 'the log cannot be followed for the guards; trying again')
      }
      hush()
      lost()
      await delay(RETRY_MS, undefined, { ref: false, signal: stop.signal }).catch(ignoreAbort)
    }
  }
  const followed = follow()

  return {
    position: () => position,
    isCurrent: () => isFollowing && !stop.signal.aborted && deps.store.fresh(),
    generation: () => generation,
    since(after, tool) {
      if (after < completeFrom || after > position) return null
      const entries: Entry[] = []
      for (const entry of ring.slice(ring.findLastIndex(({ seq }) => seq <= after) + 1)) {
        const denials = entry.denials.filter((denial) => concerns(denial, tool))
        if (denials.length > 0) entries.push({ seq: entry.seq, denials })
      }
      return entries
    },
    needed(tool, seq) {
      if (seq > position || seq < completeFrom) return seq
      const last = ring.findLast((entry) => entry.seq <= seq && entry.denials.some((denial) => concerns(denial, tool)))
      return last?.seq ?? completeFrom
    },
    full() {
      const now = deps.clock.monotonic()
      if (full === null || full.generation !== generation || now - full.at > FULL_MS) {
        const since = position
        const answer = allDenials(deps, deps.clock.now()).then((denials) => ({ since, denials }))
        full = { at: now, generation, answer }
        answer.catch(() => {
          full = null
        })
      }
      return full.answer
    },
    moved: (tool, ms, signal) =>
      new Promise((resolve) => {
        const others = waiting.get(tool) ?? new Set()
        waiting.set(tool, others)
        const resume = () => {
          clearTimeout(timer)
          others.delete(resume)
          if (others.size === 0 && waiting.get(tool) === others) waiting.delete(tool)
          signal.removeEventListener('abort', resume)
          resolve()
        }
        const timer = setTimeout(resume, ms)
        others.add(resume)
        signal.addEventListener('abort', resume)
      }),
    nudge: wake,
    async close() {
      stop.abort()
      hush()
      lost()
      await followed
    },
  }
}

/** Being woken to stop is how waiting ends. */
const ignoreAbort = (thrown: unknown): void => {
  if (!(thrown instanceof Error && thrown.name === 'AbortError')) throw thrown
}
