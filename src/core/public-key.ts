// Agents' public keys from PEM or JWK text: EC P-256 (ES256, RFC 7518 section 3.4) or RSA (RS256, section 3.3). Never echoes
// key material, and never accepts a private key even where the public half could be derived from it.

import type { JsonWebKey, KeyObject } from 'node:crypto'
import { createPublicKey, hash } from 'node:crypto'
import type { IdentityKey } from './manifest.ts'
import { printable } from './manifest-faults.ts'
import type { Result } from './result.ts'
import { err, ok } from './result.ts'

const MAX_KEY_CHARACTERS = 16_384
const MAX_KEYS = 16
const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv']
const PRIVATE_ADVICE =
  'a manifest names public keys alone; take it out, and make the agent a new key, for this one has been seen'
const WANTED = 'use an EC P-256 key (ES256) or an RSA key (RS256)'
/** RFC 7518 section 3.3 asks for 2048 at least; more than 4096 makes every check dear. */
const RSA_BITS = { min: 2048, max: 4096 }

/** RFC 7638 thumbprint of an EC key: base64url SHA-256 over its required members in order. */
const thumbprint = (jwk: { crv: string; kty: string; x: string; y: string }): string =>
  hash('sha256', JSON.stringify({ crv: jwk.crv, kty: jwk.kty, x: jwk.x, y: jwk.y }), 'base64url')

const fromKeyObject = (key: KeyObject): Result<IdentityKey, string> => {
  const { asymmetricKeyType: type } = key
  if (type === 'rsa') return fromRsa(key)
  if (type === 'rsa-pss') return err(`it is an RSA-PSS key, which RS256 is not: ${WANTED}`)
  if (type !== 'ec') return err(`it is ${printable(String(type))}: ${WANTED}`)
  const curve = key.asymmetricKeyDetails?.namedCurve
  if (curve !== 'prime256v1') return err(`its curve is ${printable(curve ?? 'written out by parameters')}: ${WANTED}`)
  const { kty, crv, x, y } = key.export({ format: 'jwk' })
  if (kty !== 'EC' || crv !== 'P-256' || x === undefined || y === undefined) return err(WANTED)
  const jwk = { kty, crv, x, y }
  return ok({ kid: thumbprint(jwk), alg: 'ES256', jwk })
}

/** The public exponent is odd and above 2^16 (FIPS 186-5 section A.1.1): with 1 or 3 signatures can be made up. */
const fromRsa = (key: KeyObject): Result<IdentityKey, string> => {
  const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {}
  if (modulusLength < RSA_BITS.min)
    return err(`its ${modulusLength} bits are too few: an RSA key needs ${RSA_BITS.min} at least`)
  if (modulusLength > RSA_BITS.max) return err(`its ${modulusLength} bits are too many: at most ${RSA_BITS.max}`)
  if (publicExponent <= 0xffffn || publicExponent % 2n === 0n || publicExponent >= 1n << 256n)
    return err('its public exponent is weak: use 65537')
  const { n, e } = key.export({ format: 'jwk' })
  if (n === undefined || e === undefined || (Buffer.from(n, 'base64url').at(-1) ?? 0) % 2 === 0)
    return err('its modulus is no product of two primes')
  const jwk = { kty: 'RSA', n, e }
  return ok({ kid: hash('sha256', JSON.stringify({ e, kty: 'RSA', n }), 'base64url'), alg: 'RS256', jwk })
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
  if (kty !== 'EC' && kty !== 'RSA') return err(`its kty is neither EC nor RSA: ${WANTED}`)
  if (kty === 'EC' && member('crv') !== 'P-256') return err(`its crv is not P-256: ${WANTED}`)
  const [alg, wanted] = [member('alg'), kty === 'EC' ? 'ES256' : 'RS256']
  if (alg !== undefined && alg !== wanted) return err(`its alg is not ${wanted}: ${WANTED}`)
  const use = member('use')
  if (use !== undefined && use !== 'sig') return err('its use is not sig: an agent signs with it')
  const operations = member('key_ops')
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify'))) {
    return err('its key_ops do not include verify: an agent signs with it')
  }
  if (kty === 'RSA') {
    const [n, e] = [member('n'), member('e')]
    if (!isBase64url(n, MAX_KEY_CHARACTERS) || !isBase64url(e, 44)) return err('its n and e are not in base64url')
    return parsed(() => createPublicKey({ key: { kty: 'RSA', n, e }, format: 'jwk' }))
  }
  const [x, y] = [member('x'), member('y')]
  const isCoordinate = (value: unknown): value is string => typeof value === 'string' && /^[\w-]{43}$/.test(value)
  if (!isCoordinate(x) || !isCoordinate(y)) return err('its x and y are not 32 bytes in base64url')
  const point: JsonWebKey = { kty: 'EC', crv: 'P-256', x, y }
  return parsed(() => createPublicKey({ key: point, format: 'jwk' }))
}

const isBase64url = (value: unknown, most: number): value is string =>
  typeof value === 'string' && value.length <= most && /^[\w-]+$/.test(value)

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
    return err(
      'it is in PKCS#1: write it as -----BEGIN PUBLIC KEY-----, which openssl rsa -RSAPublicKey_in -pubout prints',
    )
  if (/-----BEGIN (TRUSTED |X509 )?CERTIFICATE/.test(trimmed)) {
    return err('it is a certificate: write its public key, which openssl x509 -noout -pubkey prints')
  }
  if (!/^-----BEGIN PUBLIC KEY-----\r?\n[A-Za-z0-9+/=\r\n]+-----END PUBLIC KEY-----$/.test(trimmed)) {
    return err('it is not one PEM block that begins with -----BEGIN PUBLIC KEY-----, nor a JSON Web Key Set')
  }
  const key = parsed(() => createPublicKey({ key: trimmed, format: 'pem', type: 'spki' }))
  return key.ok ? ok([key.value]) : key
}
