// Takes accounts away in the tools: remove, read back, try the secret, and only then `gone` (S15). Each until it worked,
// with growing pauses, a few at a time a tool. It never believes a status, and a tool that is down holds up no other.

import { orderOf } from '../core/account-name.ts'
import { move } from '../core/lifecycle.ts'
import { type Account, keyOf } from '../core/model.ts'
import { ok } from '../core/result.ts'
import { NotAsked, type Target, TargetFailure } from '../core/target.ts'
import { accountSubject, asFailure, connectionOf, failedRecord, keeper, liveAccounts } from './account-rows.ts'
import { withFailure } from './confirm-accounts.ts'
import { finishRevocation } from './finish-revocation.ts'
import type { Deps } from './ports.ts'
import { recordOf, transact } from './transact.ts'

/** While a tool takes the time that it may: how soon the secret is tried again (ms). */
const SOON_MS = 100

export type TakingAway = {
  /** Starts what is due and does not wait for it: a tool that hangs holds up no other. */
  start(): Promise<void>
  /** Starts what is due; answers once all that runs has ended. */
  round(): Promise<void>
  /** Nothing new is started; resolves once what was started has ended. */
  stop(): Promise<void>
}

type Pause = { readonly attempts: number; readonly at: number }
type Outcome = 'gone' | { readonly retryInMs: number } | { readonly failed: TargetFailure; readonly doing: Doing }
type Doing = 'remove' | 'look' | 'probe'

export function createTakingAway(deps: Deps): TakingAway {
  const { limits } = deps.toolCalls
  /** By account id. Lost at a restart: then everything is due at once. */
  const pauses = new Map<string, Pause>()
  const running = new Map<string, { readonly tool: string; readonly done: Promise<void> }>()
  let stopped = false

  /** Whatever was not tried yet, then what waits longest: many that are removed once more hold up none that is alive. */
  const dueAt = ({ id }: Account) => pauses.get(id)?.at ?? 0
  /** Of those the ones whose secret somebody may hold. */
  const isKnown = ({ sealed }: Account) => Number(sealed !== null)

  async function start(): Promise<void> {
    const all = await liveAccounts(deps, ['leaving'])
    for (const account of all.toSorted((one, other) => dueAt(one) - dueAt(other) || isKnown(other) - isKnown(one))) {
      if (stopped) break
      const busy = [...running.values()].filter(({ tool }) => tool === account.tool).length
      const pause = pauses.get(account.id)
      if (running.has(account.id) || busy >= limits.atOnce) continue
      if (pause !== undefined && deps.clock.monotonic() < pause.at) continue
      const attempts = pause?.attempts ?? account.attempts
      const done = deps.toolCalls
        .inOrder(orderOf(account), () => attempt(account.id, attempts))
        .catch((thrown: unknown) => {
          pauses.set(account.id, { attempts, at: deps.clock.monotonic() + limits.retryMs })
          deps.log.error({ account: account.name, error: String(thrown) }, 'not taken away')
          return true
        })
        .then((isTried) => {
          running.delete(account.id)
          // What waited for a place has it now. Where nothing was tried nothing has changed: to go on at once would leave this
          // process no turn to hear of what has.
          if (isTried && !stopped) deps.targets.wake()
        })
      running.set(account.id, { tool: account.tool, done })
    }
  }

  /** False: not to be tried, or not yet, for what is read by id can be behind what is listed. */
  async function attempt(id: string, attempts: number): Promise<boolean> {
    const account = (await deps.store.read([keyOf('account', id)])).get('account', id)
    if (account?.state !== 'leaving') {
      pauses.delete(id)
      return false
    }
    const outcome = await takeAway(deps, account)
    if (outcome === 'gone') {
      pauses.delete(id)
      return true
    }
    if ('retryInMs' in outcome) {
      pauses.set(id, { attempts, at: deps.clock.monotonic() + outcome.retryInMs })
      return true
    }
    const { failed, doing } = outcome
    // It is the breaker's pause, not a failure of this account's; a tool's own "too many" is one.
    const counted = failed instanceof NotAsked ? attempts : attempts + 1
    pauses.set(id, { attempts: counted, at: deps.clock.monotonic() + pauseMs(deps, counted, failed) })
    if (counted > attempts && Number.isInteger(Math.log2(counted))) await note(deps, account, counted, doing, failed)
    return true
  }

  return {
    start,
    async round() {
      await start()
      await Promise.all([...running.values()].map(({ done }) => done))
    },
    async stop() {
      stopped = true
      await Promise.all([...running.values()].map(({ done }) => done))
    },
  }
}

