// What a credential must say and how it must be signed, each fault alone.
import { createHmac } from 'node:crypto'
import { createLocalJWKSet, exportJWK, exportPKCS8, generateKeyPair, importPKCS8, SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ClaimFault } from '../../src/guard/access.ts'
import type { Guard } from '../../src/guard/index.ts'
import { verifyToken } from '../../src/guard/verify-token.ts'
import { bearer, type FakeBroker, makeKey, RESOURCE, startBroker } from './fake-broker.ts'

let broker: FakeBroker
let guard: Guard
beforeAll(async () => {
  broker = await startBroker()
  guard = broker.guard()
})
afterAll(() => broker.stop())

const need = { scopes: ['ticket:read'] }
const b64 = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')

describe('a good credential', () => {
  test('is allowed, and says who calls with what (S14)', async () => {
    const details = [{ type: 'hallpass_details', constraints: { queue: ['incidents'] } }]
    const token = await broker.mint({ jti: 'j-1', approval_id: 'ap-1', authorization_details: details })
    const result = await guard.verify(bearer(token), need)
    expect(result).toMatchObject({
      ok: true,
      agent: 'triage-bot',
      sessionId: 'session-1',
      grantId: 'grant-1',
      jti: 'j-1',
      scopes: ['ticket:read', 'ticket:comment'],
      approvalId: 'ap-1',
    })
    if (!result.ok) throw new Error('refused')
    expect({ ...result.details }).toEqual({ queue: ['incidents'] })
    expect(result.expiresAt).toBe(Number(result.claims.exp) * 1000)
    expect(Object.isFrozen(result.details.queue)).toBe(true)
  })

  test('is allowed again from the cache, until it expires (S14)', async () => {
    let nowMs = Date.now()
    const own = broker.guard({ now: () => nowMs, leewaySeconds: 0 })
    const token = await broker.mint({ exp: Math.floor(nowMs / 1000) + 60 })
    expect(await own.verify(bearer(token), need)).toMatchObject({ ok: true })
    expect(await own.verify(bearer(token), need)).toMatchObject({ ok: true })
    nowMs += 61_000
    await expect.poll(() => own.status().state).toBe('live')
    expect(await own.verify(bearer(token), need)).toMatchObject({ status: 401, code: 'invalid_token' })
  })
})

describe('a wrong claim', () => {
  const now = Math.floor(Date.now() / 1000)
  const wrong: Array<[string, Record<string, unknown>]> = [
    ['another issuer', { iss: 'https://evil.example' }],
    ['an issuer with a trailing slash', { iss: 'https://tickets.example.com/' }],
    ['no issuer', { iss: undefined }],
    ['another audience', { aud: 'https://metrics.example.com' }],
    ['an audience that only starts like ours', { aud: 'https://tickets.example.com.evil.example' }],
    ['an array audience with ours alone', { aud: ['https://tickets.example.com'] }],
    ['an array audience with ours and another', { aud: ['https://tickets.example.com', 'https://b.example'] }],
    ['no audience', { aud: undefined }],
    ['an exp in the past', { exp: now - 60 }],
    ['no exp', { exp: undefined }],
    ['an exp that is text', { exp: String(now + 300) }],
    ['no iat', { iat: undefined }],
    ['an iat in the future', { iat: now + 120 }],
    ['an nbf in the future', { nbf: now + 120 }],
    ['no jti', { jti: undefined }],
    ['an empty jti', { jti: '' }],
    ['a jti that is a number', { jti: 7 }],
    ['no sub', { sub: undefined }],
    ['no sid', { sid: undefined }],
    ['no grant_id', { grant_id: undefined }],
    ['a scope that is an array', { scope: ['ticket:read'] }],
    ['a confirmation that makes it no plain bearer', { cnf: { jkt: 'x' } }],
    ['details of a type that is not known', { authorization_details: [{ type: 'payment' }] }],
    ['details that are no array', { authorization_details: { type: 'hallpass_details', constraints: {} } }],
    ['no element in its details', { authorization_details: [] }],
    [
      'two elements in its details',
      {
        authorization_details: [
          { type: 'hallpass_details', constraints: {} },
          { type: 'hallpass_details', constraints: {} },
        ],
      },
    ],
    [
      'a constraint that is no list',
      { authorization_details: [{ type: 'hallpass_details', constraints: { queue: 'incidents' } }] },
    ],
    [
      'a limit beside the constraints that is not known',
      { authorization_details: [{ type: 'hallpass_details', constraints: {}, locations: ['https://a.example'] }] },
    ],
  ]
  test.each(wrong)('is refused: %s (S13)', async (_, overrides) => {
    const result = await guard.verify(bearer(await broker.mint(overrides)), need)
    expect(result).toMatchObject({ ok: false, status: 401, code: 'invalid_token' })
    if (result.ok) throw new Error('allowed')
    expect(result.headers['WWW-Authenticate']).toMatch(
      /^Bearer realm="https:\/\/tickets\.example\.com", error="invalid_token"/,
    )
  })
})

