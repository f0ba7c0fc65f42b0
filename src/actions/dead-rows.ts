// Which rows within an act's reach are dead for good, by judgement. A lock that stands only suspends: locks are left out
// of the judgement here, the epochs they raised are not.

import {
  type Approvers,
  carrying,
  grantEnd,
  isWithdrawn,
  judgeCredential,
  judgeGrant,
  judgeSession,
  keyLeft,
  type World,
} from '../core/judge.ts'
import { LEEWAY_SECONDS_MAX } from '../core/limits.ts'
import {
  type AccessRequest,
  type Account,
  type AccountState,
  type Credential,
  type Grant,
  type Instant,
  keyOf,
  type Lockable,
  type Revocation,
  type Rows,
  type Session,
} from '../core/model.ts'
import { readApprovers } from './grants.ts'
import { worldFrom, worldKeys } from './load-world.ts'
import type { Deps, Where } from './ports.ts'

/** Rows marked in one commit (STORE rule 4). */
export const CHUNK = 500

export type DeadRow =
  | { readonly kind: 'session'; readonly row: Session }
  | { readonly kind: 'request'; readonly row: AccessRequest }
  | { readonly kind: 'grant'; readonly row: Grant; readonly to: 'superseded' | 'revoked' }
  /** It lives on, but not as long: whatever is accepted later, it ends then (S1). */
  | { readonly kind: 'shortened'; readonly row: Grant; readonly endsAt: Instant }
  | { readonly kind: 'credential'; readonly row: Credential }
  | { readonly kind: 'account'; readonly row: Account }

type Takes = Revocation['takes'][number]
type Reads = { readonly store: Pick<Deps['store'], 'read' | 'list'>; readonly expiry: Deps['expiry'] }
type Lists = Reads & { readonly gone: Map<string, string> }

/** A verifier that allows a leeway may still accept what has just expired, so it has to be confirmed too. */
const LEEWAY_MS = LEEWAY_SECONDS_MAX * 1000

/** Thousands of credentials rest on one session, one grant and one agent: each is read once a chunk. */
function remembering({ read, list }: Reads['store']): Reads['store'] {
  const known = new Map<string, ReturnType<typeof read>>()
  return {
    list,
    read(keys) {
      const name = keys.join(' ')
      const found = known.get(name) ?? read(keys)
      known.set(name, found)
      return found
    },
  }
}

/** How far a list was gone through, by list: the id of its last row. */
export type Gone = ReadonlyMap<string, string>

/**
 * At most one chunk, from where `gone` left off; fewer means that no more come after it. From the start, that these are all.
 * `gone` says in the answer how far this chunk went.
 */
export async function deadRows(
  deps: Reads,
  now: Instant,
  revocation: Revocation,
  gone: Gone = new Map(),
): Promise<{ readonly rows: readonly DeadRow[]; readonly gone: Gone }> {
  const lists: Lists = { store: remembering(deps.store), expiry: deps.expiry, gone: new Map(gone) }
  const rows: DeadRow[] = []
  const seen = new Set<string>()
  for (const takes of await expanded(deps, revocation)) {
    for await (const row of deadWithin(lists, now, takes, revocation.act)) {
      if (seen.has(row.row.id)) continue
      seen.add(row.row.id)
      rows.push(row)
      if (rows.length === CHUNK) return { rows, gone: lists.gone }
    }
  }
  return { rows, gone: lists.gone }
}

/** An approver stands for each grant that rests on them, a session for each that was asked for in it too (S11). */
async function expanded(deps: Reads, revocation: Revocation): Promise<readonly Takes[]> {
  const out: Takes[] = []
  const expiresAfter = deps.expiry.pastForAll() - LEEWAY_MS
  for (const takes of revocation.takes) {
    const { approver, session } = takes
    if (approver === undefined) out.push(takes)
    const where = approver !== undefined ? { owner: approver } : session !== undefined ? { session } : null
    if (where === null) continue
    for await (const grant of all({ ...deps, gone: new Map() }, 'grant', { ...where, expiresAfter }))
      out.push({ grant: grant.id })
  }
  return out
}

