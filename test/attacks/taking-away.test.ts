// What must be gone is gone, whoever took it and however much there was: sessions with hundreds of grants, an owner's
// whole work, and other people's things that a hostile agent would like to take.

import { afterEach, beforeEach, expect, test } from 'vitest'
import { createTokenVerifier } from '../../src/actions/authenticate-session.ts'
import { checkCredential } from '../../src/actions/check-credential.ts'
import { decommissionAgent } from '../../src/actions/decommission-agent.ts'
import { liftLock, setLock } from '../../src/actions/lock.ts'
import { reconcileTargets } from '../../src/actions/reconcile-targets.ts'
import { releaseGrant, withdrawRequest } from '../../src/actions/release-access.ts'
import { requestAccess } from '../../src/actions/request-access.ts'
import { presentRevocation, revoke } from '../../src/actions/revoke.ts'
import { approveRequest } from '../../src/actions/settle-request.ts'
import type { Session } from '../../src/core/model.ts'
import { as, createHarness, type Harness } from '../support/harness.ts'
import { agent, entry, setOf, tool } from '../support/manifest-set.ts'
import { unwrap } from '../support/store-on-disk.ts'

let h: Harness
beforeEach(async () => {
  h = await createHarness()
})
afterEach(() => h.close())

const callerOf = (session: Session) => ({ role: 'agent', agent: session.agent, session: session.id }) as const
const ask = (session: Session, name: string, scope: string, durationSeconds = 600) =>
  requestAccess(
    h.deps,
    callerOf(session),
    { tool: name, scopes: [scope], reason: 'INC-1', durationSeconds, details: {} },
    'req_ask',
  )
async function approved(session: Session, by = 'alice@example.com') {
  const asked = unwrap(await ask(session, 'tickets', 'comment'))
  if (asked.status !== 'pending') throw new Error('granted at once')
  const yes = { request: asked.request.id, hash: null, scopes: null, durationSeconds: null }
  return unwrap(await approveRequest(h.deps, as.owner(by), yes)).grant
}

test('a session with 600 grants on ten tools leaves none behind when it is revoked (S11)', async () => {
  const tools = Array.from({ length: 10 }, (_, i) => tool(`tool-${i}`))
  await h.start(
    setOf(...tools, agent('bot', { access: tools.map(({ name }) => entry(name, ['read'], { approval: 'none' })) })),
  )
  const session = await h.session('bot')
  const asked = tools.flatMap(({ name }) => Array.from({ length: 60 }, (_, i) => ask(session, name, 'read', 600 + i)))
  const grants = (await Promise.all(asked)).map((one) => {
    const outcome = unwrap(one)
    if (outcome.status !== 'granted') throw new Error('it waits')
    return outcome.grant.id
  })
  expect(new Set(grants).size).toBe(600)
  const other = await h.session('bot')
  const receipt = unwrap(await revoke(h.deps, as.admin, { kind: 'session', id: session.id, reason: null }))
  expect(receipt.counts.grants).toBe(600)
  const left = await h.deps.store.list({ kind: 'grant', where: { agent: 'bot', state: 'active' }, limit: 500 })
  expect(left.rows).toEqual([])
  expect((await h.credential(other, (await h.row('grant', grants.at(-1)!))!)).ok).toBe(false)
})

test('a lock on an owner with --revoke-grants takes all that rests on them for good, and nothing else (S12)', async () => {
  await h.start(
    setOf(
      tool('tickets'),
      agent('bot', {
        owners: ['alice@example.com', 'bob@example.com'],
        access: [entry('tickets', ['comment']), entry('tickets', ['read'], { approval: 'none' })],
      }),
    ),
  )
  const session = await h.session('bot')
  const hers = await approved(session)
  const token = unwrap(await h.credential(session, hers)).token
  const nobodys = await h.grant(session, 'tickets', ['read'])
  const lock = { kind: 'owner', name: 'alice@example.com', reason: 'phished', forSeconds: null } as const
  const set = unwrap(await setLock(h.deps, as.admin, { ...lock, revokeGrants: true }))
  expect(set.revocation.counts).toMatchObject({ grants: 1, credentials: 1 })
  unwrap(await liftLock(h.deps, as.admin, { lock: set.lock.id, reason: null }))
  expect(await h.row('grant', hers.id)).toMatchObject({ state: 'revoked', revocation: set.revocation.id })
  expect((await h.credential(session, hers)).ok).toBe(false)
  expect((await checkCredential(h.deps, createTokenVerifier(h.deps), 'tickets', token)).ok).toBe(false)
  expect((await h.credential(session, nobodys)).ok).toBe(true)
  // What she approves afterwards lives.
  expect((await h.credential(session, await approved(await h.session('bot')))).ok).toBe(true)
})

