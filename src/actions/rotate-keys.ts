// The life of the broker's own keys: published, signing, retiring, retired. A key is known to everybody before it signs
// and stays known until its last token is dead; nothing here ever sees a private key in the clear.

import { KEYS } from '../core/limits.ts'
import { TOKEN_ALGS, type TokenAlg } from '../core/manifest.ts'
import { type Instant, keyOf, type SigningKey } from '../core/model.ts'
import { type Problem, problem } from '../core/problem.ts'
import { type AuditRecord, rfc3339 } from '../core/record.ts'
import { err, ok, type Result } from '../core/result.ts'
import { authorize } from './authorize.ts'
import type { Context, Deps, Keys } from './ports.ts'
import { toolsInForce } from './tools-in-force.ts'
import { type Intent, type Look, recordOf, transact } from './transact.ts'

type KeyDeps = Pick<Deps, 'store' | 'clock' | 'ids'>

const FOR_EVER: Instant = Number.MAX_SAFE_INTEGER

/**
 * Makes the first keys of a store that has none, and the first RS256 key once a tool in force wants it. They sign at once,
 * for nobody can have cached a key set that lacks a key which was never used. Idempotent, also when two processes start
 * at the same time; called again on a timer.
 */
export async function ensureKeys(deps: KeyDeps, keys: Keys): Promise<Result<void, Problem>> {
  const wanted: [SigningKey['use'], TokenAlg?][] = [['tokens', 'ES256'], ['audit']]
  if ([...(await toolsInForce(deps)).values()].some(({ token }) => token.alg === 'RS256'))
    wanted.push(['tokens', 'RS256'])
  for (const [use, alg] of wanted) {
    const done = await ensureKey(deps, keys, use, alg)
    if (!done.ok) return done
  }
  return ok(undefined)
}

/** One first key, where there is none for this use (and algorithm). */
export async function ensureKey(
  deps: KeyDeps,
  keys: Keys,
  use: SigningKey['use'],
  alg?: TokenAlg,
): Promise<Result<void, Problem>> {
  const isThere = async () => (await allKeys(deps)).some((row) => row.use === use && row.alg === (alg ?? row.alg))
  if (await isThere()) return ok(undefined)
  const made = await keys.create(use, alg)
  const context = asKeeper(deps)
  const done = await transact(deps, 'normal', async ({ now }) => {
    const row: SigningKey = { ...made, createdAt: now, signsFrom: now, retiresAt: null, state: 'signing' }
    return ok({
      value: undefined,
      put: [{ kind: 'key', row }],
      once: [{ space: 'first-key', value: alg === 'RS256' ? `${use} ${alg}` : use, until: FOR_EVER }],
      records: [created(context, now, row), signsNow(context, now, row, null)],
    })
  })
  if (!done.ok && !(done.error.code === 'conflict' && (await isThere()))) return done
  return ok(undefined)
}

/**
 * Publishes a new token key. It signs once every cache of the key set has it ({@link tendKeys}); the present key goes on
 * signing until then. Each algorithm has its own; ES256 unless told. Refused while another one is on its way. For the operator and admins.
 */
export async function rotateKeys(
  deps: KeyDeps,
  keys: Keys,
  context: Context,
  input: { readonly alg?: string } = {},
): Promise<Result<{ readonly kid: string; readonly signsFrom: Instant }, Problem>> {
  const alg = TOKEN_ALGS.find((known) => known === (input.alg ?? 'ES256'))
  if (alg === undefined) return err(problem('invalid_request', `Tokens are signed with ${TOKEN_ALGS.join(' or ')}.`))
  const done = await transact(deps, 'normal', async (look): Promise<Result<Intent<SigningKey>, Problem>> => {
    const refused = await authorize(look, context.caller, 'key.rotate')
    if (refused !== null) return err(refused)
    const rows = (await tokenKeys(deps, look)).filter((row) => row.alg === alg)
    if (rows.length === 0)
      return err(problem('invalid_request', `No tool in force has asked for ${alg}, so there is no key to rotate.`))
    const coming = rows.find(({ state }) => state === 'published')
    if (coming !== undefined) {
      return err(
        problem('conflict', `A rotation is under way: ${coming.id} signs from ${rfc3339(coming.signsFrom)}.`, {
          hint: 'Wait until it signs.',
        }),
      )
    }
    const { now } = look
    const row: SigningKey = {
      ...(await keys.create('tokens', alg)),
      createdAt: now,
      signsFrom: now + KEYS.publication * 1000,
      retiresAt: null,
      state: 'published',
    }
    // Writing the present key again moves its version: of two rotations at once, one looks again and is refused.
    const present = rows.filter(({ state }) => state === 'signing')
    return ok({
      value: row,
      put: [...present, row].map((key) => ({ kind: 'key' as const, row: key })),
      records: [created(context, now, row)],
    })
  })
  return done.ok ? ok({ kid: done.value.value.id, signsFrom: done.value.value.signsFrom }) : done
}

