// A tool that answers by a description of its API: what is not described, lacks what is required, or says what is not
// known fails the test and not just the call. Behind it, a state that each test keeps as the vendor says that it is kept.

import { expect } from 'vitest'
import type { HttpAnswer, HttpCall } from '../../src/adapters/targets/http-call.ts'

/** One operation as the vendor publishes it. Names of bodies are pointers of what must, and what may besides, be there. */
export type Operation = {
  readonly status: number
  readonly query?: readonly string[]
  readonly requires?: readonly string[]
  readonly allows?: readonly string[]
}
export type Said = {
  readonly params: Readonly<Record<string, string>>
  readonly query: URLSearchParams
  readonly body: unknown
  readonly authorization: string
}
export type Reply = unknown
/** A status other than the described one. */
export class Refusal {
  readonly status: number
  constructor(status: number) {
    this.status = status
  }
}

export const BASE = 'https://tool.example.com'

/** What each operation does to the state behind it. */
export type Does<K extends string> = Readonly<Record<K, (said: Said) => Reply>>

export function describedTool<K extends string>(
  operations: Readonly<Record<K, Operation>>,
  does: Does<K>,
): { readonly call: HttpCall; readonly heard: string[] } {
  const heard: string[] = []
  const call: HttpCall = async ({ method, url, headers, body }): Promise<HttpAnswer> => {
    const at = new URL(url)
    expect(at.origin).toBe(BASE)
    const found = (Object.keys(operations) as K[]).flatMap((key) => {
      const params = matched(key, method, at.pathname)
      return params === null ? [] : [{ key, params }]
    })
    // The most literal one, as routers have it.
    const [one] = found.sort((a, b) => Object.keys(a.params).length - Object.keys(b.params).length)
    if (one === undefined) return expect.fail(`no such operation: ${method} ${at.pathname}`)
    heard.push(one.key)
    const { status, query = [], requires = [], allows = [] } = operations[one.key]
    for (const name of at.searchParams.keys()) expect(query, one.key).toContain(name)
    const said: unknown = body === '' ? undefined : JSON.parse(body)
    const leaves = leavesOf(said)
    for (const pointer of requires) expect(leaves, one.key).toContain(pointer)
    for (const pointer of leaves) expect([...requires, ...allows], one.key).toContain(pointer)
    const reply = does[one.key]({
      params: one.params,
      query: at.searchParams,
      body: said,
      authorization: headers.authorization ?? '',
    })
    if (reply instanceof Refusal) return { status: reply.status, headers: {}, text: '{"message":"no"}' }
    return { status, headers: {}, text: reply === undefined ? '' : JSON.stringify(reply) }
  }
  return { call, heard }
}

/** The parameters of a path that fits `POST /path/{name}`; null where it does not. */
export function matched(key: string, method: string, path: string): Record<string, string> | null {
  const [verb, template = ''] = key.split(' ')
  const [wanted, given] = [template.split('/'), path.split('/')]
  if (verb !== method || wanted.length !== given.length) return null
  const params: Record<string, string> = {}
  for (const [index, part] of wanted.entries()) {
    const value = given[index] ?? ''
    if (part.startsWith('{')) params[part.slice(1, -1)] = decodeURIComponent(value)
    else if (part !== value) return null
  }
  return params
}

/** Where a body says something, a list as one. */
function leavesOf(value: unknown, at = ''): string[] {
  if (value === undefined) return []
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return [at]
  return Object.entries(value).flatMap(([key, inner]) => leavesOf(inner, `${at}/${key}`))
}
