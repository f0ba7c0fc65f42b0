import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { authenticateSession, createTokenVerifier } from '../../src/actions/authenticate-session.ts'
import { checkCredential } from '../../src/actions/check-credential.ts'
import { issueCredential } from '../../src/actions/issue-credential.ts'
import { openSession } from '../../src/actions/open-session.ts'
import type { Caller, Deps, Feed } from '../../src/actions/ports.ts'
import { reconcileTargets } from '../../src/actions/reconcile-targets.ts'
import { presentRevocation } from '../../src/actions/revoke.ts'
import { rotateKeys, tendKeys } from '../../src/actions/rotate-keys.ts'
import { withdrawKeys } from '../../src/actions/withdraw-keys.ts'
import { createSigner } from '../../src/adapters/keys/signer.ts'
import { allDenials, denialsOf } from '../../src/adapters/verifiers/denials.ts'
import { KEYS } from '../../src/core/limits.ts'
import type { VerifiedBy } from '../../src/core/manifest.ts'
import type { Grant, Session } from '../../src/core/model.ts'
import { as, createHarness, type Harness } from '../support/harness.ts'
import { agent, entry, setOf, tool } from '../support/manifest-set.ts'
import { unwrap } from '../support/store-on-disk.ts'

const verified = (verifiedBy: VerifiedBy) =>
  tool(verifiedBy, { token: { alg: 'ES256', maxTtlSeconds: 600, verifiedBy, leewaySeconds: 60 } })
const tools = (['asks', 'guard', 'alone'] as const).map(verified)
const access = [...tools.map(({ name }) => entry(name, ['read'], { approval: 'none' })), entry('asks', ['comment'])]
const SET = setOf(...tools, agent('bot', { access }))
const ALL = { kid: null, reason: 'the host was broken into' }

let h: Harness
beforeEach(async () => {
  h = await createHarness()
  await h.start(SET)
})
afterEach(() => h.close())

const withdraw = (input: Parameters<typeof withdrawKeys>[3] = ALL, deps: Deps = h.deps) =>
  withdrawKeys(deps, h.keys, as.admin, input)
async function holding(
  on: VerifiedBy = 'asks',
): Promise<{ session: Session; grant: Grant; token: string; jti: string }> {
  const session = await h.session('bot')
  const grant = await h.grant(session, on, ['read'])
  const { token, credential } = unwrap(await h.credential(session, grant))
  return { session, grant, token, jti: credential.id }
}
const published = () => h.deps.signer.jwks().keys.map(({ kid }) => kid)

