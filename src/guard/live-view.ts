// Feed and lease together: does this guard, at this instant, know every denial that counts? When in doubt: no.
import { type Fetch, fetchJson, isRecord, reasonOf } from './bounded-fetch.ts'
import type { DenySet } from './deny-set.ts'
import { followFeed } from './feed.ts'
import type { FeedEvent } from './feed-event.ts'
import { FeedFault } from './feed-fault.ts'
import type { Keys } from './keys.ts'
import { type Clocks, createLease, instantOf } from './lease.ts'
import { keepConnected } from './reconnect.ts'

const MAX_LEASE_BYTES = 4 * 1024
const MAX_REQUESTS_IN_FLIGHT = 4
const MAX_WAITING = 1_000

export type ViewTimings = {
  readonly renewMs: number
  readonly acknowledgeMs: number
  readonly requestTimeoutMs: number
  /** Silence after which the feed is connected anew. */
  readonly stallMs: number
  /** How long the feed may take from connecting, or from a reset, to being in sync. */
  readonly syncMs: number
  readonly backoffMinMs: number
  readonly backoffMaxMs: number
}

export type ViewStatus = {
  readonly state: 'starting' | 'live' | 'stale' | 'closed'
  readonly position: number
  readonly leaseRemainingMs: number
  readonly denials: number
  /** Why the view was last interrupted. */
  readonly lastFault: string | undefined
}

export type LiveView = {
  isLive(): boolean
  /** True as soon as the view is live, false after `timeoutMs`, or at once when closed or too many wait already. */
  whenLive(timeoutMs: number): Promise<boolean>
  /** Rises with every distrust: what was verified under an earlier one counts for nothing. */
  epoch(): number
  /** True at the start and after a reset, when waiting helps; false where the view was live and got lost. */
  building(): boolean
  status(): ViewStatus
  close(): Promise<void>
}