describe('a wrong signature or header is refused', () => {
  const refused = async (token: string) =>
    expect(await guard.verify(bearer(token), need)).toMatchObject({ ok: false, status: 401, code: 'invalid_token' })

  test('alg none (S13)', async () => {
    const header = b64({ alg: 'none', typ: 'at+jwt', kid: broker.state.key.kid })
    await refused(`${header}.${b64(broker.claims())}.`)
  })
  test('HS256 with the public key as the secret (S13)', async () => {
    const signed = `${b64({ alg: 'HS256', typ: 'at+jwt', kid: broker.state.key.kid })}.${b64(broker.claims())}`
    const mac = createHmac('sha256', JSON.stringify(broker.state.key.jwk)).update(signed).digest('base64url')
    await refused(`${signed}.${mac}`)
  })
  test('another key under a published kid (S13)', async () => {
    await refused(await broker.mint({}, {}, (await makeKey()).privateKey))
  })
  test('a key that comes with the token (S13)', async () => {
    const own = await makeKey()
    await refused(
      await broker.mint({}, { jwk: own.jwk, kid: own.kid, jku: 'https://evil.example/keys' }, own.privateKey),
    )
  })
  test('no kid (S13)', async () => refused(await broker.mint({}, { kid: undefined })))
  test.each(['JWT', 'jwt', 'secevent+jwt', '', undefined])('typ %j (S13)', async (typ) => {
    await refused(await broker.mint({}, { typ }))
  })
  test('a critical header that is not known (S13)', async () => {
    const header = b64({ alg: 'ES256', typ: 'at+jwt', kid: broker.state.key.kid, crit: ['x'], x: 1 })
    const [, payload, signature] = (await broker.mint()).split('.')
    await refused(`${header}.${payload}.${signature}`)
  })
  test('another algorithm of the same key family, when the key leaves it open (S13)', async () => {
    const { privateKey, publicKey } = await generateKeyPair('RS256', { extractable: true })
    const resolve = createLocalJWKSet({ keys: [{ ...(await exportJWK(publicKey)), kid: 'rsa' }] })
    const expected = { issuer: broker.issuer, resource: RESOURCE, nowMs: Date.now(), leewaySeconds: 0 }
    const sign = async (alg: string) => {
      const key = await importPKCS8(await exportPKCS8(privateKey), alg)
      return new SignJWT(broker.claims()).setProtectedHeader({ alg, typ: 'at+jwt', kid: 'rsa' }).sign(key)
    }
    expect(await verifyToken(await sign('RS256'), resolve, 'RS256', expected)).toMatchObject({ access: { ok: true } })
    await expect(verifyToken(await sign('PS256'), resolve, 'RS256', expected)).rejects.toThrow(ClaimFault)
  })
  test('an altered payload (S13)', async () => {
    const [header, , signature] = (await broker.mint()).split('.')
    await refused(`${header}.${b64(broker.claims({ scope: 'ticket:close' }))}.${signature}`)
  })
})

describe('keys', () => {
  test('a new key is found when its first token comes, strangers cannot make the guard look again and again (S19)', async () => {
    let monotonic = 0
    const own = broker.guard({ monotonicNow: () => performance.now() + monotonic })
    expect(await own.ready()).toBe(true)
    const next = await makeKey()
    broker.state.published = [...broker.state.published, next]
    const token = await broker.mint({}, { kid: next.kid }, next.privateKey)
    monotonic += 6_000
    await expect.poll(async () => (await own.verify(bearer(token), need)).ok).toBe(true)
    const before = broker.seen.keyFetches
    const strange = await Promise.all(Array.from({ length: 20 }, (_, i) => broker.mint({}, { kid: `stranger-${i}` })))
    for (const one of strange) expect(await own.verify(bearer(one), need)).toMatchObject({ code: 'invalid_token' })
    expect(broker.seen.keyFetches).toBe(before)
  })

  test.each([
    ['metadata that names another issuer', { issuerInMetadata: 'https://evil.example' }],
    ['keys from another origin', { jwksUri: 'https://evil.example/jwks' }],
  ])('%s are not believed: the guard refuses (S21)', async (_, fault) => {
    const other = await startBroker()
    try {
      Object.assign(other.state, fault)
      const own = other.guard({ readyWaitMs: 200 })
      expect(await own.verify(bearer(await other.mint()), need)).toMatchObject({ status: 503, code: 'stale_view' })
      expect(own.status().lastFault).toMatch(/issuer/)
    } finally {
      await other.stop()
    }
  })
})
