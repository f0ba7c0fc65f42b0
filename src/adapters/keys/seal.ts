// Private keys and tools' secrets at rest: AES-256-GCM under the KEK, bound to the row and the use they were sealed for
// (S19). What was sealed for one row opens in no other.

import { createCipheriv, createDecipheriv, createPrivateKey, type KeyObject, randomBytes } from 'node:crypto'
import type { SigningKey } from '../../core/model.ts'

type Place = Pick<SigningKey, 'id' | 'use'>

const VERSION = 1
const IV_BYTES = 12
const TAG_BYTES = 16
const HEAD_BYTES = 1 + IV_BYTES + TAG_BYTES

const boundTo = ({ id, use }: Place) => Buffer.from(`hallpass key ${VERSION}\n${use}\n${id}`, 'utf8')

/** Base64 of version ‖ IV ‖ tag ‖ ciphertext, bound to a text that must be given again to open it. A fresh random IV each time. */
export function sealBytes(plain: Buffer, kek: KeyObject, bound: Buffer): string {
  const iv = randomBytes(IV_BYTES)
  const cipher = createCipheriv('aes-256-gcm', kek, iv, { authTagLength: TAG_BYTES }).setAAD(bound)
  const sealed = Buffer.concat([cipher.update(plain), cipher.final()])
  plain.fill(0)
  return Buffer.concat([Buffer.of(VERSION), iv, cipher.getAuthTag(), sealed]).toString('base64')
}

/** What was sealed; null when this KEK or text is not what it was sealed with, or when a bit of it moved. */
export function openBytes(sealed: string, kek: KeyObject, bound: Buffer): Buffer | null {
  const bytes = Buffer.from(sealed, 'base64')
  if (bytes.length <= HEAD_BYTES || bytes[0] !== VERSION) return null
  const decipher = createDecipheriv('aes-256-gcm', kek, bytes.subarray(1, 1 + IV_BYTES), { authTagLength: TAG_BYTES })
    .setAAD(bound)
    .setAuthTag(bytes.subarray(1 + IV_BYTES, HEAD_BYTES))
  const plain = decipher.update(bytes.subarray(HEAD_BYTES))
  try {
    decipher.final()
  } catch {
    return null
  }
  return plain
}

/** The PKCS#8 key, sealed. */
export const sealKey = (privateKey: KeyObject, kek: KeyObject, place: Place): string =>
  sealBytes(privateKey.export({ type: 'pkcs8', format: 'der' }), kek, boundTo(place))

/** The private key; null as in {@link openBytes}. */
export function openKey(sealed: string, kek: KeyObject, place: Place): KeyObject | null {
  const plain = openBytes(sealed, kek, boundTo(place))
  if (plain === null) return null
  const key = createPrivateKey({ key: plain, type: 'pkcs8', format: 'der' })
  plain.fill(0)
  return key
}
