// May this agent have this, now? granted | needs approval | refused, from the world alone (P2, S8, S9).

import { didYouMean as nearest } from './did-you-mean.ts'
import { approvalOf, covering, judgeTool, type World } from './judge.ts'
import type { ApprovalLevel, Details } from './manifest.ts'
import { type Problem, problem } from './problem.ts'
import { err, ok, type Result } from './result.ts'
import { rightsFor } from './rights.ts'
import { detailsCover, type Entitlement, type ToolValue } from './slice.ts'

export type Ask = {
  readonly tool: string
  /** Sorted, unique. */
  readonly scopes: readonly string[]
  readonly details: Details
  /** Null: as long as one approval lasts. */
  readonly durationSeconds: number | null
}

export type Decision = {
  readonly entitlement: Entitlement
  /** `none`: granted at once. */
  readonly approval: ApprovalLevel
  /** What was asked, at most what the entitlement gives. */
  readonly durationSeconds: number
}

export function decide(world: World, ask: Ask): Result<Decision, Problem> {
  const refused = judgeTool(world, ask.tool)
  if (refused !== null) return err(refused)
  const tool = world.toolValue!
  const entitlement = covering(world, ask.scopes, ask.details)[0]
  if (entitlement === undefined) return err(whyNot(world, tool, ask))
  const rights = tool.target.type === 'none' ? null : rightsFor(tool.target, ask.scopes, ask.details)
  if (rights !== null && !rights.ok) return rights
  return ok({
    entitlement,
    approval: approvalOf(entitlement, ask.scopes, tool),
    durationSeconds: Math.min(ask.durationSeconds ?? entitlement.grantForSeconds, entitlement.grantForSeconds),
  })
}

function whyNot(world: World, tool: ToolValue, ask: Ask): Problem {
  const entitlements = world.access?.entitlements ?? []
  const mine = new Set(entitlements.flatMap((entitlement) => entitlement.scopes))
  const missing = ask.scopes.filter((scope) => !mine.has(scope) || !Object.hasOwn(tool.scopes, scope))
  if (missing.length > 0) {
    const didYouMean = nearest(missing[0]!, [...mine])
    const isKnown = missing.every((scope) => Object.hasOwn(tool.scopes, scope))
    return problem(
      'scope_not_in_manifest',
      `The manifest does not let you ask for ${missing.join(', ')} on ${ask.tool}.`,
      {
        hint: `Ask for a scope that list_access shows${isKnown ? ', or show your owner the manifestPatch' : ''}.`,
        nextTool: 'list_access',
        ...(didYouMean === null ? {} : { didYouMean }),
        ...(isKnown ? { manifestPatch: patchFor(world, ask.tool, missing) } : {}),
      },
    )
  }
  const undeclared = Object.keys(ask.details).find((key) => !Object.hasOwn(tool.details, key))
  if (undeclared !== undefined)
    return problem('details_not_allowed', `${ask.tool} has no detail "${undeclared}".`, {
      hint: 'Ask again with details that list_access shows.',
      nextTool: 'list_access',
    })
  const withinDetails = (scope: string) =>
    entitlements.some((e) => e.scopes.includes(scope) && detailsCover(e.details, ask.details))
  if (ask.scopes.every(withinDetails))
    return problem('scope_not_in_manifest', 'No single entitlement covers all of these scopes together.', {
      hint: `Ask separately: ${splitOf(entitlements, ask).join('; ')}. Each becomes a grant and a token of its own.`,
      nextTool: 'request_access',
    })
  return problem(
    'details_not_allowed',
    `The manifest allows ${ask.scopes.join(', ')} on ${ask.tool} only within: ${allowedDetails(entitlements, ask.scopes)}.`,
    { hint: 'Ask again with details that list_access shows.', nextTool: 'list_access' },
  )
}

const allowedDetails = (entitlements: readonly Entitlement[], scopes: readonly string[]): string =>
  entitlements
    .filter((entitlement) => scopes.some((scope) => entitlement.scopes.includes(scope)))
    .map((entitlement) => JSON.stringify(entitlement.details))
    .join(' or ')

function splitOf(entitlements: readonly Entitlement[], ask: Ask): string[] {
  const left = new Set(ask.scopes)
  const parts: string[] = []
  while (left.size > 0) {
    const part = entitlements
      .filter((entitlement) => detailsCover(entitlement.details, ask.details))
      .map((entitlement) => entitlement.scopes.filter((scope) => left.has(scope)))
      .sort((a, b) => b.length - a.length)[0]
    if (part === undefined || part.length === 0) break
    parts.push(part.join(' and '))
    for (const scope of part) left.delete(scope)
  }
  return parts
}

/** The smallest YAML edit that would allow the scopes; for an owner to consider, never applied. */
function patchFor(world: World, tool: string, scopes: readonly string[]): string {
  const own = world.access?.entitlements.find((entitlement) => entitlement.role === null)
  if (own !== undefined)
    return [
      `# ${own.source.file}, line ${own.source.line}: in the access entry for ${tool}`,
      `scopes: [${[...new Set([...own.scopes, ...scopes])].sort().join(', ')}]`,
    ].join('\n')
  const source = world.identity?.source
  const details = world.access?.entitlements[0]?.details ?? {}
  const within = Object.entries(details).map(([key, values]) => `${key}: [${values.join(', ')}]`)
  return [
    `# ${source?.file ?? 'the manifest'} (${world.identity?.name}): add under spec.access`,
    `- tool: ${tool}`,
    `  scopes: [${scopes.join(', ')}]`,
    ...(within.length === 0 ? [] : [`  details: { ${within.join(', ')} }`]),
  ].join('\n')
}
