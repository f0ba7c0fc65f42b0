// What two values of one slice both allow: in force at once, whatever is proposed (S1). Every field goes by the rule
// of its row in the authority table; this file only knows where the fields are.

import { AUTHORITY_TABLE as T } from './authority-table.ts'
import { entitlementOf, normalized } from './compile-slices.ts'
import type { ToolMcp, ToolScope, ToolTarget, ToolUpstream } from './manifest.ts'
import type { AccessValue, AgentValue, Entitlement, SliceValue, TeamValue, ToolValue } from './slice.ts'

/**
 * The meet, field by field and key by key; null where either is not there. Neutral fields come from `proposed`.
 * @throws when the two are not values of one slice.
 */
export function meet(inForce: SliceValue | null, proposed: SliceValue | null): SliceValue | null {
  if (inForce === null || proposed === null) return null
  if (inForce.of === 'agent' && proposed.of === 'agent') return meetAgents(inForce, proposed)
  if (inForce.of === 'access' && proposed.of === 'access') return meetAccess(inForce, proposed)
  if (inForce.of === 'team' && proposed.of === 'team') return meetTeams(inForce, proposed)
  if (inForce.of === 'tool' && proposed.of === 'tool') return meetTools(inForce, proposed)
  throw new Error(`a slice of ${inForce.of} never becomes one of ${proposed.of}`)
}

const meetAgents = (a: AgentValue, b: AgentValue): AgentValue => ({
  of: 'agent',
  name: a.name,
  labels: b.labels,
  purpose: b.purpose,
  roles: b.roles,
  source: b.source,
  owners: T['Agent.spec.owners'].rule.meet(a.owners, b.owners),
  keys: T['Agent.spec.identity[].jwks.keys'].rule.meet(a.keys, b.keys),
  reviewBy: T['Agent.spec.reviewBy'].rule.meet(a.reviewBy, b.reviewBy),
  state: T['Agent.spec.state'].rule.meet(a.state, b.state),
})

const meetTeams = (a: TeamValue, b: TeamValue): TeamValue => ({
  ...b,
  members: T['Team.spec.members'].rule.meet(a.members, b.members),
})

function meetAccess(a: AccessValue, b: AccessValue): AccessValue | null {
  const shared = a.entitlements.flatMap((one) => b.entitlements.flatMap((other) => meetEntitlements(one, other) ?? []))
  return shared.length === 0 ? null : { ...b, entitlements: normalized(shared) }
}

function meetEntitlements(a: Entitlement, b: Entitlement): Entitlement | null {
  const scopes = T['Agent.spec.access[].scopes'].rule.meet(a.scopes, b.scopes)
  const details = T['Agent.spec.access[].details{}'].rule.meet(a.details, b.details)
  if (scopes.length === 0 || details === null) return null
  return entitlementOf(
    {
      tool: b.tool,
      scopes,
      details,
      approval: T['Agent.spec.access[].approval'].rule.meet(a.approval, b.approval),
      grantForSeconds: T['Agent.spec.access[].grantFor'].rule.meet(a.grantForSeconds, b.grantForSeconds),
      tokenTtlSeconds: T['Agent.spec.access[].tokenTtl'].rule.meet(a.tokenTtlSeconds, b.tokenTtlSeconds),
      delivery: T['Agent.spec.access[].delivery'].rule.meet(a.delivery, b.delivery),
      source: b.source,
    },
    b.role,
  )
}

/** Unordered fields stay as they are in force. */
const meetTools = ({ upstream, mcp, ...a }: ToolValue, b: ToolValue): ToolValue => ({
  ...a,
  labels: b.labels,
  source: b.source,
  owners: T['Tool.spec.owners'].rule.meet(a.owners, b.owners),
  scopes: shared(a.scopes, b.scopes, meetScopes),
  details: shared(a.details, b.details, (one, other) => ({ ...one, description: other.description })),
  token: {
    ...a.token,
    maxTtlSeconds: T['Tool.spec.token.maxTtl'].rule.meet(a.token.maxTtlSeconds, b.token.maxTtlSeconds),
  },
  target: meetTargets(a, b),
  ...(upstream === undefined || b.upstream === undefined ? {} : { upstream: meetUpstreams(upstream, b.upstream) }),
  ...(mcp === undefined || b.mcp === undefined ? {} : { mcp: meetMcp(mcp, b.mcp) }),
})

const meetMcp = (a: ToolMcp, b: ToolMcp): ToolMcp => ({
  ...a,
  tools: T['Tool.spec.mcp.tools{}'].rule.meet(a.tools, b.tools),
})

/** Taken out it is gone at once, for nothing takes its place. */
const meetUpstreams = (a: ToolUpstream, b: ToolUpstream): ToolUpstream => ({
  ...a,
  pass: T['Tool.spec.upstream.pass'].rule.meet(a.pass, b.pass),
  bodyBytes: T['Tool.spec.upstream.maxBody'].rule.meet(a.bodyBytes, b.bodyBytes),
})

/** As it is in force, without the rights of scopes that go: a right is nothing without its scope. */
function meetTargets({ target, scopes }: ToolValue, b: ToolValue): ToolTarget {
  if (target.type === 'none') return target
  const goes = (scope: string) => Object.hasOwn(scopes, scope) && !Object.hasOwn(b.scopes, scope)
  return { ...target, rights: Object.fromEntries(Object.entries(target.rights).filter(([scope]) => !goes(scope))) }
}

const meetScopes = (a: ToolScope, b: ToolScope): ToolScope => ({
  description: b.description,
  risk: T['Tool.spec.scopes{}.risk'].rule.meet(a.risk, b.risk),
  approval: T['Tool.spec.scopes{}.approval'].rule.meet(a.approval, b.approval),
  ...(a.allow === undefined ? {} : { allow: T['Tool.spec.scopes{}.allow[].paths'].rule.meet(a.allow, b.allow ?? []) }),
})

function shared<V>(
  a: Readonly<Record<string, V>>,
  b: Readonly<Record<string, V>>,
  of: (a: V, b: V) => V,
): Record<string, V> {
  return Object.fromEntries(
    Object.keys(a).flatMap((key) => (Object.hasOwn(b, key) ? [[key, of(a[key]!, b[key]!)] as const] : [])),
  )
}
