// May this credential make this call through the proxy? By the path rules of its own scopes, each detail held by the rule
// that allows the call or by the account in the tool (S9). Deny by default.

import type { CallTarget } from './call-target.ts'
import type { Details } from './manifest.ts'
import { detailsHeld, isWithin } from './path-rule.ts'
import { type Problem, problem } from './problem.ts'
import { err, ok, type Result } from './result.ts'
import type { ToolValue } from './slice.ts'

export type Held = { readonly scopes: readonly string[]; readonly details: Details }

/** The scope that allows it. */
export function judgeCall(
  tool: Pick<ToolValue, 'name' | 'scopes' | 'details' | 'target'>,
  { scopes, details }: Held,
  method: string,
  target: CallTarget,
): Result<string, Problem> {
  const rulesOf = (scope: string) => (Object.hasOwn(tool.scopes, scope) ? (tool.scopes[scope]!.allow ?? []) : [])
  const unheldBy = (held: readonly string[]) =>
    Object.keys(details).find((key) => !held.includes(key) && !isAccounts(tool, key))
  let unheld: string | undefined
  let isOutside = false
  for (const scope of scopes) {
    for (const rule of rulesOf(scope)) {
      if (!isWithin(rule, method, target, {})) continue
      if (!isWithin(rule, method, target, details)) {
        isOutside = true
        continue
      }
      const left = unheldBy(detailsHeld(rule))
      if (left === undefined) return ok(scope)
      unheld = left
    }
  }
  if (isOutside)
    return err(
      problem('details_not_allowed', 'The grant does not reach what this call names.', {
        hint: `It is limited to ${Object.entries(details)
          .map(([key, values]) => `${key} ${values.join(', ')}`)
          .join('; ')}.`,
      }),
    )
  if (unheld !== undefined)
    return err(
      problem('details_not_allowed', `The credential is limited in "${unheld}", and nothing holds this call to it.`, {
        hint: `Use a path that names the ${unheld}; the tool's rules say which.`,
      }),
    )
  const others = Object.keys(tool.scopes).filter((scope) =>
    rulesOf(scope).some((rule) => isWithin(rule, method, target, {})),
  )
  return err(
    problem('scope_not_in_manifest', `${scopes.join(', ')} does not allow ${method} on this path of ${tool.name}.`, {
      hint:
        others.length === 0
          ? 'No scope of the tool does: nothing reaches it unless its manifest allows it.'
          : `Ask Hallpass for ${others.slice(0, 8).join(' or ')} with request_access; an owner may have to approve it.`,
      nextTool: others.length === 0 ? 'list_access' : 'request_access',
    }),
  )
}

/** Whether the account that the call is made with is held to that detail by the tool itself. */
const isAccounts = ({ target, details }: Pick<ToolValue, 'target' | 'details'>, key: string): boolean =>
  target.type !== 'none' && Object.hasOwn(details, key) && details[key]!.enforcedBy === 'tool'
