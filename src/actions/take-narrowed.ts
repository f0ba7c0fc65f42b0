// What an edit takes away from those who hold something: grants that no entitlement covers any more are superseded (S9),
// sessions whose key left are revoked with all that rests on them (S11), credentials follow. One receipt per agent, one
// per tool that is gone. It takes nothing that is still covered.

import { type Authority, valueDigest } from '../core/compile-slices.ts'
import { carrying, grantEnd } from '../core/judge.ts'
import { move } from '../core/lifecycle.ts'
import { type AccessRequest, type Grant, keyOf, type Revocation, type Row, type Session } from '../core/model.ts'
import type { AuditRecord } from '../core/record.ts'
import { ok } from '../core/result.ts'
import { sliceId } from '../core/slice.ts'
import { credentialsTaken } from './confirmations.ts'
import { deadRows } from './dead-rows.ts'
import { finishRevocation } from './finish-revocation.ts'
import type { Context, Deps } from './ports.ts'
import { newRevocation } from './revoke.ts'
import type { CutOff } from './slice-rows.ts'
import { listAll } from './standing.ts'
import { type Look, recordOf, transact } from './transact.ts'

type Takes = Revocation['takes'][number]

/** What is held of one agent, or of one tool that is cut off, that an edit may have made dead. */
export type Reach = {
  readonly target: string
  readonly agent: string | null
  readonly tool: string | null
  readonly takes: Takes[]
  readonly sessions: Session[]
  readonly requests: AccessRequest[]
  readonly grants: Map<string, { readonly row: Grant; readonly to: 'superseded' | 'revoked' }>
  /** Grants that live on, but not as long: id → the end they have from now on, whatever is accepted later (S1). */
  readonly shortened: Map<string, number>
}

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
  for (const reach of await reachesOf(deps, look.now, edit)) {
    const { sessions, requests, grants, shortened } = await stillHeld(look, reach)
    for (const { row, endsAt } of shortened) put.push({ kind: 'grant', row: { ...row, expiresAt: endsAt } })
    const receipt = newRevocation(deps, context, look.now, {
      act: 'narrowed',
      target: reach.target,
      agent: reach.agent,
      tool: reach.tool,
      reason: null,
      takes: reach.takes,
      counts: { sessions: sessions.length, requests: requests.length, grants: grants.length },
    })
    // A live credential may end sooner now, which only the follow-up finds: its receipt must survive a crash before that.
    const isIdle = sessions.length + requests.length + grants.length === 0
    if (isIdle && (await credentialsTaken(deps, look.now, reach.takes)).length === 0) {
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

/** The rows of a reach as the commit asserts them: what somebody else ended meanwhile stays as they ended it. */
async function stillHeld(look: Look, { sessions, requests, grants, shortened }: Reach) {
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

export async function reachesOf(
  deps: Deps,
  now: number,
  {
    inForce,
    next,
    cutOff,
  }: { readonly inForce: Authority; readonly next: Authority; readonly cutOff: readonly CutOff[] },
): Promise<readonly Reach[]> {
  const reaches = new Map<string, Reach>()
  const taken = new Set<string>()
  const reachOf = (kind: 'agent' | 'tool', name: string): Reach => {
    const target = `${kind}/${name}`
    const made = reaches.get(target) ?? {
      target,
      agent: kind === 'agent' ? name : null,
      tool: kind === 'tool' ? name : null,
      takes: [],
      sessions: [],
      requests: [],
      grants: new Map(),
      shortened: new Map(),
    }
    reaches.set(target, made)
    return made
  }
  const isCut = (kind: CutOff['kind'], name: string) => cutOff.some((cut) => cut.kind === kind && cut.name === name)
  for (const [id, was] of inForce) {
    const left = next.get(id) ?? null
    if (was === null || valueDigest(was) === valueDigest(left)) continue
    if (was.of === 'agent') await ofAgent(was.name, left?.of === 'agent' ? left.keys.map(({ kid }) => kid) : [])
    else if (was.of === 'tool') await ofTool(was.name)
    else if (was.of === 'access' && !isCut('tool', was.tool)) await ofPair(was.agent, was.tool)
  }
  return [...reaches.values()]

  /** Each grant is on one receipt. */
  function take(row: Grant, to: 'superseded' | 'revoked', reach: Reach): void {
    if (taken.has(row.id)) return
    taken.add(row.id)
    reach.grants.set(row.id, { row, to })
  }

  /** A tool is cut off with its grants whatever covers them; otherwise what is not covered is superseded. */
  function judgeGrant(grant: Grant, reach: Reach): void {
    const dead = isCut('tool', grant.tool) || isCut('agent', grant.agent)
    if (dead || endOf(grant) === null) take(grant, 'superseded', reach)
    else shorten(grant, reach)
  }

  /** The end that `next` leaves it; null where nothing covers it. */
  function endOf(grant: Grant): number | null {
    const access = next.get(sliceId.access(grant.agent, grant.tool)) ?? null
    const of = next.get(sliceId.tool(grant.tool)) ?? null
    const agent = next.get(sliceId.agent(grant.agent)) ?? null
    const entitlement = carrying(
      { access: access?.of === 'access' ? access : null, toolValue: of?.of === 'tool' ? of : null },
      grant,
    )
    return entitlement === undefined
      ? null
      : grantEnd(grant, entitlement, agent?.of === 'agent' ? agent.reviewBy : null)
  }

  function shorten(grant: Grant, reach: Reach): void {
    const endsAt = endOf(grant)
    if (endsAt !== null && endsAt < grant.expiresAt) reach.shortened.set(grant.id, endsAt)
  }

  async function ofPair(agent: string, tool: string): Promise<void> {
    const reach = reachOf('agent', agent)
    reach.takes.push({ agent, tool })
    for (const grant of await listAll(deps, 'grant', { agent, tool, state: 'active', expiresAfter: now }))
      judgeGrant(grant, reach)
  }

  async function ofTool(name: string): Promise<void> {
    const isGone = isCut('tool', name)
    if (isGone) reachOf('tool', name).takes.push({ tool: name })
    const held = new Set<string>()
    for (const grant of await listAll(deps, 'grant', { tool: name, state: 'active', expiresAfter: now })) {
      held.add(grant.agent)
      judgeGrant(grant, isGone ? reachOf('tool', name) : reachOf('agent', grant.agent))
    }
    if (!isGone) for (const agent of held) reachOf('agent', agent).takes.push({ agent, tool: name })
  }

  async function ofAgent(name: string, keysLeft: readonly string[]): Promise<void> {
    const reach = reachOf('agent', name)
    reach.takes.push({ agent: name })
    const isGone = isCut('agent', name)
    // A session may have expired, or a lock ended it: what was asked for with a key goes with the key all the same.
    const grants = await listAll(deps, 'grant', { agent: name, state: 'active', expiresAfter: now })
    const requests = await listAll(deps, 'request', { agent: name, state: 'pending', expiresAfter: now })
    const askedIn = await deps.store.read([...grants, ...requests].map((asked) => keyOf('session', asked.session)))
    const isLeft = (session: Session | undefined) =>
      !isGone && (session === undefined || keysLeft.includes(session.key))
    for (const grant of grants)
      if (isGone) judgeGrant(grant, reach)
      else if (isLeft(askedIn.get('session', grant.session))) shorten(grant, reach)
      else take(grant, 'revoked', reach)
    reach.requests.push(...requests.filter((request) => !isLeft(askedIn.get('session', request.session))))
    for (const session of await listAll(deps, 'session', { agent: name, state: 'open', expiresAfter: now })) {
      if (isLeft(session)) continue
      reach.sessions.push(session)
      if (!isGone) reach.takes.push({ session: session.id })
    }
  }
}
