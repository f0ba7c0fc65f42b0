// A tool that answers by its vendor's own published OpenAPI description: what the description does not know, or has
// otherwise, fails the test and not just the call. Answers are its examples, with the state of the test put in.

import { Ajv, type ValidateFunction } from 'ajv'
import formats from 'ajv-formats'
import { expect } from 'vitest'
import type { HttpAnswer, HttpCall } from '../../src/adapters/targets/http-call.ts'
import { BASE, type Does, matched, Refusal } from './described-tool.ts'

type Fields = { readonly [key: string]: unknown }

/** In the place of what the description's example has, where everything else is laid over it. */
export class Exactly {
  readonly value: unknown
  constructor(value: unknown) {
    this.value = value
  }
  toJSON(): unknown {
    return this.value
  }
}

type Operation = {
  readonly key: string
  readonly status: number
  readonly query: ReadonlySet<string>
  readonly needsBody: boolean
  readonly isParameter: ReadonlyMap<string, ValidateFunction>
  readonly isBody: ValidateFunction | null
  readonly isAnswer: ValidateFunction | null
  readonly example: unknown
}

/** `K`: operations of the description, as `POST /path/{name}`; one that it does not have fails at once. */
export function publishedTool<K extends string>(
  description: unknown,
  does: Does<K>,
): { readonly call: HttpCall; readonly heard: string[] } {
  const operations = (Object.keys(does) as K[]).map((key) => readOperation(description, key))
  const heard: string[] = []
  const call: HttpCall = async ({ method, url, headers, body }): Promise<HttpAnswer> => {
    const at = new URL(url)
    expect(at.origin).toBe(BASE)
    const one = operations.find(({ key }) => matched(key, method, at.pathname) !== null)
    if (one === undefined) return expect.fail(`no such operation: ${method} ${at.pathname}`)
    heard.push(one.key)
    const params = matched(one.key, method, at.pathname) ?? {}
    for (const [name, value] of Object.entries(params))
      expectFit(one.isParameter.get(name), value, `${one.key} ${name}`)
    for (const [name, value] of at.searchParams) {
      expect([...one.query], one.key).toContain(name)
      expectFit(one.isParameter.get(name), value, `${one.key} ${name}`)
    }
    const said: unknown = body === '' ? undefined : JSON.parse(body)
    expect(said !== undefined || !one.needsBody, `${one.key} has a body`).toBe(true)
    if (said !== undefined) expectFit(one.isBody ?? undefined, said, `the body of ${one.key}`)
    const reply = does[one.key as K]({
      params,
      query: at.searchParams,
      body: said,
      authorization: headers.authorization ?? '',
    })
    if (reply instanceof Refusal) return { status: reply.status, headers: {}, text: '{"message":"no"}' }
    if (one.isAnswer === null) return { status: one.status, headers: {}, text: '' }
    const answer = laidOver(one.example, reply)
    expectFit(one.isAnswer, answer, `the answer of ${one.key}`)
    return { status: one.status, headers: {}, text: JSON.stringify(answer) }
  }
  return { call, heard }
}

function expectFit(fits: ValidateFunction | undefined, value: unknown, what: string): void {
  if (fits === undefined) expect.fail(`${what} is nothing that is described`)
  expect(fits(value) ? [] : fits.errors, what).toEqual([])
}

function readOperation(description: unknown, key: string): Operation {
  const [verb = '', path = ''] = key.split(' ')
  const found = inside(description, 'paths', path, verb.toLowerCase())
  if (!isFields(found)) throw new Error(`the description has no ${key}`)
  const ajv = formats.default(new Ajv({ strict: false, coerceTypes: true }))
  const exact = formats.default(new Ajv({ strict: false }))
  const parameters = (Array.isArray(found.parameters) ? found.parameters : []).map((one) => resolved(description, one))
  const asked = inside(resolved(description, found.requestBody, true), 'content', 'application/json', 'schema')
  const status = Object.keys(found.responses as Fields).find((one) => one.startsWith('2')) ?? ''
  const answered = inside(resolved(description, inside(found, 'responses', status)), 'content', 'application/json')
  const schema = inside(answered, 'schema')
  const [example] = Object.values((inside(answered, 'examples') ?? {}) as Fields)
  return {
    key,
    status: Number(status),
    query: new Set(parameters.filter((one) => inside(one, 'in') === 'query').map((one) => String(inside(one, 'name')))),
    needsBody: inside(found.requestBody, 'required') === true,
    isParameter: new Map(
      parameters.map((one) => [String(inside(one, 'name')), ajv.compile(inside(one, 'schema') as Fields)]),
    ),
    isBody: asked === undefined ? null : exact.compile(asked as Fields),
    isAnswer: schema === undefined ? null : exact.compile(schema as Fields),
    example: inside(example, 'value'),
  }
}

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function inside(value: unknown, ...path: readonly string[]): unknown {
  let found = value
  for (const key of path) found = isFields(found) ? found[key] : undefined
  return found
}

/** References followed, OpenAPI 3.0's `nullable` said as JSON Schema says it; `closed`: what is not described may not be said. */
function resolved(description: unknown, node: unknown, closed = false): unknown {
  if (Array.isArray(node)) return node.map((item) => resolved(description, item, closed))
  if (!isFields(node)) return node
  if (typeof node.$ref === 'string')
    return resolved(description, inside(description, ...node.$ref.slice(2).split('/').map(unescaped)), closed)
  const { nullable, ...rest } = Object.fromEntries(
    Object.entries(node).map(([key, value]) => [key, key === 'value' ? value : resolved(description, value, closed)]),
  )
  const isOpen = !closed || !isFields(rest.properties) || rest.additionalProperties !== undefined
  const schema = isOpen ? rest : { ...rest, additionalProperties: false }
  return nullable === true ? { anyOf: [schema, { type: 'null' }] } : schema
}

const unescaped = (part: string) => part.replaceAll('~1', '/').replaceAll('~0', '~')

/** Each item of a list is laid over the first one of the example. */
function laidOver(example: unknown, said: unknown): unknown {
  if (said instanceof Exactly) return said.value
  if (Array.isArray(said)) return said.map((item) => laidOver(Array.isArray(example) ? example[0] : undefined, item))
  if (!isFields(said)) return said === undefined ? example : said
  const under = isFields(example) ? example : {}
  return Object.fromEntries(
    [...new Set([...Object.keys(under), ...Object.keys(said)])].map((key) => [key, laidOver(under[key], said[key])]),
  )
}
