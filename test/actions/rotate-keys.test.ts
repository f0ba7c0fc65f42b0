import { createSecretKey, randomBytes } from 'node:crypto'
import { createLocalJWKSet, decodeProtectedHeader, jwtVerify } from 'jose'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Caller } from '../../src/actions/ports.ts'
import { ensureKey, ensureKeys, rotateKeys, tendKeys } from '../../src/actions/rotate-keys.ts'
import { createKeys } from '../../src/adapters/keys/create-keys.ts'
import { createSigner, type KeyRing } from '../../src/adapters/keys/signer.ts'
import { KEYS, LIFETIME } from '../../src/core/limits.ts'
import { reveal } from '../../src/core/record.ts'
import { operator, type StoreOnDisk, silentLog, storeOnDisk, unwrap } from '../support/store-on-disk.ts'

const issuer = 'https://hallpass.example.com'
const kek = createSecretKey(randomBytes(32))
const keys = createKeys(kek)

let disk: StoreOnDisk
beforeEach(async () => {
  disk = await storeOnDisk()
})
afterEach(() => disk.close())

const openRing = () => createSigner({ ...disk, kek, settings: { issuer }, log: silentLog })
const tokenKeys = async () =>
  (await disk.store.list({ kind: 'key', limit: 500 })).rows.filter(({ use }) => use === 'tokens')
const states = async () => Object.fromEntries((await tokenKeys()).map(({ id, state }) => [id, state]))
const trail = async () => (await disk.store.records(0, 500)).map(({ bytes, opened }) => reveal(bytes, opened))

async function sign(ring: KeyRing): Promise<{ token: string; kid: string; expiresAt: number }> {
  const iat = Math.floor(disk.clock.now() / 1000)
  const exp = iat + LIFETIME.tokenMax
  const signed = await ring.signToken({
    iss: issuer,
    sub: 'bot',
    aud: 'https://t.example.com',
    iat,
    exp,
    jti: `${iat}`,
  })
  return { ...signed, expiresAt: exp * 1000 }
}

test('the first keys are made once, however many processes start at the same time (S19)', async () => {
  const results = await Promise.all([ensureKeys(disk, keys), ensureKeys(disk, keys), ensureKeys(disk, keys)])
  expect(results.every(({ ok }) => ok)).toBe(true)
  unwrap(await ensureKeys(disk, keys))
  const rows = (await disk.store.list({ kind: 'key', limit: 500 })).rows
  expect(rows.map(({ use, state }) => `${use} ${state}`).toSorted()).toEqual(['audit signing', 'tokens signing'])
  expect((await trail()).map(({ kind, body }) => `${kind} ${body.use}`)).toEqual([
    'key.created tokens',
    'key.rotated tokens',
    'key.created audit',
    'key.rotated audit',
  ])
})

test('tokens signed before, during and after a rotation verify for a guard that caches keys for 300 s (S19)', async () => {
  unwrap(await ensureKeys(disk, keys))
  const ring = await openRing()
  const first = ring.signingKid()
  let live: Awaited<ReturnType<typeof sign>>[] = []
  let cached = { at: Number.NEGATIVE_INFINITY, keySet: createLocalJWKSet({ keys: [] }), kids: [] as unknown[] }
  const signedBy = new Set<string>()
  let checked = 0

  const start = disk.clock.now()
  for (let minute = 0; minute < 150; minute++) {
    // The guard's cache is at its oldest when the rotation comes and when the switch does.
    if (disk.clock.now() - cached.at >= KEYS.jwksMaxAge * 1000) {
      const published = [...ring.jwks().keys]
      cached = {
        at: disk.clock.now(),
        keySet: createLocalJWKSet({ keys: published }),
        kids: published.map(({ kid }) => kid),
      }
    }
    if (minute === 10) unwrap(await rotateKeys(disk, keys, operator))
    unwrap(await tendKeys(disk))
    const now = await states()
    const signing = Object.keys(now).find((kid) => now[kid] === 'signing')
    await vi.waitFor(() => expect(ring.signingKid()).toBe(signing), { interval: 1, timeout: 10_000 })

    const made = await sign(ring)
    signedBy.add(made.kid)
    live = [...live, made].filter(({ expiresAt }) => expiresAt > disk.clock.now())
    const currentDate = new Date(disk.clock.now())
    for (const { token } of [live[0]!, live[live.length >> 1]!, made]) {
      await jwtVerify(token, cached.keySet, { issuer, typ: 'at+jwt', currentDate })
      expect(await ring.verifyToken(token)).not.toBeNull()
      checked++
    }
    disk.clock.advance(60)
  }

  expect(disk.clock.now() - start).toBe(150 * 60_000)
  expect(checked).toBe(450)
  expect(signedBy.size).toBe(2)
  expect(await states()).toEqual({ [first]: 'retired', [ring.signingKid()]: 'signing' })
  expect(ring.jwks().keys.map(({ kid }) => kid)).toEqual([ring.signingKid()])
  await ring.close()
})

