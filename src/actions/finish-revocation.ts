// After the commit that took something away: mark the rows it made dead, count what the tools' sides must confirm, and
// confirm what can be confirmed. Repeatable at any point and after any crash; it never revives a row (P5, P9).

import { move } from '../core/lifecycle.ts'
import { LEEWAY_SECONDS_MAX, LIFETIME } from '../core/limits.ts'
import { type Confirmation, type Credential, type Instant, keyOf, type Revocation, type Row } from '../core/model.ts'
import type { AuditRecord } from '../core/record.ts'
import { ok } from '../core/result.ts'
import { accountSubject, leaving } from './account-rows.ts'
import { accountsConfirmed, accountsToConfirm, withAccounts } from './confirm-accounts.ts'
import { allConfirmed, confirmationsOf, forgeableUntil, verifyingOf } from './confirmations.ts'
import { CHUNK, type DeadRow, deadRows, type Gone } from './dead-rows.ts'
import type { Context, Deps } from './ports.ts'
import { toolsInForce } from './tools-in-force.ts'
import { type Look, recordOf, transact } from './transact.ts'

/**
 * Follows the rows and tries to confirm. Answers the receipt as it then stands; whatever is left is retried by the
 * reconciler until it is confirmed.
 */
export async function finishRevocation(deps: Deps, revocation: Revocation): Promise<Revocation> {
  deps.expiry.saw(revocation.id)
  const context: Context = { caller: { role: 'system', part: 'reconciler' }, requestId: revocation.id }
  let current = revocation
  // Of thousands each chunk goes on where the last one ended. What came meanwhile is found from the start, which comes last.
  let gone = FROM_THE_START
  while (current.state === 'open' && !current.rowsFollowed) {
    const followed = await followChunk(deps, context, current, gone)
    if (followed === null) return current
    current = followed.revocation
    gone = followed.gone
  }
  // After the commit, and before the next round: each millisecond of it is one that a thief has.
  if (current.confirmations.some(isOfAccounts)) deps.targets.wake()
  return (await confirm(deps, context, current)) ?? current
}

const isOfAccounts = ({ verifiedBy, confirmedAt }: Confirmation) => verifiedBy === 'target' && confirmedAt === null

type Followed = { readonly revocation: Revocation; readonly gone: Gone }

/** Marks up to one chunk of dead rows and commits them with the receipt. Null: the store refused; try again later. */
async function followChunk(deps: Deps, context: Context, revocation: Revocation, from: Gone): Promise<Followed | null> {
  const done = await transact<Followed>(deps, 'normal', async (look) => {
    const current = (await look.row('revocation', revocation.id)) ?? revocation
    if (current.rowsFollowed) return ok({ value: { revocation: current, gone: from }, records: [] })
    const { rows: dead, gone } = await deadRows(deps, believed(deps, look.now), current, from)
    const isWhole = from.size === 0
    if (!isWhole && dead.length === 0) return ok({ value: { revocation: current, gone: FROM_THE_START }, records: [] })
    // A grant that dies with this very commit may mint until then: once more, for what it minted.
    const isLast = isWhole && dead.length < CHUNK && !dead.some(({ kind }) => kind === 'grant' || kind === 'shortened')
    const confirmations = isLast ? await toConfirm(deps, current, dead) : []
    const complete = isLast && allConfirmed(confirmations)
    const next: Revocation = {
      ...current,
      rowsFollowed: isLast,
      confirmations,
      counts: counted(current.counts, dead),
      ...(complete ? { state: 'complete', completedAt: look.now } : {}),
    }
    const completed = await whenComplete(context, look, next)
    return ok({
      value: { revocation: next, gone: dead.length < CHUNK ? FROM_THE_START : gone },
      put: [
        ...dead.map((row) => marked(deps, row, current, look.now)),
        { kind: 'revocation' as const, row: next },
        ...completed.put,
      ],
      records: [
        ...dead.flatMap((row) => recordOfRow(context, look.now, row, current) ?? []),
        recordOf(context, look.now, 'rows.followed', subjectOf(current), {
          rows: 'all',
          count: dead.length,
          because: current.act,
        }),
        ...confirmations
          .filter((confirmation) => confirmation.confirmedAt !== null)
          .map((confirmation) => confirmedRecord(context, look.now, current, confirmation)),
        ...completed.records,
      ],
    })
  })
  return done.ok ? done.value.value : null
}

const FROM_THE_START: Gone = new Map()