describe('a compromised key', () => {
  test('is out of the key set at once, a new one signs, and neither half of it is kept (S19)', async () => {
    const before = h.deps.signer.signingKid()
    const { kid, withdrawn, signsFrom } = unwrap(await withdraw())
    expect(withdrawn).toEqual([before])
    expect(signsFrom).toBe(h.disk.clock.now())
    expect(kid).not.toBe(before)
    expect(published()).toEqual([kid])
    expect(h.deps.signer.signingKid()).toBe(kid)
    expect(await h.row('key', before)).toMatchObject({ state: 'retired', sealed: '', retiresAt: h.disk.clock.now() })
    const { session, grant } = await holding()
    expect(session.signedBy).toBe(kid)
    expect(unwrap(await h.credential(session, grant)).credential.kid).toBe(kid)
  })

  test('kills every session and credential that it signed, for whoever asks the store, and leaves the grants (S19)', async () => {
    const { session, grant, token, jti } = await holding()
    const verify = createTokenVerifier(h.deps)
    const check = () => checkCredential(h.deps, verify, 'asks', token)
    expect((await check()).ok).toBe(true)
    // A process that has not heard of it still verifies the signature: the rows refuse all the same.
    const late = async () => (await h.deps.signer.verifyToken(token)) ?? claims
    const claims = (await verify(token))!
    const { revocation } = unwrap(await withdraw())

    expect(await check()).toMatchObject({ ok: false, error: { code: 'unauthenticated' } })
    expect(await checkCredential(h.deps, late, 'asks', token)).toMatchObject({ ok: false })
    const sessionClaims = async () => ({ aud: h.deps.settings.mcpUrl, sub: 'bot', sid: session.id })
    expect(await authenticateSession(h.deps, sessionClaims, token)).toMatchObject({
      ok: false,
      error: { code: 'session_revoked' },
    })
    expect((await h.credential(session, grant)).ok).toBe(false)
    expect(revocation).toMatchObject({
      act: 'key compromised',
      state: 'open',
      counts: { sessions: 1, grants: 0, credentials: 1 },
    })
    expect((await h.row('credential', jti))?.revocation).toBe(revocation.id)
    expect((await h.row('session', session.id))?.state).toBe('revoked')
    expect((await h.row('grant', grant.id))?.state).toBe('active')
    // The agent's own key opens a new session, and the grant serves on.
    expect((await h.credential(await h.session('bot'), grant)).ok).toBe(true)
  })

  test('is dead by judgement before one row is marked (P5, P9)', async () => {
    const { session, token } = await holding()
    const verify = createTokenVerifier(h.deps)
    const claims = (await verify(token))!
    const crash = new Error('the process ends here')
    const dying: Deps = {
      ...h.deps,
      expiry: {
        ...h.deps.expiry,
        saw: () => {
          throw crash
        },
      },
    }
    await expect(withdraw(ALL, dying)).rejects.toThrow(crash)
    expect((await h.row('session', session.id))?.state).toBe('open')
    expect(await checkCredential(h.deps, async () => claims, 'asks', token)).toMatchObject({ ok: false })
    await reconcileTargets(h.deps, new Set())
    expect((await h.row('session', session.id))?.state).toBe('revoked')
  })

  test('is denied to guards by its kid, in the feed and to those who start over (S15)', async () => {
    const before = h.deps.signer.signingKid()
    const seq = (await h.disk.store.read([])).seq
    unwrap(await withdraw())
    const feed = h.disk.store.changes(seq, AbortSignal.timeout(5_000))[Symbol.asyncIterator]()
    const first = await feed.next()
    await feed.return?.()
    if (first.done === true || first.value.type !== 'change') throw new Error('no change')
    const now = h.disk.clock.now()
    expect((await denialsOf(h.deps, first.value.change, now)).map(({ deny, tool: of }) => [deny, of])).toContainEqual([
      { kid: before },
      null,
    ])
    const all = await allDenials(h.deps, now + 3_600_000)
    expect(all.map(({ deny }) => deny)).toContainEqual({ kid: before })
  })

  test('of mints that race it none lives: each is refused, dead, or signed by the new key (S16)', async () => {
    const { session, grant } = await holding()
    const second = await h.session('bot')
    const races = Array.from({ length: 40 }, (_, i) => h.credential(i % 2 === 0 ? session : second, grant))
    const opened = Array.from({ length: 10 }, () => h.session('bot').catch(() => null))
    const { kid } = unwrap(await withdraw())
    const minted = (await Promise.all(races)).flatMap((result) => (result.ok ? [result.value] : []))
    const verify = createTokenVerifier(h.deps)
    for (const { token, credential } of minted) {
      const alive = (await checkCredential(h.deps, verify, 'asks', token)).ok
      expect(alive && credential.kid !== kid).toBe(false)
    }
    for (const made of await Promise.all(opened)) {
      if (made === null) continue
      expect((await h.credential(made, grant)).ok).toBe(made.signedBy === kid)
    }
  })

  test('is not called revoked before every verifier that asks nobody has fetched the keys again (P5)', async () => {
    await holding('asks')
    const deps = { ...h.deps, guards: { ...h.deps.guards, acknowledged: () => ({ all: false, guards: 1 }) } }
    const { revocation } = unwrap(await withdraw(ALL, deps))
    const seen = async () =>
      presentRevocation((await h.row('revocation', revocation.id))!, h.disk.clock.now()).confirmations.map((each) => [
        each.tool,
        each.status,
        'how' in each ? each.how : undefined,
      ])
    // Nothing was minted for `guard` and `alone`: whoever holds the key could still forge what they accept.
    expect(await seen()).toEqual([
      ['alone', 'revoking', undefined],
      ['asks', 'revoked', 'every check asks the broker'],
      ['guard', 'revoking', undefined],
    ])
    await reconcileTargets(h.deps, new Set())
    expect((await seen())[2]).toEqual(['guard', 'revoked', 'no guard holds a lease'])
    h.disk.clock.advance(KEYS.jwksMaxAge - 1)
    await reconcileTargets(h.deps, new Set())
    expect((await seen())[0]).toEqual(['alone', 'revoking', undefined])
    h.disk.clock.advance(2)
    await reconcileTargets(h.deps, new Set())
    expect((await seen())[0]?.slice(0, 2)).toEqual(['alone', 'revoked'])
    expect((await h.row('revocation', revocation.id))?.state).toBe('complete')
  })

  test('stays dead over a restart and for a process whose log comes late (P9)', async () => {
    const before = h.deps.signer.signingKid()
    const old = (await h.row('key', before))!
    unwrap(await withdraw())
    const told: Feed = { type: 'change', change: { first: 0, last: 0, at: 0, put: [{ kind: 'key', row: old }] } }
    const ring = await createSigner({
      kek: h.kek,
      clock: h.disk.clock,
      log: h.deps.log,
      settings: h.deps.settings,
      store: {
        list: (query) => h.disk.store.list(query),
        async *changes(_, signal) {
          yield told
          await new Promise((resolve) => signal.addEventListener('abort', resolve))
        },
      },
    })
    await new Promise((resolve) => setImmediate(resolve))
    expect(ring.jwks().keys.map(({ kid }) => kid)).not.toContain(before)
    expect(ring.signingKid()).not.toBe(before)
    await ring.close()
  })

  test('named by its kid, it goes alone; the key that signs stays where it is another', async () => {
    const signing = h.deps.signer.signingKid()
    const { kid: coming } = unwrap(await rotateKeys(h.deps, h.keys, as.admin))
    const { grant, session } = await holding()
    const done = unwrap(await withdraw({ kid: coming, reason: null }))
    expect(done).toMatchObject({ kid: signing, withdrawn: [coming] })
    expect((await h.credential(session, grant)).ok).toBe(true)
    expect(await withdraw({ kid: coming, reason: null })).toMatchObject({
      ok: false,
      error: { code: 'invalid_request' },
    })
    const audit = (await h.rows('key')).find(({ use }) => use === 'audit')!
    expect((await withdraw({ kid: audit.id, reason: null })).ok).toBe(false)
    expect(unwrap(await withdraw()).withdrawn).toEqual([signing])
  })

  test('kills a credential that it signed in a session that another key signed (S19)', async () => {
    const { session, grant } = await holding()
    const { kid: second } = unwrap(await rotateKeys(h.deps, h.keys, as.admin))
    h.disk.clock.advance(KEYS.publication)
    unwrap(await tendKeys(h.deps))
    await h.deps.signer.refresh()
    const { token, credential } = unwrap(await h.credential(session, grant))
    expect(credential.kid).toBe(second)
    const verify = createTokenVerifier(h.deps)
    const claims = (await verify(token))!
    unwrap(await withdraw({ kid: second, reason: null }))
    expect(await checkCredential(h.deps, async () => claims, 'asks', token)).toMatchObject({ ok: false })
    expect((await h.row('session', session.id))?.state).toBe('open')
    expect((await h.credential(session, grant)).ok).toBe(true)
  })

  test('signs nothing for a process that cannot get hold of its successor (P10, S19)', async () => {
    const { session, grant } = await holding()
    const kid = h.deps.signer.signingKid()
    unwrap(await withdraw())
    const late: Deps = {
      ...h.deps,
      signer: { ...h.deps.signer, signToken: async () => ({ token: 'x.y.z', kid }), refresh: async () => {} },
    }
    const again = await h.session('bot')
    const caller = { role: 'agent', agent: 'bot', session: again.id } as const
    const input = { grant: grant.id, scopes: null, details: null, via: 'exchange' } as const
    const refused = { ok: false, error: { code: 'stale_view', retryable: true } }
    expect(await issueCredential(late, caller, input, 'req_1')).toMatchObject(refused)
    const proof = { agent: 'bot', key: 'bot-key', jti: 'once', expiresAt: h.disk.clock.now() + 60_000 }
    expect(await openSession(late, proof, 'req_2')).toMatchObject(refused)
    expect(session.signedBy).toBe(kid)
  })

  test('is on the trail with who withdrew it and why (P1)', async () => {
    const before = h.deps.signer.signingKid()
    const size = (await h.trail()).length
    const { kid } = unwrap(await withdraw())
    const records = (await h.trail(size)).slice(0, 3)
    expect(records.map(({ kind, actor, body }) => [kind, actor.type, body.kid])).toEqual([
      ['key.retired', 'admin', before],
      ['key.created', 'admin', kid],
      ['key.rotated', 'admin', kid],
    ])
    expect(records[0]?.body).toMatchObject({ because: 'compromised', reason: ALL.reason })
  })

  test('its pending requests go with the session that made them (S11)', async () => {
    const session = await h.session('bot')
    await expect(h.grant(session, 'asks', ['comment'])).rejects.toThrow('waits for an owner')
    const { revocation } = unwrap(await withdraw())
    expect(revocation.counts.requests).toBe(1)
    expect((await h.rows('request')).map(({ state }) => state)).toEqual(['withdrawn'])
  })
})

const others: Caller[] = [
  { role: 'agent', agent: 'bot', session: 'ses_1' },
  { role: 'owner', email: 'alice@example.com', bearer: 'brr_1' },
  { role: 'auditor', id: 'a@example.com', bearer: 'brr_1' },
  { role: 'publisher', id: 'p@example.com', bearer: 'brr_1' },
  { role: 'verifier', tool: 'asks', bearer: 'brr_1' },
]
test.each(others)('$role may not withdraw a key (S7)', async (caller) => {
  const before = h.deps.signer.signingKid()
  const refused = await withdrawKeys(h.deps, h.keys, { caller, requestId: 'req_1' }, ALL)
  expect(refused).toMatchObject({ ok: false, error: { code: 'forbidden' } })
  expect(h.deps.signer.signingKid()).toBe(before)
})
