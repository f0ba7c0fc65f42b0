// Tokens that no tool may accept, made from a genuine one without the broker's key: each is what some verifier has been
// seen to believe. They carry no secret, and what is theirs to say they copy from the genuine one.

import { createHmac, createPublicKey, generateKeyPairSync, type JsonWebKey, type KeyObject, sign } from 'node:crypto'

export type Forgery = { readonly name: string; readonly token: string }

/** What the check calls it → its variants; all of them must be refused. */
export type Forgeries = Readonly<Record<ForgedRow, readonly Forgery[]>>

export const FORGED_ROWS = [
  'not a token',
  'foreign key',
  'key in its header',
  'alg none',
  'HS256, public key',
  'other alg',
  'no signature',
  'tampered payload',
  'wrong issuer',
  'not yet valid',
] as const
export type ForgedRow = (typeof FORGED_ROWS)[number]

type Json = Readonly<Record<string, unknown>>

const part = (value: Json): string => Buffer.from(JSON.stringify(value)).toString('base64url')

const parsed = (text: string | undefined): Json => {
  const value: unknown = JSON.parse(Buffer.from(text ?? '', 'base64url').toString('utf8'))
  return typeof value === 'object' && value !== null ? { ...value } : {}
}

/** `publicJwk` is the key that signed `genuine` (from the issuer's key set). */
export function forgeriesOf(genuine: string, publicJwk: JsonWebKey, nowSeconds: number): Forgeries {
  const [headerPart = '', payloadPart = '', signature = ''] = genuine.split('.')
  const header = parsed(headerPart)
  const payload = parsed(payloadPart)
  const alg = header.alg === 'RS256' ? 'RS256' : 'ES256'
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const ed = generateKeyPairSync('ed25519')
  const foreign = alg === 'RS256' ? rsa : ec

  const signed = (key: KeyObject, head: Json, body: Json): string => {
    const input = `${part(head)}.${part(body)}`
    const digest = head.alg === 'EdDSA' ? null : 'sha256'
    return `${input}.${sign(digest, Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
  }
  const unsigned = (head: Json, end: string): string => `${part(head)}.${payloadPart}.${end}`
  const hmac = (key: Buffer): string => {
    const input = `${part({ ...header, alg: 'HS256' })}.${payloadPart}`
    return `${input}.${createHmac('sha256', key).update(input).digest('base64url')}`
  }
  const byForeign = (body: Json) => signed(foreign.privateKey, header, body)
  const tampered = (body: Json) => `${headerPart}.${part(body)}.${signature}`

  const publicKey = createPublicKey({ key: publicJwk, format: 'jwk' })
  const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString()
  const ownJwk = foreign.publicKey.export({ format: 'jwk' })
  const other = alg === 'RS256' ? { alg: 'ES256', key: ec.privateKey } : { alg: 'RS256', key: rsa.privateKey }

  return {
    'not a token': [{ name: 'a word', token: 'not-a-token' }],
    'foreign key': [{ name: 'same kid', token: byForeign(payload) }],
    'key in its header': [
      { name: 'jwk', token: signed(foreign.privateKey, { ...header, jwk: ownJwk }, payload) },
      { name: 'jwk, no kid', token: signed(foreign.privateKey, { alg, typ: header.typ, jwk: ownJwk }, payload) },
    ],
    'alg none': ['none', 'None', 'NONE'].flatMap((none) => [
      { name: none, token: unsigned({ ...header, alg: none }, '') },
      { name: `${none}, signature kept`, token: unsigned({ ...header, alg: none }, signature) },
    ]),
    'HS256, public key': [
      { name: 'PEM', token: hmac(Buffer.from(pem)) },
      { name: 'PEM without its last newline', token: hmac(Buffer.from(pem.trimEnd())) },
      { name: 'DER', token: hmac(publicKey.export({ type: 'spki', format: 'der' })) },
      { name: 'JWK', token: hmac(Buffer.from(JSON.stringify(publicJwk))) },
      { name: 'empty key', token: hmac(Buffer.alloc(0)) },
    ],
    'other alg': [
      { name: 'EdDSA', token: signed(ed.privateKey, { ...header, alg: 'EdDSA' }, payload) },
      { name: other.alg, token: signed(other.key, { ...header, alg: other.alg }, payload) },
    ],
    'no signature': [
      { name: 'empty', token: `${headerPart}.${payloadPart}.` },
      { name: 'all zero', token: `${headerPart}.${payloadPart}.${Buffer.alloc(64).toString('base64url')}` },
    ],
    'tampered payload': [
      { name: 'another agent', token: tampered({ ...payload, sub: 'hallpass-check' }) },
      { name: 'a later exp', token: tampered({ ...payload, exp: nowSeconds + 86_400 }) },
    ],
    'wrong issuer': [{ name: 'foreign key', token: byForeign({ ...payload, iss: 'https://issuer.invalid' }) }],
    'not yet valid': [
      { name: 'foreign key', token: byForeign({ ...payload, nbf: nowSeconds + 3600, iat: nowSeconds + 3600 }) },
    ],
  }
}