/** What every tool's side must confirm of all that this act marked, in this chunk and in those before it. */
async function toConfirm(
  deps: Deps,
  revocation: Revocation,
  dead: readonly DeadRow[],
): Promise<readonly Confirmation[]> {
  const taken: Credential[] = dead.flatMap((row) => (row.kind === 'credential' ? [row.row] : []))
  let after: string | null = null
  do {
    const page: { rows: readonly Credential[]; next: string | null } = await deps.store.list({
      kind: 'credential',
      where: { revocation: revocation.id },
      limit: CHUNK,
      ...(after === null ? {} : { after }),
    })
    taken.push(...page.rows)
    after = page.next
  } while (after !== null)
  const forgeable = revocation.act === 'key compromised' ? await forgeableAt(deps, revocation.at) : new Map()
  const tokens = taken.filter(({ account }) => account === undefined)
  const tools = [...new Set([...tokens.map((credential) => credential.tool), ...forgeable.keys()])]
  const verifying = await verifyingOf(deps, tools)
  const marked = dead.flatMap((row) => (row.kind === 'account' ? [row.row] : []))
  const accounts = await withAccounts(deps, revocation, marked)
  deps.expiry.counts(revocation.id)
  return [
    ...confirmationsOf(tokens, verifying, believed(deps, revocation.at), deps.expiry.past, forgeable),
    ...accountsToConfirm(deps, revocation, accounts, taken),
  ]
}

/** Tools whose side knows no credentials one by one: a key that somebody else holds signs any it likes. */
async function forgeableAt(deps: Deps, withdrawnAt: Instant): Promise<ReadonlyMap<string, Instant>> {
  const unasked = [...(await toolsInForce(deps))].filter(([, { token }]) => token.verifiedBy !== 'asks')
  return new Map(unasked.map(([tool]) => [tool, forgeableUntil(withdrawnAt)]))
}

/** What guards acknowledged or time has killed. Null: nothing new. */
async function confirm(deps: Deps, context: Context, revocation: Revocation): Promise<Revocation | null> {
  if (revocation.state === 'complete' || !revocation.rowsFollowed) return null
  const done = await transact<Revocation | null>(deps, 'normal', async (look) => {
    const key = keyOf('revocation', revocation.id)
    const snapshot = await look.read([key])
    const current = snapshot.get('revocation', revocation.id)
    if (current === undefined || current.state === 'complete') return ok({ value: current ?? null, records: [] })
    // The last chunk's commit is the last that guards have to acknowledge: its size of the log is this row's version.
    const seq = current.seq ?? snapshot.versions.get(key) ?? 0
    const accounts = await accountsConfirmed(look, current)
    const confirmations = current.confirmations.map((c) => {
      if (c.verifiedBy === 'target') return accounts.confirmations.get(c.tool) ?? c
      const how = c.confirmedAt === null ? howConfirmed(deps, { ...current, seq }, c) : null
      return how === null ? c : { ...c, confirmedAt: look.now, how }
    })
    const news = confirmations.filter((c, i) => c.confirmedAt !== current.confirmations[i]?.confirmedAt)
    const complete = allConfirmed(confirmations)
    if (news.length + accounts.gone.length === 0 && !complete) return ok({ value: null, records: [] })
    const next: Revocation = {
      ...current,
      seq,
      confirmations,
      ...(complete ? { state: 'complete', completedAt: look.now } : {}),
    }
    const completed = await whenComplete(context, look, next)
    return ok({
      value: next,
      put: [{ kind: 'revocation' as const, row: next }, ...completed.put],
      records: [
        ...news
          .filter(({ verifiedBy }) => verifiedBy !== 'target')
          .map((confirmation) => confirmedRecord(context, look.now, current, confirmation)),
        ...accounts.gone.map(({ tool, proof, how }) =>
          confirmedRecord(context, look.now, current, { tool, verifiedBy: 'target', how }, proof.id),
        ),
        ...completed.records,
      ],
    })
  })
  return done.ok ? done.value.value : null
}

function howConfirmed(deps: Deps, revocation: Revocation & { seq: number }, of: Confirmation): string | null {
  if (of.verifiedBy === 'asks') return 'every check asks the broker'
  // Both clocks: one that was set forward confirms nothing, and one that was set back does not either.
  if (deps.clock.now() >= of.deadAt && deps.expiry.passed(revocation.id, of.livesMs ?? LONGEST_LIFE_MS))
    return revocation.act === 'key compromised'
      ? 'expired everywhere, and every cache of the keys is renewed'
      : 'expired everywhere, leeway included'
  if (of.verifiedBy === 'alone') return null
  const { all, guards } = deps.guards.acknowledged(of.tool, revocation.seq)
  return all ? acknowledgedBy(guards) : null
}

/** Of confirmations that were written before they said it. */
const LONGEST_LIFE_MS = (LIFETIME.tokenMax + LEEWAY_SECONDS_MAX) * 1000

/** A commit may be stamped with the highest time seen, above a clock that went back: by that nothing has expired (S15). */
const believed = (deps: Deps, at: Instant): Instant => Math.min(at, deps.clock.now())

