// A token or key that was found somewhere: whose it is, who approved it, under which manifest line, and where it is alive.
// The token is neither kept, nor recorded, nor logged; only its hash is compared. It changes nothing.

import { createHash, timingSafeEqual } from 'node:crypto'
import { shapedBearer } from '../core/bearer.ts'
import { digest, type Json } from '../core/canonical.ts'
import type { InspectedKind } from '../core/inspected.ts'
import { carrying, judgeCredential, judgeGrant, judgeSession } from '../core/judge.ts'
import { type Account, type Bearer, type Credential, type Grant, keyOf, type Session } from '../core/model.ts'
import type { Problem } from '../core/problem.ts'
import { personal, rfc3339 } from '../core/record.ts'
import { err, ok, type Result } from '../core/result.ts'
import { Secret } from '../core/secret.ts'
import { asFailure, connectionOf } from './account-rows.ts'
import { authorize, ownersOf } from './authorize.ts'
import { readApprovers } from './grants.ts'
import { loadWorld } from './load-world.ts'
import type { Context, Deps, Page } from './ports.ts'
import { recordOf, transact } from './transact.ts'

/** Where it would open something, whether it does, and how that is known. */
export type Place = { readonly where: string; readonly alive: boolean | null; readonly how: string }

export type Inspected = {
  readonly found: InspectedKind
  readonly id: string | null
  readonly agent: string | null
  readonly owners: readonly string[]
  readonly tool: string | null
  readonly session: string | null
  readonly grant: string | null
  readonly scopes: readonly string[]
  readonly issuedAt: string | null
  readonly expiresAt: string | null
  readonly approval: string | null
  readonly approvedBy: readonly string[]
  /** Null: nothing in force gives it any more. */
  readonly manifest: { readonly file: string; readonly line: number; readonly role: string | null } | null
  readonly alive: boolean
  readonly places: readonly Place[]
}

/** What would take it away, where anything can. */
export type Takes = { readonly kind: 'session' | 'grant' | 'credential' | 'bearer'; readonly id: string } | null
type Found = { readonly inspected: Inspected; readonly takes: Takes }

const NOTHING: Inspected = {
  found: 'nothing',
  id: null,
  agent: null,
  owners: [],
  tool: null,
  session: null,
  grant: null,
  scopes: [],
  issuedAt: null,
  expiresAt: null,
  approval: null,
  approvedBy: [],
  manifest: null,
  alive: false,
  places: [],
}

export async function inspectToken(deps: Deps, context: Context, found: Secret): Promise<Result<Found, Problem>> {
  const reader = { now: deps.clock.now(), read: deps.store.read.bind(deps.store) }
  const refused = await authorize(reader, context.caller, 'token.inspect')
  if (refused !== null) return err(refused)
  const text = withoutScheme(found.reveal().trim())
  const result = (await asBearer(deps, text)) ??
    (await asToken(deps, text)) ??
    (await asAccount(deps, text)) ?? { inspected: NOTHING, takes: null }
  const { found: kind, id, agent, tool, session, grant } = result.inspected
  const subject = {
    ...(agent === null ? {} : { agent }),
    ...(tool === null ? {} : { tool }),
    ...(session === null ? {} : { session }),
    ...(grant === null ? {} : { grant }),
    ...(kind === 'credential' && id !== null ? { credential: id } : {}),
    ...(kind === 'account' && id !== null ? { account: id } : {}),
    ...(kind === 'bearer' && result.inspected.owners[0] !== undefined
      ? { owner: personal(result.inspected.owners[0]) }
      : {}),
  }
  const body = { found: kind, ...(kind === 'bearer' && id !== null ? { bearer: id } : {}) }
  const told = await transact(deps, 'normal', async (look) =>
    ok({ value: null, records: [recordOf(context, look.now, 'token.inspected', subject, body)] }),
  )
  return told.ok ? ok(result) : told
}

/** As it stands in a header that was found. */
const withoutScheme = (text: string): string => text.replace(/^(?:Bearer|Basic|token)\s+/i, '')

const sha256 = (text: string) => createHash('sha256').update(text, 'utf8').digest('hex')
const sameHash = (one: string, other: string) =>
  one.length === other.length && timingSafeEqual(Buffer.from(one), Buffer.from(other))

