// May a grant make this call of an upstream MCP tool? By the scope that the manifest maps the tool to, each detail held by
// the argument that carries it (S9). Deny by default; what no argument carries, nobody holds.

import type { Details, McpMapping } from './manifest.ts'
import { type Problem, problem } from './problem.ts'

type Held = { readonly scopes: readonly string[]; readonly details: Details }
type Arguments = { readonly [name: string]: unknown }

/** Whether the grant can be used for this tool at all, whatever the arguments: what an agent is shown goes by this. */
export const reachesTool = ({ scope, details }: McpMapping, held: Held): boolean =>
  held.scopes.includes(scope) && Object.keys(held.details).every((key) => Object.hasOwn(details, key))

/** Null: it may. `declared` are the arguments that the accepted definition declares. */
export function judgeMcpCall(
  shown: string,
  mapping: McpMapping,
  declared: readonly string[],
  held: Held,
  given: Arguments,
): Problem | null {
  if (!held.scopes.includes(mapping.scope))
    return problem('scope_not_in_manifest', `${shown} needs the scope ${mapping.scope}.`, {
      hint: `Ask for ${mapping.scope} with request_access; an owner may have to approve it.`,
      nextTool: 'request_access',
    })
  const limits = Object.entries(held.details)
  if (limits.length === 0) return null
  for (const [detail, values] of limits) {
    const argument = Object.hasOwn(mapping.details, detail) ? mapping.details[detail]! : null
    if (argument === null || !declared.includes(argument))
      return problem('details_not_allowed', `The grant is limited in "${detail}", and nothing holds ${shown} to it.`, {
        hint: 'Use another tool, or ask an owner.',
        detail: argument === null ? 'no argument carries it' : 'the definition declares no such argument',
      })
    const value = Object.hasOwn(given, argument) ? given[argument] : undefined
    if (!isWithin(value, values))
      return problem(
        'details_not_allowed',
        `The grant does not reach ${value === undefined ? 'a call without' : 'this'} "${argument}".`,
        {
          hint: `Give "${argument}" as ${values.map((value) => JSON.stringify(value)).join(' or ')}.`,
        },
      )
  }
  // What its definition does not declare might name the same thing again.
  const stray = Object.keys(given).find((name) => !declared.includes(name))
  return stray === undefined
    ? null
    : problem('details_not_allowed', `${shown} declares no argument ${JSON.stringify(stray.slice(0, 64))}.`, {
        hint: 'The grant is limited, so only arguments of its inputSchema go on.',
      })
}

/** One of the values, or a list of nothing else. */
function isWithin(given: unknown, values: readonly string[]): boolean {
  if (Array.isArray(given))
    return given.length > 0 && given.every((one) => !Array.isArray(one) && isWithin(one, values))
  if (typeof given === 'string') return values.includes(given)
  return typeof given === 'number' && Number.isSafeInteger(given) && values.includes(String(given))
}
