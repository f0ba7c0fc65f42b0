// What a person may be shown of an upstream server's question, and what of their answer goes back to it.

import { expect, test } from 'vitest'
import { QUESTION } from '../../src/core/limits.ts'
import { answerTo, type Question, readQuestion } from '../../src/core/mcp-question.ts'

const ISSUER = 'https://hallpass.example.com'
const read = (params: Record<string, unknown>, mode: 'form' | 'url' = 'form') =>
  readQuestion('tickets', { mode, params }, ISSUER)
const form = (properties: Record<string, unknown>, more = {}) =>
  read({ message: 'Sure?', requestedSchema: { type: 'object', properties, ...more } })

test('a question says whose it is, on one line, with nothing unseen in it (S20)', () => {
  const message = 'Sure?\u202e\u0000\nHallpass asks: your password'
  const requestedSchema = { type: 'object', properties: { a: { type: 'string', title: 'A\u200b\nB' } } }
  expect(read({ message, requestedSchema, more: 'x' })).toEqual({
    mode: 'form',
    message: 'The MCP server of tickets asks, not Hallpass: Sure? Hallpass asks: your password',
    requestedSchema: { type: 'object', properties: { a: { type: 'string', title: 'A B' } } },
  })
})

test.each([
  ['no words', { message: '\u200b', requestedSchema: { type: 'object', properties: {} } }],
  ['no fields', { message: 'x' }],
  ['a list for fields', { message: 'x', requestedSchema: [] }],
  ['fields of another type', { message: 'x', requestedSchema: { type: 'array', properties: {} } }],
  ['a field that cannot be seen', { message: 'x', requestedSchema: { type: 'object', properties: { 'a\u200b': {} } } }],
  [
    'more than a person reads',
    { message: 'x', requestedSchema: { type: 'object', properties: { a: { title: 'x'.repeat(QUESTION.schema) } } } },
  ],
])('%s: it is not shown (S20)', (_what, params) => {
  expect(read(params)).toBeNull()
})

test.each([
  ['https://tickets.example.com/a?b=c', true],
  ['https://hallpass.example.com/requests/1', false],
  ['HTTPS://HALLPASS.example.com:443/', false],
  ['https://hallpass.example.com@evil.example.com/', false],
  ['https://:x@evil.example.com/', false],
  ['http://tickets.example.com/', false],
  ['javascript:alert(1)', false],
  ['data:text/html,x', false],
  ['/requests/1', false],
  [`https://tickets.example.com/${'x'.repeat(QUESTION.url)}`, false],
  [7, false],
])('the page %s: may it be shown? %s (S20)', (url, may) => {
  expect(read({ message: 'Sign in', url }, 'url') !== null).toBe(may)
})

test('an answer holds plain values of what was asked for, and a page has none', () => {
  const question = form({ a: {}, b: {}, c: {}, d: {} }) as Question
  const given = { a: 'x', b: 1, c: ['x', 'y'], d: { e: 1 }, constructor: 'x', other: true }
  expect(answerTo(question, given)).toEqual({ a: 'x', b: 1, c: ['x', 'y'] })
  for (const content of [null, 'x', ['x'], undefined]) expect(answerTo(question, content)).toEqual({})
  expect(answerTo(read({ message: 'x', url: 'https://a.example.com' }, 'url') as Question, { a: 1 })).toEqual({})
})
