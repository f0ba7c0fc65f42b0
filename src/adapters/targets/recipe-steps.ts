// Takes the steps of a recipe, one after the other: asks, reads what the recipe points at, and notes what was yielded. It
// believes no answer that lacks what was to be read out of it, and it ends: requests, rows and rounds are counted.

import { isPointer, METHODS, type Pages, type Recipe, type Step } from '../../core/recipe.ts'
import type { Secret } from '../../core/secret.ts'
import { TargetFailure } from '../../core/target.ts'
import { type Asked, type Conversation, converse, parseJson, type TargetConfig } from './conversation.ts'
import { presentAdmin } from './recipe-auth.ts'
import {
  fillHeader,
  fillJson,
  fillPath,
  fillText,
  rowsOf,
  type Scope,
  textOf,
  Unfit,
  valueAt,
  withRow,
} from './recipe-template.ts'

const REQUESTS_MAX = 20_000
const ROWS_MAX = 50_000
/** Pages of one list; a cursor is a word of the tool's that goes into a query. */
const PAGES_MAX = 2_000
const CURSOR_MAX = 2_000
const METHOD = { get: 'GET', post: 'POST', put: 'PUT', patch: 'PATCH', delete: 'DELETE' } as const

/** A thing that steps found: an account, a right of a form, or one that no form has a word for. */
export type Yielded = { readonly of: string; readonly scope: Scope } | { readonly holds: string }

export type Operation = {
  readonly talk: Conversation
  /** Binds into `scope` what the steps set, and gives what they yielded. */
  run(steps: readonly Step[], scope: Scope): Promise<readonly Yielded[]>
}

type Opening = {
  readonly config: TargetConfig
  readonly recipe: Recipe
  readonly signal: AbortSignal
  readonly values: Scope
  /** The account's own, where it is known. */
  readonly own?: Secret | undefined
}

