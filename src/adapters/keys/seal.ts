// Private keys at rest: AES-256-GCM under the KEK, bound to the row and the use they were sealed for (S19). What was
// sealed for one row opens in no other.

import { createCipheriv, createDecipheriv, createPrivateKey, type KeyObject, randomBytes } from 'node:crypto'
import type { SigningKey } from '../../core/model.ts'

type Place = Pick<SigningKey, 'id' | 'use'>

const VERSION = 1
const IV_BYTES = 12
const TAG_BYTES = 16
const HEAD_BYTES = 1 + IV_BYTES + TAG_BYTES

const boundTo = ({ id, use }: Place) => Buffer.from(`hallpass key ${VERSION}\n${use}\n${id}`, 'utf8')

/** Base64 of version ‖ IV ‖ tag ‖ ciphertext of the PKCS#8 key. A fresh random IV each time. */
export function sealKey(privateKey: KeyObject, kek: KeyObject, place: Place): string {
  const iv = randomBytes(IV_BYTES)
  const cipher = createCipheriv('aes-256-gcm', kek, iv, { authTagLength: TAG_BYTES }).setAAD(boundTo(place))
  const plain = privateKey.export({ type: 'pkcs8', format: 'der' })
  const sealed = Buffer.concat([cipher.update(plain), cipher.final()])
  plain.fill(0)
  return Buffer.concat([Buffer.of(VERSION), iv, cipher.getAuthTag(), sealed]).toString('base64')
}

/** The private key; null when this KEK, row or use is not what it was sealed with, or when a bit of it moved. */
export function openKey(sealed: string, kek: KeyObject, place: Place): KeyObject | null {
  const bytes = Buffer.from(sealed, 'base64')
  if (bytes.length <= HEAD_BYTES || bytes[0] !== VERSION) return null
  const decipher = createDecipheriv('aes-256-gcm', kek, bytes.subarray(1, 1 + IV_BYTES), { authTagLength: TAG_BYTES })
    .setAAD(boundTo(place))
    .setAuthTag(bytes.subarray(1 + IV_BYTES, HEAD_BYTES))
  const plain = decipher.update(bytes.subarray(HEAD_BYTES))
  try {
    decipher.final()
  } catch {
    return null
  }
  const key = createPrivateKey({ key: plain, type: 'pkcs8', format: 'der' })
  plain.fill(0)
  return key
}
