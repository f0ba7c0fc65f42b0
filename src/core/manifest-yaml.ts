// Bytes to YAML documents whose every value remembers its place. YAML is read as plain data: no anchors, aliases,
// tags, directives or merge keys, so that what a reviewer reads is what is meant, and nothing can be blown up.

import type { Node, YAMLParseError } from 'yaml'
import { Composer, CST, isMap, isScalar, isSeq, Lexer, Parser } from 'yaml'
import type { Source } from './manifest.ts'
import type { Faults } from './manifest-faults.ts'
import { printable, quoted, UNPRINTABLE } from './manifest-faults.ts'
import { decode, isFit, places } from './manifest-text.ts'

const MAX_DOCUMENTS = 1000
const MAX_TOKENS = 200_000
const MAX_DEPTH = 20
const MAX_ITEMS = 1000
const MAX_STRING = 1000

export type Path = readonly PropertyKey[]

export type YamlDocument = {
  readonly file: string
  /** Plain objects, arrays and strings (under `jwks` booleans and numbers too). Null where there was a fault. */
  readonly value: unknown
  /** Where the value at that path is; where it is missing, its nearest parent. */
  readonly place: (path: Path) => Source
  /** Where the key at that path is. */
  readonly keyPlace: (path: Path) => Source
  /** Whether the value at that path was found faulty already. */
  readonly faulty: (path: Path) => boolean
}

/** Documents of one file; `complete` is false where a part could not be read and names may be missing. */
export type YamlFile = { readonly documents: readonly YamlDocument[]; readonly complete: boolean }

const NOTHING: YamlFile = { documents: [], complete: false }

const REFUSED: Readonly<Record<string, string>> = {
  alias: 'aliases (*name) are not read in a manifest: write the value out where it is meant',
  anchor: 'anchors (&name) are not read in a manifest: write the value out where it is meant',
  tag: 'tags (!…) are not read in a manifest: remove it',
  'directive-line': 'YAML directives (%…) are not read in a manifest: remove the line',
}

const DATE = /^\d{4}-\d{1,2}-\d{1,2}(?:[Tt ].*)?$/
const DURATION_FIELDS = new Set(['grantFor', 'tokenTtl', 'maxTtl', 'leeway'])

/** The stream's syntax tree, or null after a fault. Stops at the first sign of a bomb, before anything recurses. */
const readTokens = (text: string, at: (offset: number) => Source, faults: Faults): CST.Token[] | null => {
  const parser = new Parser()
  const tokens: CST.Token[] = []
  let count = 0
  const refused = new Set<string>()
  let inScalar = false
  for (const lexeme of new Lexer().lex(text)) {
    const offset = parser.offset
    const type: string | null = inScalar ? 'scalar' : CST.tokenType(lexeme)
    inScalar = type === 'scalar' && !inScalar
    const why = type === null ? undefined : REFUSED[type]
    if (why !== undefined && !refused.has(why)) {
      refused.add(why)
      faults.add(at(offset), why)
    }
    for (const token of parser.next(lexeme)) tokens.push(token)
    if (++count > MAX_TOKENS) {
      faults.add(at(offset), `the file has more than ${MAX_TOKENS} parts: split it`)
      return null
    }
    if (parser.stack.length > MAX_DEPTH) {
      faults.add(at(offset), `nested more than ${MAX_DEPTH} levels deep: no field of a manifest is`)
      return null
    }
  }
  for (const token of parser.end()) tokens.push(token)
  return refused.size > 0 ? null : tokens
}

const startOf = (node: unknown): number | null =>
  (isMap(node) || isSeq(node) || isScalar(node)) && node.range ? node.range[0] : null

const isEmpty = (node: unknown): boolean =>
  node === null || node === undefined || (isScalar(node) && (!node.range || node.range[0] === node.range[1]))

/** Where the key and the value at a path begin; of the deepest parent that is there, where the path ends early. */
const find = (root: unknown, path: Path): { key: number; value: number } => {
  let node = root
  let found = { key: startOf(root) ?? 0, value: startOf(root) ?? 0 }
  for (const segment of path) {
    let key: number | null = null
    let next: unknown = null
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === segment)
      key = pair ? startOf(pair.key) : null
      next = pair?.value
    } else if (isSeq(node) && typeof segment === 'number') {
      next = node.items[segment]
      key = startOf(next)
    }
    if (key === null) return { key: found.key, value: found.key }
    node = next
    found = { key, value: isEmpty(next) ? key : (startOf(next) ?? key) }
  }
  return found
}

