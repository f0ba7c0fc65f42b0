// What an upstream MCP server says of one of its tools, read as if an enemy wrote it: what a model may be shown of it, its
// digest, and what changed in lines that a person can judge. It keeps nothing that no person could see.

import { canonicalJson, digest, type Json } from './canonical.ts'
import { DEFINITION } from './limits.ts'
import { err, ok, type Result } from './result.ts'

type Fields = { readonly [key: string]: Json }

/** All that an agent is shown of a tool; icons, `_meta` and whatever else a server sends are left out. */
export type ToolDefinition = {
  readonly name: string
  readonly title?: string
  readonly description?: string
  readonly inputSchema: Fields
  readonly outputSchema?: Fields
  readonly annotations?: Fields
}

/** As in safe-text.ts, but lines and tabs stay. */
const UNSEEN = /(?![\n\t])[\p{Cc}\p{Cf}\p{Co}\p{Cn}\u2028\u2029\u115f\u1160\u3164\uffa0\p{Variation_Selector}]/gu
const PILED = /(\p{M}{3})\p{M}+/gu

const HINTS = ['readOnlyHint', 'destructiveHint', 'idempotentHint', 'openWorldHint'] as const
/** Keywords whose value is a place: only one within the same schema is looked at by anybody. */
const REFERENCES = new Set(['$ref', '$dynamicRef', '$recursiveRef'])
const DIALECT = /^https?:\/\/json-schema\.org\//

class Unfit extends Error {
  override name = 'Unfit'
}

/** The error is the end of a sentence about the definition. */
export function readDefinition(name: string, raw: unknown): Result<ToolDefinition, string> {
  try {
    return read(name, raw)
  } catch (thrown) {
    if (thrown instanceof Unfit) return err(thrown.message)
    throw thrown
  }
}

function read(name: string, raw: unknown): Result<ToolDefinition, string> {
  if (!isFields(raw)) return err('is no object')
  const { title, description, inputSchema, outputSchema, annotations } = raw
  const room = { nodes: DEFINITION.nodes }
  const schema = (what: string, value: unknown): Fields => {
    if (!isFields(value) || value.type !== 'object') throw new Unfit(`has an ${what} that is not of type object`)
    return cleaned(value, 0, room, true) as Fields
  }
  const text = (what: string, value: unknown, max: number) => {
    if (typeof value !== 'string') throw new Unfit(`has a ${what} that is no text`)
    if (value.length > max) throw new Unfit(`has a ${what} of more than ${max} characters`)
    return seen(value)
  }
  const hints = annotations === undefined ? {} : hintsOf(annotations, text)
  const definition: ToolDefinition = {
    name,
    ...(title === undefined ? {} : { title: text('title', title, DEFINITION.title) }),
    ...(description === undefined ? {} : { description: text('description', description, DEFINITION.description) }),
    inputSchema: schema('inputSchema', inputSchema),
    ...(outputSchema === undefined ? {} : { outputSchema: schema('outputSchema', outputSchema) }),
    ...(Object.keys(hints).length === 0 ? {} : { annotations: hints }),
  }
  const bytes = Buffer.byteLength(definitionText(definition))
  if (bytes > DEFINITION.bytes) return err(`comes to more than ${DEFINITION.bytes} bytes`)
  // A place is said with each line below it: long keys over many values come to far more than was sent.
  linesOf(definition)
  return ok(definition)
}

function hintsOf(annotations: unknown, text: (what: string, value: unknown, max: number) => string): Fields {
  if (!isFields(annotations)) throw new Unfit('has annotations that are no object')
  const hints: Record<string, Json> = {}
  if (annotations.title !== undefined) hints.title = text('title', annotations.title, DEFINITION.title)
  for (const hint of HINTS) {
    const value = annotations[hint]
    if (typeof value === 'boolean') hints[hint] = value
    else if (value !== undefined) throw new Unfit(`has an annotation ${hint} that is neither true nor false`)
  }
  return hints
}

const isFields = (value: unknown): value is { readonly [key: string]: unknown } =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const seen = (text: string): string => text.toWellFormed().replace(UNSEEN, '').replace(PILED, '$1')