test('a new key is published at once and signs no earlier than every cache of the keys is renewed (S19)', async () => {
  unwrap(await ensureKeys(disk, keys))
  const ring = await openRing()
  const first = ring.signingKid()
  const { kid, signsFrom } = unwrap(await rotateKeys(disk, keys, operator))
  expect(signsFrom - disk.clock.now()).toBeGreaterThanOrEqual(300_000)
  const published = () =>
    ring
      .jwks()
      .keys.map((key) => key.kid)
      .toSorted()
  await vi.waitFor(() => expect(published()).toEqual([first, kid].toSorted()), 10_000)
  expect(ring.signingKid()).toBe(first)

  disk.clock.advance(KEYS.publication - 1)
  expect(unwrap(await tendKeys(disk))).toEqual({ signing: null, retired: [] })
  expect(await states()).toEqual({ [first]: 'signing', [kid]: 'published' })
  disk.clock.advance(1)
  expect(unwrap(await tendKeys(disk))).toEqual({ signing: kid, retired: [] })
  await vi.waitFor(() => expect(ring.signingKid()).toBe(kid), 10_000)
  await ring.close()
})

test('a retiring key keeps no private half, outlives its last token, and dies on time even when nobody tends it (S19)', async () => {
  unwrap(await ensureKeys(disk, keys))
  const ring = await openRing()
  const first = ring.signingKid()
  const { kid } = unwrap(await rotateKeys(disk, keys, operator))
  disk.clock.advance(KEYS.publication)
  const last = await sign(ring)
  unwrap(await tendKeys(disk))
  await vi.waitFor(() => expect(ring.signingKid()).toBe(kid), 10_000)
  const old = (await tokenKeys()).find(({ id }) => id === first)
  expect(old).toMatchObject({ state: 'retiring', sealed: '' })
  expect(old?.retiresAt).toBeGreaterThan(last.expiresAt + 300_000)

  disk.clock.advance(KEYS.retirement - 1)
  expect(ring.jwks().keys).toHaveLength(2)
  disk.clock.advance(1)
  expect(ring.jwks().keys.map((key) => key.kid)).toEqual([kid])
  expect(unwrap(await tendKeys(disk))).toEqual({ signing: null, retired: [first] })
  await ring.close()
})

test('a restart in the middle of a rotation goes on where it was (P9)', async () => {
  unwrap(await ensureKeys(disk, keys))
  const { kid } = unwrap(await rotateKeys(disk, keys, operator))
  const ring = await openRing()
  expect(ring.signingKid()).not.toBe(kid)
  await ring.close()
  disk.clock.advance(KEYS.publication * 3)
  unwrap(await tendKeys(disk))
  const again = await openRing()
  expect(again.signingKid()).toBe(kid)
  expect(again.jwks().keys).toHaveLength(2)
  await again.close()
})

