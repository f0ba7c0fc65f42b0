import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { canonicalJson, digest, type Json } from '../../src/core/canonical.ts'

type Vectors = {
  sample: { input: string; hex: string }
  sorting: { input: string; values: string[] }
  numbers: [string, string][]
  refused: string[]
}
const vectors: Vectors = JSON.parse(readFileSync(new URL('../vectors/rfc8785.json', import.meta.url), 'utf8'))
const doubleOf = (hex: string) => Buffer.from(hex, 'hex').readDoubleBE()

describe('canonical JSON (RFC 8785)', () => {
  test('the sample of section 3.2 becomes the published bytes', () => {
    const text = canonicalJson(JSON.parse(vectors.sample.input))
    expect(Buffer.from(text).toString('hex')).toBe(vectors.sample.hex)
  })

  test('the sorting sample of section 3.2.3 comes in the published order', () => {
    const text = canonicalJson(JSON.parse(vectors.sorting.input))
    expect(Object.keys(JSON.parse(text))).toHaveLength(vectors.sorting.values.length)
    expect([...text.matchAll(/:"((?:Emoji: )?[^"]+)"/g)].map((match) => match[1])).toEqual(vectors.sorting.values)
  })

  test.each(vectors.numbers)('the double %s is written %s (appendix B)', (hex, text) => {
    expect(canonicalJson(doubleOf(hex))).toBe(text)
  })

  test.each(vectors.refused)('the double %s is refused (appendix B)', (hex) => {
    expect(() => canonicalJson(doubleOf(hex))).toThrow(TypeError)
  })

  const withoutForm: [string, unknown][] = [
    ['undefined', undefined],
    ['a member that is undefined', { a: undefined }],
    ['a hole in a list', new Array(1)],
    ['a function', () => 1],
    ['a symbol', Symbol('a')],
    ['a bigint', 1n],
    ['a date', new Date(0)],
    ['a map', new Map()],
    ['bytes', new Uint8Array(1)],
    ['a lone surrogate', '\ud800'],
    ['a lone surrogate in a key', { '\udc00': 1 }],
    ['negative infinity', [Number.NEGATIVE_INFINITY]],
  ]
  test.each(withoutForm)('%s is refused, not converted', (_, value) => {
    expect(() => canonicalJson(value as Json)).toThrow(TypeError)
  })

  test('bottomless nesting and cycles are refused before the stack is', () => {
    const cycle: Record<string, unknown> = {}
    cycle.self = cycle
    expect(() => canonicalJson(cycle as Json)).toThrow(/nested/)
    expect(() => canonicalJson(JSON.parse('['.repeat(50_000) + ']'.repeat(50_000)))).toThrow(/nested/)
  })

  test('a member named __proto__ is written like any other', () => {
    expect(canonicalJson(JSON.parse('{"b":1,"__proto__":{"a":2}}'))).toBe('{"__proto__":{"a":2},"b":1}')
  })

  test('any JSON value reads back equal, and its text does not depend on the order of its keys', () => {
    const reversed = (value: unknown): unknown =>
      Array.isArray(value)
        ? value.map(reversed)
        : typeof value === 'object' && value !== null
          ? Object.fromEntries(
              Object.entries(value)
                .reverse()
                .map(([key, inner]) => [key, reversed(inner)]),
            )
          : value
    fc.assert(
      fc.property(fc.json({ maxDepth: 5, stringUnit: 'grapheme' }), (json) => {
        const value: Json = JSON.parse(json)
        const text = canonicalJson(value)
        expect(canonicalJson(JSON.parse(text))).toBe(text)
        expect(JSON.stringify(JSON.parse(text)).length).toBe(text.length)
        expect(canonicalJson(reversed(value) as Json)).toBe(text)
      }),
    )
  })

  test('a digest is the SHA-256 of the UTF-8 bytes, hex', () => {
    expect(digest({})).toBe('44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a')
    expect(digest('€')).not.toBe(digest('$'))
  })
})
