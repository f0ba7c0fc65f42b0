// From the rights of a tool, as texts, to the parts that its recipe declares and back. Split at literal separators and held
// to kinds, never by patterns of the recipe's: time grows with the length alone.

import type { PartKind, Recipe, RightForm } from './recipe.ts'
import { err, ok, type Result } from './result.ts'

export type Parts = Readonly<Record<string, string>>
/** By form; each form there, sorted by its text. */
export type ParsedRights = ReadonlyMap<string, readonly Parts[]>

const PART_MAX = 255
const CONTROL = /\p{C}/u

/** Whether a text is of a kind. */
export function isOfKind(kind: PartKind, text: string): boolean {
  if (text.length === 0 || text.length > PART_MAX) return false
  if (kind === 'number') return /^[1-9][0-9]{0,15}$/.test(text)
  if (kind === 'word') return /^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(text)
  // All digits would be taken for a number, the id of something else.
  if (kind === 'slug') return /^[a-z0-9][a-z0-9_-]*$/.test(text) && !/^\d+$/.test(text)
  if (kind === 'text') return text.trim() === text && !CONTROL.test(text)
  return kind.includes(text)
}

/** The right in the words of its form. */
export const textOfRight = (form: RightForm, parts: Parts): string =>
  form.text.replaceAll(/\{([A-Za-z0-9]+)\}/g, (_, name: string) => parts[name] ?? '')

/** Null where a text is not of this form. */
export function parseRight(form: RightForm, text: string): Parts | null {
  const parts: Record<string, string> = {}
  // Literals and names take turns: 'a{b}c{d}' is ['a', 'b', 'c', 'd', ''].
  const pieces = form.text.split(/[{}]/)
  if (!text.startsWith(pieces[0] ?? '')) return null
  let rest = text.slice((pieces[0] ?? '').length)
  for (let index = 1; index < pieces.length; index += 2) {
    const name = pieces[index] ?? ''
    const literal = pieces[index + 1] ?? ''
    const isLast = index + 2 >= pieces.length
    const end = literal === '' ? rest.length : isLast ? rest.length - literal.length : rest.indexOf(literal)
    if (end < 0 || (isLast && !rest.endsWith(literal))) return null
    const part = rest.slice(0, end)
    const kind = form.parts[name]
    if (kind === undefined || !isOfKind(kind, part)) return null
    parts[name] = part
    rest = rest.slice(end + literal.length)
  }
  return rest === '' ? parts : null
}

/** All of them, without those that a higher one includes. The error is a sentence that says what to write. */
export function parseRights(recipe: Pick<Recipe, 'rights'>, rights: readonly string[]): Result<ParsedRights, string> {
  const byForm = new Map<string, Map<string, Parts>>(Object.keys(recipe.rights).map((form) => [form, new Map()]))
  for (const right of rights) {
    const found = Object.entries(recipe.rights).flatMap(([name, form]) => {
      const parts = parseRight(form, right)
      return parts === null ? [] : [{ name, form, parts }]
    })[0]
    if (found === undefined) return err(`${JSON.stringify(right)} is not a right here: write ${formsOf(recipe)}`)
    const { name, form, parts } = found
    const rank = form.highest === undefined ? null : rankOf(form, form.highest, parts)
    const key = rank === null ? textOfRight(form, parts) : rank.of
    const other = byForm.get(name)?.get(key)
    const isHigher =
      other === undefined || (rank !== null && rank.is > (rankOf(form, form.highest ?? '', other)?.is ?? -1))
    if (isHigher) byForm.get(name)?.set(key, parts)
  }
  for (const [name, form] of Object.entries(recipe.rights))
    if ((byForm.get(name)?.size ?? 0) < (form.atLeast ?? 0))
      return err(`an account here needs a right of the form ${form.text}`)
  return ok(
    new Map(
      [...byForm].map(([name, rights]) => {
        const form = recipe.rights[name]
        return [
          name,
          [...rights.values()].sort((a, b) => (form && textOfRight(form, a) < textOfRight(form, b) ? -1 : 1)),
        ]
      }),
    ),
  )
}

function rankOf(form: RightForm, highest: string, parts: Parts): { readonly of: string; readonly is: number } | null {
  const words = form.parts[highest]
  if (!Array.isArray(words)) return null
  return { of: textOfRight(form, { ...parts, [highest]: '' }), is: words.indexOf(parts[highest] ?? '') }
}

/** In their words again, sorted. */
export const textsOf = (recipe: Pick<Recipe, 'rights'>, parsed: ParsedRights): readonly string[] =>
  [...parsed]
    .flatMap(([name, rights]) => {
      const form = recipe.rights[name]
      return form === undefined ? [] : rights.map((parts) => textOfRight(form, parts))
    })
    .sort()

export const formsOf = ({ rights }: Pick<Recipe, 'rights'>): string =>
  Object.values(rights)
    .map(({ text, parts }) =>
      text.replaceAll(/\{([A-Za-z0-9]+)\}/g, (whole, name: string) => {
        const kind = parts[name]
        return Array.isArray(kind) ? kind.slice(0, 8).join('|') : whole
      }),
    )
    .join(' or ')
