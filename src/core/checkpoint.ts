// What the log's own key signs: a tree head as a C2SP tlog-checkpoint inside a C2SP signed note, Ed25519 alone.
// Nothing of a note is believed before its signature is checked, except by parseCheckpoint, which says so.
import { createPublicKey, hash, type KeyObject, sign, verify } from 'node:crypto'
import { err, ok, type Result } from './result.ts'

export type Checkpoint = {
  /** Which log this is the head of. */
  readonly origin: string
  readonly size: number
  /** 32 bytes. */
  readonly root: Uint8Array
  /** Milliseconds since the epoch, from a signed extension line `time <RFC 3339>`; null where there is none. */
  readonly signedAt: number | null
  /** Further extension lines, opaque. */
  readonly extensions: readonly string[]
}

/** A public key and the name it signs under, as the file `hallpass.pub` carries it. */
export type VerifierKey = { readonly name: string; readonly id: string; readonly publicKey: KeyObject }

/** Room for 16 post-quantum signatures (signed-note, "Format"). */
const MAX_NOTE_LENGTH = 128 * 1024
const MAX_SIGNATURES = 100
const MAX_LINE_LENGTH = 1024
const MAX_EXTENSIONS = 16

const ED25519 = 1
const TIME_LINE = /^time (\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z)$/

/** signed-note, "Format": not empty, no Unicode space, no plus. */
const isKeyName = (name: string): boolean => /^[^\s+\x00-\x1f\x85]{1,255}$/u.test(name) && name.isWellFormed()

/** The name a public key goes by beside its own: SHA-256(name ‖ 0A ‖ 01 ‖ key), its first 4 bytes, hex. */
function keyIdOf(name: string, rawPublicKey: Uint8Array): string {
  return hash('sha256', Buffer.concat([Buffer.from(`${name}\n`), Buffer.of(ED25519), rawPublicKey])).slice(0, 8)
}

function rawPublicKeyOf(publicKey: KeyObject): Uint8Array {
  const { crv, x } = publicKey.export({ format: 'jwk' })
  if (crv !== 'Ed25519' || x === undefined) throw new TypeError('a checkpoint key must be Ed25519')
  return Buffer.from(x, 'base64url')
}

/** The text form of a verifier key, `name+id+base64(01 ‖ key)`, without a newline. Throws where it is not Ed25519. */
export function encodeVerifierKey(name: string, publicKey: KeyObject): string {
  if (!isKeyName(name)) throw new TypeError(`${JSON.stringify(name)} cannot name a key`)
  const raw = rawPublicKeyOf(publicKey)
  return `${name}+${keyIdOf(name, raw)}+${Buffer.concat([Buffer.of(ED25519), raw]).toString('base64')}`
}

