// What a good token becomes in the hands of somebody who may not have it. Whoever verifies tokens refuses every one.

import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { base64url, decodeJwt, decodeProtectedHeader, type JWTPayload, SignJWT } from 'jose'

/** A token that says the same with other words, signed by somebody else. */
async function forged(token: string, change: Readonly<Record<string, unknown>>, how: 'ES256' | 'EdDSA' = 'ES256') {
  const claims: JWTPayload = { ...decodeJwt(token), ...change }
  const { kid, typ } = decodeProtectedHeader(token)
  const { privateKey } =
    how === 'ES256' ? generateKeyPairSync('ec', { namedCurve: 'P-256' }) : generateKeyPairSync('ed25519')
  return new SignJWT(claims).setProtectedHeader({ alg: how, kid: kid ?? '', typ: typ ?? '' }).sign(privateKey)
}
const encoded = (value: unknown) => base64url.encode(JSON.stringify(value))
const parts = (token: string) => {
  const [head = '', claims = '', signature = ''] = token.split('.')
  return { head, claims, signature, header: decodeProtectedHeader(token), payload: decodeJwt(token) }
}

/** What is wrong → a good token turned into such a one. `issuer` publishes the keys that it was signed with. */
export const wrongTokens = (
  issuer: () => string,
): Readonly<Record<string, (token: string) => Promise<string> | string>> => ({
  'without a token': () => '',
  'with a token signed by another key': (token) => forged(token, {}),
  'with a tampered one': (token) => {
    const { head, payload, signature } = parts(token)
    return `${head}.${encoded({ ...payload, scope: 'metrics:read silences:write alerts:read' })}.${signature}`
  },
  'with alg none': (token) => {
    const { header, claims } = parts(token)
    return `${encoded({ ...header, alg: 'none' })}.${claims}.`
  },
  'with HS256 over the public key': async (token) => {
    const { header, claims } = parts(token)
    const keys = await (await fetch(`${issuer()}/.well-known/jwks.json`)).text()
    const head = encoded({ ...header, alg: 'HS256' })
    const mac = await new SignJWT(decodeJwt(token))
      .setProtectedHeader({ ...header, alg: 'HS256' })
      .sign(new TextEncoder().encode(keys.padEnd(32)))
    return `${head}.${claims}.${mac.split('.')[2]}`
  },
  'with EdDSA': (token) => forged(token, {}, 'EdDSA'),
  'with a signature over something else': (token) => {
    const { head, claims } = parts(token)
    const key: KeyObject = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
    const bytes = sign('sha256', Buffer.from('x'), { key, dsaEncoding: 'ieee-p1363' })
    return `${head}.${claims}.${base64url.encode(bytes)}`
  },
  'with another iss': (token) => forged(token, { iss: 'https://hallpass.example.com' }),
  'with an nbf that is yet to come': (token) => forged(token, { nbf: Math.floor(Date.now() / 1000) + 600 }),
  'with no exp': (token) => forged(token, { exp: undefined }),
})
