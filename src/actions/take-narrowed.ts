// What an edit takes away from those who hold something: grants that no entitlement covers any more are superseded (S9),
// sessions whose key left are revoked with all that rests on them (S11), credentials follow. One receipt per agent, one
// per tool that is gone. It takes nothing that is still covered. All of it is dead by judgement with the commit: rows for
// which there is no room in it follow (STORE rule 4), and until they have, nothing is given that they could live on by.

import type { Authority } from '../core/compile-slices.ts'
import { move } from '../core/lifecycle.ts'
import { keyOf, type Revocation, type Row } from '../core/model.ts'
import { type Problem, problem } from '../core/problem.ts'
import type { AuditRecord } from '../core/record.ts'
import { ok } from '../core/result.ts'
import { anyCredential } from './confirmations.ts'
import { deadRows } from './dead-rows.ts'
import { finishRevocation } from './finish-revocation.ts'
import type { Context, Deps } from './ports.ts'
import { IN_ONE_COMMIT, type Reach, reachesOf } from './reaches.ts'
import { newRevocation } from './revoke.ts'
import type { CutOff } from './slice-rows.ts'
import { type Look, recordOf, transact } from './transact.ts'

export type Taken = {
  readonly put: readonly Row[]
  readonly records: readonly AuditRecord[]
  readonly revocations: readonly Revocation[]
  /** Where something may have been made while this was judged: looked through again after the commit. */
  readonly quiet: readonly Revocation[]
}

/** Judges what `next` leaves of what is held. Rows and receipts are for the edit's own commit. */
export async function takeNarrowed(
  deps: Deps,
  context: Context,
  look: Look,
  edit: {
    readonly inForce: Authority
    readonly next: Authority
    readonly cutOff: readonly CutOff[]
    readonly revision: string
  },
): Promise<Taken> {
  const put: Row[] = []
  const records: AuditRecord[] = []
  const revocations: Revocation[] = []
  const quiet: Revocation[] = []
  let room = IN_ONE_COMMIT
  for (const reach of await reachesOf(deps, look.now, edit)) {
    const held = atMost(room, reach)
    const { sessions, requests, grants, shortened } = await stillHeld(look, held)
    room -= sessions.length + requests.length + grants.length + shortened.length
    for (const { row, endsAt } of shortened) put.push({ kind: 'grant', row: { ...row, expiresAt: endsAt } })
    const receipt = newRevocation(deps, context, look.now, {
      act: 'narrowed',
      target: reach.target,
      agent: reach.agent,
      tool: reach.tool,
      reason: null,
      revision: edit.revision,
      takes: reach.takes,
      counts: { sessions: sessions.length, requests: requests.length, grants: grants.length },
    })
    // A live credential may end sooner now, which only the follow-up finds: its receipt must survive a crash before that.
    const isIdle = !held.more && sessions.length + requests.length + grants.length === 0
    if (isIdle && !(await anyCredential(deps, deps.expiry.pastForAll(), reach.takes))) {
      quiet.push(receipt)
      continue
    }
    revocations.push(receipt)
    put.push({ kind: 'revocation', row: receipt })
    const of = { revocation: receipt.id }
    for (const row of sessions) {
      const subject = { ...of, agent: row.agent, session: row.id }
      put.push({ kind: 'session', row: { ...move('session', row, 'revoked'), revocation: receipt.id } })
      records.push(recordOf(context, look.now, 'session.revoked', subject, { because: 'narrowed' }))
    }
    for (const row of requests) {
      const subject = { ...of, agent: row.agent, tool: row.tool, request: row.id }
      const withdrawn = { ...move('request', row, 'withdrawn'), decidedAt: look.now, revocation: receipt.id }
      put.push({ kind: 'request', row: withdrawn })
      records.push(recordOf(context, look.now, 'request.withdrawn', subject, { because: 'session revoked' }))
    }
    for (const { row, to } of grants) {
      const subject = { ...of, agent: row.agent, tool: row.tool, grant: row.id }
      put.push({ kind: 'grant', row: { ...move('grant', row, to), revocation: receipt.id } })
      records.push(
        to === 'revoked'
          ? recordOf(context, look.now, 'grant.revoked', subject, { because: 'session revoked' })
          : recordOf(context, look.now, 'grant.superseded', subject, { because: 'narrowed', revision: edit.revision }),
      )
    }
  }
  return { put, records, revocations, quiet }
}

