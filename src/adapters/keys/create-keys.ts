// New key pairs: ES256 for tokens, Ed25519 for the audit log. The private half leaves only sealed.

import { generateKeyPair, type KeyObject } from 'node:crypto'
import { promisify } from 'node:util'
import { calculateJwkThumbprint } from 'jose'
import type { Keys } from '../../actions/rotate-keys.ts'
import { sealKey } from './seal.ts'

const generate = promisify(generateKeyPair)

/** Keys whose id is the RFC 7638 thumbprint of the public one. */
export const createKeys = (kek: KeyObject): Keys => ({
  async create(use) {
    const { publicKey, privateKey } =
      use === 'tokens' ? await generate('ec', { namedCurve: 'P-256' }) : await generate('ed25519')
    const publicJwk = publicMembers(publicKey)
    const id = await calculateJwkThumbprint(publicJwk)
    const alg = use === 'tokens' ? 'ES256' : 'Ed25519'
    return { id, use, alg, publicJwk, sealed: sealKey(privateKey, kek, { id, use }) }
  },
})

function publicMembers(publicKey: KeyObject): Record<string, string> {
  const { kty, crv, x, y } = publicKey.export({ format: 'jwk' })
  if (kty === undefined || crv === undefined || x === undefined) throw new Error('a key without public members')
  return { kty, crv, x, ...(y === undefined ? {} : { y }) }
}