test('a lock on an owner that only suspends gives the grant back, and no credential (S12)', async () => {
  await h.start(setOf(tool('tickets'), agent('bot', { access: [entry('tickets', ['comment'])] })))
  const session = await h.session('bot')
  const grant = await approved(session)
  const token = unwrap(await h.credential(session, grant)).token
  const lock = { kind: 'owner', name: 'alice@example.com', reason: 'away', forSeconds: null } as const
  const set = unwrap(await setLock(h.deps, as.admin, { ...lock, revokeGrants: false }))
  expect((await h.credential(session, grant)).ok).toBe(false)
  unwrap(await liftLock(h.deps, as.admin, { lock: set.lock.id, reason: null }))
  expect((await h.credential(session, grant)).ok).toBe(true)
  expect((await checkCredential(h.deps, createTokenVerifier(h.deps), 'tickets', token)).ok).toBe(false)
})

test("nothing of another agent's can be taken, released or withdrawn, and nothing is learnt of it (S7)", async () => {
  const access = [entry('tickets', ['read'], { approval: 'none' }), entry('tickets', ['comment'])]
  await h.start(setOf(tool('tickets'), agent('bot', { access }), agent('spy', { access })))
  const victim = await h.session('bot')
  const grant = await h.grant(victim, 'tickets', ['read'])
  const { credential } = unwrap(await h.credential(victim, grant))
  const waits = unwrap(await ask(victim, 'tickets', 'comment'))
  if (waits.status !== 'pending') throw new Error('granted at once')
  const spy = callerOf(await h.session('spy'))
  const by = { caller: spy, requestId: 'req_spy' }
  const before = (await h.deps.store.tree()).size
  const tries: [unknown, unknown][] = []
  for (const [kind, id, ghost] of [
    ['session', victim.id, 'ses_0'],
    ['grant', grant.id, 'grt_0'],
    ['credential', credential.id, 'crd_0'],
  ] as const)
    tries.push([
      await revoke(h.deps, by, { kind, id, reason: null }),
      await revoke(h.deps, by, { kind, id: ghost, reason: null }),
    ])
  tries.push(
    [await releaseGrant(h.deps, spy, grant.id, 'r'), await releaseGrant(h.deps, spy, 'grt_0', 'r')],
    [await withdrawRequest(h.deps, spy, waits.request.id, 'r'), await withdrawRequest(h.deps, spy, 'req_0', 'r')],
    [
      await decommissionAgent(h.deps, by, { agent: 'bot', reason: null }),
      await decommissionAgent(h.deps, by, { agent: 'none', reason: null }),
    ],
  )
  for (const [real, ghost] of tries) {
    expect(real).toMatchObject({ ok: false })
    expect(real).toEqual(ghost)
  }
  expect((await h.deps.store.tree()).size).toBe(before)
})

test('"revoked" is not said of a tool that verifies alone while its clock could still accept, leaps of ours included (P5, S15)', async () => {
  const alone = tool('tickets', {
    token: { alg: 'ES256', maxTtlSeconds: 600, verifiedBy: 'alone', leewaySeconds: 60 },
  })
  await h.start(setOf(alone, agent('bot', { access: [entry('tickets', ['read'], { approval: 'none' })] })))
  const session = await h.session('bot')
  unwrap(await h.credential(session, await h.grant(session, 'tickets', ['read'])))
  // The wall clock leaps a day ahead, the monotonic one does not: nothing has expired anywhere.
  let leap = 0
  const clock = { now: () => h.disk.clock.now() + leap, monotonic: () => h.disk.clock.monotonic() }
  const deps = { ...h.deps, clock }
  const receipt = unwrap(await revoke(deps, as.admin, { kind: 'session', id: session.id, reason: null }))
  const status = async () => presentRevocation((await h.row('revocation', receipt.id))!, clock.now()).status
  leap = 86_400_000
  for (let passed = 0; passed < 360; passed += 40) {
    await reconcileTargets(deps, new Set())
    expect(await status()).not.toBe('revoked')
    h.disk.clock.advance(40)
  }
  await reconcileTargets(deps, new Set())
  expect(await status()).toBe('revoked')
})