/** Exponential, half of it by chance, and never sooner than the tool asked. */
function pauseMs({ toolCalls: { limits }, ids }: Deps, attempts: number, failure: TargetFailure): number {
  const full = Math.min(limits.retryMs * 2 ** Math.min(attempts, 30), limits.retryMsMax)
  const chance = (ids.random(1)[0] ?? 0) / 256
  return Math.max(full / 2 + (full / 2) * chance, (failure.retryAfterSeconds ?? 0) * 1000)
}

async function takeAway(deps: Deps, account: Account): Promise<Outcome> {
  const { name, tool } = account
  let doing: Doing = 'remove'
  const call = <T>(step: Doing, act: (target: Target, signal: AbortSignal) => Promise<T>, target: Target) => {
    doing = step
    return deps.toolCalls.call(tool, step === 'remove' ? 'changeMs' : 'lookMs', (signal) => act(target, signal))
  }
  try {
    const target = deps.targets.of(await connectionOf(deps, account))
    const { capabilities } = target
    if (!capabilities.revokes) return await waitForItsEnd(deps, account)
    const secret =
      account.sealed === null ? null : deps.vault.open(account.sealed, { id: account.id, purpose: 'account' })
    const whom = secret === null ? { name } : { name, secret }
    await call('remove', (it, signal) => it.remove(whom, signal), target)
    const removedAt = deps.clock.now()
    const held = await call('look', (it, signal) => it.look({ name }, signal), target)
    if (held?.active) return { doing: 'look', failed: new TargetFailure('garbled', 'the tool still shows it active') }
    const readBackAt = deps.clock.now()
    let probedAt: number | null = null
    if (secret !== null && capabilities.probes) {
      const verdict = await call('probe', (it, signal) => it.probe(secret, signal), target)
      probedAt = deps.clock.now()
      if (verdict === 'alive') {
        if (probedAt - removedAt < capabilities.deadWithinMilliseconds) return { retryInMs: SOON_MS }
        const failed = new TargetFailure('garbled', 'the tool says that it is inactive, and its secret still works')
        return { doing: 'probe', failed }
      }
    }
    // A create that nobody knows the end of may still arrive: removed again until it cannot (S16).
    if (!isSettled(deps, account)) return { retryInMs: untilNextRemovalMs(deps, account) }
    return await gone(deps, account, { removedAt, readBackAt, probedAt })
  } catch (thrown) {
    return { doing, failed: asFailure(thrown) }
  }
}

/**
 * As long as it has been going on for, so that many creates which a slow tool did not answer do not become a storm of
 * removals that slows it further; the last one when it is settled.
 */
function untilNextRemovalMs({ clock, toolCalls: { limits } }: Deps, { leavingSince, unsettledUntil }: Account): number {
  const now = clock.now()
  const wantedMs = Math.max(limits.retryMs * 4, now - (leavingSince ?? now))
  const leftMs = (unsettledUntil ?? now) - now
  return leftMs > 0 ? Math.min(wantedMs, leftMs) : limits.retryMs * 4
}

