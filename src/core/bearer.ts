// The text of a bearer secret (S10): a prefix that says its kind, 256 random bits, a checksum that catches a slip of
// the hand. Only its hash is ever stored.

import { hash } from 'node:crypto'
import type { BearerKind } from './model.ts'
import { Secret } from './secret.ts'

export const BEARER_PREFIX: Readonly<Record<BearerKind, string>> = {
  owner: 'hp_owner_',
  admin: 'hp_admin_',
  auditor: 'hp_audit_',
  publisher: 'hp_pub_',
  verifier: 'hp_verify_',
}

/** Random bytes that one bearer takes. */
export const BEARER_ENTROPY_BYTES = 32

const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const BODY_LENGTH = 43
const CHECKSUM_LENGTH = 6
const SHAPE = /^(hp_(?:owner|admin|audit|pub|verify)_)([0-9A-Za-z]{43})([0-9A-Za-z]{6})$/

/** Anything that looks like a bearer of ours, for redaction and for scanners. */
export const BEARER_PATTERN = /hp_(?:owner|admin|audit|pub|verify)_[0-9A-Za-z]{20,}/g

/** A new bearer from 32 random bytes; throws on any other amount. */
export function formatBearer(kind: BearerKind, entropy: Uint8Array): Secret {
  if (entropy.length !== BEARER_ENTROPY_BYTES) throw new RangeError('a bearer takes 32 random bytes')
  const start = BEARER_PREFIX[kind] + base62(entropy, BODY_LENGTH)
  return new Secret(start + checksum(start))
}

export type ParsedBearer = { readonly kind: BearerKind; readonly hash: string }

/** The kind that a text claims and the hash to look it up by; null where it cannot be a bearer of ours. */
export function parseBearer(text: string): ParsedBearer | null {
  const [, prefix, body, sum] = SHAPE.exec(text) ?? []
  return prefix !== undefined && body !== undefined && sum === checksum(prefix + body) ? shapedBearer(text) : null
}

/** The same without the checksum: what is found by its hash is what was issued, whole, and needs no second hash. */
export function shapedBearer(text: string): ParsedBearer | null {
  const kind = KIND_OF.get(SHAPE.exec(text)?.[1] ?? '')
  return kind === undefined ? null : { kind, hash: bearerHash(text) }
}

/** SHA-256, hex. No salt: 256 random bits need none, and the hash is what it is found by. */
export const bearerHash = (text: string): string => hash('sha256', text)

const KIND_OF = new Map(Object.entries(BEARER_PREFIX).map(([kind, prefix]) => [prefix, kind as BearerKind]))

/** The first four bytes of its SHA-256: small enough to count without a bigint. */
function checksum(start: string): string {
  let rest = Number.parseInt(hash('sha256', start).slice(0, 8), 16)
  let text = ''
  while (text.length < CHECKSUM_LENGTH) {
    text = ALPHABET.charAt(rest % 62) + text
    rest = Math.floor(rest / 62)
  }
  return text
}

function base62(bytes: Uint8Array, length: number): string {
  let rest = bytes.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n)
  let text = ''
  while (text.length < length) {
    text = ALPHABET.charAt(Number(rest % 62n)) + text
    rest /= 62n
  }
  return text
}
