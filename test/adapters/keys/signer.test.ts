import {
  createHmac,
  createPublicKey,
  createSecretKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
} from 'node:crypto'
import fc from 'fast-check'
import { createLocalJWKSet, decodeProtectedHeader, jwtVerify, SignJWT } from 'jose'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ensureKeys } from '../../../src/actions/rotate-keys.ts'
import { createKeys } from '../../../src/adapters/keys/create-keys.ts'
import { openKey } from '../../../src/adapters/keys/seal.ts'
import { createSigner, type KeyRing, WrongKek } from '../../../src/adapters/keys/signer.ts'
import { parseVerifierKey, verifyCheckpoint } from '../../../src/core/checkpoint.ts'
import { type StoreOnDisk, silentLog, storeOnDisk, unwrap } from '../../support/store-on-disk.ts'

const issuer = 'https://hallpass.example.com'
const audience = 'https://tickets.example.com'

let disk: StoreOnDisk
let kek: KeyObject
let ring: KeyRing

const openRing = (key = kek) => createSigner({ ...disk, kek: key, settings: { issuer }, log: silentLog })

beforeEach(async () => {
  disk = await storeOnDisk()
  kek = createSecretKey(randomBytes(32))
  unwrap(await ensureKeys(disk, createKeys(kek)))
  ring = await openRing()
})
afterEach(async () => {
  await ring.close()
  await disk.close()
})

const nowSeconds = () => Math.floor(disk.clock.now() / 1000)
const claims = (more: Record<string, unknown> = {}) => ({
  iss: issuer,
  sub: 'triage-bot',
  aud: audience,
  iat: nowSeconds(),
  exp: nowSeconds() + 300,
  jti: 'jti-1',
  ...more,
})
const keysInStore = async () => (await disk.store.list({ kind: 'key', limit: 500 })).rows

test('a token is an at+jwt that an independent library verifies with the published keys (RFC 9068)', async () => {
  const { token, kid } = await ring.signToken(claims())
  expect(kid).toBe(ring.signingKid())
  expect(decodeProtectedHeader(token)).toEqual({ alg: 'ES256', typ: 'at+jwt', kid })
  const keySet = createLocalJWKSet({ keys: [...ring.jwks().keys] })
  const verified = await jwtVerify(token, keySet, {
    issuer,
    audience,
    typ: 'at+jwt',
    currentDate: new Date(disk.clock.now()),
  })
  expect(verified.payload).toEqual(claims())
  expect(await ring.verifyToken(token)).toEqual(claims())
})

test('the published keys are token keys alone, with use, alg and kid, and nothing private (S19)', () => {
  const { keys } = ring.jwks()
  expect(keys).toHaveLength(1)
  expect(Object.keys(keys[0] ?? {}).toSorted()).toEqual(['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y'])
  expect(keys[0]).toMatchObject({ use: 'sig', alg: 'ES256', kid: ring.signingKid(), kty: 'EC', crv: 'P-256' })
})

test('a token of ours is nothing once it expired, whatever else it says (P2)', async () => {
  const { token } = await ring.signToken(claims())
  disk.clock.advance(299)
  expect(await ring.verifyToken(token)).not.toBeNull()
  disk.clock.advance(1)
  expect(await ring.verifyToken(token)).toBeNull()
})

test.each(['iss', 'sub', 'aud', 'iat', 'exp', 'jti'])('a token without %s is nothing (RFC 9068)', async (claim) => {
  const { [claim]: _, ...rest } = claims() as Record<string, unknown>
  expect(await ring.verifyToken((await ring.signToken(rest)).token)).toBeNull()
})

test('forged tokens are nothing: other key, type, algorithm, issuer, or the public key as a secret (S13)', async () => {
  const kid = ring.signingKid()
  const [row] = (await keysInStore()).filter(({ use }) => use === 'tokens')
  const audit = (await keysInStore()).find(({ use }) => use === 'audit')!
  const ours = openKey(row!.sealed, kek, row!)!
  const theirs = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const make = (header: object, key: KeyObject, payload = claims()) =>
    new SignJWT(payload).setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid, ...header }).sign(key)
  const b64 = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const raw = (header: object, mac: (input: string) => Buffer) => {
    const input = `${b64(header)}.${b64(claims())}`
    return `${input}.${mac(input).toString('base64url')}`
  }
  expect(await ring.verifyToken(await make({}, ours))).not.toBeNull()

  const publicPem = createPublicKey(ours).export({ type: 'spki', format: 'pem' })
  const good = (await ring.signToken(claims())).token
  const forged: Record<string, string> = {
    'another key under our kid': await make({}, theirs.privateKey),
    'a key in its own header': await make({ jwk: theirs.publicKey.export({ format: 'jwk' }) }, theirs.privateKey),
    'an unknown kid': await make({ kid: 'nobody' }, ours),
    'no kid': await make({ kid: undefined }, ours),
    'the audit key': await make({ alg: 'EdDSA', kid: audit.id }, openKey(audit.sealed, kek, audit)!),
    'type JWT': await make({ typ: 'JWT' }, ours),
    'no type': await make({ typ: undefined }, ours),
    'a foreign issuer': await make({}, ours, claims({ iss: 'https://hallpass.example.com/' })),
    'no algorithm': `${b64({ alg: 'none', typ: 'at+jwt', kid })}.${b64(claims())}.`,
    'our public key as a secret': raw({ alg: 'HS256', typ: 'at+jwt', kid }, (input) =>
      createHmac('sha256', publicPem).update(input).digest(),
    ),
    'a DER signature': raw({ alg: 'ES256', typ: 'at+jwt', kid }, (input) => sign('sha256', Buffer.from(input), ours)),
    'an unknown critical header': raw({ alg: 'ES256', typ: 'at+jwt', kid, crit: ['x'], x: 1 }, (input) =>
      sign('sha256', Buffer.from(input), { key: ours, dsaEncoding: 'ieee-p1363' }),
    ),
    'a signature of zeros': `${good.slice(0, good.lastIndexOf('.'))}.${Buffer.alloc(64).toString('base64url')}`,
    'too long': (await ring.signToken(claims({ pad: 'x'.repeat(9000) }))).token,
  }
  for (const [how, token] of Object.entries(forged)) expect(await ring.verifyToken(token), how).toBeNull()
})

