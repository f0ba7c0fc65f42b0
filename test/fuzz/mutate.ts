// What is done to good input: bytes, text, JSON and JWTs, a few changes at a time, so that much of it stays good.

import type { Random } from './random.ts'

const WORDS = [
  ...[
    '',
    '\0',
    '\n',
    '\r\n',
    '\t',
    ' ',
    '"',
    "'",
    '{',
    '}',
    '[',
    ']',
    ':',
    ': ',
    ',',
    '&',
    '=',
    '%',
    '%00',
    '%zz',
    '+',
  ],
  ...[
    '-1',
    '0',
    '1e309',
    '9007199254740993',
    '-0',
    'null',
    'true',
    '~',
    '<<: *a',
    '&a [*a]',
    '!!js/function x',
    '---',
    '...',
  ],
  ...[
    '\u202e',
    '\u2028',
    '\ufeff',
    '\ud800',
    '\u0000',
    'ａ',
    '𝒂',
    'é',
    '../../etc/passwd',
    '__proto__',
    'constructor',
    'hasOwnProperty',
  ],
  ...[
    'eyJhbGciOiJub25lIn0',
    '.',
    '..',
    'Bearer ',
    'team/',
    'decommissioned',
    'x'.repeat(300),
    '['.repeat(200),
    '{"a":'.repeat(60),
  ],
]

const utf8 = new TextEncoder()

/** One to four changes: bits, bytes, words, pieces cut out, doubled, moved or taken from another input. */
export function mutateBytes(random: Random, input: Uint8Array, others: readonly Uint8Array[] = []): Uint8Array {
  let bytes: Uint8Array = Uint8Array.from(input)
  for (let left = 1 + random.below(4); left > 0; left--) bytes = change(random, bytes, others)
  return bytes
}

function change(random: Random, bytes: Uint8Array, others: readonly Uint8Array[]): Uint8Array {
  const at = random.below(bytes.length + 1)
  const length = random.below(Math.min(64, bytes.length - at) + 1)
  const join = (...parts: readonly Uint8Array[]): Uint8Array => Buffer.concat(parts)
  const head = bytes.subarray(0, at)
  switch (random.below(9)) {
    case 0:
      if (at < bytes.length) bytes[at] = bytes[at]! ^ (1 << random.below(8))
      return bytes
    case 1:
      if (at < bytes.length) bytes[at] = random.pick([0, 9, 10, 13, 32, 34, 45, 46, 47, 58, 123, 127, 128, 192, 255])
      return bytes
    case 2:
      return join(head, utf8.encode(random.pick(WORDS)), bytes.subarray(at))
    case 3:
      return join(head, utf8.encode(random.pick(WORDS)), bytes.subarray(at + length))
    case 4:
      return join(head, bytes.subarray(at + length))
    case 5:
      return join(head, bytes.subarray(at, at + length), bytes.subarray(at, at + length), bytes.subarray(at + length))
    case 6:
      return others.length === 0 ? bytes : splice(random, head, bytes.subarray(at + length), random.pick(others))
    case 7:
      return lines(random, bytes)
    default:
      return random.oneIn(4) ? head : join(head, random.bytes(1 + random.below(8)), bytes.subarray(at))
  }
}

function splice(random: Random, head: Uint8Array, tail: Uint8Array, other: Uint8Array): Uint8Array {
  const from = random.below(other.length + 1)
  return Buffer.concat([head, other.subarray(from, from + random.below(200)), tail])
}

/** A line doubled, dropped, moved, or indented otherwise. */
function lines(random: Random, bytes: Uint8Array): Uint8Array {
  const all = Buffer.from(bytes).toString('latin1').split('\n')
  const at = random.below(all.length)
  const [line = ''] = all.splice(at, 1)
  const to = random.below(all.length + 1)
  const kind = random.below(4)
  if (kind === 0) all.splice(at, 0, line, line)
  else if (kind === 1) all.splice(to, 0, line)
  else if (kind === 2) all.splice(at, 0, `  ${line}`)
  return Buffer.from(all.join('\n'), 'latin1')
}

export const mutateText = (random: Random, text: string, others: readonly string[] = []): string =>
  Buffer.from(
    mutateBytes(
      random,
      Buffer.from(text),
      others.map((other) => Buffer.from(other)),
    ),
  ).toString('utf8')

const ODD: readonly unknown[] = [
  ...[
    null,
    true,
    false,
    0,
    -0,
    -1,
    0.5,
    1e308,
    2 ** 53,
    Number.MIN_VALUE,
    '',
    ' ',
    '\0',
    '\ud800',
    '\u202ebad',
    'x'.repeat(5000),
  ],
  ...[
    [],
    {},
    [[]],
    [null],
    [{}],
    { a: 1 },
    { length: 1 },
    { constructor: null },
    Array.from({ length: 300 }, () => 'a'),
  ],
]