/** One name for the last thing on a path, for messages: `"owners"`, or `item 2 of "owners"`. */
export const fieldOf = (path: Path): string => {
  const last = path.at(-1)
  if (last === undefined) return 'the document'
  return typeof last === 'number' ? `item ${last + 1} of ${fieldOf(path.slice(0, -1))}` : quoted(String(last))
}

type Reading = {
  readonly at: (offset: number) => Source
  readonly faults: Faults
  readonly faulty: Set<string>
  readonly scalars: Scalars
}

const pathId = (path: Path): string => JSON.stringify(path)

/** A scalar as the string it must be; numbers, booleans, dates and nothing at all are faults that say what to write. */
const plainScalar = (node: unknown, path: Path, place: number, reading: Reading): unknown => {
  const fault = (message: string): null => {
    reading.faults.add(reading.at(place), message)
    reading.faulty.add(pathId(path))
    return null
  }
  if (isEmpty(node) || !isScalar(node)) return fault(`${fieldOf(path)} is empty: write a value, or remove the line`)
  const { value } = node
  const written = typeof node.source === 'string' ? node.source : String(value)
  if (typeof value === 'string') {
    if (node.type === 'PLAIN' && DATE.test(value)) {
      return fault(
        `${fieldOf(path)} must be a string, and other readers make a date of it: quote it, ${quoted(written)}`,
      )
    }
    if (UNPRINTABLE.test(value)) return fault(`${fieldOf(path)} holds an invisible or control character: remove it`)
    if (!value.isWellFormed()) return fault(`${fieldOf(path)} holds half a character (a lone surrogate): remove it`)
    if (value.length > MAX_STRING) return fault(`${fieldOf(path)} is longer than ${MAX_STRING} characters: shorten it`)
    return value
  }
  if (reading.scalars === 'data' || path.includes('jwks')) return value
  if (value === null)
    return fault(`${fieldOf(path)} is empty (${printable(written)}): write a value, or remove the line`)
  if (DURATION_FIELDS.has(String(path.at(-1))) && typeof value === 'number') {
    return fault(`${fieldOf(path)} needs a unit, s, m, h or d: write ${printable(written)}s for seconds`)
  }
  const kind = typeof value === 'number' ? 'a number' : `a ${typeof value}`
  return fault(
    `${fieldOf(path)} must be a string, and ${printable(written)} unquoted is ${kind}: quote it, ${quoted(written)}`,
  )
}

/** The key of a pair, or null after a fault. */
const plainKey = (key: unknown, path: Path, seen: ReadonlyMap<string, number>, place: number, reading: Reading) => {
  const fault = (message: string): null => {
    reading.faults.add(reading.at(startOf(key) ?? place), message)
    return null
  }
  if (!isScalar(key)) return fault('a key must be a plain word, not a list or a mapping')
  const written = typeof key.source === 'string' ? key.source : String(key.value)
  if (typeof key.value !== 'string') {
    return fault(`a key must be a string, and ${quoted(written)} unquoted is not: quote it`)
  }
  if (key.value === '<<') return fault('merge keys (<<) are not read in a manifest: write the fields out')
  if (key.value in Object.prototype || key.value === 'prototype') {
    return fault(`the key ${quoted(key.value)} is not allowed anywhere: choose another name`)
  }
  if (UNPRINTABLE.test(key.value) || !key.value.isWellFormed())
    return fault('a key holds an invisible character: remove it')
  if (key.value.length > 256) return fault('a key is longer than 256 characters')
  const first = seen.get(key.value)
  if (first !== undefined) {
    const message = `the key ${quoted(key.value)} is there twice; it was first written on line ${reading.at(first).line}`
    reading.faulty.add(pathId([...path, key.value]))
    return fault(message)
  }
  return key.value
}

