// Who must accept a widening (S1), counted on the authority that is left after the edit's narrowings and before its
// widenings (S2): whom the edit adds decides nothing yet, whom it removes decides nothing more.

import { type Acceptor, AUTHORITY_TABLE, type AuthorityField } from './authority-table.ts'
import { type Authority, covers } from './compile-slices.ts'
import { formatDuration } from './duration.ts'
import type { AccountTarget, ToolMcp, ToolUpstream } from './manifest.ts'
import { mappingText } from './manifest-mcp.ts'
import type { Need } from './model.ts'
import { ownRecipeLines } from './own-recipe.ts'
import { ruleText } from './path-rule.ts'
import { type AccessValue, type SliceValue, sliceId, type TeamValue, type ToolValue } from './slice.ts'

/** E-mails of these owners: `team/NAME` is its members in `authority`. Sorted, unique. */
export function peopleOf(authority: Authority, owners: readonly string[]): readonly string[] {
  const people = owners.flatMap((owner) => {
    if (!owner.startsWith('team/')) return [owner]
    const team = authority.get(owner)
    return team?.of === 'team' ? team.members : []
  })
  return [...new Set(people)].sort()
}

/** E-mails of the owners of an agent or a tool in `authority`; none when it is not there. */
export function ownersOf(authority: Authority, id: string): readonly string[] {
  const value = authority.get(id)
  return value?.of === 'agent' || value?.of === 'tool' ? peopleOf(authority, value.owners) : []
}

/** What an edit looks like from above: what was in force, what is asked for, and what is left between the two. */
export type Edit = {
  readonly inForce: Authority
  readonly proposed: Authority
  readonly left: Authority
  /** Agent → tools that it has or asks for; team → slice ids of the agents and tools that name it. */
  readonly toolsOf: ReadonlyMap<string, readonly string[]>
  readonly named: ReadonlyMap<string, readonly string[]>
}

/** `resumable`: values that may come back by themselves (S3), so a team that only they name is still named. */
export function editOf(
  inForce: Authority,
  proposed: Authority,
  left: Authority,
  resumable: Iterable<SliceValue>,
): Edit {
  const toolsOf = new Map<string, Set<string>>()
  const named = new Map<string, Set<string>>()
  const add = (into: Map<string, Set<string>>, key: string, item: string) =>
    into.set(key, (into.get(key) ?? new Set()).add(item))
  for (const value of [...inForce.values(), ...proposed.values(), ...resumable]) {
    if (value?.of === 'access') add(toolsOf, value.agent, value.tool)
    if (value?.of === 'agent' || value?.of === 'tool')
      for (const owner of value.owners) if (owner.startsWith('team/')) add(named, owner, `${value.of}/${value.name}`)
  }
  const sorted = (sets: Map<string, Set<string>>) => new Map([...sets].map(([key, set]) => [key, [...set].sort()]))
  return { inForce, proposed, left, toolsOf: sorted(toolsOf), named: sorted(named) }
}

/** Does any agent or tool, in force or proposed, name this team? If not, who is in it decides nothing. */
export const isNamed = (edit: Pick<Edit, 'named'>, team: string): boolean => edit.named.has(sliceId.team(team))

/** All of these must be met. `from` is what is in force at once, `to` what is proposed. */
export function needsOf(edit: Edit, from: SliceValue | null, to: SliceValue): readonly Need[] {
  const needs = new Map<string, Need>()
  for (const need of needsFor(edit, from, to)) needs.set(`${need.as} ${need.of}`, need)
  return [...needs.values()]
}

function needsFor(edit: Edit, from: SliceValue | null, to: SliceValue): readonly Need[] {
  switch (to.of) {
    case 'agent':
      return agentNeeds(edit, to.name)
    case 'access':
      return accessNeeds(edit, from?.of === 'access' ? from : null, to)
    case 'team':
      return teamNeeds(edit, to)
    case 'tool':
      return toolNeeds(edit, from?.of === 'tool' ? from : null, to)
  }
}

const admin = (tool: string): Need => ({ as: 'admin', of: tool, eligible: [] })

/** An owner of the tool; an admin where none is left. */
function toolOwner(edit: Edit, tool: string): Need {
  const eligible = ownersOf(edit.left, sliceId.tool(tool))
  return eligible.length > 0 ? { as: 'owner of tool', of: tool, eligible } : admin(tool)
}

