// Fills a recipe's templates, each value encoded for its place: a part of a path, a parameter, a header, JSON. What a value
// holds never ends its place: it is encoded or refused.

import { namesIn } from '../../core/recipe.ts'

/** What names stand for while an operation runs. */
export type Scope = Map<string, unknown>

/** What a template needs is not there, or is nothing that fits its place. */
export class Unfit extends Error {
  override name = 'Unfit'
}

/** A template that is one name alone. */
const ALONE = /^\{([a-z][A-Za-z0-9]*)\}$/
const NAMED = /\{([a-z][A-Za-z0-9]*)\}/g

const isScalar = (value: unknown): value is string | number | boolean =>
  ['string', 'number', 'boolean'].includes(typeof value)

export function textOf(value: unknown, name: string): string {
  if (!isScalar(value)) throw new Unfit(`"${name}" is not known, or no text`)
  return String(value)
}

export const fillText = (template: string, scope: Scope): string =>
  template.replaceAll(NAMED, (_, name: string) => textOf(scope.get(name), name))

/** RFC 3986: no value reaches out of its own segment. */
export function fillPath(template: string, scope: Scope): string {
  const filled = template.split('/').map((segment) =>
    segment.replaceAll(NAMED, (_, name: string) => {
      const text = textOf(scope.get(name), name)
      if (text === '' || !text.isWellFormed()) throw new Unfit(`"${name}" cannot stand in a path`)
      return encodeURIComponent(text)
    }),
  )
  if (filled.some((segment) => segment === '.' || segment === '..')) throw new Unfit('a path would lead elsewhere')
  return filled.join('/')
}

/** RFC 9110 section 5.5, visible ASCII alone. */
export function fillHeader(template: string, scope: Scope): string {
  const text = fillText(template, scope)
  if (!/^[ -~]*$/.test(text)) throw new Unfit('a value cannot stand in a header')
  return text
}

/**
 * A name alone keeps what it stands for, a number or a list; `{each: LIST, value: …}` is one item a row and with `key` one
 * member of an object a row.
 */
export function fillJson(template: unknown, scope: Scope): unknown {
  if (typeof template === 'string') {
    const alone = ALONE.exec(template)?.[1]
    if (alone === undefined) return (namesIn(template) ?? []).length === 0 ? template : fillText(template, scope)
    const value = scope.get(alone)
    if (value === undefined) throw new Unfit(`"${alone}" is not known`)
    return value
  }
  if (Array.isArray(template)) return template.map((item) => fillJson(item, scope))
  if (template === null || typeof template !== 'object') return template
  const members: Readonly<Record<string, unknown>> = { ...template }
  if (typeof members.each !== 'string' || !('value' in members))
    return Object.fromEntries(Object.entries(members).map(([key, value]) => [key, fillJson(value, scope)]))
  const rows = rowsOf(scope.get(members.each), members.each).map((row) => {
    const inner = withRow(scope, row)
    return { key: members.key === undefined ? '' : fillText(String(members.key), inner), inner }
  })
  const filled = rows.map(({ key, inner }) => [key, fillJson(members.value, inner)] as const)
  return members.key === undefined ? filled.map(([, value]) => value) : Object.fromEntries(filled)
}

/** A list's rows; an object's are `{key, value}`. */
export function rowsOf(value: unknown, name: string): readonly unknown[] {
  if (Array.isArray(value)) return value
  if (value !== null && typeof value === 'object')
    return Object.entries(value).map(([key, value]) => ({ key, value: value as unknown }))
  throw new Unfit(`"${name}" is no list`)
}

/** Names bound in a row are known within it. */
export const withRow = (scope: Scope, row: unknown): Scope =>
  new Map([...scope, ...(row !== null && typeof row === 'object' ? Object.entries(row) : [])])

/** RFC 6901. With `?` in front, null for what is not there. */
export function valueAt(document: unknown, pointer: string): unknown {
  const optional = pointer.startsWith('?')
  let value = document
  for (const token of pointer.split('/').slice(1)) {
    const key = token.replaceAll('~1', '/').replaceAll('~0', '~')
    if (value === null || typeof value !== 'object' || !Object.hasOwn(value, key)) {
      if (optional) return null
      throw new Unfit(`an answer has no ${pointer}`)
    }
    value = Reflect.get(value, key)
  }
  return value
}
