// What an agent may ask for, what it asked for, and what it holds: computed from current state, compiled once a version.

import { LRUCache } from 'lru-cache'
import { approvalOf, judgeAgent, judgeGrant } from '../core/judge.ts'
import type { Details } from '../core/manifest.ts'
import { type Instant, type Key, keyOf, type Lockable } from '../core/model.ts'
import type { Problem } from '../core/problem.ts'
import { err, ok, type Result } from '../core/result.ts'
import { type AccessValue, type AgentValue, sliceId, type ToolValue } from '../core/slice.ts'
import type { AgentCaller } from './authenticate-session.ts'
import { ownersOf } from './authorize.ts'
import { readApprovers } from './grants.ts'
import { loadWorld } from './load-world.ts'
import type { Deps, Snapshot } from './ports.ts'
import { presentGrant, presentRequest } from './present.ts'

export type AccessibleTool = {
  readonly tool: string
  readonly description: string
  readonly scopes: readonly {
    readonly name: string
    readonly description: string
    readonly risk: string
    readonly approval: string
  }[]
  readonly details?: Details
  readonly maxDurationSeconds: number
}

/** An agent's own toolset in force, with the versions it was compiled from. */
export type Toolset = {
  readonly access: readonly AccessibleTool[]
  /** Those of them that have an MCP server of their own. */
  readonly upstream: readonly string[]
  readonly stamp: string
}

export type ReadToolset = (agent: string) => Promise<Toolset>

/** Compiles each agent's toolset once per state of the slices it rests on. */
export function createToolsetReader(deps: Pick<Deps, 'store'>, max = 10_000): ReadToolset {
  const compiled = new LRUCache<string, Toolset>({ max })
  return async (agent) => {
    const held = await deps.store.list({ kind: 'slice', where: { agent }, limit: 500 })
    const values = held.rows.flatMap(({ value }) =>
      value?.of === 'access' && value.entitlements.length > 0 ? [value] : [],
    )
    const keys: Key[] = [
      keyOf('slice', sliceId.agent(agent)),
      ...values.flatMap(({ tool }) => [
        keyOf('slice', sliceId.access(agent, tool)),
        keyOf('slice', sliceId.tool(tool)),
      ]),
    ]
    const snapshot = await deps.store.read(keys)
    const stamp = keys.map((key) => snapshot.versions.get(key) ?? 0).join('.')
    const known = compiled.get(agent)
    if (known?.stamp === stamp) return known
    const access = values.flatMap((value) => toolOf(value, snapshot))
    const upstream = access.map(({ tool }) => tool).filter((tool) => hasMcp(snapshot, tool))
    const toolset = { access, upstream, stamp }
    compiled.set(agent, toolset)
    return toolset
  }
}

function hasMcp(snapshot: Snapshot, tool: string): boolean {
  const value = snapshot.get('slice', sliceId.tool(tool))?.value
  return value?.of === 'tool' && value.mcp !== undefined
}

function toolOf(value: AccessValue, snapshot: Snapshot): AccessibleTool[] {
  const tool = snapshot.get('slice', sliceId.tool(value.tool))?.value
  if (tool?.of !== 'tool') return []
  const scopes = [...new Set(value.entitlements.flatMap((e) => e.scopes))]
    .filter((s) => Object.hasOwn(tool.scopes, s))
    .sort()
  if (scopes.length === 0) return []
  const details = detailsOf(value)
  return [
    {
      tool: value.tool,
      description: describe(tool),
      scopes: scopes.map((name) => {
        const least = value.entitlements.filter((e) => e.scopes.includes(name)).map((e) => approvalOf(e, [name], tool))
        return {
          name,
          description: tool.scopes[name]!.description,
          risk: tool.scopes[name]!.risk,
          approval: least.includes('none') ? 'none' : (least.sort()[0] ?? 'owner'),
        }
      }),
      ...(details === null ? {} : { details }),
      maxDurationSeconds: Math.max(...value.entitlements.map((e) => e.grantForSeconds)),
    },
  ]
}

const describe = (tool: ToolValue) =>
  `${tool.category === 'ticketing' ? 'Ticketing' : 'Observability'} system ${tool.name}`

/** Values some entitlement allows; null when one is unrestricted. */
function detailsOf(value: AccessValue): Details | null {
  const restricted = value.entitlements.filter((e) => Object.keys(e.details).length > 0)
  if (restricted.length < value.entitlements.length) return null
  const keys = new Set(restricted.flatMap((e) => Object.keys(e.details)))
  return Object.fromEntries(
    [...keys].sort().map((key) => [key, [...new Set(restricted.flatMap((e) => e.details[key] ?? []))].sort()]),
  )
}

export type ListedAccess = {
  readonly agent: string
  readonly access: readonly AccessibleTool[]
  readonly requests: readonly ReturnType<typeof presentRequest>[]
  readonly grants: readonly ReturnType<typeof presentGrant>[]
  readonly manifest: string
}

/** What an agent sees, who it is, and when that changes by time alone: the end of a grant, a request or a lock; infinite if never. */
export type AccessView = {
  readonly listed: ListedAccess
  readonly identity: AgentValue
  readonly changesAt: Instant
}

export async function listAccess(
  deps: Deps,
  toolsetOf: ReadToolset,
  caller: AgentCaller,
): Promise<Result<ListedAccess, Problem>> {
  const seen = await viewAccess(deps, toolsetOf, caller.agent)
  return seen.ok ? ok(seen.value.listed) : seen
}

export async function viewAccess(
  deps: Pick<Deps, 'store' | 'clock' | 'settings'>,
  toolsetOf: ReadToolset,
  agent: string,
): Promise<Result<AccessView, Problem>> {
  const now = deps.clock.now()
  const reader = { now, read: deps.store.read.bind(deps.store) }
  const world = await loadWorld(reader, agent, null)
  const refused = judgeAgent(world)
  if (refused !== null) return err(refused)
  const [toolset, pending, active, owners] = await Promise.all([
    toolsetOf(agent),
    deps.store.list({ kind: 'request', where: { agent, state: 'pending', expiresAfter: now }, limit: 100 }),
    deps.store.list({ kind: 'grant', where: { agent, state: 'active', expiresAfter: now }, limit: 500 }),
    ownersOf(reader, 'agent', agent),
  ])
  const grants: ListedAccess['grants'][number][] = []
  const ends = pending.rows.map(({ expiresAt }) => expiresAt)
  for (const grant of active.rows) {
    const full = await loadWorld(reader, agent, grant.tool)
    const approvers = await readApprovers(reader, grant.approvers)
    const judged = judgeGrant(full, grant, approvers)
    if (judged.ok) grants.push(presentGrant(grant, full.toolValue, judged.value.endsAt, deps.settings.issuer))
    ends.push(judged.ok ? judged.value.endsAt : grant.expiresAt)
    for (const row of [full.tool, ...approvers.values()]) ends.push(...(row?.locks ?? []).flatMap(endOf))
  }
  return ok({
    listed: {
      agent,
      access: toolset.access,
      requests: pending.rows.map((request) => presentRequest(request, owners, now)),
      grants,
      manifest: world.installation?.revision ?? 'none',
    },
    // An agent that may act has one.
    identity: world.identity!,
    changesAt: Math.min(Number.POSITIVE_INFINITY, ...ends.filter((at) => at > now)),
  })
}

const endOf = ({ until }: Lockable['locks'][number]): Instant[] => (until === null ? [] : [until])
