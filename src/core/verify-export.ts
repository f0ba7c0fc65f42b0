// An export of the whole log, and its verification with nothing but the log's public key: JSON lines, one record each,
// the signed checkpoint last. It holds one line at a time, and believes nothing that the checkpoint does not sign.
import { TextDecoder } from 'node:util'
import { canonicalJson, type Json } from './canonical.ts'
import { type VerifierKey, verifyCheckpoint } from './checkpoint.ts'
import { append, emptyFrontier, type Frontier, frontierRoot, leafHash } from './merkle.ts'
import { mapConcealed, type Opened, opens } from './personal.ts'
import { rfc3339 } from './record.ts'
import { err, ok, type Result } from './result.ts'

/** A longer line is refused, unread. Bytes. */
const MAX_LINE_BYTES = 4 * 1024 * 1024

export type VerifiedExport = {
  readonly records: number
  /** Lower-case hex. */
  readonly root: string
  /** RFC 3339. */
  readonly signedAt: string
  readonly origin: string
}

/** What is wrong and at which line, counted from 1. */
export type ExportFault = { readonly line: number; readonly message: string }

/** The line of an export for one record, without its newline. `bytes` are the record's canonical bytes. */
export function exportLine(index: number, bytes: Uint8Array, opened: Opened): string {
  return recordLine(index, Buffer.from(bytes).toString('utf8'), canonicalJson(opened))
}

/** The last line of an export, without its newline. */
export const checkpointLine = (note: string): string => `{"checkpoint":${JSON.stringify(note)}}`

const recordLine = (index: number, record: string, opened: string): string =>
  `{"index":${index},"record":${record},"opened":${opened}}`

/**
 * Cuts a file's bytes at its newlines, and at nothing else. The bytes stay undecoded for {@link verifyExport}; a line
 * beyond the limit is handed over cut just past it, as the last one, so that memory stays bounded.
 */
export async function* exportLines(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  let pieces: Uint8Array[] = []
  let length = 0
  for await (const chunk of chunks) {
    let start = 0
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
      yield Buffer.concat([...pieces, chunk.subarray(start, end)])
      start = end + 1
      pieces = []
      length = 0
    }
    pieces.push(chunk.subarray(start))
    length += chunk.length - start
    if (length > MAX_LINE_BYTES) break
  }
  if (length > 0) yield Buffer.concat(pieces).subarray(0, MAX_LINE_BYTES + 1)
}

/**
 * Whether this is the whole log that the checkpoint signs: every record's own bytes, dense indexes, no text that the
 * log holds no hash of, the root, the signature. A record that was altered, dropped, moved or added is found. A personal
 * text may be missing: that is what erasing leaves. Lines come without newlines; bytes must be UTF-8.
 */
export async function verifyExport(
  lines: AsyncIterable<string | Uint8Array> | Iterable<string | Uint8Array>,
  key: VerifierKey,
): Promise<Result<VerifiedExport, ExportFault>> {
  const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  let frontier = emptyFrontier
  let line = 0
  let verified: VerifiedExport | undefined
  for await (const read of lines) {
    line += 1
    const fault = (message: string) => err({ line, message })
    if (verified !== undefined) return fault('something follows the signed checkpoint')
    if (read.length > MAX_LINE_BYTES) return fault(`the line is longer than ${MAX_LINE_BYTES} bytes`)
    const parsed = parseLine(read, utf8)
    if (!parsed.ok) return fault(parsed.error)
    if (parsed.value.checkpoint !== undefined) {
      const head = checkHead(parsed.value.checkpoint, frontier, key)
      if (!head.ok) return fault(head.error)
      verified = head.value
    } else {
      const leaf = checkRecord(parsed.value, frontier.size)
      if (!leaf.ok) return fault(leaf.error)
      frontier = append(frontier, leaf.value)
    }
  }
  if (verified === undefined)
    return err({ line: line + 1, message: 'the signed checkpoint is missing: it was cut short' })
  return ok(verified)
}

type ParsedLine = {
  readonly text: string
  readonly checkpoint?: string
  readonly members: Readonly<Record<string, Json>>
}

function parseLine(read: string | Uint8Array, utf8: TextDecoder): Result<ParsedLine, string> {
  let text: string
  let value: Json
  try {
    text = typeof read === 'string' ? read : utf8.decode(read)
    value = JSON.parse(text)
  } catch {
    return err('the line is not JSON in UTF-8')
  }
  if (!isObject(value)) return err('the line is neither a record nor a checkpoint')
  const { checkpoint } = value
  if (checkpoint === undefined) return ok({ text, members: value })
  if (typeof checkpoint !== 'string' || checkpointLine(checkpoint) !== text) {
    return err('the checkpoint is not written as an export writes it')
  }
  return ok({ text, checkpoint, members: value })
}

/** The leaf of a record line. Rebuilding the line and comparing also finds doubled keys, blanks and other spellings. */
function checkRecord({ text, members }: ParsedLine, index: number): Result<Uint8Array, string> {
  const { record, opened } = members
  if (!isObject(record) || !isObject(opened)) return err('the line is neither a record nor a checkpoint')
  if (members.index !== index) return err(`index ${index} is expected here: a record was dropped, added or moved`)
  const canonical = canonicalOf(record)
  const canonicalOpened = canonicalOf(opened)
  if (canonical === null || canonicalOpened === null || recordLine(index, canonical, canonicalOpened) !== text) {
    return err('the record is not written in its canonical form')
  }
  const known = new Set<string>()
  mapConcealed(record, (key) => {
    known.add(key)
    return null
  })
  for (const [key, opening] of Object.entries(opened)) {
    if (!known.has(key) || !isOpening(opening) || !opens(key, opening)) {
      return err('a personal text is not the one that the log holds the hash of')
    }
  }
  return ok(leafHash(Buffer.from(canonical)))
}

function checkHead(note: string, frontier: Frontier, key: VerifierKey): Result<VerifiedExport, string> {
  const head = verifyCheckpoint(note, key)
  if (!head.ok) return head
  const { origin, size, root, signedAt } = head.value
  if (size !== frontier.size) return err(`the checkpoint signs ${size} records, here are ${frontier.size}`)
  if (Buffer.compare(root, frontierRoot(frontier)) !== 0) {
    return err('the root is not the signed one: a record was altered, dropped, added or moved')
  }
  if (signedAt === null) return err('the checkpoint does not say when it was signed')
  return ok({ records: size, root: Buffer.from(root).toString('hex'), signedAt: rfc3339(signedAt), origin })
}

function canonicalOf(value: Json): string | null {
  try {
    return canonicalJson(value)
  } catch {
    // Lone surrogates and bottomless nesting: hostile input, which has no canonical form.
    return null
  }
}

const isObject = (value: Json | undefined): value is { readonly [key: string]: Json } =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isOpening = (value: Json): value is { readonly salt: string; readonly text: string } =>
  isObject(value) && Object.keys(value).length === 2 && typeof value.salt === 'string' && typeof value.text === 'string'
