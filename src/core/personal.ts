// What may one day have to be erased: e-mails and free text. The log keeps a salted hash of it, the text lies beside.
// A text without its salt's hash in the log proves nothing, and a hash without its text reveals nothing.
import { hash } from 'node:crypto'
import type { Json } from './canonical.ts'

/** Longer texts are cut, and say so: a hostile caller must not be able to make a record impossible. Characters. */
const MAX_LENGTH = 8192
const SALT_BYTES = 16
const MARK = '$personal'

/** A text that {@link conceal} replaces by its salted hash. Made by {@link personal}. */
export class Personal {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

/** Texts beside the log, by their hash in it. Salts are 16 bytes, base64url. */
export type Opened = Readonly<Record<string, { readonly salt: string; readonly text: string }>>

/** Marks a text as personal: it enters the leaf as a salted hash. Lone surrogates and NUL become U+FFFD. */
export function personal(text: string): Personal {
  const kept = text.length > MAX_LENGTH ? `${text.slice(0, MAX_LENGTH)}… [cut from ${text.length}]` : text
  return new Personal(kept.toWellFormed().replaceAll('\0', '\uFFFD'))
}

/** base64url(SHA-256(salt ‖ text)). */
function hashOf(salt: Uint8Array, text: string): string {
  return hash('sha256', Buffer.concat([salt, Buffer.from(text)]), 'base64url')
}

/** Whether this text, with this salt, is what the log holds under this hash. */
export function opens(key: string, opening: { readonly salt: string; readonly text: string }): boolean {
  const salt = Buffer.from(opening.salt, 'base64url')
  return (
    salt.length === SALT_BYTES &&
    salt.toString('base64url') === opening.salt &&
    opening.text.isWellFormed() &&
    hashOf(salt, opening.text) === key
  )
}

/**
 * The value with each Personal replaced by `{"$personal": hash}`, and the texts by hash. The same text within one
 * value gets one hash, across values never. Properties that are undefined are left out.
 * Throws where the salt is not 16 bytes or where a plain value pretends to be personal.
 */
export function conceal(value: unknown, newSalt: () => Uint8Array): { value: Json; opened: Opened } {
  const opened: Record<string, { salt: string; text: string }> = {}
  const keyOf = new Map<string, string>()
  const hide = (text: string): Json => {
    let key = keyOf.get(text)
    if (key === undefined) {
      const salt = newSalt()
      if (salt.length !== SALT_BYTES) throw new TypeError(`a salt is ${SALT_BYTES} bytes`)
      key = hashOf(salt, text)
      keyOf.set(text, key)
      opened[key] = { salt: Buffer.from(salt).toString('base64url'), text }
    }
    return { [MARK]: key }
  }
  const walk = (part: unknown): Json => {
    if (part instanceof Personal) return hide(part.text)
    if (Array.isArray(part)) return part.map(walk)
    if (typeof part !== 'object' || part === null) return part as Json
    const out: Record<string, Json> = {}
    for (const [name, inner] of Object.entries(part)) {
      if (name === MARK || name === '__proto__') throw new TypeError(`a record cannot have a member ${name}`)
      if (inner !== undefined) out[name] = walk(inner)
    }
    return out
  }
  return { value: walk(value), opened }
}

/** The hash of a concealed text, or null where the value is not one. */
export function concealedKey(value: Json | undefined): string | null {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null
  const [entry, ...rest] = Object.entries(value)
  return entry?.[0] === MARK && rest.length === 0 && typeof entry[1] === 'string' ? entry[1] : null
}

/** The value with each concealed text replaced by what `show` makes of its hash. */
export function mapConcealed(value: Json, show: (key: string) => Json): Json {
  const key = concealedKey(value)
  if (key !== null) return show(key)
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map((item) => mapConcealed(item, show))
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, mapConcealed(inner, show)]))
}