function cleaned(value: unknown, depth: number, room: { nodes: number }, isSchema = false): Json {
  room.nodes--
  if (room.nodes < 0) throw new Unfit(`has more than ${DEFINITION.nodes} values in its schemas`)
  if (depth > DEFINITION.depth) throw new Unfit(`has a schema that is nested deeper than ${DEFINITION.depth}`)
  if (typeof value === 'string') return seen(value)
  if (value === null || typeof value === 'boolean') return value
  if (typeof value === 'number' && Number.isFinite(value)) return value
  if (Array.isArray(value)) return value.map((item) => cleaned(item, depth + 1, room))
  if (!isFields(value)) throw new Unfit('has a value in a schema that JSON does not know')
  const out: Record<string, Json> = {}
  for (const [key, item] of Object.entries(value)) {
    if (key === '__proto__' || /[\n\t]/.test(key) || seen(key) !== key)
      throw new Unfit('has a key in a schema that cannot be shown')
    if (REFERENCES.has(key) && typeof item === 'string' && !item.startsWith('#'))
      throw new Unfit(`has a ${key} that leads out of its schema`)
    if ((key === '$id' || key === '$schema') && typeof item === 'string' && !DIALECT.test(item))
      throw new Unfit(`has a ${key} of its own`)
    // Every dialect that clients know reads these schemas alike; which one was meant decides nothing.
    if (isSchema && key === '$schema') continue
    out[key] = cleaned(item, depth + 1, room)
  }
  return out
}

/** What is stored, and hashed. */
export const definitionText = (definition: ToolDefinition): string => canonicalJson(definition as Json)

/** SHA-256, hex: what an acceptance binds. */
export const definitionDigest = (definition: ToolDefinition): string => digest(definition as Json)

/** The arguments that a definition declares. */
export const argumentsOf = ({ inputSchema }: ToolDefinition): readonly string[] =>
  isFields(inputSchema.properties) ? Object.keys(inputSchema.properties) : []

/** One line a change, with its sign: all of `to` where there was nothing before. Lines are cut into pieces, never cut off. */
export function definitionDiff(from: ToolDefinition | null, to: ToolDefinition): readonly string[] {
  const before = from === null ? [] : linesOf(from)
  const after = linesOf(to)
  return changes(before, after)
}

const PIECE = 160
/** A place that is longer is a text like any other: cut into pieces with what it holds. */
const PLACE_MAX = 64

function linesOf(definition: ToolDefinition): string[] {
  const lines: string[] = []
  let room: number = DEFINITION.shownChars
  const push = (line: string) => {
    room -= line.length
    if (room < 0) throw new Unfit(`takes more than ${DEFINITION.shownChars} characters to show to a person`)
    lines.push(line)
  }
  const say = (place: string, value: string) => {
    const isLong = place.length > PLACE_MAX
    const goesOn = isLong ? '…' : `${place} …`
    for (const line of value.split('\n')) {
      const text = isLong ? `${place}: ${line}` : line
      for (let at = 0; at === 0 || at < text.length; at += PIECE)
        push(`${at > 0 ? `${goesOn} ` : isLong ? '' : `${place}: `}${text.slice(at, at + PIECE)}`)
    }
  }
  const walk = (place: string, value: Json) => {
    if (typeof value === 'string') say(place, value)
    else if (typeof value !== 'object' || value === null) say(place, JSON.stringify(value))
    else if (isList(value)) {
      if (value.every((item) => typeof item !== 'object' || item === null)) say(place, JSON.stringify(value))
      else for (const [index, item] of value.entries()) walk(`${place}[${index}]`, item)
    } else {
      const keys = Object.keys(value).sort()
      if (keys.length === 0) say(place, '{}')
      for (const key of keys) walk(place === '' ? key : `${place}.${key}`, value[key]!)
    }
  }
  walk('', definition as Json)
  return lines
}

const isList = (value: Json): value is readonly Json[] => Array.isArray(value)

/** The longest common run of both ends stays out; what is between is compared line by line where that is not too much. */
function changes(before: readonly string[], after: readonly string[]): string[] {
  let start = 0
  while (start < before.length && start < after.length && before[start] === after[start]) start++
  let end = 0
  while (
    end < before.length - start &&
    end < after.length - start &&
    before[before.length - 1 - end] === after[after.length - 1 - end]
  )
    end++
  const from = before.slice(start, before.length - end)
  const to = after.slice(start, after.length - end)
  if (from.length * to.length > DEFINITION.diffCells) return [...from.map((l) => `- ${l}`), ...to.map((l) => `+ ${l}`)]
  // Lengths of the longest common subsequence of what is left of both.
  const width = to.length + 1
  const common = new Uint32Array((from.length + 1) * width)
  for (let i = from.length - 1; i >= 0; i--)
    for (let j = to.length - 1; j >= 0; j--)
      common[i * width + j] =
        from[i] === to[j]
          ? common[(i + 1) * width + j + 1]! + 1
          : Math.max(common[(i + 1) * width + j]!, common[i * width + j + 1]!)
  const lines: string[] = []
  let i = 0
  let j = 0
  while (i < from.length || j < to.length) {
    if (i < from.length && j < to.length && from[i] === to[j]) {
      i++
      j++
    } else if (j >= to.length || (i < from.length && common[(i + 1) * width + j]! >= common[i * width + j + 1]!))
      lines.push(`- ${from[i++]}`)
    else lines.push(`+ ${to[j++]}`)
  }
  return lines
}
