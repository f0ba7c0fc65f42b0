// The live feed: one long GET over which the broker tells a guard which tokens are dead before their time.
// It must never skip an event it does not understand, and never move its position past a denial it has not applied.
//
// THE PROTOCOL, both sides (CONTRACT "OAuth", SECURITY S14, S15). "Must" is said of the broker unless the guard is named.
//
// Feed:  GET {issuer}/guard/feed?after=SEQ      X-Hallpass-Verifier: hp_verify_…      Accept: text/event-stream
//   Answer 200 `text/event-stream`, no redirect. 401 without a verifier token in force, 403 for another kind. The token names the
//   tool: a feed carries every denial that can concern a token of that tool (more is harmless, less is a hole).
//   SEQ is the last position the guard has applied; 0 means it has nothing. A position is a non-negative safe integer, is
//   durable, and never goes back over restarts. Each event is one `data:` line of JSON, at most 16 KiB, and a blank line:
//
//   {"seq":41,"deny":{"sid":"…"},"until":"2026-03-01T12:00:00Z"}      a denial. `deny` has exactly one of
//       sid | grant_id | jti | kid | sub. It kills matching tokens, at once and for good. `until` (RFC 3339, required): no
//       matching token can live longer than that, so the guard may forget the denial then (it keeps it a minute more).
//   {"seq":42,"deny":{"sub":"triage-bot"},"before":1772366400,"until":"…"}     optional `before` (Unix seconds, or RFC 3339):
//       only tokens whose `iat` is at or before that instant are dead; absent: all. `iat` has whole seconds, so a token that is
//       minted later within the same second dies too. Used for locks, where tokens minted after the lifting shall live.
//   {"seq":43,"deny":{…},"until":"…","more":true}      one commit that needs several denials: all carry its seq, all but the
//       last carry `more`. The guard applies each at once, but its position reaches 43 only with the last.
//   {"seq":43}                    heartbeat: "everything up to 43 that concerns you was sent before this". Sent at least
//       every 2 s (a guard reconnects after 6 s of silence; SSE comments do not count), and promptly when a position advances
//       that carries no denial for this tool and a lease answer may already have named it.
//   {"reset":true,"seq":n}        (an `event: reset` line before it is allowed) "your position is worthless": the broker no
//       longer has the deltas since SEQ, SEQ is above its head, or its keys or store changed hands. The guard at once drops its
//       lease and refuses everything, forgets its position and its verified tokens, and fetches the keys anew; denials it
//       knows stay until they expire. Then follow ALL denials not past `until`, in any order, with any seq (it is not read
//       as a position here, `more` neither), and then `synced`.
//   {"seq":n,"synced":true}       the guard's position is now n.
//
//   Every event also carries `n`, its number on this connection: 1, 2, 3, without a gap, whatever it is. A position alone does
//   not tell whether something between was lost (positions skip what does not concern the tool), `n` does: after a gap, a
//   repetition, or an event without one where there was one before, the guard's view starts anew. A broker of a time before
//   `n` numbers none of its events, and is followed all the same.
//
//   On connect the broker must send either the deltas after SEQ in order, or `reset` and the full set; then `synced` with its
//   current seq (within 15 s, or the guard connects anew); from there deltas and heartbeats as they happen. Denials are sent the moment their commit is durable.
//   Outside a reset, seq never falls below what was sent; the guard treats that, and anything it cannot read (unknown `deny`
//   member, no `until`, a broken line), as a fault: it drops its lease, reconnects with after=0 and waits for a full picture.
//   A broker that is asked for after=0 may send deltas from the beginning of what can still be alive, or `reset`.
//
// Lease:  POST {issuer}/guard/lease   X-Hallpass-Verifier: …   {"guard":"<random id of this process>","ackSeq":42}
//   → 200 {"seq":43,"leaseSeconds":10}      `seq` is the broker's current position for this tool's feed, read together with
//   storing the lease: no denial that commits before this answer may have a higher seq.
//   Meaning of ackSeq: every denial up to it is applied; no request that this guard judges from now on passes against it.
//   ackSeq only rises within one guard id, requests may overtake each other: keep the maximum. An ackSeq above the head is
//   answered 409 (the guard then reconnects with after=0). A guard renews every 3 s, and within 5 ms of applying denials or
//   `synced`; it asks only while its feed is connected and synced, so a guard without a feed lapses.
//   The guard may use a lease only when its position has reached the answered `seq`, and only for leaseSeconds (at most 10)
//   counted from SENDING the request on its monotonic clock. Until the feed catches up it may live on an older lease.
//   So the broker counts leaseSeconds from ANSWERING and a denial with seq R is confirmed by guards when each lease that was
//   answered with seq < R either acknowledged R (a later ackSeq ≥ R of the same guard id) or ran out. Leases answered after R
//   need not be awaited: they name a seq ≥ R and are unusable before R is applied. A guard that renews without acknowledging
//   therefore delays "revoked" by at most one lease. After its start the broker knows no leases: it confirms nothing by lease
//   before one full lease of uptime (S15).
import type { Fetch } from './bounded-fetch.ts'
import { readEvents } from './event-stream.ts'
import { type FeedEvent, parseFeedEvent } from './feed-event.ts'
import { FeedFault } from './feed-fault.ts'

const MAX_EVENT_CHARS = 16 * 1024

export type FeedConnection = {
  readonly fetch: Fetch
  readonly issuer: string
  readonly verifierToken: string
  /** The last position applied; 0 when there is none. */
  readonly after: number
  readonly connectTimeoutMs: number
  /** Silence after which the connection counts as dead. */
  readonly stallMs: number
  readonly signal: AbortSignal
}

/** Follows one connection, handing each event to `apply` in order, one at a time. Ends only by throwing. */
export const followFeed = async (
  connection: FeedConnection,
  apply: (event: FeedEvent) => Promise<void> | void,
): Promise<never> => {
  const life = new AbortController()
  const end = () => life.abort(connection.signal.reason)
  if (connection.signal.aborted) end()
  connection.signal.addEventListener('abort', end, { once: true })
  let silence: ReturnType<typeof setTimeout> | undefined
  const allowSilence = (ms: number) => {
    clearTimeout(silence)
    silence = setTimeout(() => life.abort(new Error(`feed was silent for ${ms} ms`)), ms)
  }
  try {
    allowSilence(connection.connectTimeoutMs)
    const response = await connection.fetch(`${connection.issuer}/guard/feed?after=${connection.after}`, {
      headers: { accept: 'text/event-stream', 'x-hallpass-verifier': connection.verifierToken },
      redirect: 'error',
      signal: life.signal,
    })
    if (response.status !== 200 || !response.body) {
      const refused = response.status === 401 || response.status === 403
      throw new Error(`feed answered ${response.status}${refused ? ': is the verifier token in force?' : ''}`)
    }
    const type = response.headers.get('content-type') ?? ''
    if (!/^text\/event-stream\s*(;|$)/i.test(type)) throw new Error('feed is not an event stream')
    allowSilence(connection.stallMs)
    let read = 0
    let isNumbered = false
    for await (const received of readEvents(response.body, MAX_EVENT_CHARS)) {
      allowSilence(connection.stallMs)
      const event = parseFeedEvent(received)
      read += 1
      if (read === 1) isNumbered = event.n !== undefined
      if (event.n !== (isNumbered ? read : undefined)) throw new FeedFault('feed lost an event')
      await apply(event)
    }
    throw new Error('feed ended')
  } finally {
    clearTimeout(silence)
    connection.signal.removeEventListener('abort', end)
    life.abort()
  }
}