/**
 * Moves keys along whose time has come: published → signing (and the one before it → retiring, its private half
 * destroyed), retiring → retired. Called on a timer, once a minute or so; late calls only delay a switch, for a key
 * past its `retiresAt` verifies nothing whatever its row says.
 */
export async function tendKeys(
  deps: KeyDeps,
): Promise<Result<{ readonly signing: string | null; readonly retired: readonly string[] }, Problem>> {
  const context = asKeeper(deps)
  const done = await transact(deps, 'normal', async (look) => {
    const rows = await tokenKeys(deps, look)
    const steps = TOKEN_ALGS.flatMap((alg) =>
      due(
        rows.filter((row) => row.alg === alg),
        look.now,
        context,
      ),
    )
    const idsIn = (state: SigningKey['state']) => steps.flatMap(({ row }) => (row.state === state ? [row.id] : []))
    return ok({
      value: { signing: idsIn('signing')[0] ?? null, retired: idsIn('retired') },
      put: steps.map(({ row }) => ({ kind: 'key' as const, row })),
      records: steps.flatMap(({ record }) => record ?? []),
    })
  })
  return done.ok ? ok(done.value.value) : done
}

/** A key in its next state; the record of a switch says both that one signs and what it replaces. */
type Step = { readonly row: SigningKey; readonly record: AuditRecord | null }

/** What must happen to these token keys, all of one algorithm, by now. */
function due(rows: readonly SigningKey[], now: Instant, context: Context): readonly Step[] {
  const retired = rows
    .filter(({ state, retiresAt }) => state === 'retiring' && retiresAt !== null && retiresAt <= now)
    .map((row): Step => ({ row: { ...row, state: 'retired' }, record: retiredNow(context, now, row) }))
  const next = rows.find(({ state, signsFrom }) => state === 'published' && signsFrom <= now)
  if (next === undefined) return retired
  const before = rows.filter(({ state }) => state === 'signing')
  const retiresAt = now + KEYS.retirement * 1000
  return [
    ...retired,
    ...before.map((row): Step => ({ row: { ...row, state: 'retiring', retiresAt, sealed: '' }, record: null })),
    { row: { ...next, state: 'signing' }, record: signsNow(context, now, next, before[0]?.id ?? null) },
  ]
}

/**
 * Token keys that still matter, read so that the commit asserts them. Listed again after they were read, until nothing
 * new shows: whoever adds a key moves the version of the present one, so none can slip in between.
 */
export async function tokenKeys(deps: KeyDeps, look: Look): Promise<readonly SigningKey[]> {
  const rows = new Map<string, SigningKey>()
  for (;;) {
    const listed = await allKeys(deps)
    const unread = listed.filter(({ id, use, state }) => use === 'tokens' && state !== 'retired' && !rows.has(id))
    if (unread.length === 0) return [...rows.values()]
    const snapshot = await look.read(unread.map(({ id }) => keyOf('key', id)))
    for (const { id } of unread) {
      const row = snapshot.get('key', id)
      if (row !== undefined) rows.set(id, row)
    }
  }
}

async function allKeys(deps: Pick<Deps, 'store'>): Promise<readonly SigningKey[]> {
  const rows: SigningKey[] = []
  for (let after: string | undefined; ; ) {
    const page = await deps.store.list({ kind: 'key', limit: 500, ...(after === undefined ? {} : { after }) })
    rows.push(...page.rows)
    if (page.next === null) return rows
    after = page.next
  }
}

const asKeeper = (deps: Pick<Deps, 'ids'>): Context => ({
  caller: { role: 'system', part: 'keeper' },
  requestId: deps.ids.next('run'),
})

export const created = (context: Context, now: Instant, { id, alg, use }: SigningKey) =>
  recordOf(context, now, 'key.created', {}, { kid: id, alg, use })

export const signsNow = (context: Context, now: Instant, { id, alg, use }: SigningKey, replaces: string | null) =>
  recordOf(context, now, 'key.rotated', {}, { kid: id, alg, use, replaces })

const retiredNow = (context: Context, now: Instant, { id, use }: SigningKey) =>
  recordOf(context, now, 'key.retired', {}, { kid: id, use, because: 'replaced' })
