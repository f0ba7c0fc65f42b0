// Agents' public keys from PEM or JWK text. Only EC P-256 (ES256, RFC 7518 section 3.4) in this version. Never echoes
// key material, and never accepts a private key even where the public half could be derived from it.

import type { JsonWebKey, KeyObject } from 'node:crypto'
import { createPublicKey, hash } from 'node:crypto'
import type { IdentityKey } from './manifest.ts'
import { notYet, printable } from './manifest-faults.ts'
import type { Result } from './result.ts'
import { err, ok } from './result.ts'

const MAX_KEY_CHARACTERS = 16_384
const MAX_KEYS = 16
const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv']
const PRIVATE_ADVICE =
  'a manifest names public keys alone; take it out, and make the agent a new key, for this one has been seen'
const WANTED = 'this version reads EC P-256 (ES256) alone'

/** RFC 7638 thumbprint of an EC key: base64url SHA-256 over its required members in order. */
const thumbprint = (jwk: { crv: string; kty: string; x: string; y: string }): string =>
  hash('sha256', JSON.stringify({ crv: jwk.crv, kty: jwk.kty, x: jwk.x, y: jwk.y }), 'base64url')

const fromKeyObject = (key: KeyObject): Result<IdentityKey, string> => {
  const { asymmetricKeyType: type } = key
  if (type === 'rsa' || type === 'rsa-pss') return err(`${notYet('RS256 (RSA keys)')}: use an EC P-256 key (ES256)`)
  if (type !== 'ec') return err(`it is ${printable(String(type))}: ${WANTED}`)
  const curve = key.asymmetricKeyDetails?.namedCurve
  if (curve !== 'prime256v1') return err(`its curve is ${printable(curve ?? 'written out by parameters')}: ${WANTED}`)
  const { kty, crv, x, y } = key.export({ format: 'jwk' })
  if (kty !== 'EC' || crv !== 'P-256' || x === undefined || y === undefined) return err(WANTED)
  const jwk = { kty, crv, x, y }
  return ok({ kid: thumbprint(jwk), alg: 'ES256', jwk })
}

const parsed = (read: () => KeyObject): Result<IdentityKey, string> => {
  let key: KeyObject
  try {
    key = read()
  } catch {
    return err('it is not a public key that can be read')
  }
  return fromKeyObject(key)
}

/** One JSON Web Key (RFC 7517). Members that RFC 7517 does not name are ignored, as it says. */
export const identityKeyFromJwk = (jwk: unknown): Result<IdentityKey, string> => {
  if (typeof jwk !== 'object' || jwk === null || Array.isArray(jwk)) return err('it is not a JSON Web Key')
  const member = (name: string): unknown => (Object.hasOwn(jwk, name) ? Reflect.get(jwk, name) : undefined)
  const kty = member('kty')
  if (PRIVATE_MEMBERS.some((name) => member(name) !== undefined)) return err(`it is a private key: ${PRIVATE_ADVICE}`)
  if (kty === 'RSA') return err(`${notYet('RS256 (RSA keys)')}: use an EC P-256 key (ES256)`)
  if (kty !== 'EC') return err(`its kty is not EC: ${WANTED}`)
  if (member('crv') !== 'P-256') return err(`its crv is not P-256: ${WANTED}`)
  const alg = member('alg')
  if (alg !== undefined && alg !== 'ES256') return err(`its alg is not ES256: ${WANTED}`)
  const use = member('use')
  if (use !== undefined && use !== 'sig') return err('its use is not sig: an agent signs with it')
  const operations = member('key_ops')
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify'))) {
    return err('its key_ops do not include verify: an agent signs with it')
  }
  const [x, y] = [member('x'), member('y')]
  const isCoordinate = (value: unknown): value is string => typeof value === 'string' && /^[\w-]{43}$/.test(value)
  if (!isCoordinate(x) || !isCoordinate(y)) return err('its x and y are not 32 bytes in base64url')
  const point: JsonWebKey = { kty: 'EC', crv: 'P-256', x, y }
  return parsed(() => createPublicKey({ key: point, format: 'jwk' }))
}

const identityKeysFromJson = (text: string): Result<IdentityKey[], string> => {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    return err('it is not JSON')
  }
  const set = typeof json === 'object' && json !== null && 'keys' in json ? json.keys : [json]
  if (!Array.isArray(set) || set.length === 0 || set.length > MAX_KEYS)
    return err(`"keys" must be a list of 1 to ${MAX_KEYS}`)
  const keys: IdentityKey[] = []
  for (const jwk of set) {
    const key = identityKeyFromJwk(jwk)
    if (!key.ok) return key
    keys.push(key.value)
  }
  return ok(keys)
}

/** The public keys in a key file: one PEM `PUBLIC KEY` block (RFC 7468 section 13), a JWK, or a JWKS. */
export const identityKeysFromFile = (text: string): Result<IdentityKey[], string> => {
  if (text.length > MAX_KEY_CHARACTERS) return err(`it is larger than ${MAX_KEY_CHARACTERS / 1024} KiB`)
  if (/PRIVATE KEY/.test(text)) return err(`it holds a private key: ${PRIVATE_ADVICE}`)
  const trimmed = text.trim()
  if (trimmed.startsWith('{')) return identityKeysFromJson(trimmed)
  if (/-----BEGIN RSA PUBLIC KEY/.test(trimmed))
    return err(`${notYet('RS256 (RSA keys)')}: use an EC P-256 key (ES256)`)
  if (/-----BEGIN (TRUSTED |X509 )?CERTIFICATE/.test(trimmed)) {
    return err('it is a certificate: write its public key, which openssl x509 -noout -pubkey prints')
  }
  if (!/^-----BEGIN PUBLIC KEY-----\r?\n[A-Za-z0-9+/=\r\n]+-----END PUBLIC KEY-----$/.test(trimmed)) {
    return err('it is not one PEM block that begins with -----BEGIN PUBLIC KEY-----, nor a JSON Web Key Set')
  }
  const key = parsed(() => createPublicKey({ key: trimmed, format: 'pem', type: 'spki' }))
  return key.ok ? ok([key.value]) : key
}