async function* all<K extends 'session' | 'request' | 'grant' | 'credential' | 'account'>(
  { store, gone }: Pick<Lists, 'store' | 'gone'>,
  kind: K,
  where: Where,
): AsyncGenerator<Rows[K]> {
  const { agent, tool, session, grant, owner } = where
  const list = JSON.stringify([kind, agent, tool, session, grant, owner])
  let more: string | null = null
  do {
    const after = gone.get(list)
    const page: { rows: readonly Rows[K][]; next: string | null } = await store.list({
      kind,
      where,
      limit: CHUNK,
      ...(after === undefined ? {} : { after }),
    })
    for (const row of page.rows) {
      gone.set(list, row.id)
      yield row
    }
    more = page.next
  } while (more !== null)
}

/** For a list that no chunk goes on with. */
const fromTheStart = ({ store }: Pick<Reads, 'store'>) => ({ store, gone: new Map<string, string>() })

async function* deadWithin(deps: Lists, now: Instant, takes: Takes, act: Revocation['act']): AsyncGenerator<DeadRow> {
  const { agent, tool, session, grant } = takes
  const agentOnly = agent === undefined ? {} : { agent }
  const agentAndTool = { ...agentOnly, ...(tool === undefined ? {} : { tool }) }
  const broad = session === undefined && grant === undefined
  if (broad && tool === undefined)
    for await (const row of all(deps, 'session', { ...agentOnly, state: 'open', expiresAfter: now }))
      if (await isDeadSession(deps, now, row)) yield { kind: 'session', row }
  if (broad) {
    for await (const row of all(deps, 'request', { ...agentAndTool, state: 'pending', expiresAfter: now }))
      if (await isDeadRequest(deps, now, row)) yield { kind: 'request', row }
    for await (const row of all(deps, 'grant', { ...agentAndTool, state: 'active', expiresAfter: now }))
      yield* act === 'narrowed' ? narrowedGrant(deps, now, row) : deadGrant(deps, now, row)
  }
  if (session !== undefined) yield* askedForIn(deps, now, session)
  if (grant !== undefined) {
    const row = (await deps.store.read([keyOf('grant', grant)])).get('grant', grant)
    if (row?.state === 'active' && now < row.expiresAt) yield* deadGrant(deps, now, row)
  }
  const where = {
    ...agentAndTool,
    ...(session === undefined ? {} : { session }),
    ...(grant === undefined ? {} : { grant }),
  }
  const expiresAfter = deps.expiry.pastForAll() - LEEWAY_MS
  for await (const row of all(deps, 'credential', { ...where, state: 'issued', expiresAfter }))
    if (row.expiresAt > deps.expiry.past(row.issuedAt) - LEEWAY_MS && (await isDeadCredential(deps, now, row)))
      yield { kind: 'credential', row }
  for (const row of await accountsWithin(deps, takes, ['planned', 'present'])) {
    if (!(await isDeadAccount(deps, now, row))) continue
    // Whoever else holds its secret loses it too.
    for await (const sibling of all(fromTheStart(deps), 'credential', {
      grant: row.grant,
      state: 'issued',
      expiresAfter,
    }))
      if (sibling.account === row.id) yield { kind: 'credential', row: sibling }
    yield { kind: 'account', row }
  }
  // After its credentials: an approver's grants are found while they are active.
  if (grant !== undefined) {
    const row = (await deps.store.read([keyOf('grant', grant)])).get('grant', grant)
    if (row?.state === 'active') yield* deadGrant(deps, now, row)
  }
}

/** Accounts in these states that an act's reach may touch; a session's agent's are all looked at, for any may hold its secret. */
export async function accountsWithin(
  deps: Pick<Reads, 'store'>,
  { agent, tool, session, grant, approver }: Takes,
  states: readonly AccountState[],
): Promise<readonly Account[]> {
  // Its grants are reaches of their own.
  if (approver !== undefined) return []
  const found: Account[] = []
  if (grant !== undefined) {
    for await (const row of all(fromTheStart(deps), 'account', { grant }))
      if (states.includes(row.state)) found.push(row)
    return found
  }
  const opened =
    session === undefined ? null : (await deps.store.read([keyOf('session', session)])).get('session', session)
  const of = agent ?? opened?.agent
  for (const state of states)
    for await (const row of all(fromTheStart(deps), 'account', { state }))
      if ((of === undefined || row.agent === of) && (tool === undefined || row.tool === tool)) found.push(row)
  return found
}

/** What was still asked for while the session was being taken: it committed before, so nothing comes after it (S11). */
async function* askedForIn(deps: Lists, now: Instant, session: string): AsyncGenerator<DeadRow> {
  for await (const row of all(deps, 'request', { session, state: 'pending', expiresAfter: now }))
    yield { kind: 'request', row }
  for await (const row of all(deps, 'grant', { session, state: 'active', expiresAfter: now }))
    yield { kind: 'grant', row, to: 'revoked' }
}