test('no text makes verification throw (P10)', async () => {
  const { token } = await ring.signToken(claims())
  const [head, body, signature] = token.split('.')
  const part = fc.oneof(
    fc.constantFrom(head, body, signature, '', '.', 'null', '[]'),
    fc.string({ maxLength: 40 }),
    fc.json({ maxDepth: 2 }).map((text) => Buffer.from(text).toString('base64url')),
    fc.uint8Array({ maxLength: 70 }).map((bytes) => Buffer.from(bytes).toString('base64url')),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(part, { minLength: 1, maxLength: 5 }), async (parts) => {
      const text = parts.join('.')
      if (text !== token) expect(await ring.verifyToken(text)).toBeNull()
    }),
    { numRuns: 500 },
  )
})

test('a checkpoint is signed with a key of its own, that the verifier key checks (RFC 6962, S19)', async () => {
  const root = randomBytes(32)
  const key = unwrap(parseVerifierKey(ring.auditVerifierKey()))
  const checkpoint = unwrap(verifyCheckpoint(ring.signCheckpoint(4812, root, disk.clock.now()), key))
  expect(checkpoint).toMatchObject({ size: 4812, signedAt: disk.clock.now(), origin: key.name })
  expect(Buffer.from(checkpoint.root)).toEqual(root)
  const again = await openRing()
  expect(again.auditVerifierKey()).toBe(ring.auditVerifierKey())
  await again.close()
})

test('a wrong KEK is said at the start, and nothing is lost by it (S19)', async () => {
  const before = await keysInStore()
  await expect(openRing(createSecretKey(randomBytes(32)))).rejects.toThrow(WrongKek)
  await expect(openRing(createSecretKey(randomBytes(32)))).rejects.toThrow(/HALLPASS_KEK.*Nothing was changed/)
  expect(await keysInStore()).toEqual(before)
  const again = await openRing()
  expect(again.signingKid()).toBe(ring.signingKid())
  await again.close()
})

test('a store without keys signs nothing (P10)', async () => {
  const empty = await storeOnDisk()
  await expect(createSigner({ ...empty, kek, settings: { issuer }, log: silentLog })).rejects.toThrow(/no key/)
  await empty.close()
})

test('no private key is in the clear in any file of the store, nor in what is printed of it (P7)', async () => {
  const spellings = (await keysInStore()).flatMap((row) => {
    const key = openKey(row.sealed, kek, row)!
    const pkcs8 = key.export({ type: 'pkcs8', format: 'der' })
    const scalar = Buffer.from(key.export({ format: 'jwk' }).d ?? '', 'base64url')
    expect(scalar).toHaveLength(32)
    return [scalar, pkcs8].flatMap((bytes) => [
      bytes,
      ...(['hex', 'base64', 'base64url'] as const).map((form) => Buffer.from(bytes.toString(form))),
      Buffer.from(bytes.toString('hex').toUpperCase()),
    ])
  })
  const files = await disk.kept()
  const kid = Buffer.from(ring.signingKid())
  expect(files.some((bytes) => bytes.includes(kid))).toBe(true)
  for (const spelling of spellings) expect(files.some((bytes) => bytes.includes(spelling))).toBe(false)
})

test('signing a token takes less than a millisecond, even on a busy machine (STORE, hot path)', async () => {
  const sample = claims({ scope: 'ticket:read', sid: 'ses_1', grant_id: 'grt_1' })
  const best = async () => {
    const start = performance.now()
    for (let round = 0; round < 200; round++) await ring.signToken(sample)
    return (performance.now() - start) / 200
  }
  const rounds: number[] = []
  for (let round = 0; round < 5; round++) rounds.push(await best())
  expect(Math.min(...rounds)).toBeLessThan(1)
})