export const startLiveView = (options: {
  readonly issuer: string
  readonly verifierToken: string
  readonly fetch: Fetch
  readonly clocks: Clocks
  readonly timings: ViewTimings
  readonly keys: Keys
  readonly denySet: DenySet
  readonly forgetVerified: () => void
  readonly info: (message: string) => void
  readonly warn: (message: string, cause: unknown) => void
}): LiveView => {
  const { issuer, verifierToken, fetch, clocks, timings, keys, denySet } = options
  const guardId = crypto.randomUUID()
  const lease = createLease(clocks)
  const closing = new AbortController()
  let connection = new AbortController()
  let position = 0
  let synced = false
  let building = true
  let keysTrusted = false
  let announcedLive = false
  let epoch = 0
  let inFlight = 0
  let lastFault: string | undefined
  let acknowledgeTimer: ReturnType<typeof setTimeout> | undefined
  let syncTimer: ReturnType<typeof setTimeout> | undefined
  let waiting: Array<(live: boolean) => void> = []

  const isLive = () => !closing.signal.aborted && keysTrusted && keys.fresh() && lease.isLive()

  const settleWaiting = () => {
    if (!isLive()) return
    building = false
    if (!announcedLive) options.info('guard is live')
    announcedLive = true
    const settled = waiting
    waiting = []
    for (const resolve of settled) resolve(true)
  }

  const note = (message: string, cause: unknown) => {
    if (closing.signal.aborted) return
    lastFault = `${message}: ${reasonOf(cause)}`
    options.warn(message, cause)
  }

  const distrust = () => {
    epoch += 1
    position = 0
    synced = false
    keysTrusted = false
    building = true
    announcedLive = false
    lease.drop()
    options.forgetVerified()
  }

  const askLease = async () => {
    if (!synced || inFlight >= MAX_REQUESTS_IN_FLIGHT) return
    const asked = { epoch, ackSeq: position, sentAt: instantOf(clocks) }
    inFlight += 1
    try {
      const { status, body } = await fetchJson(
        fetch,
        `${issuer}/guard/lease`,
        {
          method: 'POST',
          headers: { 'content-type': 'application/json', 'x-hallpass-verifier': verifierToken },
          body: JSON.stringify({ guard: guardId, ackSeq: asked.ackSeq }),
        },
        { timeoutMs: timings.requestTimeoutMs, maxBytes: MAX_LEASE_BYTES, signal: closing.signal },
      )
      if (asked.epoch !== epoch) return
      const { seq, leaseSeconds } = isRecord(body) ? body : {}
      const headIsBehind = status === 409 || (typeof seq === 'number' && seq < asked.ackSeq)
      if (headIsBehind) {
        distrust()
        connection.abort(new FeedFault('broker knows less than this guard has applied'))
        return
      }
      if (
        typeof seq !== 'number' ||
        !Number.isSafeInteger(seq) ||
        typeof leaseSeconds !== 'number' ||
        !(leaseSeconds > 0)
      ) {
        throw new Error(`lease answered ${status}${status === 200 ? ' in a form that is not known' : ''}`)
      }
      lease.offer({ seq, leaseMs: leaseSeconds * 1000, sentAt: asked.sentAt }, position)
      settleWaiting()
    } catch (cause) {
      note('lease was not renewed', cause)
    } finally {
      inFlight -= 1
    }
  }

  const acknowledgeSoon = () => {
    if (acknowledgeTimer) return
    acknowledgeTimer = setTimeout(() => {
      acknowledgeTimer = undefined
      if (inFlight >= MAX_REQUESTS_IN_FLIGHT) acknowledgeSoon()
      else void askLease()
    }, timings.acknowledgeMs)
  }

  const renewTimer = setInterval(() => {
    denySet.purge(clocks.now())
    keys.refreshIfDue()
    void askLease()
  }, timings.renewMs)

  const moveTo = (seq: number) => {
    if (seq < position) throw new FeedFault('feed went back')
    position = seq
    lease.reached(position)
    settleWaiting()
  }

  /** A connection that beats but never comes into sync is no connection. */
  const expectSync = () => {
    clearTimeout(syncTimer)
    syncTimer = setTimeout(
      () => connection.abort(new Error(`feed was not in sync within ${timings.syncMs} ms`)),
      timings.syncMs,
    )
  }

  const follow = () => {
    let replaying = false
    return async (event: FeedEvent): Promise<void> => {
      if (event.type === 'reset') {
        distrust()
        expectSync()
        replaying = true
      } else if (event.type === 'denial') {
        if (!denySet.add(event.denial)) throw new FeedFault('more denials than this guard can hold')
        if (replaying || event.more) return
        moveTo(event.seq)
        acknowledgeSoon()
      } else if (event.synced) {
        if (!keysTrusted) await keys.load()
        clearTimeout(syncTimer)
        keysTrusted = true
        replaying = false
        synced = true
        moveTo(event.seq)
        acknowledgeSoon()
      } else if (!replaying) {
        moveTo(event.seq)
      }
    }
  }

  const connect = async () => {
    connection = new AbortController()
    const end = () => connection.abort(closing.signal.reason)
    closing.signal.addEventListener('abort', end, { once: true })
    expectSync()
    try {
      await followFeed(
        {
          fetch,
          issuer,
          verifierToken,
          after: position,
          connectTimeoutMs: timings.requestTimeoutMs,
          stallMs: timings.stallMs,
          signal: connection.signal,
        },
        follow(),
      )
    } catch (cause) {
      if (cause instanceof FeedFault) distrust()
      note('feed was interrupted', cause)
    }
    synced = false
    clearTimeout(syncTimer)
    closing.signal.removeEventListener('abort', end)
  }
  const backoff = { minMs: timings.backoffMinMs, maxMs: timings.backoffMaxMs, steadyMs: timings.stallMs }
  const running = keepConnected(connect, backoff, clocks.monotonicNow, closing.signal)

  return {
    isLive,
    epoch: () => epoch,
    building: () => building,
    whenLive: (timeoutMs) => {
      if (isLive()) return Promise.resolve(true)
      if (closing.signal.aborted || waiting.length >= MAX_WAITING) return Promise.resolve(false)
      return new Promise((resolve) => {
        const settle = (live: boolean) => {
          clearTimeout(timer)
          waiting = waiting.filter((other) => other !== settle)
          resolve(live)
        }
        const timer = setTimeout(() => settle(false), timeoutMs)
        waiting.push(settle)
      })
    },
    status: () => ({
      state: closing.signal.aborted ? 'closed' : isLive() ? 'live' : building ? 'starting' : 'stale',
      position,
      leaseRemainingMs: lease.remainingMs(),
      denials: denySet.size(),
      lastFault,
    }),
    async close() {
      closing.abort(new Error('guard was closed'))
      clearInterval(renewTimer)
      clearTimeout(acknowledgeTimer)
      for (const resolve of waiting) resolve(false)
      await running
    },
  }
}