/** A node as plain data. Depth was bounded while the tokens were read. */
const plain = (node: unknown, path: Path, place: number, reading: Reading): unknown => {
  if (!isMap(node) && !isSeq(node))
    return plainScalar(node, path, startOf(node) !== null && !isEmpty(node) ? startOf(node)! : place, reading)
  const start = startOf(node) ?? place
  if (node.items.length > MAX_ITEMS) {
    reading.faults.add(reading.at(start), `${fieldOf(path)} has more than ${MAX_ITEMS} entries`)
    reading.faulty.add(pathId(path))
    return null
  }
  if (isSeq(node))
    return node.items.map((item, index) => plain(item, [...path, index], startOf(item) ?? start, reading))
  const seen = new Map<string, number>()
  const entries: [string, unknown][] = []
  for (const pair of node.items) {
    const key = plainKey(pair.key, path, seen, start, reading)
    if (key === null) continue
    const keyStart = startOf(pair.key) ?? start
    seen.set(key, keyStart)
    entries.push([key, plain(pair.value, [...path, key], keyStart, reading)])
  }
  return Object.fromEntries(entries)
}

const SYNTAX: Readonly<Record<string, string>> = {
  TAB_AS_INDENT: 'a tab is used for indentation: use spaces',
  BLOCK_AS_IMPLICIT_KEY: 'a second "key:" in one value: is a line indented too far, or is the value in need of quotes?',
  MULTILINE_IMPLICIT_KEY: 'a key runs over several lines: is a colon missing?',
  IMPOSSIBLE: 'this does not fit here: each line of a mapping is a key with its value',
  BAD_INDENT: 'the indentation does not fit the lines around it',
}

/** The first syntax error of a document; those after it mostly follow from it. */
const syntaxFault = (error: YAMLParseError): string => {
  if (error.code === 'BAD_INDENT' && error.message.startsWith('Flow')) {
    return 'a [ or { above is not closed before this line, or the line must be indented further'
  }
  return SYNTAX[error.code] ?? `not YAML: ${printable(error.message, 160)}`
}

/** Whether every value is a text, as in manifests, or may be a number, a boolean or null too. */
export type Scalars = 'texts' | 'data'

/** The documents of one YAML file. Every part that cannot be read is a fault with its place. */
export const readYaml = (file: string, bytes: Uint8Array, faults: Faults, scalars: Scalars = 'texts'): YamlFile => {
  const text = decode(file, bytes, faults)
  if (text === null) return NOTHING
  const at = places(file, text)
  if (!isFit(text, at, faults)) return NOTHING
  if (text.trim() === '') {
    faults.add(at(0), 'the file is empty: write a document, or delete the file to take its access away')
    return NOTHING
  }
  const tokens = readTokens(text, at, faults)
  if (tokens === null) return NOTHING
  return composeDocuments(file, tokens, text.length, { at, faults, scalars })
}

const composeDocuments = (
  file: string,
  tokens: readonly CST.Token[],
  length: number,
  reading: Omit<Reading, 'faulty'>,
): YamlFile => {
  const { at, faults } = reading
  const composer = new Composer({
    version: '1.2',
    schema: 'core',
    merge: false,
    uniqueKeys: false,
    prettyErrors: false,
  })
  const documents: YamlDocument[] = []
  let complete = true
  let count = 0
  for (const document of composer.compose(tokens, true, length)) {
    if (++count > MAX_DOCUMENTS) {
      faults.add(at(document.range[0]), `the file has more than ${MAX_DOCUMENTS} documents: split it`)
      return { documents, complete: false }
    }
    const [error] = document.errors
    if (error) {
      complete = false
      faults.add(at(error.pos[0]), syntaxFault(error))
      continue
    }
    const root: Node | null = document.contents
    if (isEmpty(root)) continue
    const faulty = new Set<string>()
    documents.push({
      file,
      value: plain(root, [], startOf(root) ?? 0, { ...reading, faulty }),
      place: (path) => at(find(root, path).value),
      keyPlace: (path) => at(find(root, path).key),
      faulty: (path) => faulty.has(pathId(path)),
    })
  }
  if (documents.length === 0 && complete) faults.warn(at(0), 'the file holds comments alone: it gives nothing')
  return { documents, complete }
}
