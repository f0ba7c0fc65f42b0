// One JSON text for one value (RFC 8785), so that two sides who hash a value hash the same bytes.
// It never drops, converts or guesses: what JSON cannot carry exactly is an error.
import { hash } from 'node:crypto'

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

/** Deeper values are refused; a cycle is refused the same way. */
const MAX_DEPTH = 64

/**
 * The canonical JSON text of a value: RFC 8785 section 3.2. Keys are sorted by UTF-16 code units (3.2.3), strings and
 * numbers are written as ECMAScript does (3.2.2).
 * @throws TypeError for NaN, infinities, undefined, functions, symbols, bigints, lone surrogates, objects that are not
 * plain (dates, maps, bytes), and values nested deeper than 64.
 */
export const canonicalJson = (value: Json): string => write(value, 0)

/** SHA-256 of the canonical text's UTF-8 bytes, lower-case hex. Throws as {@link canonicalJson} does. */
export const digest = (value: Json): string => hash('sha256', canonicalJson(value))

function write(value: unknown, depth: number): string {
  switch (typeof value) {
    case 'string':
      return text(value)
    case 'number':
      if (!Number.isFinite(value)) throw new TypeError(`${value} has no JSON form`)
      return JSON.stringify(value)
    case 'boolean':
      return value ? 'true' : 'false'
    case 'object':
      break
    default:
      throw new TypeError(`a value of type ${typeof value} has no JSON form`)
  }
  if (value === null) return 'null'
  if (depth >= MAX_DEPTH) throw new TypeError(`a value nested deeper than ${MAX_DEPTH} has no canonical form`)
  return Array.isArray(value) ? list(value, depth + 1) : plainObject(value, depth + 1)
}

/** Nothing that JSON escapes, and no half of a surrogate pair. */
const PLAIN = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/

function text(value: string): string {
  if (PLAIN.test(value)) return `"${value}"`
  if (!value.isWellFormed()) throw new TypeError('a string with a lone surrogate has no JSON form')
  return JSON.stringify(value)
}

function list(items: readonly unknown[], depth: number): string {
  let out = '['
  for (let i = 0; i < items.length; i++) {
    if (i > 0) out += ','
    out += write(items[i], depth)
  }
  return `${out}]`
}

function plainObject(value: object, depth: number): string {
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) throw new TypeError('only plain objects have a JSON form')
  let out = '{'
  // The default sort compares UTF-16 code units, which is what RFC 8785 section 3.2.3 asks for.
  for (const key of Object.keys(value).sort()) {
    if (out.length > 1) out += ','
    out += `${text(key)}:${write((value as Record<string, unknown>)[key], depth)}`
  }
  return `${out}}`
}