/** Reads what {@link encodeVerifierKey} wrote, with or without one newline after it. The error is a sentence. */
export function parseVerifierKey(text: string): Result<VerifierKey, string> {
  const [, name, id, encoded] =
    /^([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]{1,64})$/.exec(text.replace(/\r?\n$/, '')) ?? []
  if (name === undefined || id === undefined || encoded === undefined || !isKeyName(name)) {
    return err('not a verifier key: it must be one line, name+id+key')
  }
  const bytes = strictBase64(encoded)
  if (bytes?.length !== 33 || bytes[0] !== ED25519) return err('not an Ed25519 verifier key')
  const raw = bytes.subarray(1)
  if (keyIdOf(name, raw) !== id) return err('the verifier key does not match its own id: it was altered')
  const x = Buffer.from(raw).toString('base64url')
  return ok({ name, id, publicKey: createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' }) })
}

/** Signs a text that ends in a newline. Ed25519 is deterministic: the same text and key make the same note. */
export function signNote(text: string, keyName: string, privateKey: KeyObject): string {
  if (!isNoteText(text) || !isKeyName(keyName)) throw new TypeError('not a text or a key name that a note can carry')
  const id = keyIdOf(keyName, rawPublicKeyOf(createPublicKey(privateKey)))
  const signature = Buffer.concat([Buffer.from(id, 'hex'), sign(null, Buffer.from(text), privateKey)])
  return `${text}\n\u2014 ${keyName} ${signature.toString('base64')}\n`
}

/** The text of a note that this key signed; signatures of other keys are passed over. The error is a sentence. */
export function openNote(note: string, key: VerifierKey): Result<string, string> {
  const parts = splitNote(note)
  if (!parts.ok) return parts
  const { text, signatures } = parts.value
  const ours = signatures.filter(({ name, id }) => name === key.name && id === key.id)
  if (ours.length === 0) return err(`the checkpoint is not signed by ${key.name}+${key.id}`)
  const signed = Buffer.from(text)
  if (!ours.every(({ bytes }) => verify(null, signed, key.publicKey, bytes))) {
    return err(`the checkpoint's signature by ${key.name}+${key.id} is wrong`)
  }
  return ok(text)
}

/** A signed checkpoint; `signedAt` becomes the first extension line. Throws on what a checkpoint cannot carry. */
export function signCheckpoint(
  head: Pick<Checkpoint, 'origin' | 'size' | 'root'> & Partial<Checkpoint>,
  keyName: string,
  privateKey: KeyObject,
): string {
  const time = head.signedAt == null ? [] : [`time ${new Date(head.signedAt).toISOString()}`]
  const root = Buffer.from(head.root).toString('base64')
  const lines = [head.origin, String(head.size), root, ...time, ...(head.extensions ?? [])]
  const text = `${lines.join('\n')}\n`
  const body = parseBody(text)
  if (!body.ok) throw new TypeError(body.error)
  return signNote(text, keyName, privateKey)
}

/** Reads a checkpoint WITHOUT checking who signed it: for showing, never for believing. */
export function parseCheckpoint(note: string): Result<Checkpoint, string> {
  const parts = splitNote(note)
  return parts.ok ? parseBody(parts.value.text) : parts
}

/** The checkpoint of a note that this key signed. The error is a sentence for whoever verifies. */
export function verifyCheckpoint(note: string, key: VerifierKey): Result<Checkpoint, string> {
  const text = openNote(note, key)
  return text.ok ? parseBody(text.value) : text
}

/** tlog-checkpoint, "Note text". */
function parseBody(text: string): Result<Checkpoint, string> {
  if (!isNoteText(text)) return err('the checkpoint is not a text')
  const lines = text.slice(0, -1).split('\n')
  const [origin, size, root, ...extensions] = lines
  if (origin === undefined || size === undefined || root === undefined) return err('the checkpoint is cut short')
  if (lines.some((line) => line === '' || line.length > MAX_LINE_LENGTH) || extensions.length > MAX_EXTENSIONS) {
    return err('the checkpoint has an empty line, an overlong one, or too many')
  }
  if (!/^(0|[1-9]\d{0,15})$/.test(size) || !Number.isSafeInteger(Number(size))) return err('the size is not a number')
  const rootBytes = strictBase64(root)
  if (rootBytes?.length !== 32) return err('the root is not a hash')
  const time = extensions[0]?.startsWith('time ') ? extensions.shift() : undefined
  const signedAt = time === undefined ? null : Date.parse(TIME_LINE.exec(time)?.[1] ?? '')
  if (Number.isNaN(signedAt) || extensions.some((line) => line.startsWith('time '))) {
    return err('the signing time is malformed')
  }
  return ok({ origin, size: Number(size), root: rootBytes, signedAt, extensions })
}

type Signature = { readonly name: string; readonly id: string; readonly bytes: Uint8Array }

/** signed-note, "Format". The last empty line parts the text from the signatures. */
function splitNote(note: string): Result<{ text: string; signatures: Signature[] }, string> {
  if (note.length > MAX_NOTE_LENGTH) return err('the note is too long')
  const end = note.lastIndexOf('\n\n') + 1
  const text = note.slice(0, end)
  if (!isNoteText(text) || !note.endsWith('\n')) return err('not a signed note')
  const lines = note.slice(end + 1, -1).split('\n')
  if (lines.length > MAX_SIGNATURES) return err('the note has too many signatures')
  const signatures: Signature[] = []
  for (const line of lines) {
    const [, name, encoded] = /^\u2014 ([^ ]+) ([A-Za-z0-9+/=]+)$/.exec(line) ?? []
    const bytes = strictBase64(encoded ?? '')
    if (name === undefined || !isKeyName(name) || bytes === null || bytes.length < 5) {
      return err('the note has a malformed signature line')
    }
    signatures.push({ name, id: Buffer.from(bytes.subarray(0, 4)).toString('hex'), bytes: bytes.subarray(4) })
  }
  return ok({ text, signatures })
}

const isNoteText = (text: string): boolean =>
  text.length > 1 && text.endsWith('\n') && text.isWellFormed() && !/[\x00-\x09\x0b-\x1f]/.test(text)

/** RFC 4648 section 4, with padding, and only the one spelling of each value. */
function strictBase64(text: string): Uint8Array | null {
  const bytes = Buffer.from(text, 'base64')
  return bytes.toString('base64') === text ? bytes : null
}
