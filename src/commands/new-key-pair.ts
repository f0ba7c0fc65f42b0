// A key pair for an agent. The private half is returned and kept nowhere.

import { createPublicKey, generateKeyPairSync } from 'node:crypto'

/** ES256, PKCS#8 and SPKI in PEM. */
export function newKeyPair(): { readonly privatePem: string; readonly publicPem: string } {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return {
    privatePem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    publicPem: createPublicKey(privateKey).export({ type: 'spki', format: 'pem' }).toString(),
  }
}