async function asBearer(deps: Deps, text: string): Promise<Found | null> {
  const shaped = shapedBearer(text)
  if (shaped === null) return null
  const [row] = (await deps.store.list({ kind: 'bearer', where: { hash: shaped.hash }, limit: 1 })).rows
  if (row === undefined || !sameHash(row.hash, shaped.hash)) return null
  const alive = row.revokedAt === null && deps.clock.now() < row.expiresAt
  return {
    inspected: {
      ...NOTHING,
      found: 'bearer',
      id: row.id,
      owners: row.kind === 'verifier' ? [] : [row.subject],
      tool: row.kind === 'verifier' ? row.subject : null,
      scopes: [row.kind],
      issuedAt: rfc3339(row.createdAt),
      expiresAt: rfc3339(row.expiresAt),
      approvedBy: [row.madeBy],
      alive,
      places: [{ where: deps.settings.issuer, alive, how: stateOf(row) }],
    },
    takes: row.revokedAt === null ? { kind: 'bearer', id: row.id } : null,
  }
}

const stateOf = ({ revokedAt, expiresAt }: Bearer) =>
  revokedAt === null ? `until ${rfc3339(expiresAt)}` : `revoked ${rfc3339(revokedAt)}`

/** A JWT that we signed, or, past its end, one whose claims are exactly those that were minted. */
async function asToken(deps: Deps, text: string): Promise<Found | null> {
  if (!/^[\w-]+\.[\w-]+\.[\w-]+$/.test(text)) return null
  const verified = await deps.signer.verifyToken(text)
  const claims = verified ?? unverified(text)
  if (claims === null) return null
  const { jti, sid } = claims
  const id = typeof jti === 'string' ? jti : ''
  const credential = (await deps.store.read([keyOf('credential', id)])).get('credential', id)
  if (credential !== undefined) {
    const isOurs = verified !== null || areClaims(claims, credential)
    return isOurs ? ofCredential(deps, credential) : null
  }
  if (verified === null || typeof sid !== 'string') return null
  const session = (await deps.store.read([keyOf('session', sid)])).get('session', sid)
  return session === undefined ? null : ofSession(deps, session)
}

/** Hostile claims may have no canonical form: then they are none that were minted. */
function areClaims(claims: Readonly<Record<string, unknown>>, { claimsHash }: Credential): boolean {
  try {
    return sameHash(digest(claims as Json), claimsHash)
  } catch (thrown) {
    if (thrown instanceof TypeError) return false
    throw thrown
  }
}

function unverified(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const claims: unknown = JSON.parse(Buffer.from(text.split('.')[1] ?? '', 'base64url').toString('utf8'))
    return typeof claims === 'object' && claims !== null && !Array.isArray(claims) ? { ...claims } : null
  } catch (thrown) {
    if (thrown instanceof SyntaxError) return null
    throw thrown
  }
}

async function ofSession(deps: Deps, session: Session): Promise<Found> {
  const reader = { now: deps.clock.now(), read: deps.store.read.bind(deps.store) }
  const refused = judgeSession(await loadWorld(reader, session.agent, null), session)
  const alive = refused === null
  return {
    inspected: {
      ...NOTHING,
      found: 'session',
      id: session.id,
      agent: session.agent,
      owners: await ownersOf(reader, 'agent', session.agent),
      session: session.id,
      issuedAt: rfc3339(session.openedAt),
      expiresAt: rfc3339(session.expiresAt),
      alive,
      places: [{ where: deps.settings.issuer, alive, how: refused?.message ?? `until ${rfc3339(session.expiresAt)}` }],
    },
    takes: session.state === 'open' ? { kind: 'session', id: session.id } : null,
  }
}

/** What is known of a grant, for whatever rests on it. */
async function underGrant(deps: Deps, id: string) {
  const reader = { now: deps.clock.now(), read: deps.store.read.bind(deps.store) }
  const grant = (await reader.read([keyOf('grant', id)])).get('grant', id)
  if (grant === undefined) return null
  const world = await loadWorld(reader, grant.agent, grant.tool)
  const entitlement = world.toolValue === null ? undefined : carrying(world, grant)
  const { file, line } = entitlement?.source ?? { file: '', line: 0 }
  const about = {
    agent: grant.agent,
    owners: await ownersOf(reader, 'agent', grant.agent),
    tool: grant.tool,
    grant: grant.id,
    session: grant.session,
    scopes: grant.scopes,
    approval: grant.approval,
    approvedBy: grant.approvers,
    manifest: entitlement === undefined ? null : { file, line, role: entitlement.role },
  }
  return { grant, world, about, approvers: await readApprovers(reader, grant.approvers) }
}

