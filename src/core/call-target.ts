// What a call through the proxy asks for, read so that no two programs can read it differently: what is ambiguous is
// refused, never mended. It decides nothing about who may.

import { err, ok, type Result } from './result.ts'

export type CallTarget = {
  /** As it goes to the tool, byte for byte as it came: `/api/v1/query`. */
  readonly path: string
  /** Decoded, without the slash that starts the path; the last is empty where the path ends in a slash. */
  readonly segments: readonly string[]
  /** As it came, without the question mark; null where there was none. */
  readonly query: string | null
}

/** RFC 3986 `pchar` without `;`, which some servers end a segment at. */
const SEGMENT = /^(?:[A-Za-z0-9._~!$&'()*+,=:@-]|%[0-9A-Fa-f]{2})*$/
/** RFC 3986 `query`, and what browsers leave bare in it. */
const QUERY = /^[A-Za-z0-9._~!$&'()*+,;=:@/?[\]|^`{}"%-]*$/
/**
 * Encoded bytes that servers undo at different times, or not at all: what needs no encoding (a second spelling), slash,
 * backslash, percent (a second round), semicolon, question and number signs, and all that is not printable.
 */
const AMBIGUOUS = /%(?:[01][0-9A-F]|2[3F5DE]|3[0-9BF]|4[1-9A-F]|5[0-9ACF]|6[1-9A-F]|7[0-9AEF])/i

/**
 * @param target the request's target after `/tools/NAME`, as it came over the wire. The error is the end of a sentence.
 */
export function readCallTarget(target: string): Result<CallTarget, string> {
  const at = target.indexOf('?')
  const path = (at === -1 ? target : target.slice(0, at)) || '/'
  const query = at === -1 ? null : target.slice(at + 1)
  if (!path.startsWith('/')) return err('does not begin with a slash')
  if (path.includes('\\')) return err('has a backslash')
  const written = path.slice(1).split('/')
  const segments: string[] = []
  for (const [index, segment] of written.entries()) {
    if (!SEGMENT.test(segment)) return err('has a character that must not stand in one (of ; only in a query)')
    if (AMBIGUOUS.test(segment)) return err('encodes what needs no encoding, or what must not be encoded')
    if (segment === '' && index < written.length - 1) return err('has two slashes in a row')
    const decoded = decode(segment)
    if (decoded === null) return err('is not UTF-8 once decoded')
    if (decoded === '.' || decoded === '..') return err('has a dot segment')
    segments.push(decoded)
  }
  if (query !== null && !QUERY.test(query)) return err('has a query with a character that must be encoded')
  return ok({ path, segments, query })
}

/** Null where it is not UTF-8. */
function decode(text: string): string | null {
  if (!text.includes('%')) return text
  try {
    return decodeURIComponent(text)
  } catch {
    return null
  }
}

/**
 * The one value of a query's parameter; null where it is not there exactly once, under exactly this name, in a query that
 * every server splits alike: `name[]`, another case of the name and `;` between parameters count against it.
 */
export function onlyValue(query: string | null, name: string): string | null {
  if (query === null || query.includes(';')) return null
  let found: string | null = null
  for (const part of query.split('&')) {
    const at = part.indexOf('=')
    const key = decode((at === -1 ? part : part.slice(0, at)).replaceAll('+', ' '))
    const value = decode((at === -1 ? '' : part.slice(at + 1)).replaceAll('+', ' '))
    if (key === null || value === null) return null
    if (key !== name && !isAlike(key, name)) continue
    if (key !== name || found !== null) return null
    found = value
  }
  return found
}

/** What some server would take for the same parameter. */
const isAlike = (key: string, name: string): boolean =>
  key.trim().replace(/\0.*$/s, '').replace(/\[.*$/s, '').toLowerCase() === name.toLowerCase()

/** Longer, or of other characters: it may be a value that stands where a name should. */
const NAME = /^[A-Za-z0-9._[\]-]{1,32}$/

/** The target for the trail: the path, and the names of the query's parameters without what they say. */
export const withoutValues = ({ path, query }: CallTarget): string => {
  if (query === null) return path
  const names = query.split('&').map((part) => (part.includes('=') ? part.slice(0, part.indexOf('=')) : part))
  return `${path}?${[...new Set(names.map((name) => (NAME.test(name) ? name : '…')))].slice(0, 32).join('&')}`
}