const unlocked = <R extends Lockable>(row: R | null): R | null => (row === null ? null : { ...row, locks: [] })

async function worldWithoutLocks(deps: Reads, now: Instant, agent: string, tool: string | null): Promise<World> {
  const world = worldFrom(await deps.store.read(worldKeys(agent, tool)), now, agent, tool)
  return {
    ...world,
    installation: unlocked(world.installation),
    agent: unlocked(world.agent),
    tool: unlocked(world.tool),
  }
}

async function approversWithoutLocks(deps: Reads, grant: Grant): Promise<Approvers> {
  const approvers = await readApprovers(deps.store, grant.approvers)
  return new Map([...approvers].map(([email, person]) => [email, { ...person, locks: [] }]))
}

async function isDeadSession(deps: Reads, now: Instant, session: Session): Promise<boolean> {
  return judgeSession(await worldWithoutLocks(deps, now, session.agent, null), session) !== null
}

async function isDeadRequest(deps: Reads, now: Instant, request: AccessRequest): Promise<boolean> {
  const session = (await deps.store.read([keyOf('session', request.session)])).get('session', request.session)
  if (session === undefined || session.state === 'revoked') return true
  const world = await worldWithoutLocks(deps, now, request.agent, request.tool)
  if (isWithdrawn(world.installation, session.signedBy)) return true
  if (world.identity === null || keyLeft(world, session)) return true
  return world.agent?.state !== 'active' || world.identity.state === 'decommissioned'
}

async function* deadGrant(deps: Reads, now: Instant, row: Grant): AsyncGenerator<DeadRow> {
  const world = await worldWithoutLocks(deps, now, row.agent, row.tool)
  const judged = judgeGrant(world, row, await approversWithoutLocks(deps, row))
  if (!judged.ok) yield { kind: 'grant', row, to: 'revoked' }
}

/** As take-narrowed does it in the edit's own commit: what only ends sooner is shortened, and may be over by now. */
async function* narrowedGrant(deps: Reads, now: Instant, row: Grant): AsyncGenerator<DeadRow> {
  const world = await worldWithoutLocks(deps, now, row.agent, row.tool)
  const judged = judgeGrant(world, row, await approversWithoutLocks(deps, row))
  const isOver = !judged.ok && (judged.error.code === 'grant_expired' || judged.error.code === 'review_overdue')
  const entitlement = carrying(world, row)
  if (entitlement === undefined || keyLeft(world, row) || (!judged.ok && !isOver)) {
    yield { kind: 'grant', row, to: keyLeft(world, row) ? 'revoked' : 'superseded' }
    return
  }
  const endsAt = grantEnd(row, entitlement, world.identity!.reviewBy)
  if (endsAt < row.expiresAt) yield { kind: 'shortened', row, endsAt }
}

/** Also one whose end was moved forward: a verifier that looks only at `exp` would accept it past that. */
async function isDeadCredential(deps: Reads, now: Instant, credential: Credential): Promise<boolean> {
  const keys = [keyOf('session', credential.session), keyOf('grant', credential.grant)]
  const rows = await deps.store.read(keys)
  const session = rows.get('session', credential.session)
  const grant = rows.get('grant', credential.grant)
  if (session === undefined || grant === undefined) return true
  const judgedAt = now < credential.expiresAt ? now : credential.issuedAt
  const world = await worldWithoutLocks(deps, judgedAt, credential.agent, credential.tool)
  const judged = judgeCredential(world, credential, session, grant, await approversWithoutLocks(deps, grant))
  return !judged.ok || judged.value.endsAt < credential.expiresAt
}

/**
 * Its grant is dead, or anything that it was ever handed out as: one who lost a credential still knows the secret, be the
 * credential long past its end.
 */
async function isDeadAccount(deps: Reads, now: Instant, account: Account): Promise<boolean> {
  const grant = (await deps.store.read([keyOf('grant', account.grant)])).get('grant', account.grant)
  if (grant === undefined) return true
  const world = await worldWithoutLocks(deps, now, grant.agent, grant.tool)
  if (!judgeGrant(world, grant, await approversWithoutLocks(deps, grant)).ok) return true
  for await (const row of all(fromTheStart(deps), 'credential', { grant: account.grant }))
    if (row.account === account.id && (row.state === 'revoked' || (await isDeadCredential(deps, now, row)))) return true
  return false
}
