// The guard's right to answer, in time. Counted from sending, on both clocks: the monotonic one cannot be set back, and the
// wall clock also runs while the machine sleeps. A lease is never longer than the contract's 10 s.

const MAX_LEASE_MS = 10_000
const MAX_PENDING = 16

export type Clocks = {
  /** Milliseconds since epoch. */
  readonly now: () => number
  /** Milliseconds since anything, never set back. */
  readonly monotonicNow: () => number
}
export type Instant = { readonly wallMs: number; readonly monotonicMs: number }

export const instantOf = ({ now, monotonicNow }: Clocks): Instant => ({ wallMs: now(), monotonicMs: monotonicNow() })

/** What the broker answered: usable once position `seq` is applied, for `leaseMs` from `sentAt`. */
type LeaseAnswer = { readonly seq: number; readonly leaseMs: number; readonly sentAt: Instant }

export type Lease = {
  offer(answer: LeaseAnswer, position: number): void
  /** The feed was applied up to `position`: answers that waited for it become usable. */
  reached(position: number): void
  drop(): void
  isLive(): boolean
  remainingMs(): number
}

export const createLease = (clocks: Clocks): Lease => {
  let until: Instant | undefined
  let pending: LeaseAnswer[] = []

  const use = ({ leaseMs, sentAt }: LeaseAnswer) => {
    const ms = Math.min(leaseMs, MAX_LEASE_MS)
    if (until && until.monotonicMs >= sentAt.monotonicMs + ms) return
    until = { wallMs: sentAt.wallMs + ms, monotonicMs: sentAt.monotonicMs + ms }
  }
  const remainingMs = () => {
    if (!until) return 0
    const at = instantOf(clocks)
    return Math.max(0, Math.min(until.monotonicMs - at.monotonicMs, until.wallMs - at.wallMs))
  }

  return {
    offer(answer, position) {
      if (answer.seq <= position) use(answer)
      else pending = [...pending, answer].slice(-MAX_PENDING)
    },
    reached(position) {
      for (const answer of pending) if (answer.seq <= position) use(answer)
      pending = pending.filter((answer) => answer.seq > position)
    },
    drop() {
      until = undefined
      pending = []
    },
    isLive: () => remainingMs() > 0,
    remainingMs,
  }
}
