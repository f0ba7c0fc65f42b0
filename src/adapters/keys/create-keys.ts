// New key pairs: ES256 or RS256 for tokens, Ed25519 for the audit log. The private half leaves only sealed.

import { generateKeyPair, type KeyObject } from 'node:crypto'
import { promisify } from 'node:util'
import { calculateJwkThumbprint } from 'jose'
import type { Keys } from '../../actions/ports.ts'
import type { SigningKey } from '../../core/model.ts'
import { sealKey } from './seal.ts'

/** What an RS256 token is signed with: the least that RFC 7518 section 3.3 allows. */
const RSA_BITS = 2048

const generate = promisify(generateKeyPair)

/** Keys whose id is the RFC 7638 thumbprint of the public one. */
export const createKeys = (kek: KeyObject): Keys => ({
  async create(use, tokenAlg = 'ES256') {
    const alg = use === 'tokens' ? tokenAlg : 'Ed25519'
    const { publicKey, privateKey } = await pairOf(alg)
    const publicJwk = publicMembers(publicKey)
    const id = await calculateJwkThumbprint(publicJwk)
    return { id, use, alg, publicJwk, sealed: sealKey(privateKey, kek, { id, use }) }
  },
})

/** In the thread pool: an RSA key takes a while. */
function pairOf(alg: SigningKey['alg']) {
  switch (alg) {
    case 'ES256':
      return generate('ec', { namedCurve: 'P-256' })
    case 'RS256':
      return generate('rsa', { modulusLength: RSA_BITS, publicExponent: 0x10001 })
    case 'Ed25519':
      return generate('ed25519')
  }
}

function publicMembers(publicKey: KeyObject): Record<string, string> {
  const { kty, crv, x, y, n, e } = publicKey.export({ format: 'jwk' })
  if (kty === 'RSA' && n !== undefined && e !== undefined) return { kty, n, e }
  if (kty === undefined || crv === undefined || x === undefined) throw new Error('a key without public members')
  return { kty, crv, x, ...(y === undefined ? {} : { y }) }
}
