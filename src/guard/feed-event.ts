// unknown → FeedEvent. What it cannot read is a FeedFault, never a skipped line: the protocol is in feed.ts.
import { isRecord } from './bounded-fetch.ts'
import { DENY_KINDS, type Denial } from './deny-set.ts'
import type { ServerSentEvent } from './event-stream.ts'
import { FeedFault } from './feed-fault.ts'

/** `n`: its number on this connection, from 1; undefined where the broker numbers none. */
export type FeedEvent = { readonly n: number | undefined } & FeedSaying
type FeedSaying =
  | { readonly type: 'denial'; readonly seq: number; readonly denial: Denial; readonly more: boolean }
  | { readonly type: 'position'; readonly seq: number; readonly synced: boolean }
  | { readonly type: 'reset'; readonly seq: number }

const MAX_VALUE_CHARS = 512
const RFC3339 = /^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})$/

const instantMs = (value: unknown, member: string): number => {
  const ms = typeof value === 'string' && RFC3339.test(value) ? Date.parse(value) : Number.NaN
  if (Number.isNaN(ms)) throw new FeedFault(`\`${member}\` is not an RFC 3339 time`)
  return ms
}

const beforeSeconds = (value: unknown): number => {
  if (value === undefined) return Number.POSITIVE_INFINITY
  if (typeof value !== 'number') return instantMs(value, 'before') / 1000
  if (!Number.isFinite(value) || value < 0) throw new FeedFault('`before` is not a time')
  return value
}

const readDenial = (body: Record<string, unknown>): Denial => {
  const members = isRecord(body.deny) ? Object.entries(body.deny) : []
  const [member] = members
  const kind = DENY_KINDS.find((known) => known === member?.[0])
  const value = member?.[1]
  if (members.length !== 1 || !kind) throw new FeedFault('`deny` does not name exactly one thing that this guard knows')
  if (typeof value !== 'string' || value === '' || value.length > MAX_VALUE_CHARS) {
    throw new FeedFault('`deny` holds no usable name')
  }
  return { kind, value, before: beforeSeconds(body.before), until: instantMs(body.until, 'until') }
}

/** One event of the feed. Throws FeedFault for anything that is not exactly one of the four shapes. */
export const parseFeedEvent = ({ event, data }: ServerSentEvent): FeedEvent => {
  let body: unknown
  try {
    body = JSON.parse(data)
  } catch {
    throw new FeedFault('feed event is not JSON')
  }
  if (!isRecord(body)) throw new FeedFault('feed event is not an object')
  const { seq } = body
  if (typeof seq !== 'number' || !Number.isSafeInteger(seq) || seq < 0) throw new FeedFault('`seq` is not a position')
  const { n } = body
  if (n !== undefined && (typeof n !== 'number' || !Number.isSafeInteger(n) || n < 1))
    throw new FeedFault('`n` is not a number of an event')
  for (const flag of ['reset', 'synced', 'more'] as const) {
    if (body[flag] !== undefined && typeof body[flag] !== 'boolean') throw new FeedFault(`\`${flag}\` is not a boolean`)
  }
  const reset = body.reset === true || event === 'reset'
  const synced = body.synced === true
  const denies = body.deny !== undefined
  if (Number(reset) + Number(synced) + Number(denies) > 1) throw new FeedFault('feed event says two things at once')
  if (reset) return { n, type: 'reset', seq }
  if (denies) return { n, type: 'denial', seq, denial: readDenial(body), more: body.more === true }
  return { n, type: 'position', seq, synced }
}
