// What a value becomes in each place of a request: encoded or refused, and never the end of its place.

import { describe, expect, test } from 'vitest'
import {
  fillHeader,
  fillJson,
  fillPath,
  fillText,
  Unfit,
  valueAt,
} from '../../../src/adapters/targets/recipe-template.ts'

const scope = (value: unknown) =>
  new Map<string, unknown>([
    ['x', value],
    ['list', [{ a: '1' }, { a: '2' }]],
  ])
const HOSTILE = ['../../admin', 'a/b', 'a?b=c#d', '%2e%2e', '"},"admin":true,{"', 'ü\n', '{x}', '{name}', '//host']

describe('a value', () => {
  test.each(HOSTILE)('%j stays in its segment of a path and in its text of JSON (S21)', (value) => {
    const path = fillPath('/users/{x}/tokens', scope(value))
    expect(path.split('/')).toHaveLength(4)
    expect(new URL(path, 'https://tool.example.com').pathname).toBe(path)
    expect(decodeURIComponent(path.split('/')[2] ?? '')).toBe(value)
    expect(JSON.parse(JSON.stringify(fillJson({ a: 'is {x}.', b: '{x}' }, scope(value))))).toEqual({
      a: `is ${value}.`,
      b: value,
    })
  })

  test.each(['.', '..', '', '\ud800'])('%j is no segment of a path (S21)', (value) => {
    expect(() => fillPath('/users/{x}', scope(value))).toThrow(Unfit)
  })

  test.each(['a\r\nx: y', 'ü', '\0'])('%j is in no header (S21)', (value) => {
    expect(() => fillHeader('Bearer {x}', scope(value))).toThrow(Unfit)
  })

  test('that is no text is in no text, and one that is not known is nowhere', () => {
    for (const value of [null, undefined, {}, []]) expect(() => fillText('{x}', scope(value))).toThrow(Unfit)
    expect(() => fillJson('{y}', scope(1))).toThrow(Unfit)
  })

  test('alone in JSON keeps its kind', () => {
    expect(fillJson({ id: '{x}', text: 'n{x}', n: 1, no: false }, scope(7))).toEqual({
      id: 7,
      text: 'n7',
      n: 1,
      no: false,
    })
  })

  test('of a list is an item a row, or a member a row', () => {
    expect(fillJson({ each: 'list', value: '{a}' }, scope(0))).toEqual(['1', '2'])
    expect(fillJson({ each: 'list', key: 'k{a}', value: true }, scope(0))).toEqual({ k1: true, k2: true })
  })

  test('pointed at is found as RFC 6901 has it, and nothing inherited is', () => {
    const document = { 'a/b': { '~': [10, 20] }, nothing: null }
    expect(valueAt(document, '/a~1b/~0/1')).toBe(20)
    expect(valueAt(document, '')).toBe(document)
    for (const pointer of ['/constructor', '/a~1b/__proto__', '/a~1b/~0/length/x', '/nothing/x'])
      expect(() => valueAt(document, pointer), pointer).toThrow(Unfit)
    expect(valueAt(document, '?/gone')).toBeNull()
  })
})