/** An owner of the agent; where it is new or none is left, an owner of each tool that it has or asks for. */
function agentNeeds(edit: Edit, agent: string): readonly Need[] {
  const eligible = ownersOf(edit.left, sliceId.agent(agent))
  if (eligible.length > 0) return [{ as: 'owner of agent', of: agent, eligible }]
  const tools = edit.toolsOf.get(agent) ?? []
  // Nobody can say yes to an agent that asks for nothing: it waits until it asks for a tool.
  return tools.length > 0 ? tools.map((tool) => toolOwner(edit, tool)) : [{ as: 'owner of tool', of: '', eligible: [] }]
}

function accessNeeds(edit: Edit, from: AccessValue | null, to: AccessValue): readonly Need[] {
  const { agent, tool } = to
  const known = edit.inForce.get(sliceId.agent(agent)) != null
  if (!known) return [toolOwner(edit, tool)]
  const isNewToTool = (edit.inForce.get(sliceId.access(agent, tool)) ?? null) === null
  const risky = widenedScopes(from, to).some((scope) => isHighRisk(edit, tool, scope))
  return [...agentNeeds(edit, agent), ...(isNewToTool || risky ? [toolOwner(edit, tool)] : [])]
}

/** The scopes that `to` gives more of than `from` does. */
function widenedScopes(from: AccessValue | null, to: AccessValue): readonly string[] {
  const had = from?.entitlements ?? []
  const added = to.entitlements.filter((entitlement) => !had.some((one) => covers(one, entitlement)))
  return added.flatMap((entitlement) => {
    const more = entitlement.scopes.filter(
      (scope) => !had.some((one) => covers(one, { ...entitlement, scopes: [scope] })),
    )
    // Each of its scopes was there, but never together in one entitlement (S9).
    return more.length > 0 ? more : entitlement.scopes
  })
}

/** As the tool is in force, or as it is proposed: whichever is stricter. */
const isHighRisk = (edit: Edit, tool: string, scope: string): boolean =>
  [edit.inForce, edit.proposed].some((authority) => {
    const value = authority.get(sliceId.tool(tool))
    return value?.of === 'tool' && Object.hasOwn(value.scopes, scope) && value.scopes[scope]!.risk === 'high'
  })

/** A member; where none is left, whoever decides for each thing that the team owns. */
function teamNeeds(edit: Edit, to: TeamValue): readonly Need[] {
  const eligible = peopleOf(edit.left, [sliceId.team(to.name)])
  if (eligible.length > 0) return [{ as: 'member of team', of: to.name, eligible }]
  return (edit.named.get(sliceId.team(to.name)) ?? []).flatMap((id) => {
    const name = id.slice(id.indexOf('/') + 1)
    return id.startsWith('agent/') ? agentNeeds(edit, name) : [toolOwner(edit, name)]
  })
}

function toolNeeds(edit: Edit, from: ToolValue | null, to: ToolValue): readonly Need[] {
  const acceptors = toolAcceptors(from, to)
  return [
    ...(acceptors.has('admin') ? [admin(to.name)] : []),
    ...(acceptors.has('owner of tool') ? [toolOwner(edit, to.name)] : []),
  ]
}

/** By the rows of the fields that differ. What was not there, or has no row, is an admin's (S1). */
function toolAcceptors(from: ToolValue | null, to: ToolValue): ReadonlySet<Acceptor> {
  if (from === null) return new Set<Acceptor>(['admin'])
  const before = toolFields(from)
  const acceptors = new Set<Acceptor>()
  for (const [place, { field, value }] of toolFields(to)) {
    const was = before.get(place)
    if (was === undefined) acceptors.add('admin')
    else if (was.value !== value) acceptors.add(AUTHORITY_TABLE[field].acceptedBy)
  }
  return acceptors
}

export type ToolField = { readonly field: AuthorityField; readonly value: string }

/** Every field of a tool that is authority, by its place: `scopes.ticket:read.risk`. */
export function toolFields(tool: ToolValue): ReadonlyMap<string, ToolField> {
  const { token, target } = tool
  return new Map<string, ToolField>([
    ['owners', { field: 'Tool.spec.owners', value: tool.owners.join(', ') }],
    ['category', { field: 'Tool.spec.category', value: tool.category }],
    ['resource', { field: 'Tool.spec.resource', value: tool.resource }],
    ...Object.entries(tool.scopes).flatMap(([scope, { risk, approval, allow = [] }]): [string, ToolField][] => [
      [`scopes.${scope}.risk`, { field: 'Tool.spec.scopes{}.risk', value: risk }],
      [`scopes.${scope}.approval`, { field: 'Tool.spec.scopes{}.approval', value: approval }],
      ...allow.map((rule): [string, ToolField] => [
        `scopes.${scope}.allow.${ruleText(rule)}`,
        { field: 'Tool.spec.scopes{}.allow[].paths', value: 'allowed' },
      ]),
    ]),
    ...Object.entries(tool.details).map(([key, { enforcedBy }]): [string, ToolField] => [
      `details.${key}.enforcedBy`,
      { field: 'Tool.spec.details{}.enforcedBy', value: enforcedBy },
    ]),
    ['token.alg', { field: 'Tool.spec.token.alg', value: token.alg }],
    ['token.maxTtl', { field: 'Tool.spec.token.maxTtl', value: `${token.maxTtlSeconds}s` }],
    ['token.verifiedBy', { field: 'Tool.spec.token.verifiedBy', value: token.verifiedBy }],
    ['token.leeway', { field: 'Tool.spec.token.leeway', value: `${token.leewaySeconds}s` }],
    ['target.type', { field: 'Tool.spec.target.type', value: target.type }],
    ...(target.type === 'none' ? [] : targetFields(target)),
    ...(tool.upstream === undefined ? [] : upstreamFields(tool.upstream)),
    ...(tool.mcp === undefined ? [] : mcpFields(tool.mcp)),
  ])
}