/** One operation of the port: the admin's secret is read once, and what was asked `once` is remembered until a change. */
export async function openOperation({ config, recipe, signal, values, own }: Opening): Promise<Operation> {
  const talk = converse(config, signal)
  const { header, prefix } = recipe.presents
  const shared = sharedHeaders(recipe, values)
  const admin = await presentAdmin(recipe.auth, await config.secret(), talk, values)
  const remembered = new Map<string, unknown>()
  let requests = 0

  function headersOf(step: Step, scope: Scope): Record<string, string> {
    if (step.with === 'secret' && own === undefined) throw new Unfit("the account's secret is not known")
    const who = step.with === 'secret' && own !== undefined ? { [header.toLowerCase()]: prefix + own.reveal() } : admin
    const said = Object.entries(step.headers ?? {}).map(([name, text]) => [name.toLowerCase(), fillHeader(text, scope)])
    return { ...shared, ...Object.fromEntries(said), ...who }
  }

  /** The JSON of one answer; undefined for a status that is no failure and says nothing. */
  async function ask(step: Step, scope: Scope, query: Record<string, string>): Promise<unknown> {
    const method = METHODS.find((one) => step[one] !== undefined)
    if (method === undefined) return undefined
    const asked: Asked = {
      method: METHOD[method],
      path: fillPath(step[method] ?? '', scope),
      query,
      headers: headersOf(step, scope),
      ...(step.json === undefined ? {} : { json: fillJson(step.json, scope) }),
      also: step.also ?? [],
    }
    const place = step.once === true ? `${asked.path}?${new URLSearchParams(query)}` : null
    if (place !== null && remembered.has(place)) return remembered.get(place)
    requests += 1
    if (requests > REQUESTS_MAX) throw talk.failure('refused', `more than ${REQUESTS_MAX} requests for one operation`)
    if (method !== 'get') remembered.clear()
    const answer = await talk.ask(asked)
    if (answer.status >= 300) return undefined
    const isRead = step.set !== undefined || step.each !== undefined
    const json = isRead ? parseJson(answer.text) : null
    if (json === undefined) throw talk.failure('garbled', `an answer is no JSON (${answer.status})`)
    if (place !== null) remembered.set(place, json)
    return json
  }

  const queryOf = (step: Step, scope: Scope): Record<string, string> =>
    Object.fromEntries(
      Object.entries(step.query ?? {}).map(([key, value]) => [
        key,
        typeof value === 'string' ? fillText(value, scope) : String(value),
      ]),
    )

  /** Each answer of a step: of one request, or of as many as there are pages. */
  async function* answers(step: Step, scope: Scope): AsyncGenerator<unknown> {
    const { pages, each = '' } = step
    const query = queryOf(step, scope)
    if (pages === undefined) {
      const answer = await ask(step, scope, query)
      if (step.fewerThan !== undefined && answer !== undefined)
        if (rowsOf(valueAt(answer, each), each).length >= step.fewerThan)
          throw talk.failure('refused', `a list of ${step.fewerThan} or more, which may go on elsewhere`)
      yield answer
      return
    }
    let rows = 0
    let next: string | null = null
    const seen = new Set<string>()
    for (let page = 0; ; page += 1) {
      if (page >= PAGES_MAX) throw talk.failure('refused', `a list of more than ${PAGES_MAX} pages`)
      const answer = await ask(step, scope, { ...query, ...pageQuery(pages, rows, page, next) })
      yield answer
      const here = answer === undefined ? 0 : rowsOf(valueAt(answer, each), each).length
      rows += here
      if (rows > ROWS_MAX) throw talk.failure('refused', `the tool holds more than ${ROWS_MAX}`)
      if ('cursor' in pages) {
        const after = answer === undefined ? null : valueAt(answer, `?${pages.next.replace(/^\?/, '')}`)
        if (after === null || after === '') return
        next = textOf(after, pages.next)
        if (next.length > CURSOR_MAX) throw talk.failure('garbled', 'a list goes on at a place that is too long')
        if (seen.has(next)) throw talk.failure('garbled', 'a list goes on where it was')
        seen.add(next)
      } else if (pages.total === undefined) {
        if (here < pages.size) return
      } else {
        const total = answer === undefined ? rows : Number(textOf(valueAt(answer, pages.total), pages.total))
        if (rows >= total) return
        if (!(here > 0)) throw talk.failure('garbled', 'a list ends before its own count')
      }
    }
  }

  const matches = (conditions: Step['where'], scope: Scope): boolean =>
    Object.entries(conditions ?? {}).every(
      ([name, wanted]) =>
        String(scope.get(name)) === (typeof wanted === 'string' ? fillText(wanted, scope) : String(wanted)),
    )

  const bind = (scope: Scope, bound: Step['set'], from: unknown) => {
    for (const [name, pointer] of Object.entries(bound ?? {})) scope.set(name, valueAt(from, pointer))
  }

  async function within(step: Step, scope: Scope, found: Yielded[]): Promise<void> {
    await take(step.steps ?? [], scope, found)
    for (const [list, name] of Object.entries(step.collect ?? {})) {
      const into = scope.get(list)
      if (Array.isArray(into)) into.push(scope.get(name))
    }
    if (step.yields !== undefined) found.push({ of: step.yields, scope: new Map(scope) })
    if (step.holds !== undefined) found.push({ holds: fillText(step.holds, scope) })
    if (found.length > ROWS_MAX) throw talk.failure('refused', `the tool holds more than ${ROWS_MAX}`)
  }

  async function takeOne(step: Step, scope: Scope, found: Yielded[]): Promise<void> {
    let left = 0
    for await (const answer of answers(step, scope)) {
      const asks = METHODS.some((method) => step[method] !== undefined)
      if (asks && answer === undefined) continue
      bind(scope, step.set, answer)
      if (step.each === undefined) {
        if (!matches(step.where, scope)) throw talk.failure('refused', 'the tool has something else in its place')
        await within(step, scope, found)
        continue
      }
      const rows = isPointer(step.each) ? valueAt(answer, step.each) : scope.get(step.each)
      for (const row of rowsOf(rows, step.each)) {
        // Rights name their own parts; whatever else a tool calls its fields binds nothing here.
        const inner = Object.hasOwn(recipe.rights, step.each) ? withRow(scope, row) : new Map(scope)
        bind(inner, step.as, row)
        if (!matches(step.where, inner) || (step.except !== undefined && matches(step.except, inner))) continue
        left += 1
        await within(step, inner, found)
        if (step.need === 'one') for (const name of Object.keys(step.as ?? {})) scope.set(name, inner.get(name))
      }
    }
    if (step.need === 'one' && left !== 1) {
      const wanted = Object.values(step.where ?? {}).map((one) =>
        typeof one === 'string' ? fillText(one, scope) : one,
      )
      throw talk.failure(
        'refused',
        `the tool has ${left === 0 ? 'no' : 'more than one'} ${JSON.stringify(wanted.join(' '))}`,
      )
    }
  }

  async function take(steps: readonly Step[], scope: Scope, found: Yielded[]): Promise<void> {
    for (const step of steps) {
      const [name, values] = Object.entries(step.for ?? {})[0] ?? [null, [null]]
      for (const value of values) {
        if (name !== null) scope.set(name, value)
        if (!matches(step.when, scope)) continue
        if (step.unless !== undefined && matches(step.unless, scope)) continue
        await takeOne(step, scope, found)
      }
    }
  }

  return {
    talk,
    async run(steps, scope) {
      const found: Yielded[] = []
      for (const list of listsOf(steps)) scope.set(list, [])
      try {
        await take(steps, scope, found)
      } catch (thrown) {
        if (thrown instanceof TargetFailure || !(thrown instanceof Unfit)) throw thrown
        throw talk.failure('garbled', `the recipe ${recipe.recipe}: ${thrown.message}`)
      }
      return found
    },
  }
}

/** What is said with every request. */
export const sharedHeaders = ({ headers }: Recipe, values: Scope): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).map(([name, text]) => [name.toLowerCase(), fillHeader(text, values)]))

function pageQuery(pages: Pages, rows: number, page: number, next: string | null): Record<string, string> {
  if ('offset' in pages) return { [pages.offset]: String(rows) }
  if ('number' in pages) return { [pages.number]: String(pages.from + page) }
  return next === null ? {} : { [pages.cursor]: next }
}

const listsOf = (steps: readonly Step[]): readonly string[] =>
  steps.flatMap((step) => [...Object.keys(step.collect ?? {}), ...listsOf(step.steps ?? [])])