const acknowledgedBy = (guards: number): string =>
  guards === 0
    ? 'no guard holds a lease'
    : guards === 1
      ? 'the live guard acknowledged it'
      : `${guards} live guards acknowledged it`

const counted = (counts: Revocation['counts'], dead: readonly DeadRow[]): Revocation['counts'] => {
  const of = (kind: DeadRow['kind']) => dead.filter((row) => row.kind === kind).length
  return {
    sessions: counts.sessions + of('session'),
    requests: counts.requests + of('request'),
    grants: counts.grants + of('grant'),
    credentials: counts.credentials + of('credential'),
  }
}

function marked({ toolCalls: { limits } }: Deps, dead: DeadRow, by: Revocation, at: Instant): Row {
  const revocation = by.id
  switch (dead.kind) {
    case 'session':
      return { kind: 'session', row: { ...move('session', dead.row, 'revoked'), revocation } }
    case 'request':
      return { kind: 'request', row: { ...move('request', dead.row, 'withdrawn'), decidedAt: at, revocation } }
    case 'grant':
      return { kind: 'grant', row: { ...move('grant', dead.row, dead.to), revocation } }
    case 'shortened':
      return { kind: 'grant', row: { ...dead.row, expiresAt: dead.endsAt } }
    case 'credential':
      return { kind: 'credential', row: { ...move('credential', dead.row, 'revoked'), revocation } }
    case 'account': {
      // The call that makes it may be under way; whoever made it says when that is settled.
      const unsettledMs = dead.row.state === 'planned' ? limits.createMs + limits.settleMs : null
      return { kind: 'account', row: leaving(dead.row, at, { because: by.act, revocation, unsettledMs }) }
    }
  }
}

function recordOfRow(context: Context, at: Instant, dead: DeadRow, by: Revocation): AuditRecord | null {
  const { id, agent } = dead.row
  const subject = { agent, revocation: by.id }
  switch (dead.kind) {
    case 'session':
      return recordOf(context, at, 'session.revoked', { ...subject, session: id }, { because: by.act })
    case 'request':
      return recordOf(
        context,
        at,
        'request.withdrawn',
        { ...subject, tool: dead.row.tool, request: id },
        { because: by.act },
      )
    case 'grant': {
      const about = { ...subject, tool: dead.row.tool, grant: id }
      return dead.to === 'revoked'
        ? recordOf(context, at, 'grant.revoked', about, { because: by.act })
        : recordOf(context, at, 'grant.superseded', about, { because: by.act, revision: by.revision ?? 'none' })
    }
    case 'shortened':
      return null
    case 'account':
      return recordOf(
        context,
        at,
        'account.leaving',
        { ...accountSubject(dead.row), revocation: by.id },
        { name: dead.row.name, because: by.act },
      )
    case 'credential': {
      const { tool, grant, session } = dead.row
      return recordOf(
        context,
        at,
        'credential.revoked',
        { ...subject, tool, session, grant, credential: id },
        { because: by.act },
      )
    }
  }
}

const subjectOf = (revocation: Revocation) => ({
  revocation: revocation.id,
  ...(revocation.agent === null ? {} : { agent: revocation.agent }),
  ...(revocation.tool === null ? {} : { tool: revocation.tool }),
})

const confirmedRecord = (
  context: Context,
  at: Instant,
  revocation: Revocation,
  of: Pick<Confirmation, 'tool' | 'verifiedBy' | 'how'>,
  account?: string,
): AuditRecord =>
  recordOf(
    context,
    at,
    'revocation.confirmed',
    { ...subjectOf(revocation), tool: of.tool },
    {
      by: of.verifiedBy,
      how: of.how ?? 'confirmed',
      ...(account === undefined ? {} : { account }),
      afterMilliseconds: Math.max(0, at - revocation.at),
    },
  )

/** What the completing commit says and does besides: an agent whose taking-away is confirmed is decommissioned (P6). */
async function whenComplete(
  context: Context,
  look: Look,
  revocation: Revocation,
): Promise<{ readonly put: readonly Row[]; readonly records: readonly AuditRecord[] }> {
  if (revocation.state !== 'complete') return { put: [], records: [] }
  const complete = recordOf(context, look.now, 'revocation.complete', subjectOf(revocation), {
    confirmed: revocation.confirmations.length,
    afterMilliseconds: Math.max(0, look.now - revocation.at),
  })
  const agent = revocation.act === 'decommissioned' ? await look.row('agent', revocation.agent ?? '') : undefined
  if (agent?.state !== 'decommissioning') return { put: [], records: [complete] }
  return {
    put: [{ kind: 'agent', row: move('agent', agent, 'decommissioned') }],
    records: [
      complete,
      recordOf(context, look.now, 'agent.decommissioned', subjectOf(revocation), { revocation: revocation.id }),
    ],
  }
}