async function ofCredential(deps: Deps, credential: Credential): Promise<Found | null> {
  const under = await underGrant(deps, credential.grant)
  const session = (await deps.store.read([keyOf('session', credential.session)])).get('session', credential.session)
  if (under === null || session === undefined) return null
  const judged = judgeCredential(under.world, credential, session, under.grant, under.approvers)
  const place = atVerifier(deps, credential, under.world.toolValue?.token, judged.ok)
  return {
    inspected: {
      ...NOTHING,
      ...under.about,
      found: 'credential',
      id: credential.id,
      session: session.id,
      scopes: credential.scopes,
      issuedAt: rfc3339(credential.issuedAt),
      expiresAt: rfc3339(credential.expiresAt),
      alive: place.alive !== false,
      places: [place],
    },
    takes: credential.state === 'issued' ? { kind: 'credential', id: credential.id } : null,
  }
}

type Verifies = { readonly verifiedBy: string; readonly leewaySeconds: number } | undefined

/** A verifier that asks nobody goes on accepting it until it is over, whatever is said here. */
function atVerifier(
  deps: Deps,
  { audience, resource, expiresAt }: Credential,
  token: Verifies,
  isLive: boolean,
): Place {
  const where = audience ?? resource
  const over = expiresAt + (token?.leewaySeconds ?? 0) * 1000
  if (isLive || token === undefined || token.verifiedBy === 'asks' || audience !== undefined)
    return {
      where,
      alive: isLive,
      how: isLive ? `until ${rfc3339(expiresAt)}` : 'refused wherever the broker is asked',
    }
  if (deps.clock.now() >= over) return { where, alive: false, how: 'expired everywhere, leeway included' }
  return token.verifiedBy === 'guard'
    ? { where, alive: null, how: 'refused by every guard that follows the feed: its receipt says which did' }
    : { where, alive: true, how: `accepted by a verifier that asks nobody until ${rfc3339(over)}` }
}

/** The latest accounts, compared by hash; what it opens is asked of the tool itself. */
async function asAccount(deps: Deps, text: string): Promise<Found | null> {
  // Who finds user:password finds what is sent as base64 of it.
  for (const secret of [text, Buffer.from(text, 'utf8').toString('base64')]) {
    const account = await accountWith(deps, sha256(secret))
    if (account !== null) return ofAccount(deps, account, new Secret(secret))
  }
  return null
}

async function accountWith(deps: Deps, secretHash: string): Promise<Account | null> {
  let after: string | undefined
  let left = deps.toolCalls.limits.inspected
  do {
    const page: Page<'account'> = await deps.store.list({
      kind: 'account',
      limit: 500,
      newestFirst: true,
      ...(after === undefined ? {} : { after }),
    })
    for (const row of page.rows) if (row.secretHash !== undefined && sameHash(row.secretHash, secretHash)) return row
    after = page.next ?? undefined
    left -= page.rows.length
  } while (after !== undefined && left > 0)
  return null
}

async function ofAccount(deps: Deps, account: Account, secret: Secret): Promise<Found> {
  const under = await underGrant(deps, account.grant)
  const place = await inTool(deps, account, secret)
  const isJudgedLive = under !== null && judgeGrant(under.world, under.grant, under.approvers).ok
  const handed = under === null ? [] : await handedOut(deps, under.grant, account)
  const takes: Takes =
    handed[0] !== undefined
      ? { kind: 'credential', id: handed[0].id }
      : under !== null && isJudgedLive
        ? { kind: 'grant', id: under.grant.id }
        : null
  return {
    inspected: {
      ...NOTHING,
      ...(under?.about ?? { tool: account.tool }),
      found: 'account',
      id: account.id,
      session: handed[0]?.session ?? under?.about.session ?? null,
      issuedAt: rfc3339(account.createdAt),
      expiresAt: rfc3339(account.until),
      alive: place.alive ?? account.state !== 'gone',
      places: [place],
    },
    takes,
  }
}

/** Its credentials that are not taken away yet, the latest first. */
async function handedOut(deps: Deps, grant: Grant, account: Account): Promise<readonly Credential[]> {
  const where = { grant: grant.id, state: 'issued' }
  const { rows } = await deps.store.list({ kind: 'credential', where, limit: 500, newestFirst: true })
  return rows.filter((row) => row.account === account.id)
}

async function inTool(deps: Deps, account: Account, secret: Secret): Promise<Place> {
  const where = `${account.tool} at ${account.target.url}, as ${account.name}`
  const known = `its account is ${account.state} here`
  try {
    const target = deps.targets.of(await connectionOf(deps, account))
    if (!target.capabilities.probes) return { where, alive: null, how: `the tool cannot be tried; ${known}` }
    const verdict = await deps.toolCalls.call(account.tool, 'lookMs', (signal) => target.probe(secret, signal))
    return { where, alive: verdict === 'alive', how: `tried just now; ${known}` }
  } catch (thrown) {
    return { where, alive: null, how: `the tool could not be asked (${asFailure(thrown).why}); ${known}` }
  }
}
