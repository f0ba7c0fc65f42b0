// What is said to a tool, and what a failure says of it.

import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { type Asked, converse } from '../../../src/adapters/targets/conversation.ts'
import type { HttpAnswer, HttpRequest } from '../../../src/adapters/targets/http-call.ts'
import { TargetFailure } from '../../../src/core/target.ts'

const URL_OF_TOOL = 'https://tool.example.com/under'

/** A tool that gives these answers in turn, or throws them. */
function tool(...answers: (Partial<HttpAnswer> | TargetFailure)[]) {
  const heard: HttpRequest[] = []
  const call = async (request: HttpRequest): Promise<HttpAnswer> => {
    heard.push(request)
    const answer = answers.shift() ?? {}
    if (answer instanceof TargetFailure) throw answer
    return { status: 200, headers: {}, text: '', ...answer }
  }
  return { heard, talk: converse({ url: URL_OF_TOOL, call }, new AbortController().signal) }
}
const failureOf = async (doing: Promise<unknown>): Promise<TargetFailure> => {
  const thrown: unknown = await doing.catch((error: unknown) => error)
  if (!(thrown instanceof TargetFailure)) throw new Error('no failure of a target')
  return thrown
}
const READ: Asked = { method: 'GET', path: '/a' }
const CHANGE: Asked = { method: 'POST', path: '/a', json: { secret: 's3cret' }, headers: { authorization: 's3cret' } }

describe('a request', () => {
  test('goes below the root of the tool, and its forms and JSON are written as such', async () => {
    const { heard, talk } = tool()
    await talk.ask({ method: 'GET', path: '/a', query: { q: 'x&y=1#' } })
    await talk.ask({ method: 'POST', path: '/a', form: { 'a b': '1&2' } })
    await talk.ask({ method: 'PUT', path: '/a', json: { a: 1 } })
    expect(heard.map(({ url }) => url)).toEqual([
      `${URL_OF_TOOL}/a?q=x%26y%3D1%23`,
      `${URL_OF_TOOL}/a`,
      `${URL_OF_TOOL}/a`,
    ])
    expect(heard.map(({ body }) => body)).toEqual(['', 'a+b=1%262', '{"a":1}'])
  })

  test.each(['a', '@mallory.example/', '.mallory.example/', ':1/'])(
    'by the path %j goes nowhere (S5)',
    async (path) => {
      const { heard, talk } = tool()
      await expect(talk.ask({ method: 'GET', path })).rejects.toThrow('off the origin')
      expect(heard).toEqual([])
    },
  )

  test.each([
    'http://tool.example.com',
    'https://user:pass@tool.example.com',
    'ftp://tool.example.com',
    'https://tool.example.com/?a',
  ])('to the URL %j is refused before anything is said (S5, S21)', (url) => {
    const call = () => expect.fail('it was said')
    expect(() => converse({ url, call }, new AbortController().signal)).toThrow()
  })
})

describe('a failure', () => {
  test.each([
    [401, 'refused', false],
    [403, 'refused', false],
    [404, 'refused', true],
    [302, 'refused', true],
    [429, 'busy', false],
    [500, 'refused', true],
    [502, 'busy', true],
    [503, 'busy', true],
    [504, 'busy', true],
  ] as const)('of %i in answer to a change is %s, may have acted: %s', async (status, why, mayHaveActed) => {
    const failure = await failureOf(tool({ status, text: 's3cret' }).talk.ask(CHANGE))
    expect(failure).toMatchObject({ why, mayHaveActed })
    expect(`${failure.message}${failure.stack}`).not.toContain('s3cret')
    expect(await failureOf(tool({ status }).talk.ask(READ))).toMatchObject({ why, mayHaveActed: false })
  })

  test('of a read may have acted where a change went before it', async () => {
    const { talk } = tool({ status: 201 }, { status: 401 })
    await talk.ask(CHANGE)
    expect(await failureOf(talk.ask(READ))).toMatchObject({ why: 'refused', mayHaveActed: true })
  })

  test('of the network may have acted where a change may have been heard', async () => {
    const heard = (mayHaveActed: boolean) => new TargetFailure('unreachable', 'x', { mayHaveActed })
    expect((await failureOf(tool(heard(false)).talk.ask(CHANGE))).mayHaveActed).toBe(false)
    expect((await failureOf(tool(heard(true)).talk.ask(CHANGE))).mayHaveActed).toBe(true)
    expect((await failureOf(tool(heard(true)).talk.ask(READ))).mayHaveActed).toBe(false)
  })

  test.each([
    ['7', 7],
    ['0', 0],
    ['999999999', 3600],
    [new Date(Date.now() - 60_000).toUTCString(), 0],
    ['soon', null],
    ['-5', null],
    ['', null],
    [undefined, null],
  ] as const)('with Retry-After %j says %j seconds (RFC 9110 section 10.2.3)', async (header, seconds) => {
    const headers = header === undefined ? {} : { 'retry-after': header }
    expect((await failureOf(tool({ status: 429, headers }).talk.ask(READ))).retryAfterSeconds).toBe(seconds)
  })

  test.each(['', 'null', '[]', '{"a":"1"}', '<html>s3cret', '{"a":1'])(
    'of an answer like %j is garbled',
    async (text) => {
      const { talk } = tool({ text })
      const answer = await talk.ask(READ)
      const thrown = await failureOf(Promise.resolve().then(() => talk.read(answer, z.object({ a: z.number() }))))
      expect(thrown).toMatchObject({ why: 'garbled' })
      expect(thrown.message).not.toContain('s3cret')
    },
  )
})
