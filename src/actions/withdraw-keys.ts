// A token key that somebody else may hold (S19). One commit takes it out of the key set, destroys its private half, kills
// by judgement all that it signed, denies it to the guards, and lets a new key sign: there is no time in which both do.

import { type Installation, type Instant, keyOf, type Revocation, type Row, type SigningKey } from '../core/model.ts'
import { type Problem, problem } from '../core/problem.ts'
import { personal } from '../core/record.ts'
import { err, ok, type Result } from '../core/result.ts'
import { authorize } from './authorize.ts'
import { finishRevocation } from './finish-revocation.ts'
import type { Context, Deps, Keys } from './ports.ts'
import { newRevocation } from './revoke.ts'
import { created, signsNow, tokenKeys } from './rotate-keys.ts'
import { recordOf, transact } from './transact.ts'

export type Withdrawn = {
  /** Signs from now on. */
  readonly kid: string
  readonly signsFrom: Instant
  readonly withdrawn: readonly string[]
  readonly revocation: Revocation
}

/** Long past the life of anything that a key signed. */
const REMEMBERED_MS = 7 * 86_400_000

/**
 * Withdraws the token key `kid`; without one, all of them: what lay beside a key that leaked may have leaked with it.
 * Grants stay, for they are in no token. For the operator and admins.
 */
export async function withdrawKeys(
  deps: Deps,
  keys: Keys,
  context: Context,
  input: { readonly kid: string | null; readonly reason: string | null },
): Promise<Result<Withdrawn, Problem>> {
  const fresh = new Map<string, ReturnType<Keys['create']>>()
  // Once for all attempts: an RSA key takes a while.
  const done = await transact<Withdrawn>(deps, 'narrowing', async (look) => {
    const refused = await authorize(look, context.caller, 'key.rotate')
    if (refused !== null) return err(refused)
    const installation = await look.row('installation', 'self')
    if (installation === undefined) return err(problem('not_initialized', 'This broker has accepted no manifests yet.'))
    const rows = await tokenKeys(deps, look)
    const taken = input.kid === null ? rows : rows.filter(({ id }) => id === input.kid)
    if (taken.length === 0)
      return err(
        problem('invalid_request', 'There is no such token key, or it was withdrawn already.', {
          hint: 'See `hallpass key list`.',
          missing: true,
        }),
      )
    const { now } = look
    const replaced: { readonly before: SigningKey; readonly next: SigningKey }[] = []
    for (const before of taken.filter(({ state }) => state === 'signing')) {
      const alg = before.alg === 'RS256' ? 'RS256' : 'ES256'
      const pair = fresh.get(alg) ?? keys.create('tokens', alg)
      fresh.set(alg, pair)
      const next = { ...(await pair), createdAt: now, signsFrom: now, retiresAt: null, state: 'signing' } as const
      replaced.push({ before, next })
    }
    const signing = [...replaced.map(({ next }) => next), ...rows]
      .filter((row) => row.state === 'signing' && !taken.includes(row))
      .sort((a, b) => (a.alg < b.alg ? -1 : 1))[0]
    if (signing === undefined) return err(problem('internal', 'There is no key that signs.'))
    const kids = taken.map(({ id }) => id)
    const revocation = newRevocation(deps, context, now, {
      act: 'key compromised',
      target: taken.map(({ id }) => keyOf('key', id)).join(', '),
      agent: null,
      tool: null,
      reason: input.reason,
      takes: [{}],
    })
    return ok({
      value: { kid: signing.id, signsFrom: signing.signsFrom, withdrawn: kids, revocation },
      put: [
        ...taken.map((row): Row => ({ kind: 'key', row: { ...row, state: 'retired', retiresAt: now, sealed: '' } })),
        ...replaced.map(({ next }): Row => ({ kind: 'key', row: next })),
        { kind: 'installation' as const, row: withdrawnIn(installation, kids, now) },
        { kind: 'revocation' as const, row: revocation },
      ],
      records: [
        ...taken.map(({ id, use }) =>
          recordOf(
            context,
            now,
            'key.retired',
            { revocation: revocation.id },
            {
              kid: id,
              use,
              because: 'compromised',
              ...(input.reason === null ? {} : { reason: personal(input.reason) }),
            },
          ),
        ),
        ...replaced.flatMap(({ before, next }) => [
          created(context, now, next),
          signsNow(context, now, next, before.id),
        ]),
      ],
    })
  })
  if (!done.ok) return done
  await deps.signer.refresh()
  deps.notifier.notify({ type: 'agent.cut' })
  return ok({ ...done.value.value, revocation: await finishRevocation(deps, done.value.value.revocation) })
}

/** The installation is among what every mint asserts, so no mint under way with a withdrawn key commits (S16). */
const withdrawnIn = (installation: Installation, kids: readonly string[], at: Instant): Installation => ({
  ...installation,
  withdrawn: [
    ...(installation.withdrawn ?? []).filter((key) => at - key.at < REMEMBERED_MS),
    ...kids.map((kid) => ({ kid, at })),
  ],
})
