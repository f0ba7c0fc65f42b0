// Makes a bearer secret, shown once and kept as a hash (S10). Over the local socket and at `init` only: no API does this.

import { BEARER_ENTROPY_BYTES, bearerHash, formatBearer } from '../core/bearer.ts'
import { formatDuration } from '../core/duration.ts'
import { BEARER, TEXT, VERIFIERS_PER_TOOL } from '../core/limits.ts'
import { type Bearer, type BearerKind, type Instant, keyOf, NEW_LOCKABLE, type Row } from '../core/model.ts'
import { type Problem, problem } from '../core/problem.ts'
import { personal, rfc3339 } from '../core/record.ts'
import { err, ok, type Result } from '../core/result.ts'
import type { Secret } from '../core/secret.ts'
import { sliceId } from '../core/slice.ts'
import { authorize } from './authorize.ts'
import type { Context, Deps } from './ports.ts'
import { type Intent, type Look, recordOf, transact } from './transact.ts'

type BearerDeps = Pick<Deps, 'store' | 'clock' | 'ids'>

export type NewBearer = {
  readonly kind: BearerKind
  /** An e-mail address; for a verifier the tool it verifies for. */
  readonly subject: string
  /** Absent: the longest its kind may live. */
  readonly ttlSeconds?: number
}

export type MadeBearer = {
  readonly id: string
  readonly kind: BearerKind
  readonly subject: string
  readonly expiresAt: Instant
  /** To be shown once, now. */
  readonly secret: Secret
}

const EMAIL = /^[^\s@\x00-\x1f\x7f]+@[^\s@\x00-\x1f\x7f]+\.[^\s@\x00-\x1f\x7f.]+$/

/**
 * The operator's act. Owners' bearers live at most 12 h, verifiers' 400 d (two valid at once per tool, which must be in
 * force), others' 90 d. What the holder may do is looked up at each use.
 */
export async function makeBearer(
  deps: BearerDeps,
  context: Context,
  input: NewBearer,
): Promise<Result<MadeBearer, Problem>> {
  const { kind } = input
  const subject = kind === 'verifier' ? input.subject : input.subject.trim().toLowerCase()
  const limit = BEARER[kind]
  const ttlSeconds = input.ttlSeconds ?? limit.default
  if (!Number.isSafeInteger(ttlSeconds) || ttlSeconds < 1 || ttlSeconds > limit.max) {
    return err(invalid(`A token for ${article(kind)} lives between 1s and ${formatDuration(limit.max)}.`))
  }
  if (kind !== 'verifier' && (subject.length > TEXT.email || !EMAIL.test(subject))) {
    return err(invalid(`A token for ${article(kind)} is made for an e-mail address.`))
  }

  const secret = formatBearer(kind, deps.ids.random(BEARER_ENTROPY_BYTES))
  const id = deps.ids.next('brr')
  const done = await transact(deps, 'normal', async (look): Promise<Result<Intent<Bearer>, Problem>> => {
    const refused = await authorize(look, context.caller, 'bearer.make')
    if (refused !== null) return err(refused)
    const tool = kind === 'verifier' ? await roomForVerifier(deps, look, subject) : null
    if (tool !== null && !tool.ok) return tool
    const row: Bearer = {
      id,
      kind,
      hash: bearerHash(secret.reveal()),
      subject,
      madeBy: context.caller.role,
      createdAt: look.now,
      expiresAt: look.now + ttlSeconds * 1000,
      revokedAt: null,
    }
    const about = kind === 'verifier' ? { tool: subject } : kind === 'owner' ? { owner: personal(subject) } : {}
    const holder = kind === 'verifier' ? subject : personal(subject)
    const body = { bearer: id, kind, holder, expiresAt: rfc3339(row.expiresAt) }
    return ok({
      value: row,
      put: [...(tool === null ? [] : [tool.value]), { kind: 'bearer', row }],
      records: [recordOf(context, look.now, 'bearer.made', about, body)],
    })
  })
  if (!done.ok) return done
  return ok({ id, kind, subject, expiresAt: done.value.value.expiresAt, secret })
}

/**
 * The tool's row, to be written again as it is: of two verifiers made at once, one then looks again and counts the
 * other. Refused where the tool is not in force or has all the verifiers it may.
 */
async function roomForVerifier(deps: BearerDeps, look: Look, name: string): Promise<Result<Row, Problem>> {
  const slice = sliceId.tool(name)
  const seen = await look.read([keyOf('tool', name), keyOf('slice', slice)])
  if (name === '' || name.length > TEXT.name || seen.get('slice', slice)?.value?.of !== 'tool') {
    return err(
      problem('unknown_tool', 'No tool of that name is in force.', {
        hint: 'See `hallpass tool list` for those that are.',
      }),
    )
  }
  const { rows } = await deps.store.list({
    kind: 'bearer',
    where: { tool: name, state: 'live', expiresAfter: look.now },
    limit: VERIFIERS_PER_TOOL,
  })
  if (rows.length >= VERIFIERS_PER_TOOL) {
    return err(
      problem('conflict', `${name} has ${rows.length} valid verifier tokens, which is all it may have.`, {
        hint: `Revoke one first: hallpass token-revoke ${rows.map(({ id }) => id).join(' or ')}`,
      }),
    )
  }
  return ok({ kind: 'tool', row: seen.get('tool', name) ?? { ...NEW_LOCKABLE, id: name } })
}

const article = (kind: BearerKind) => (/^[ao]/.test(kind) ? `an ${kind}` : `a ${kind}`)

const invalid = (message: string): Problem => problem('invalid_request', message)