export const oddValue = (random: Random, deepest = 2000): unknown =>
  random.oneIn(20) ? nested(random.below(deepest)) : structuredClone(random.pick(ODD))

/** Levels of one odd value within a mutated one: put into each other they must stay within what a clone can walk. */
const DEEPEST_WITHIN = 400

const nested = (depth: number): unknown => {
  let value: unknown = 1
  for (let i = 0; i < depth; i++) value = i % 2 === 0 ? [value] : { a: value }
  return value
}

type Place = { readonly holder: Record<string, unknown> | unknown[]; readonly key: string }

function placesIn(value: unknown, found: Place[] = []): Place[] {
  if (typeof value !== 'object' || value === null) return found
  const holder = value as Record<string, unknown>
  for (const key of Object.keys(holder)) {
    found.push({ holder, key })
    placesIn(holder[key], found)
  }
  return found
}

/** A copy with one to three places replaced, dropped, renamed, doubled or joined by another. */
export function mutateJson(random: Random, value: unknown): unknown {
  const root = { value: structuredClone(value) }
  for (let left = 1 + random.below(3); left > 0; left--) {
    const places = placesIn(root)
    if (places.length === 0) break
    const { holder, key } = random.pick(places)
    const record = holder as Record<string, unknown>
    const was = record[key]
    switch (random.below(7)) {
      case 0:
        if (Array.isArray(holder)) holder.splice(Number(key), 1)
        else if (key !== 'value') delete record[key]
        break
      case 1:
        record[key] = typeof was === 'string' ? mutateText(random, was) : oddValue(random, DEEPEST_WITHIN)
        break
      case 2:
        if (!Array.isArray(holder))
          record[random.pick(['extra', '__proto__x', 'constructor', `${key} `, key.toUpperCase(), 'x'.repeat(200)])] =
            was
        break
      case 3:
        record[key] = structuredClone(
          random.pick(places.map((place) => (place.holder as Record<string, unknown>)[place.key])),
        )
        break
      case 4:
        record[key] = [was, was]
        break
      default:
        record[key] = oddValue(random, DEEPEST_WITHIN)
    }
  }
  return root.value
}

/** JSON that is well-formed but not as a program writes it, or not JSON at all. */
export function spell(random: Random, value: unknown): string {
  const text = JSON.stringify(value) ?? 'null'
  if (random.oneIn(6)) return mutateText(random, text)
  if (random.oneIn(12)) return text.replace('{', '{"__proto__":{"role":"admin"},')
  if (random.oneIn(12)) return text.replace('}', `,"a":1,"a":2}`)
  return text
}

const base64url = (text: string) => Buffer.from(text).toString('base64url')
const decoded = (part: string): unknown => {
  try {
    return JSON.parse(Buffer.from(part, 'base64url').toString('utf8'))
  } catch {
    return {}
  }
}

/** A JWS whose header, claims, signature or shape was changed without its key. */
export function mutateToken(random: Random, token: string, others: readonly string[] = []): string {
  const [header = '', payload = '', signature = ''] = token.split('.')
  const parts = random.pick(others.length === 0 ? [token] : others).split('.')
  switch (random.below(8)) {
    case 0:
      return [base64url(JSON.stringify(mutateJson(random, decoded(header)))), payload, signature].join('.')
    case 1:
      return [header, base64url(JSON.stringify(mutateJson(random, decoded(payload)))), signature].join('.')
    case 2:
      return [header, payload, parts[2] ?? ''].join('.')
    case 3:
      return [header, parts[1] ?? '', signature].join('.')
    case 4:
      return [
        header,
        payload,
        Buffer.from(mutateBytes(random, Buffer.from(signature, 'base64url'))).toString('base64url'),
      ].join('.')
    case 5: {
      const none = base64url(
        JSON.stringify({
          ...Object(decoded(header)),
          alg: random.pick(['none', 'None', 'HS256', 'RS256', 'ES384', '', 'ES256 ']),
        }),
      )
      return [none, payload, random.pick(['', signature, 'AA'])].join('.')
    }
    case 6:
      return random.pick([
        `${token}.`,
        `.${token}`,
        `${token}.${signature}`,
        header,
        `${header}.${payload}`,
        `${header}..${signature}`,
      ])
    default:
      return mutateText(random, token, others)
  }
}

/** Whether two spellings are one JWS: base64url may end in bits that mean nothing. */
export function isSameToken(a: string, b: string): boolean {
  const [one, other] = [a.trim().split('.'), b.split('.')]
  if (one.length !== 3 || one[0] !== other[0] || one[1] !== other[1]) return false
  return Buffer.from(one[2] ?? '', 'base64url').equals(Buffer.from(other[2] ?? '', 'base64url'))
}