/** By a clock that does not step, counted from when this process first tried. */
function isSettled({ expiry, clock }: Deps, { id, unsettledUntil, leavingSince }: Account): boolean {
  if (unsettledUntil === null) return true
  expiry.saw(`settled ${id}`)
  const livesMs = unsettledUntil - (leavingSince ?? unsettledUntil)
  return clock.now() >= unsettledUntil && expiry.passed(`settled ${id}`, livesMs)
}

/** Nothing can take it away: it is dead once it has surely expired, by a clock that does not step (S15). */
async function waitForItsEnd(deps: Deps, account: Account): Promise<Outcome> {
  const now = deps.clock.now()
  deps.expiry.saw(account.id)
  const livesMs = account.until - (account.leavingSince ?? now)
  if (now < account.until || !deps.expiry.passed(account.id, livesMs))
    return { retryInMs: Math.max(SOON_MS, Math.min(account.until - now, deps.toolCalls.limits.retryMsMax)) }
  return gone(deps, account, { removedAt: now, readBackAt: now, probedAt: null })
}

type Proof = { readonly removedAt: number; readonly readBackAt: number; readonly probedAt: number | null }

async function gone(deps: Deps, account: Account, proof: Proof): Promise<Outcome> {
  const since = account.leavingSince ?? proof.removedAt
  const after = (at: number) => Math.max(0, at - since)
  const done = await transact<boolean>(deps, 'normal', async (look) => {
    const row = await look.row('account', account.id)
    if (row?.state !== 'leaving') return ok({ value: true, records: [] })
    // Its create was settled meanwhile, or it became known: what was read back is not of the account as it is now.
    if (row.sealed !== account.sealed || row.unsettledUntil !== account.unsettledUntil)
      return ok({ value: false, records: [] })
    const last: Account = { ...move('account', row, 'gone'), ...proof, sealed: null, unsettledUntil: null }
    return ok({
      value: true,
      put: [{ kind: 'account' as const, row: last }],
      records: [
        recordOf(keeper(account.id), look.now, 'account.removed', accountSubject(row), {
          name: row.name,
          attempts: row.attempts,
          removedAfterMilliseconds: after(proof.removedAt),
          readBackAfterMilliseconds: after(proof.readBackAt),
          probedAfterMilliseconds: proof.probedAt === null ? null : after(proof.probedAt),
        }),
      ],
    })
  })
  if (!done.ok || !done.value.value) return { retryInMs: deps.toolCalls.limits.retryMs }
  if (account.revocation !== null) {
    const key = keyOf('revocation', account.revocation)
    const revocation = (await deps.store.read([key])).get('revocation', account.revocation)
    if (revocation?.state === 'open') await finishRevocation(deps, revocation)
  }
  return 'gone'
}

/** On the trail at the 1st, 2nd, 4th, 8th … failure, so that a tool that is down for a day is a page and not a book. */
async function note(deps: Deps, account: Account, attempts: number, doing: Doing, failure: TargetFailure) {
  const isLie = doing === 'probe' && failure.why === 'garbled'
  const says = isLie ? 'an account that is gone by its tool is still alive' : 'an account could not be taken away'
  const fields = { tool: account.tool, account: account.name, doing, why: failure.why, attempts }
  if (isLie) deps.log.error(fields, says)
  else deps.log.warn(fields, says)
  await transact(deps, 'normal', async (look) => {
    const row = await look.row('account', account.id)
    if (row?.state !== 'leaving') return ok({ value: null, records: [] })
    const told: Account = { ...row, attempts, lastFailure: `${doing}: ${failure.message}`.slice(0, 300) }
    const revocation = row.revocation === null ? undefined : await look.row('revocation', row.revocation)
    return ok({
      value: null,
      put: [
        { kind: 'account' as const, row: told },
        ...(revocation?.state === 'open' ? [{ kind: 'revocation' as const, row: withFailure(revocation, told) }] : []),
      ],
      records: [failedRecord(keeper(account.id), look.now, told, doing, failure)],
    })
  })
}
