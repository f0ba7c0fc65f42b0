// Takes a bearer secret back, and lists those there are (S10). Neither ever knows the secret itself.

import { PAGE, VERIFIER_WARNING_SECONDS } from '../core/limits.ts'
import type { Bearer, BearerKind, Instant } from '../core/model.ts'
import { type Problem, problem } from '../core/problem.ts'
import { personal } from '../core/record.ts'
import { err, ok, type Result } from '../core/result.ts'
import { authorize } from './authorize.ts'
import type { Context, Deps } from './ports.ts'
import { recordOf, transact } from './transact.ts'

/** A bearer as people see it: without its hash. */
export type BearerView = Omit<Bearer, 'hash'> & {
  readonly state: 'valid' | 'expired' | 'revoked'
  /** A sentence for whoever must act in time, or null. */
  readonly warning: string | null
}

/** The operator's act; from its commit on the bearer opens nothing. Revoking twice changes nothing and is no fault. */
export async function revokeBearer(
  deps: Pick<Deps, 'store' | 'clock' | 'ids'>,
  context: Context,
  input: { readonly id: string; readonly reason?: string },
): Promise<Result<BearerView, Problem>> {
  const done = await transact(deps, 'narrowing', async (look) => {
    const refused = await authorize(look, context.caller, 'bearer.revoke')
    if (refused !== null) return err(refused)
    const bearer = await look.row('bearer', input.id)
    if (bearer === undefined) {
      return err(
        problem('invalid_request', 'There is no such token.', {
          missing: true,
          hint: 'See `hallpass token-list` for their ids.',
        }),
      )
    }
    if (bearer.revokedAt !== null) return ok({ value: bearer, records: [] })
    const row: Bearer = { ...bearer, revokedAt: look.now }
    const about =
      row.kind === 'verifier' ? { tool: row.subject } : row.kind === 'owner' ? { owner: personal(row.subject) } : {}
    const reason = input.reason === undefined ? {} : { reason: personal(input.reason) }
    const body = { bearer: row.id, because: 'asked', ...reason }
    return ok({
      value: row,
      put: [{ kind: 'bearer' as const, row }],
      records: [recordOf(context, look.now, 'bearer.revoked', about, body)],
    })
  })
  return done.ok ? ok(viewOf(done.value.value, deps.clock.now())) : done
}

/** Bearers, oldest first, a page at a time. The operator's act. */
export async function listBearers(
  deps: Pick<Deps, 'store' | 'clock'>,
  context: Context,
  input: {
    readonly kind?: BearerKind
    /** Those of this tool. */
    readonly tool?: string
    readonly after?: string
    readonly limit?: number
  } = {},
): Promise<Result<{ readonly bearers: readonly BearerView[]; readonly next: string | null }, Problem>> {
  const reader = { now: deps.clock.now(), read: deps.store.read.bind(deps.store) }
  const refused = await authorize(reader, context.caller, 'bearer.list')
  if (refused !== null) return err(refused)
  const page = await deps.store.list({
    kind: 'bearer',
    limit: Math.min(input.limit ?? PAGE.default, PAGE.max),
    ...(input.tool === undefined ? {} : { where: { tool: input.tool } }),
    ...(input.after === undefined ? {} : { after: input.after }),
  })
  const { now } = reader
  const wanted = page.rows.filter(({ kind }) => input.kind === undefined || kind === input.kind)
  return ok({ bearers: wanted.map((row) => viewOf(row, now)), next: page.next })
}

/** Verifiers that expire within 30 days with no later one of their tool to take over: `status` and the log say so. */
export async function expiringVerifiers(deps: Pick<Deps, 'store' | 'clock'>): Promise<readonly BearerView[]> {
  const now = deps.clock.now()
  const latest = new Map<string, Bearer>()
  for (let after: string | undefined; ; ) {
    const page = await deps.store.list({
      kind: 'bearer',
      where: { state: 'live', expiresAfter: now },
      limit: PAGE.max,
      ...(after === undefined ? {} : { after }),
    })
    for (const row of page.rows) {
      const known = latest.get(row.subject)
      if (row.kind === 'verifier' && (known === undefined || known.expiresAt < row.expiresAt))
        latest.set(row.subject, row)
    }
    if (page.next === null) break
    after = page.next
  }
  return [...latest.values()].map((row) => viewOf(row, now)).filter(({ warning }) => warning !== null)
}

function viewOf({ hash: _, ...bearer }: Bearer, now: Instant): BearerView {
  const state = bearer.revokedAt !== null ? 'revoked' : bearer.expiresAt <= now ? 'expired' : 'valid'
  return { ...bearer, state, warning: state === 'valid' && bearer.kind === 'verifier' ? warningOf(bearer, now) : null }
}

function warningOf({ subject, expiresAt }: Omit<Bearer, 'hash'>, now: Instant): string | null {
  const leftMs = expiresAt - now
  if (leftMs > VERIFIER_WARNING_SECONDS * 1000) return null
  const days = Math.floor(leftMs / 86_400_000)
  return `This verifier of ${subject} expires in ${days < 1 ? 'less than a day' : `${days} days`}: make the next one with hallpass verifier token ${subject}`
}
