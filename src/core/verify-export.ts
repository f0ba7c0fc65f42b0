// An export of the log, and its verification with nothing but the log's public key: JSON lines, one record each, the signed
// checkpoint last. Of a part of the log the first line names the tree, and each record carries its proof. It holds one
// line at a time, and believes nothing that the checkpoint does not sign.
import { TextDecoder } from 'node:util'
import { canonicalJson, type Json } from './canonical.ts'
import { type VerifierKey, verifyCheckpoint } from './checkpoint.ts'
import { append, emptyFrontier, frontierRoot, type Hash, leafHash, verifyInclusion } from './merkle.ts'
import { mapConcealed, type Opened, opens } from './personal.ts'
import { rfc3339 } from './record.ts'
import { err, ok, type Result } from './result.ts'

/** A longer line is refused, unread. Bytes. */
const MAX_LINE_BYTES = 4 * 1024 * 1024
const HASH_BYTES = 32
/** A tree of 2^53 records is no deeper. */
const MOST_STEPS = 64

export type VerifiedExport = {
  readonly records: number
  /** Of a part: how many records the log has. What was left out of a part, nobody can tell from it. */
  readonly of?: number
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

/** The same, of a part: with the record's inclusion proof (RFC 9162 section 2.1.3.1) in the tree of {@link partLine}. */
export const provedLine = (index: number, bytes: Uint8Array, opened: Opened, proof: readonly Hash[]): string =>
  withProof(exportLine(index, bytes, opened), proof.map(base64))

/** The first line of an export of a part, without its newline: the tree that every record is proved in. */
export const partLine = ({ size, root }: Tree): string => `{"part":{"size":${size},"root":"${base64(root)}"}}`

/** The last line of an export, without its newline. */
export const checkpointLine = (note: string): string => `{"checkpoint":${JSON.stringify(note)}}`

const recordLine = (index: number, record: string, opened: string): string =>
  `{"index":${index},"record":${record},"opened":${opened}}`

const withProof = (line: string, proof: readonly string[]): string =>
  `${line.slice(0, -1)},"proof":${JSON.stringify(proof)}}`

type Tree = { readonly size: number; readonly root: Hash }

const base64 = (hash: Hash): string => Buffer.from(hash).toString('base64')

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
 *
 * Of a part: whether each record is in the log that the checkpoint signs, at its index, in order and once. That nothing
 * was left out is not said: only the whole log says that.
 */
export async function verifyExport(
  lines: AsyncIterable<string | Uint8Array> | Iterable<string | Uint8Array>,
  key: VerifierKey,
): Promise<Result<VerifiedExport, ExportFault>> {
  const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  let frontier = emptyFrontier
  let line = 0
  let part: { readonly tree: Tree; readonly records: number; readonly last: number } | undefined
  let verified: VerifiedExport | undefined
  for await (const read of lines) {
    line += 1
    const fault = (message: string) => err({ line, message })
    if (verified !== undefined) return fault('something follows the signed checkpoint')
    if (read.length > MAX_LINE_BYTES) return fault(`the line is longer than ${MAX_LINE_BYTES} bytes`)
    const parsed = parseLine(read, utf8)
    if (!parsed.ok) return fault(parsed.error)
    if (parsed.value.checkpoint !== undefined) {
      const tree = part?.tree ?? { size: frontier.size, root: frontierRoot(frontier) }
      const head = checkHead(parsed.value.checkpoint, tree, part?.records, key)
      if (!head.ok) return fault(head.error)
      verified = head.value
    } else if (line === 1 && parsed.value.members.part !== undefined) {
      const tree = parsePart(parsed.value)
      if (!tree.ok) return fault(tree.error)
      part = { tree: tree.value, records: 0, last: -1 }
    } else if (part !== undefined) {
      const proved = checkProved(parsed.value, part.tree, part.last)
      if (!proved.ok) return fault(proved.error)
      part = { tree: part.tree, records: part.records + 1, last: proved.value }
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

function parsePart({ text, members }: ParsedLine): Result<Tree, string> {
  const { part } = members
  const { size, root } = isObject(part) ? part : {}
  const tree = typeof size === 'number' && typeof root === 'string' ? { size, root: Buffer.from(root, 'base64') } : null
  return tree !== null && Number.isSafeInteger(tree.size) && tree.root.length === HASH_BYTES && partLine(tree) === text
    ? ok(tree)
    : err('the line that names the tree is not written as an export writes it')
}

/** The index of a record that its proof shows to be in the tree, after `last`. */
function checkProved({ text, members }: ParsedLine, tree: Tree, last: number): Result<number, string> {
  const { index, proof } = members
  if (typeof index !== 'number' || !Number.isSafeInteger(index) || index <= last || index >= tree.size)
    return err(`an index after ${last} and below ${tree.size} is expected here: a record was added, doubled or moved`)
  const hashes = Array.isArray(proof) && proof.length <= MOST_STEPS ? proof.map(hashOf) : null
  if (hashes === null || !hashes.every((hash) => hash !== null)) return err('the record has no inclusion proof')
  const ending = `,"proof":${JSON.stringify(proof)}}`
  if (!text.endsWith(ending)) return err('the record is not written in its canonical form')
  const { proof: _, ...rest } = members
  const leaf = checkRecord({ text: `${text.slice(0, -ending.length)}}`, members: rest }, index)
  if (!leaf.ok) return leaf
  return verifyInclusion({ index, ...tree, leaf: leaf.value }, hashes)
    ? ok(index)
    : err('the record is not in the log: it, its index or its proof was altered')
}

/** A hash in base64, in the one spelling that it has. */
function hashOf(text: Json): Hash | null {
  if (typeof text !== 'string') return null
  const hash = Buffer.from(text, 'base64')
  return hash.length === HASH_BYTES && base64(hash) === text ? hash : null
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

/** `records`: how many of a part; undefined is the whole log. */
function checkHead(
  note: string,
  here: Tree,
  records: number | undefined,
  key: VerifierKey,
): Result<VerifiedExport, string> {
  const head = verifyCheckpoint(note, key)
  if (!head.ok) return head
  const { origin, size, root, signedAt } = head.value
  if (size !== here.size) return err(`the checkpoint signs ${size} records, here are ${here.size}`)
  if (Buffer.compare(root, here.root) !== 0) {
    return err('the root is not the signed one: a record was altered, dropped, added or moved')
  }
  if (signedAt === null) return err('the checkpoint does not say when it was signed')
  const counted = records === undefined ? { records: size } : { records, of: size }
  return ok({ ...counted, root: Buffer.from(root).toString('hex'), signedAt: rfc3339(signedAt), origin })
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