/** What there is room for, sessions first; the rest follows. */
function atMost(room: number, reach: Reach): Reach {
  const { sessions, requests, grants, shortened } = reach
  const afterSessions = Math.max(0, room - sessions.length)
  const afterRequests = Math.max(0, afterSessions - requests.length)
  const afterGrants = Math.max(0, afterRequests - grants.size)
  return {
    ...reach,
    sessions: sessions.slice(0, room),
    requests: requests.slice(0, afterSessions),
    grants: new Map([...grants].slice(0, afterRequests)),
    shortened: new Map([...shortened].slice(0, afterGrants)),
    more: reach.more || sessions.length + requests.length + grants.size + shortened.size > room,
  }
}

/** The rows of a reach as the commit asserts them: what somebody else ended meanwhile stays as they ended it. */
async function stillHeld(
  look: Look,
  { sessions, requests, grants, shortened }: Pick<Reach, 'sessions' | 'requests' | 'grants' | 'shortened'>,
) {
  const keys = [
    ...sessions.map(({ id }) => keyOf('session', id)),
    ...requests.map(({ id }) => keyOf('request', id)),
    ...[...grants.keys(), ...shortened.keys()].map((id) => keyOf('grant', id)),
  ]
  if (keys.length === 0) return { sessions: [], requests: [], grants: [], shortened: [] }
  const rows = await look.read(keys)
  const current = <T>(row: T | undefined, isOpen: (row: T) => boolean): T[] =>
    row !== undefined && isOpen(row) ? [row] : []
  return {
    sessions: sessions.flatMap(({ id }) => current(rows.get('session', id), ({ state }) => state === 'open')),
    requests: requests.flatMap(({ id }) => current(rows.get('request', id), ({ state }) => state === 'pending')),
    grants: [...grants].flatMap(([id, { to }]) =>
      current(rows.get('grant', id), ({ state }) => state === 'active').map((row) => ({ row, to })),
    ),
    shortened: [...shortened].flatMap(([id, endsAt]) =>
      current(grants.has(id) ? undefined : rows.get('grant', id), ({ state }) => state === 'active').map((row) => ({
        row,
        endsAt,
      })),
    ),
  }
}

/**
 * After the commit: follows the receipts, and opens one where something was made while the edit was being judged.
 * Answers those that took something; one that was opened in case a crash came between and found nothing is not told.
 */
export async function followNarrowed(deps: Deps, context: Context, taken: Taken): Promise<readonly Revocation[]> {
  const followed: Revocation[] = []
  for (const revocation of taken.revocations) followed.push(await finishRevocation(deps, revocation))
  for (const revocation of taken.quiet) {
    if ((await deadRows(deps, deps.clock.now(), revocation)).rows.length === 0) continue
    const done = await transact(deps, 'normal', async (look) =>
      ok({
        value: null,
        put: [{ kind: 'revocation' as const, row: revocation }],
        records: [
          recordOf(
            context,
            look.now,
            'rows.followed',
            { revocation: revocation.id },
            { rows: 'all', count: 0, because: 'narrowed' },
          ),
        ],
      }),
    )
    if (done.ok) followed.push(await finishRevocation(deps, revocation))
  }
  return followed.filter(({ counts }) => Object.values(counts).some((count) => count > 0))
}

/** How often what another hand is following too is tried again. */
const TRIES = 20

/**
 * Before anything is given: what earlier edits took is marked whole. By judgement alone a row that is dead would live
 * again once something covers it. `overloaded` where the store would not have it.
 */
export async function settleNarrowed(deps: Deps): Promise<Problem | null> {
  for (let left = TRIES; left > 0; left--) {
    let isLeft = false
    let after: string | null = null
    do {
      const page: { rows: readonly Revocation[]; next: string | null } = await deps.store.list({
        kind: 'revocation',
        where: { state: 'open' },
        limit: IN_ONE_COMMIT,
        ...(after === null ? {} : { after }),
      })
      for (const row of page.rows)
        if (row.act === 'narrowed' && !row.rowsFollowed && !(await finishRevocation(deps, row)).rowsFollowed)
          isLeft = true
      after = page.next
    } while (after !== null)
    if (!isLeft) return null
  }
  return problem('overloaded', 'What an earlier edit took away is still being marked.', {
    retryable: true,
    retryAfterSeconds: 2,
    hint: 'Nothing was changed. Try again in a few seconds.',
  })
}
