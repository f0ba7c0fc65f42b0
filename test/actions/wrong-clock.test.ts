// A wrong wall clock, set forward or back under the broker or wrong when it started, makes nothing dead that a tool with
// the right time still accepts; and what has really expired is waited for by no clock at all (S15).

import { afterEach, beforeEach, expect, test } from 'vitest'
import { setLock } from '../../src/actions/lock.ts'
import { reconcileTargets } from '../../src/actions/reconcile-targets.ts'
import { presentRevocation, revoke } from '../../src/actions/revoke.ts'
import { allDenials, denialsOf } from '../../src/adapters/verifiers/denials.ts'
import type { Credential, Revocation, Session } from '../../src/core/model.ts'
import { as, createHarness, type Harness } from '../support/harness.ts'
import { agent, entry, setOf, tool } from '../support/manifest-set.ts'
import { unwrap } from '../support/store-on-disk.ts'

const DAY = 86_400
const HOUR = 3_600
/** What a credential lives here (5 minutes) and the leeway of the tool that checks it alone. */
const LIFE = 300 + 60

let h: Harness
beforeEach(async () => {
  h = await createHarness()
  const alone = tool('alone', { token: { alg: 'ES256', maxTtlSeconds: 600, verifiedBy: 'alone', leewaySeconds: 60 } })
  await h.start(setOf(alone, agent('bot', { access: [entry('alone', ['read', 'comment'], { approval: 'none' })] })))
})
afterEach(() => h.close())

async function holding(scope = 'read'): Promise<{ session: Session; credential: Credential }> {
  const session = await h.session('bot')
  return {
    session,
    credential: unwrap(await h.credential(session, await h.grant(session, 'alone', [scope]))).credential,
  }
}

const take = async ({ id }: Credential) =>
  unwrap(await revoke(h.deps, as.admin, { kind: 'credential', id, reason: null }))
const statusOf = async ({ id }: Revocation) => {
  await reconcileTargets(h.deps, new Set())
  return presentRevocation((await h.row('revocation', id))!, h.disk.clock.now()).status
}
/** As milliseconds pass: open until just before, done just after. */
async function dies(receipt: Revocation, seconds: number, before: string): Promise<void> {
  h.disk.clock.advance(seconds - 1)
  expect(await statusOf(receipt)).toBe(before)
  h.disk.clock.advance(1)
  expect(await statusOf(receipt)).toBe('revoked')
}

test('set a day ahead while it runs: what is revoked then is outstanding until it has really expired (S15)', async () => {
  const { credential } = await holding()
  h.disk.clock.set(DAY)
  const receipt = await take(credential)
  expect(receipt.confirmations).toMatchObject([{ tool: 'alone', credentials: 1, confirmedAt: null }])
  expect(await statusOf(receipt)).toBe('outstanding')
  await dies(receipt, LIFE, 'outstanding')
})

test('set a day ahead: a session and a lock take the credentials that only that clock calls expired (S15)', async () => {
  const first = await holding()
  const second = await holding('comment')
  h.disk.clock.set(DAY)
  const ended = unwrap(await revoke(h.deps, as.admin, { kind: 'session', id: first.session.id, reason: null }))
  expect(ended.counts.credentials).toBe(1)
  const lock = { kind: 'agent', name: 'bot', reason: 'x', forSeconds: null, revokeGrants: false } as const
  const locked = unwrap(await setLock(h.deps, as.admin, lock)).revocation
  expect(locked.counts.credentials).toBe(1)
  expect((await h.row('credential', second.credential.id))?.state).toBe('revoked')
  expect([await statusOf(ended), await statusOf(locked)]).toEqual(['outstanding', 'outstanding'])
})

test('started with a clock that is a day ahead: nothing of before is taken for expired (S15)', async () => {
  const { credential } = await holding()
  h.disk.clock.set(DAY)
  await h.reopen()
  const receipt = await take(credential)
  expect(await statusOf(receipt)).toBe('outstanding')
  await dies(receipt, LIFE, 'outstanding')
})

test('restarted while it waits and while the clock is ahead: the wait begins anew (S15)', async () => {
  const { credential } = await holding()
  h.disk.clock.set(DAY)
  const receipt = await take(credential)
  expect(await statusOf(receipt)).toBe('outstanding')
  h.disk.clock.advance(LIFE - 1)
  await h.reopen()
  expect(await statusOf(receipt)).toBe('outstanding')
  await dies(receipt, LIFE, 'outstanding')
})

test('set back an hour and forward again while it waits: both clocks have to be past its end (S15)', async () => {
  const { credential } = await holding()
  h.disk.clock.set(-HOUR)
  const receipt = await take(credential)
  h.disk.clock.advance(LIFE)
  expect(await statusOf(receipt)).toBe('revoking')
  h.disk.clock.set(HOUR)
  expect(await statusOf(receipt)).toBe('revoked')
})

test('minted while it was a day ahead, taken with the clock right again: alive for a day wherever it is checked alone (S15)', async () => {
  h.disk.clock.set(DAY)
  const { credential } = await holding()
  h.disk.clock.set(-DAY)
  const receipt = await take(credential)
  h.disk.clock.advance(HOUR + LIFE)
  expect(await statusOf(receipt)).toBe('revoking')
})

test('started far behind and set right: a revocation waits for the longest life of a token, and no longer (S15)', async () => {
  h.disk.clock.set(-30 * DAY)
  h.disk.clock.advance(10 * HOUR)
  await h.reopen()
  h.disk.clock.set(30 * DAY)
  const { credential } = await holding()
  const receipt = await take(credential)
  await dies(receipt, HOUR + 60, 'outstanding')
})

test('what has really expired is not waited for, but after a restart not believed before one life of uptime (S15)', async () => {
  const { session, credential } = await holding()
  h.disk.clock.advance(LIFE)
  const receipt = await take(credential)
  expect([receipt.state, receipt.confirmations]).toEqual(['complete', []])
  const again = unwrap(await h.credential(session, await h.grant(session, 'alone', ['read']))).credential
  h.disk.clock.advance(8 * HOUR)
  await h.reopen()
  const late = await take(again)
  expect(await statusOf(late)).toBe('outstanding')
  await dies(late, LIFE, 'outstanding')
})

test('guards are told of what is taken with the clock a day ahead, at once and when they start over (S15)', async () => {
  const { credential } = await holding()
  h.disk.clock.set(DAY)
  const { seq } = await h.disk.store.read([])
  await take(credential)
  const feed = h.disk.store.changes(seq, AbortSignal.timeout(10_000))[Symbol.asyncIterator]()
  const first = await feed.next()
  await feed.return?.()
  if (first.done === true || first.value.type !== 'change') throw new Error('no change')
  const denied = { jti: credential.id }
  const told = await denialsOf(h.deps, first.value.change, h.disk.clock.now())
  expect(told.map(({ deny }) => deny)).toContainEqual(denied)
  expect((await allDenials(h.deps, h.disk.clock.now())).map(({ deny }) => deny)).toContainEqual(denied)
})
