// A change of one slice in lines that a person can say yes or no to: `+ scope ticket:close (high risk)`.
// It shows every field that is authority; what decides nothing is left out.

import { type Authority, covers } from './compile-slices.ts'
import { formatDuration } from './duration.ts'
import { type ToolField, toolFields } from './needs.ts'
import {
  type AccessValue,
  type AgentValue,
  type Entitlement,
  type SliceValue,
  sliceId,
  type ToolValue,
} from './slice.ts'

/** One line a change; empty when the authority is the same. `proposed` tells risks and who is in a team. */
export function readableDiff(from: SliceValue | null, to: SliceValue | null, proposed: Authority): readonly string[] {
  const value = to ?? from
  if (value === null) return []
  const of = <K extends SliceValue['of']>(side: SliceValue | null, kind: K) =>
    side?.of === kind ? (side as Extract<SliceValue, { of: K }>) : null
  switch (value.of) {
    case 'agent':
      return agentLines(of(from, 'agent'), of(to, 'agent'), proposed)
    case 'access':
      return accessLines(of(from, 'access'), of(to, 'access'), proposed)
    case 'team':
      return [
        ...there('team', value.name, from, to),
        ...listLines('member', of(from, 'team')?.members ?? [], of(to, 'team')?.members ?? []),
      ]
    case 'tool':
      return toolLines(of(from, 'tool'), of(to, 'tool'))
  }
}

const there = (kind: string, name: string, from: unknown, to: unknown): string[] =>
  from === null ? [`+ ${kind} ${name}`] : to === null ? [`- ${kind} ${name}`] : []

const listLines = (
  what: string,
  from: readonly string[],
  to: readonly string[],
  show = (item: string) => item,
): string[] => [
  ...from.filter((item) => !to.includes(item)).map((item) => `- ${what} ${item}`),
  ...to.filter((item) => !from.includes(item)).map((item) => `+ ${what} ${show(item)}`),
]

const changed = (what: string, from: string, to: string): string[] => (from === to ? [] : [`~ ${what} ${from} → ${to}`])

function agentLines(from: AgentValue | null, to: AgentValue | null, proposed: Authority): string[] {
  if (to === null) return there('agent', from!.name, from, to)
  const withMembers = (owner: string) => {
    const team = proposed.get(owner)
    return team?.of === 'team' ? `${owner} (${team.members.join(', ')})` : owner
  }
  const kids = (agent: AgentValue | null) => agent?.keys.map((key) => `${key.kid} (${key.alg})`) ?? []
  return [
    ...there('agent', to.name, from, to),
    ...listLines('owner', from?.owners ?? [], to.owners, withMembers),
    ...listLines('key', kids(from), kids(to)),
    ...changed('reviewBy', from === null ? 'never' : (from.reviewBy ?? 'never'), to.reviewBy ?? 'never'),
    ...changed('state', from?.state ?? 'active', to.state),
  ]
}

function toolLines(from: ToolValue | null, to: ToolValue | null): string[] {
  if (to === null) return there('tool', from!.name, from, to)
  const before = from === null ? new Map<string, ToolField>() : toolFields(from)
  const after = toolFields(to)
  const lines = [...there('tool', to.name, from, to), ...listLines('owner', from?.owners ?? [], to.owners)]
  for (const [place, { value }] of before) if (!after.has(place)) lines.push(`- ${spoken(place)} ${value}`)
  for (const [place, { value }] of after) {
    const was = before.get(place)?.value
    if (place === 'owners' || was === value) continue
    lines.push(was === undefined ? `+ ${spoken(place)} ${value}` : `~ ${spoken(place)} ${was} → ${value}`)
  }
  return lines
}

/** `scopes.ticket:read.risk` → `scope ticket:read risk`. */
const spoken = (place: string): string =>
  place
    .replace(/^(scope|detail)s\.(.*)\.(risk|approval|enforcedBy)$/, '$1 $2 $3')
    .replace(/^scopes\.(.*?)\.allow\.(.*)$/, 'scope $1: $2')
    .replace(/^mcp\.tools\./, 'mcp tool ')
    .replace(/^(token|upstream|mcp)\./, '$1 ')
    .replace(/^target\.(rights\.)?/, (_, rights) => (rights === undefined ? 'target ' : 'right of '))

function accessLines(from: AccessValue | null, to: AccessValue | null, proposed: Authority): string[] {
  const { tool } = (to ?? from)!
  const value = proposed.get(sliceId.tool(tool))
  const risk = (scope: string) =>
    value?.of === 'tool' && Object.hasOwn(value.scopes, scope) && value.scopes[scope]!.risk === 'high'
      ? ' (high risk)'
      : ''
  const { pairs, gone, added } = paired(from?.entitlements ?? [], to?.entitlements ?? [])
  return [
    ...gone.flatMap((entitlement) => wholeEntry('-', entitlement, () => '')),
    ...added.flatMap((entitlement) => wholeEntry('+', entitlement, risk)),
    ...pairs.flatMap(([one, other]) => entryLines(one, other, risk, pairs.length + added.length > 1)),
  ]
}

const wholeEntry = (sign: '+' | '-', entry: Entitlement, risk: (scope: string) => string): string[] => [
  ...entry.scopes.map((scope) => `${sign} scope ${scope}${risk(scope)}`),
  ...(sign === '+' ? [`  ${conditions(entry)}`] : []),
]

const conditions = (entry: Entitlement): string =>
  `with details ${shownDetails(entry)}, approval ${entry.approval}, grantFor ${formatDuration(entry.grantForSeconds)}, tokenTtl ${formatDuration(entry.tokenTtlSeconds)}, delivery ${entry.delivery}`

const shownDetails = ({ details }: Entitlement): string =>
  Object.entries(details)
    .map(([key, values]) => `${key}=${values.join('|')}`)
    .join(' ') || 'unrestricted'

function entryLines(from: Entitlement, to: Entitlement, risk: (scope: string) => string, several: boolean): string[] {
  const lines = [
    ...listLines('scope', from.scopes, to.scopes, (scope) => `${scope}${risk(scope)}`),
    ...changed('details', shownDetails(from), shownDetails(to)),
    ...changed('approval', from.approval, to.approval),
    ...changed('grantFor', formatDuration(from.grantForSeconds), formatDuration(to.grantForSeconds)),
    ...changed('tokenTtl', formatDuration(from.tokenTtlSeconds), formatDuration(to.tokenTtlSeconds)),
    ...changed('delivery', from.delivery, to.delivery),
  ]
  return several && lines.length > 0 ? lines.map((line) => `${line} [entry ${to.scopes.join(', ')}]`) : lines
}

/** Each entry with the one it most likely came from; equal and covered ones first, so that a small edit reads small. */
function paired(from: readonly Entitlement[], to: readonly Entitlement[]) {
  const gone = new Set(from)
  const added = new Set(to)
  const pairs: [Entitlement, Entitlement][] = []
  const pairUp = (alike: (one: Entitlement, other: Entitlement) => boolean) => {
    for (const other of added)
      for (const one of gone)
        if (alike(one, other)) {
          pairs.push([one, other])
          gone.delete(one)
          added.delete(other)
          break
        }
  }
  pairUp((one, other) => one.digest === other.digest)
  pairUp((one, other) => covers(one, other) || covers(other, one))
  pairUp((one, other) => one.scopes.some((scope) => other.scopes.includes(scope)))
  return { pairs, gone: [...gone], added: [...added] }
}
