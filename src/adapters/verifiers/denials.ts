// From rows to what guards must refuse before its time (the protocol is at the top of src/guard/feed.ts). Too many denials
// are harmless, one too few is a hole: where a row leaves a doubt, it denies.

import type { Change, Deps, ListQuery } from '../../actions/ports.ts'
import { CLOCK_SKEW_SECONDS, LEEWAY_SECONDS_MAX, LIFETIME, PAGE } from '../../core/limits.ts'
import type { Grant, Instant, Kind, Lockable, Row, Rows } from '../../core/model.ts'

type Denied =
  | { readonly sid: string }
  | { readonly grant_id: string }
  | { readonly jti: string }
  | { readonly kid: string }
  | { readonly sub: string }

export type Denial = {
  readonly deny: Denied
  /** Unix seconds: only tokens issued at or before it; absent is all. */
  readonly before?: number
  /** No token that matches can be accepted anywhere after this, leeway included. */
  readonly until: Instant
  /** The one tool whose tokens it can concern; null is any. */
  readonly tool: string | null
}

type Reads = {
  readonly store: Pick<Deps['store'], 'list'>
  readonly signer: Pick<Deps['signer'], 'jwks'>
  /** What is over is not told; by a clock that is ahead of the guards' nothing is over. */
  readonly expiry: Pick<Deps['expiry'], 'pastForAll'>
}

const LEEWAY_MS = (LEEWAY_SECONDS_MAX + CLOCK_SKEW_SECONDS) * 1000
/** No credential minted by now is accepted anywhere after this long. */
const LONGEST_MS = LIFETIME.tokenMax * 1000 + LEEWAY_MS

/** What one commit took away. */
export async function denialsOf(reads: Reads, change: Change, now: Instant): Promise<readonly Denial[]> {
  const denials: Denial[] = []
  for (const put of change.put) denials.push(...(await denialsOfRow(reads, put, now)))
  return stillOwed(reads, denials)
}

/**
 * Everything that is still to be refused, from the rows as they are. What an act killed by judgement alone and has not
 * marked yet is not among it: its rows follow, and their denials with them.
 */
export async function allDenials(reads: Reads, now: Instant): Promise<readonly Denial[]> {
  const alive = { expiresAfter: reads.expiry.pastForAll() - LEEWAY_MS }
  const queries: readonly ListQuery<Kind>[] = [
    { kind: 'session', where: { state: 'revoked', ...alive }, limit: PAGE.max },
    { kind: 'grant', where: { state: 'revoked', ...alive }, limit: PAGE.max },
    { kind: 'grant', where: { state: 'superseded', ...alive }, limit: PAGE.max },
    { kind: 'credential', where: { state: 'revoked', ...alive }, limit: PAGE.max },
    ...(['agent', 'tool', 'person', 'installation', 'key'] as const).map((kind) => ({ kind, limit: PAGE.max })),
  ]
  const denials: Denial[] = []
  for (const query of queries)
    for await (const row of pages(reads, query))
      denials.push(...stillOwed(reads, await denialsOfRow(reads, { kind: query.kind, row } as Row, now)))
  return denials
}

function stillOwed({ expiry }: Reads, denials: readonly Denial[]): readonly Denial[] {
  const past = expiry.pastForAll()
  return denials.filter(({ until }) => until > past)
}

async function* pages<K extends Kind>({ store }: Reads, query: ListQuery<K>): AsyncGenerator<Rows[K]> {
  for (let after: string | null = null; ; ) {
    const page: { rows: readonly Rows[K][]; next: string | null } = await store.list(
      after === null ? query : { ...query, after },
    )
    yield* page.rows
    if (page.next === null) return
    after = page.next
  }
}

async function denialsOfRow(reads: Reads, { kind, row }: Row, now: Instant): Promise<readonly Denial[]> {
  switch (kind) {
    case 'session':
      return row.state === 'revoked' ? [{ deny: { sid: row.id }, until: row.expiresAt + LEEWAY_MS, tool: null }] : []
    case 'grant':
      return row.state === 'active' ? [] : [ofGrant(row, now)]
    case 'credential':
      return row.state === 'revoked'
        ? [{ deny: { jti: row.id }, until: row.expiresAt + LEEWAY_MS, tool: row.tool }]
        : []
    case 'agent':
      return ofEpoch(row, (since) => [{ deny: { sub: row.id }, ...since, tool: null }])
    case 'tool':
      return ofEpoch(row, (since) => everyKey(reads, since, row.id))
    case 'installation':
      return ofEpoch(row, (since) => everyKey(reads, since, null))
    case 'person':
      return row.epochAt === 0 ? [] : ofApprover(reads, row.id, sinceOf(row.epochAt))
    case 'key': {
      const until = (row.retiresAt ?? now) + LONGEST_MS
      return row.use === 'tokens' && row.state === 'retired' ? [{ deny: { kid: row.id }, until, tool: null }] : []
    }
    case 'slice':
      return ofSlice(reads, row, now)
    default:
      return []
  }
}

type Since = { readonly before: number; readonly until: Instant }

/** `iat` has whole seconds, so what was minted in the same second dies too. */
const sinceOf = (at: Instant): Since => ({ before: Math.floor(at / 1000), until: at + LONGEST_MS })

/** A lock or decommission: what was issued up to it is dead, what is issued once it is lifted lives. */
const ofEpoch = (row: Lockable, denials: (since: Since) => readonly Denial[]): readonly Denial[] =>
  row.epochAt === 0 ? [] : denials(sinceOf(row.epochAt))

const ofGrant = (grant: Grant, now: Instant): Denial => ({
  deny: { grant_id: grant.id },
  until: Math.min(grant.expiresAt, now + LIFETIME.tokenMax * 1000) + LEEWAY_MS,
  tool: grant.tool,
})

/** Every token of a tool, or of everything: all are signed by one of these. */
const everyKey = ({ signer }: Reads, since: Since, tool: string | null): readonly Denial[] =>
  signer.jwks().keys.flatMap(({ kid }) => (kid === undefined ? [] : [{ deny: { kid }, ...since, tool }]))

async function ofApprover(reads: Reads, owner: string, since: Since): Promise<readonly Denial[]> {
  const denials: Denial[] = []
  const query = {
    kind: 'grant',
    where: { owner, expiresAfter: reads.expiry.pastForAll() - LEEWAY_MS },
    limit: PAGE.max,
  } as const
  for await (const { id, tool } of pages(reads, query)) denials.push({ deny: { grant_id: id }, ...since, tool })
  return denials
}

/** An agent, its access to a tool, or a tool that is no longer in force. */
function ofSlice(reads: Reads, { id, value }: Rows['slice'], now: Instant): readonly Denial[] {
  const [of, name = '', tool = ''] = id.split('/')
  const since = sinceOf(now)
  if (value?.of === 'agent')
    return value.state === 'decommissioned' ? [{ deny: { sub: name }, ...since, tool: null }] : []
  if (value !== null) return []
  switch (of) {
    case 'agent':
      return [{ deny: { sub: name }, ...since, tool: null }]
    case 'access':
      return [{ deny: { sub: name }, ...since, tool }]
    case 'tool':
      return everyKey(reads, since, name)
    default:
      return []
  }
}