const upstreamFields = ({ url, secret, header, prefix, pass, bodyBytes }: ToolUpstream): [string, ToolField][] => [
  ['upstream.url', { field: 'Tool.spec.upstream.url', value: url }],
  ['upstream.secret', { field: 'Tool.spec.upstream.secret', value: secret ?? 'none' }],
  ['upstream.header', { field: 'Tool.spec.upstream.header', value: header }],
  ['upstream.prefix', { field: 'Tool.spec.upstream.prefix', value: JSON.stringify(prefix) }],
  ['upstream.pass', { field: 'Tool.spec.upstream.pass', value: pass.join(', ') || 'nothing more' }],
  ['upstream.maxBody', { field: 'Tool.spec.upstream.maxBody', value: `${bodyBytes} bytes` }],
]

const mcpFields = ({ url, command, secret, header, prefix, tools }: ToolMcp): [string, ToolField][] => [
  ['mcp.url', { field: 'Tool.spec.mcp.url', value: url ?? 'none' }],
  ['mcp.command', { field: 'Tool.spec.mcp.command', value: command ?? 'none' }],
  ['mcp.secret', { field: 'Tool.spec.mcp.secret', value: secret ?? 'none' }],
  ['mcp.header', { field: 'Tool.spec.mcp.header', value: header }],
  ['mcp.prefix', { field: 'Tool.spec.mcp.prefix', value: JSON.stringify(prefix) }],
  ...Object.entries(tools).map(([name, mapping]): [string, ToolField] => [
    `mcp.tools.${name}`,
    { field: 'Tool.spec.mcp.tools{}', value: mappingText(mapping) },
  ]),
]

const targetFields = ({
  url,
  secret,
  rights,
  reconcile,
  drill,
  recipe,
  ownRecipe,
  values,
}: AccountTarget): [string, ToolField][] => [
  ['target.url', { field: 'Tool.spec.target.url', value: url }],
  ['target.secret', { field: 'Tool.spec.target.secret', value: secret }],
  ...Object.entries(rights).map(([scope, words]): [string, ToolField] => [
    `target.rights.${scope}`,
    { field: 'Tool.spec.target.rights{}', value: words.join(', ') },
  ]),
  ['target.ghosts', { field: 'Tool.spec.target.reconcile.ghosts', value: reconcile.ghosts }],
  ['target.others', { field: 'Tool.spec.target.reconcile.others', value: reconcile.others }],
  ['target.overScoped', { field: 'Tool.spec.target.reconcile.overScoped', value: reconcile.overScoped }],
  ['target.exempt', { field: 'Tool.spec.target.reconcile.exempt', value: reconcile.exempt.join(', ') || 'nobody' }],
  ['target.drill', { field: 'Tool.spec.target.drill.every', value: drillText(drill) }],
  ['target.recipe', { field: 'Tool.spec.target.recipe', value: recipe ?? 'none' }],
  ...(ownRecipe === undefined ? [] : ownRecipeLines(ownRecipe)).map(([place, value]): [string, ToolField] => [
    `target.recipeFile ${place}`,
    { field: 'Tool.spec.target.recipeFile', value },
  ]),
  ['target.values', { field: 'Tool.spec.target.values{}', value: valuesText(values) }],
]

const drillText = (drill: AccountTarget['drill']): string => {
  if (drill === undefined) return 'never'
  const details = Object.entries(drill.details)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, values]) => ` ${key}=${JSON.stringify(values)}`)
  return `every ${formatDuration(drill.everySeconds)}, ${drill.scope ?? 'the scope of the lowest risk'}${details.join('')}`
}

const valuesText = (values: AccountTarget['values']): string =>
  Object.entries(values)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .join(' ') || 'none'
