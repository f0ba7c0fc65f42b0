// What is held within reach of an edit, and what the edit leaves of it: judged from the authority that comes next, before
// it is in force. It writes nothing.

import { type Authority, valueDigest } from '../core/compile-slices.ts'
import { carrying, grantEnd } from '../core/judge.ts'
import { type AccessRequest, type Grant, keyOf, type Revocation, type Rows, type Session } from '../core/model.ts'
import { sliceId } from '../core/slice.ts'
import type { Deps, Where } from './ports.ts'
import type { CutOff } from './slice-rows.ts'

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
  /** There is more than is listed here: it follows. */
  more: boolean
}

/** Rows of one listing, and rows that the edit's own commit marks (STORE rule 4). */
export const IN_ONE_COMMIT = 500

/** `most`: of each thing held; what is beyond it is left out, and the reach says so. */
export async function reachesOf(
  deps: Deps,
  now: number,
  {
    inForce,
    next,
    cutOff,
  }: { readonly inForce: Authority; readonly next: Authority; readonly cutOff: readonly CutOff[] },
  most = IN_ONE_COMMIT,
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
      more: false,
    }
    reaches.set(target, made)
    return made
  }
  const isCut = (kind: CutOff['kind'], name: string) => cutOff.some((cut) => cut.kind === kind && cut.name === name)
  for (const [id, was] of inForce) {
    const left = next.get(id) ?? null
    if (was === null || was === left || valueDigest(was) === valueDigest(left)) continue
    if (was.of === 'agent') await ofAgent(was.name, left?.of === 'agent' ? left.keys.map(({ kid }) => kid) : [])
    else if (was.of === 'tool') await ofTool(was.name)
    else if (was.of === 'access' && !isCut('tool', was.tool)) await ofPair(was.agent, was.tool)
  }
  return [...reaches.values()]

  /** At most `most` of what is held; where there is more, the reach says so. */
  async function held<K extends 'session' | 'request' | 'grant'>(
    kind: K,
    where: Where,
    reach: Pick<Reach, 'more'>,
  ): Promise<readonly Rows[K][]> {
    const rows: Rows[K][] = []
    let after: string | null = null
    do {
      const page: { rows: readonly Rows[K][]; next: string | null } = await deps.store.list({
        kind,
        where: { ...where, expiresAfter: now },
        limit: IN_ONE_COMMIT,
        ...(after === null ? {} : { after }),
      })
      rows.push(...page.rows)
      after = page.next
    } while (after !== null && rows.length < most)
    if (after !== null) reach.more = true
    return rows
  }

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
    for (const grant of await held('grant', { agent, tool, state: 'active' }, reach)) judgeGrant(grant, reach)
  }

  async function ofTool(name: string): Promise<void> {
    const isGone = isCut('tool', name)
    if (isGone) reachOf('tool', name).takes.push({ tool: name })
    const page = { more: false }
    const holders = new Set<string>()
    for (const grant of await held('grant', { tool: name, state: 'active' }, page)) {
      holders.add(grant.agent)
      judgeGrant(grant, isGone ? reachOf('tool', name) : reachOf('agent', grant.agent))
    }
    if (!isGone) for (const agent of holders) reachOf('agent', agent).takes.push({ agent, tool: name })
    if (!page.more) return
    // Who else holds something of it is found as it follows, under one receipt of the tool.
    const reach = reachOf('tool', name)
    if (!isGone) reach.takes.push({ tool: name })
    reach.more = true
  }

  async function ofAgent(name: string, keysLeft: readonly string[]): Promise<void> {
    const reach = reachOf('agent', name)
    reach.takes.push({ agent: name })
    const isGone = isCut('agent', name)
    // A session may have expired, or a lock ended it: what was asked for with a key goes with the key all the same.
    const grants = await held('grant', { agent: name, state: 'active' }, reach)
    const requests = await held('request', { agent: name, state: 'pending' }, reach)
    const askedIn = await deps.store.read([...grants, ...requests].map((asked) => keyOf('session', asked.session)))
    const isLeft = (session: Session | undefined) =>
      !isGone && (session === undefined || keysLeft.includes(session.key))
    for (const grant of grants)
      if (isGone) judgeGrant(grant, reach)
      else if (isLeft(askedIn.get('session', grant.session))) shorten(grant, reach)
      else take(grant, 'revoked', reach)
    reach.requests.push(...requests.filter((request) => !isLeft(askedIn.get('session', request.session))))
    for (const session of await held('session', { agent: name, state: 'open' }, reach)) {
      if (isLeft(session)) continue
      reach.sessions.push(session)
      if (!isGone) reach.takes.push({ session: session.id })
    }
  }
}
