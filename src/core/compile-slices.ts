// From a manifest set to the units of authority that it proposes (S1), and when two of them are the same authority.
// Nothing here knows what is in force.

import { digest, type Json } from './canonical.ts'
import { type AccessEntry, type AgentManifest, APPROVAL_LEVELS, DELIVERIES, type ManifestSet } from './manifest.ts'
import { ruleText } from './path-rule.ts'
import { detailsCover, type Entitlement, type SliceValue, sliceId } from './slice.ts'

/** Slice id → value; null or absent: not there. */
export type Authority = ReadonlyMap<string, SliceValue | null>

/**
 * All slices of a set. Roles vanish into the access they give; scopes and details that the set's tool does not declare
 * grant nothing; an agent without access on a tool has no slice there.
 */
export function compileSlices(set: ManifestSet): Map<string, SliceValue> {
  const slices = new Map<string, SliceValue>()
  for (const { kind: _, ...tool } of set.tools.values()) slices.set(sliceId.tool(tool.name), { of: 'tool', ...tool })
  for (const { name, members, source } of set.teams.values())
    slices.set(sliceId.team(name), { of: 'team', name, members, source })
  for (const agent of set.agents.values()) {
    const { name, labels, purpose, owners, keys, roles, reviewBy, state, source } = agent
    slices.set(sliceId.agent(name), {
      of: 'agent',
      name,
      labels,
      purpose,
      owners,
      keys,
      roles,
      reviewBy,
      state,
      source,
    })
    for (const [tool, entitlements] of flattened(agent, set)) {
      const left = normalized(entitlements)
      if (left.length > 0)
        slices.set(sliceId.access(name, tool), { of: 'access', agent: name, tool, entitlements: left })
    }
  }
  return slices
}

function flattened(agent: AgentManifest, set: ManifestSet): Map<string, Entitlement[]> {
  const byTool = new Map<string, Entitlement[]>()
  const add = (entry: AccessEntry, role: string | null) => {
    const declared = declaredPart(entry, set)
    if (declared === null) return
    const entitlements = byTool.get(entry.tool)
    if (entitlements === undefined) byTool.set(entry.tool, [entitlementOf(declared, role)])
    else entitlements.push(entitlementOf(declared, role))
  }
  for (const entry of agent.access) add(entry, null)
  for (const role of agent.roles) for (const entry of set.roles.get(role)?.access ?? []) add(entry, role)
  return byTool
}

/** What the tool of the same set declares of it. A tool that is gone grants nothing by itself, so all of it stays. */
function declaredPart(entry: AccessEntry, set: ManifestSet): AccessEntry | null {
  const tool = set.tools.get(entry.tool)
  if (tool === undefined) return entry
  if (!Object.keys(entry.details).every((key) => Object.hasOwn(tool.details, key))) return null
  const scopes = entry.scopes.filter((scope) => Object.hasOwn(tool.scopes, scope))
  return scopes.length === 0 ? null : { ...entry, scopes }
}

export const entitlementOf = (entry: AccessEntry, role: string | null): Entitlement => {
  const { tool, scopes, details, approval, grantForSeconds, tokenTtlSeconds, delivery, source } = entry
  const effective = { tool, scopes, details, approval, grantForSeconds, tokenTtlSeconds, delivery }
  return { ...effective, source, role, digest: digest(effective) }
}

/** Those that no other covers, each once, sorted by digest. */
export function normalized(entitlements: readonly Entitlement[]): readonly Entitlement[] {
  const unique = [...new Map(entitlements.map((entitlement) => [entitlement.digest, entitlement])).values()]
  return unique
    .filter((one) => !unique.some((other) => other !== one && covers(other, one)))
    .sort((a, b) => (a.digest < b.digest ? -1 : 1))
}

const rank = <T>(order: readonly T[], item: T) => order.indexOf(item)

/** Does `a` alone allow all that `b` allows, in every field (S9)? */
export const covers = (a: Entitlement, b: Entitlement): boolean =>
  a.tool === b.tool &&
  b.scopes.every((scope) => a.scopes.includes(scope)) &&
  detailsCover(a.details, b.details) &&
  rank(APPROVAL_LEVELS, a.approval) <= rank(APPROVAL_LEVELS, b.approval) &&
  a.grantForSeconds >= b.grantForSeconds &&
  a.tokenTtlSeconds >= b.tokenTtlSeconds &&
  rank(DELIVERIES, a.delivery) <= rank(DELIVERIES, b.delivery)

/**
 * SHA-256 of a slice's authority, hex: what an acceptance binds (S3). Where it was written, the roles it came through,
 * purposes, labels and descriptions are no authority and left out. Null is "not there".
 */
export const valueDigest = (value: SliceValue | null): string => digest(value === null ? null : authorityOf(value))

function authorityOf(value: SliceValue): Json {
  switch (value.of) {
    case 'agent': {
      const { of, name, owners, reviewBy, state } = value
      return { of, name, owners, keys: value.keys.map(({ kid, alg }) => ({ kid, alg })), reviewBy, state }
    }
    case 'access':
      return {
        of: value.of,
        agent: value.agent,
        tool: value.tool,
        entitlements: value.entitlements.map((e) => e.digest),
      }
    case 'team':
      return { of: value.of, name: value.name, members: value.members }
    case 'tool': {
      const { of, name, owners, category, resource, token, target, upstream, mcp } = value
      const scopes = mapValues(value.scopes, ({ risk, approval, allow = [] }) => ({
        risk,
        approval,
        // Left out where there is none: what was accepted before there were any stays what it was.
        ...(allow.length === 0 ? {} : { allow: allow.map(ruleText) }),
      }))
      const details = mapValues(value.details, ({ enforcedBy }) => ({ enforcedBy }))
      const proxied: Record<string, Json> = {
        ...(upstream === undefined ? {} : { upstream }),
        ...(mcp === undefined ? {} : { mcp }),
      }
      return { of, name, owners, category, resource, scopes, details, token, target, ...proxied }
    }
  }
}

const mapValues = <A, B>(record: Readonly<Record<string, A>>, to: (value: A, key: string) => B): Record<string, B> =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, to(value, key)]))
