// From what a grant gives, scopes and details, to the rights that an account gets, in the tool's own words. A word is a
// text of the manifest's, `{detail}` in it filled from the grant; nothing a request says enters it unchecked.

import type { AccountTarget, Details } from './manifest.ts'
import { type Problem, problem } from './problem.ts'
import { err, ok, type Result } from './result.ts'

/** What may fill a right: nothing that could end one word of a tool's and begin another. */
export const RIGHT_VALUE = /^[A-Za-z0-9][A-Za-z0-9._ -]*$/
/** More rights than an account is ever given. */
const MOST = 256
const NAMED = /\{([^{}]*)\}/g

/** The details that a right names, in their order. */
export const detailsNamed = (right: string): readonly string[] => [...right.matchAll(NAMED)].map((found) => found[1]!)

/** Whether each brace of a right belongs to a detail that it names. */
export const isWellFormed = (right: string): boolean => !/[{}]/.test(right.replaceAll(NAMED, ''))

/**
 * The rights of all these scopes within these details, sorted and unique, one a value of each detail named. Refused
 * where a detail that a right names is left open: the account could not be held to any.
 */
export function rightsFor(
  target: Pick<AccountTarget, 'rights'>,
  scopes: readonly string[],
  details: Details,
): Result<readonly string[], Problem> {
  const rights = new Set<string>()
  for (const scope of scopes) {
    const words = Object.hasOwn(target.rights, scope) ? target.rights[scope]! : []
    if (words.length === 0)
      return err(problem('scope_not_in_manifest', `The tool has no right for ${scope}.`, { hint: 'Ask its owner.' }))
    for (const word of words) {
      const filled = fill(word, details)
      if (!filled.ok) return filled
      for (const right of filled.value) rights.add(right)
      if (rights.size > MOST) return err(tooMany())
    }
  }
  return ok([...rights].sort())
}

function fill(word: string, details: Details): Result<readonly string[], Problem> {
  let filled: readonly string[] = [word]
  for (const name of new Set(detailsNamed(word))) {
    const values = Object.hasOwn(details, name) ? details[name]! : []
    if (values.length === 0)
      return err(
        problem('details_not_allowed', `An account in this tool is made for a certain ${name}, and none is named.`, {
          hint: `Ask again with details that name it, like {"${name}": ["…"]}; list_access shows what you may name.`,
          nextTool: 'request_access',
        }),
      )
    const unfit = values.find((value) => !RIGHT_VALUE.test(value))
    if (unfit !== undefined)
      return err(
        problem('details_not_allowed', `This value of ${name} cannot be written as a right of the tool.`, {
          hint: 'Name it with letters, digits, spaces and . _ - alone.',
        }),
      )
    if (filled.length * values.length > MOST) return err(tooMany())
    filled = filled.flatMap((right) => values.map((value) => right.replaceAll(`{${name}}`, () => value)))
  }
  return ok(filled)
}

const tooMany = () =>
  problem('details_not_allowed', `This comes to more than ${MOST} rights.`, { hint: 'Ask for less at a time.' })