test('of rotations at the same time one wins, and the next waits until it signs (S16)', async () => {
  unwrap(await ensureKeys(disk, keys))
  const results = await Promise.all(Array.from({ length: 4 }, () => rotateKeys(disk, keys, operator)))
  expect(results.filter(({ ok }) => ok)).toHaveLength(1)
  for (const result of results) if (!result.ok) expect(result.error.code).toBe('conflict')
  expect(Object.values(await states()).toSorted()).toEqual(['published', 'signing'])
  expect(await rotateKeys(disk, keys, operator)).toMatchObject({ ok: false, error: { code: 'conflict' } })
})

test('each step of a key is on the trail, with who took it (P1)', async () => {
  unwrap(await ensureKeys(disk, keys))
  const [first] = await tokenKeys()
  const { kid } = unwrap(await rotateKeys(disk, keys, operator))
  disk.clock.advance(KEYS.publication)
  unwrap(await tendKeys(disk))
  disk.clock.advance(KEYS.retirement)
  unwrap(await tendKeys(disk))
  expect((await trail()).slice(4).map(({ kind, actor, body }) => [kind, actor.type, body.kid, body.replaces])).toEqual([
    ['key.created', 'operator', kid, undefined],
    ['key.rotated', 'system', kid, first?.id],
    ['key.retired', 'system', first?.id, undefined],
  ])
  const size = (await trail()).length
  unwrap(await tendKeys(disk))
  expect(await trail()).toHaveLength(size)
})

test('each algorithm has a key of its own, made once when it is first needed and rotated by itself (S19)', async () => {
  unwrap(await ensureKeys(disk, keys))
  const ring = await openRing()
  const refused = { ok: false, error: { code: 'invalid_request' } }
  expect(await rotateKeys(disk, keys, operator, { alg: 'RS256' })).toMatchObject(refused)
  expect(await rotateKeys(disk, keys, operator, { alg: 'HS256' })).toMatchObject(refused)
  const made = await Promise.all([ensureKey(disk, keys, 'tokens', 'RS256'), ensureKey(disk, keys, 'tokens', 'RS256')])
  expect(made.every(({ ok }) => ok)).toBe(true)
  await ring.refresh()
  expect(ring.jwks().keys.map(({ alg, kty }) => [alg, kty])).toEqual([
    ['ES256', 'EC'],
    ['RS256', 'RSA'],
  ])
  const es256 = ring.signingKid()
  const { kid } = unwrap(await rotateKeys(disk, keys, operator, { alg: 'RS256' }))
  unwrap(await rotateKeys(disk, keys, operator))
  disk.clock.advance(KEYS.publication)
  unwrap(await tendKeys(disk))
  await ring.refresh()
  expect((await tokenKeys()).map(({ alg, state }) => `${alg} ${state}`).toSorted()).toEqual([
    'ES256 retiring',
    'ES256 signing',
    'RS256 retiring',
    'RS256 signing',
  ])
  expect(ring.signingKid()).not.toBe(es256)
  const { token } = await ring.signToken({ iss: issuer, sub: 'bot', aud: 'x', iat: 1, exp: 9e9, jti: '1' }, 'RS256')
  expect(decodeProtectedHeader(token)).toEqual({ alg: 'RS256', typ: 'at+jwt', kid })
  await ring.close()
})

const others: Caller[] = [
  { role: 'agent', agent: 'bot', session: 'ses_1' },
  { role: 'owner', email: 'o@example.com', bearer: 'brr_1' },
  { role: 'auditor', id: 'a@example.com', bearer: 'brr_1' },
  { role: 'publisher', id: 'p@example.com', bearer: 'brr_1' },
  { role: 'verifier', tool: 'tickets', bearer: 'brr_1' },
]
test.each(others)('$role may not rotate keys (S7)', async (caller) => {
  unwrap(await ensureKeys(disk, keys))
  const result = await rotateKeys(disk, keys, { caller, requestId: 'req_1' })
  expect(result).toMatchObject({ ok: false, error: { code: 'forbidden' } })
  expect(await tokenKeys()).toHaveLength(1)
})
