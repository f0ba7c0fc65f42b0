// Which calls a scope allows through the proxy: a method and a pattern of the path, deny by default. A pattern is read
// one way only: literal segments, `name*`, `*`, `**` at the end, and `{detail}`.

import { type CallTarget, onlyValue } from './call-target.ts'
import { err, ok, type Result } from './result.ts'

export const PROXY_METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const
export type ProxyMethod = (typeof PROXY_METHODS)[number]

/** Of a grant: keys AND, values OR; an absent key is open. */
type Details = Readonly<Record<string, readonly string[]>>

/** One method of one path; a rule as written may stand for several of these. */
export type PathRule = {
  readonly method: ProxyMethod
  readonly path: string
  /** Query parameter → the detail whose values it is held to. */
  readonly query: Readonly<Record<string, string>>
}

type Segment =
  | { readonly is: 'literal' | 'begins'; readonly text: string }
  | { readonly is: 'any' | 'rest' }
  | { readonly is: 'detail'; readonly key: string; readonly then: string }

export type PathPattern = readonly Segment[]

const LITERAL = /^[A-Za-z0-9._~!$&'()+,=:@-]*$/
const DETAIL = /^\{([A-Za-z][A-Za-z0-9_-]*)\}(.*)$/
const SEGMENTS_MAX = 32

const patterns = new Map<string, Result<PathPattern, string>>()
const PATTERNS_KEPT = 10_000

/** The error is the end of a sentence about the pattern. */
export function readPattern(text: string): Result<PathPattern, string> {
  const known = patterns.get(text)
  if (known !== undefined) return known
  const read = parse(text)
  if (patterns.size >= PATTERNS_KEPT) patterns.clear()
  patterns.set(text, read)
  return read
}

function parse(text: string): Result<PathPattern, string> {
  if (!text.startsWith('/')) return err('must begin with a slash')
  const written = text.slice(1).split('/')
  if (written.length > SEGMENTS_MAX) return err(`has more than ${SEGMENTS_MAX} segments`)
  const pattern: Segment[] = []
  for (const [index, segment] of written.entries()) {
    const isLast = index === written.length - 1
    if (segment === '' && !isLast) return err('has two slashes in a row')
    if (segment === '.' || segment === '..') return err('has a dot segment')
    const [, key, then = ''] = DETAIL.exec(segment) ?? []
    if (segment === '**') {
      if (!isLast) return err('has ** before its end')
      pattern.push({ is: 'rest' })
    } else if (segment === '*') pattern.push({ is: 'any' })
    else if (key !== undefined && LITERAL.test(then)) pattern.push({ is: 'detail', key, then })
    else if (segment.endsWith('*') && LITERAL.test(segment.slice(0, -1)))
      pattern.push({ is: 'begins', text: segment.slice(0, -1) })
    else if (LITERAL.test(segment)) pattern.push({ is: 'literal', text: segment })
    else return err('takes plain characters, * at the end of a segment, ** at the end, and {detail}')
  }
  return ok(pattern)
}

/** The details that a rule holds a call to. */
export const detailsHeld = ({ path, query }: Pick<PathRule, 'path' | 'query'>): readonly string[] => {
  const pattern = readPattern(path)
  const inPath = pattern.ok ? pattern.value.flatMap((segment) => (segment.is === 'detail' ? [segment.key] : [])) : []
  return [...new Set([...inPath, ...Object.values(query)])]
}

/** Is the call within the rule, with every detail that it holds at one of the values given? An absent detail is open. */
export function isWithin(rule: PathRule, method: string, target: CallTarget, details: Details): boolean {
  if (rule.method !== method) return false
  const pattern = readPattern(rule.path)
  if (!pattern.ok || !isPathWithin(pattern.value, target.segments, details)) return false
  return Object.entries(rule.query).every(([name, key]) => {
    if (!Object.hasOwn(details, key)) return true
    const value = onlyValue(target.query, name)
    return value !== null && details[key]!.includes(value)
  })
}

function isPathWithin(pattern: PathPattern, segments: readonly string[], details: Details): boolean {
  const hasRest = pattern.at(-1)?.is === 'rest'
  if (hasRest ? segments.length < pattern.length : segments.length !== pattern.length) return false
  return pattern.every((wanted, index) => isSegmentWithin(wanted, segments[index]!, details))
}

function isSegmentWithin(wanted: Segment, segment: string, details: Details): boolean {
  switch (wanted.is) {
    case 'literal':
      return segment === wanted.text
    case 'begins':
      return segment.startsWith(wanted.text)
    case 'any':
      return segment !== ''
    case 'rest':
      return true
    case 'detail': {
      if (!segment.endsWith(wanted.then) || segment.length === wanted.then.length) return false
      const value = segment.slice(0, segment.length - wanted.then.length)
      return !Object.hasOwn(details, wanted.key) || details[wanted.key]!.includes(value)
    }
  }
}

/** As a person reads it, and as two rules are compared: `GET /api/v1/query* ?namespace={namespace}`. */
export const ruleText = ({ method, path, query }: PathRule): string =>
  [method, path, ...Object.entries(query).map(([name, key]) => `?${name}={${key}}`)].join(' ')
