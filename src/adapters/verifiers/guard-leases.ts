// Which guards may be answering right now, and what each is sure to have applied (S15). In memory: after a start nothing is
// confirmed before every lease of the process before has run out. It never forgets a lease that runs.

import type { Clock, Guards } from '../../actions/ports.ts'
import { GUARD_LEASE_SECONDS, GUARDS_PER_TOOL } from '../../core/limits.ts'
import type { Seq } from '../../core/model.ts'
import type { DenialFeed } from './denial-feed.ts'

const LEASE_MS = GUARD_LEASE_SECONDS * 1000
/** Answers told apart per guard; beyond, the oldest two count as one, which can only delay a confirmation. */
const MAX_ANSWERS = 32

/** The guard may use it from its position `seq` on, until then (monotonic milliseconds, counted from answering). */
type Answer = { readonly seq: Seq; readonly until: number }
type Held = { ackSeq: Seq; answers: Answer[] }

type Renewal = { readonly seq: Seq; readonly leaseSeconds: number } | 'ahead' | 'full'

export type GuardLeases = Guards & {
  /** `ahead`: the guard has applied more than there is. `full`: too many guards of this tool. */
  renew(tool: string, guard: string, ackSeq: Seq): Renewal
  /** The highest position that a lease of the tool was answered with. */
  named(tool: string): Seq
}

export function createGuardLeases(
  feed: Pick<DenialFeed, 'position' | 'needed'>,
  clock: Pick<Clock, 'monotonic'>,
): GuardLeases {
  const startedAt = clock.monotonic()
  const tools = new Map<string, Map<string, Held>>()
  const namedTo = new Map<string, Seq>()
  /** The highest position that was asked about: no lease may be answered with less, or it would be one nobody waited for. */
  let asked: Seq = 0

  const heldOf = (tool: string, now: number): Map<string, Held> => {
    const guards = tools.get(tool) ?? new Map<string, Held>()
    for (const [guard, held] of guards) {
      held.answers = held.answers.filter(({ until }) => until > now)
      if (held.answers.length === 0) guards.delete(guard)
    }
    if (guards.size === 0) tools.delete(tool)
    return guards
  }

  const renew = (tool: string, guard: string, ackSeq: Seq): Renewal => {
    const now = clock.monotonic()
    const seq = Math.max(feed.position(), asked)
    if (ackSeq > seq) return 'ahead'
    const guards = heldOf(tool, now)
    const held = guards.get(guard) ?? { ackSeq, answers: [] }
    if (!guards.has(guard) && guards.size >= GUARDS_PER_TOOL) return 'full'
    held.ackSeq = Math.max(held.ackSeq, ackSeq)
    held.answers = merged([...held.answers, { seq, until: now + LEASE_MS }], held.ackSeq)
    guards.set(guard, held)
    tools.set(tool, guards)
    namedTo.set(tool, seq)
    return { seq, leaseSeconds: GUARD_LEASE_SECONDS }
  }

  return {
    renew,
    named: (tool) => namedTo.get(tool) ?? 0,
    lease(tool, guard, ackSeq) {
      const renewed = renew(tool, guard, ackSeq)
      return { leaseSeconds: typeof renewed === 'string' ? 0 : renewed.leaseSeconds }
    },
    acknowledged(tool, seq) {
      const now = clock.monotonic()
      asked = Math.max(asked, seq)
      const needed = feed.needed(tool, seq)
      const guards = [...heldOf(tool, now).values()]
      const isSure = ({ ackSeq, answers }: Held) => ackSeq >= needed || answers.every((answer) => answer.seq >= needed)
      return { all: now - startedAt >= LEASE_MS && guards.every(isSure), guards: guards.length }
    },
  }
}

/** Answers that no question can tell apart become one: all that name no more than what was acknowledged, and equals. */
function merged(answers: readonly Answer[], ackSeq: Seq): Answer[] {
  const bySeq = new Map<Seq, number>()
  for (const { seq, until } of answers) {
    const at = Math.max(seq, ackSeq)
    bySeq.set(at, Math.max(bySeq.get(at) ?? 0, until))
  }
  const kept = [...bySeq].map(([seq, until]) => ({ seq, until })).sort((a, b) => a.seq - b.seq)
  while (kept.length > MAX_ANSWERS) {
    const [one, two] = kept.splice(0, 2)
    if (one !== undefined && two !== undefined) kept.unshift({ seq: one.seq, until: Math.max(one.until, two.until) })
  }
  return kept
}
