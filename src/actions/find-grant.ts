// Which live grant an exchange means when it names a tool and scopes instead of a grant. One grant, never a union (S9).

import { LRUCache } from 'lru-cache'
import { judgeGrant } from '../core/judge.ts'
import type { Details } from '../core/manifest.ts'
import { type Grant, keyOf } from '../core/model.ts'
import { type Problem, problem } from '../core/problem.ts'
import { err, ok, type Result } from '../core/result.ts'
import { detailsCover, sliceId, type ToolValue } from '../core/slice.ts'
import type { AgentCaller } from './authenticate-session.ts'
import { readApprovers } from './grants.ts'
import { loadWorld } from './load-world.ts'
import type { Deps } from './ports.ts'

export type GrantSought = {
  readonly tool: string
  /** Null: whatever the one grant holds. */
  readonly scopes: readonly string[] | null
  readonly details: Details | null
  /** Whether it was named as it is called through the broker, or by its own resource. Absent or null: neither. */
  readonly isProxied?: boolean | null
}

/** The name of the tool in force with this name or resource URL, or null. */
export type FindTool = (nameOrResource: string) => Promise<string | null>

/** Goes through the tools once for each of the last `max` namings; later it only looks whether the answer still holds. */
export function createToolFinder(deps: Pick<Deps, 'store'>, max = 1_000): FindTool {
  const found = new LRUCache<string, string>({ max })
  return async (nameOrResource) => {
    const before = found.get(nameOrResource)
    if (before !== undefined) {
      const slice = sliceId.tool(before)
      const { value } = (await deps.store.read([keyOf('slice', slice)])).get('slice', slice) ?? {}
      if (value?.of === 'tool' && isNamed(value, nameOrResource)) return before
    }
    const tool = await searchTool(deps, nameOrResource)
    if (tool !== null) found.set(nameOrResource, tool)
    return tool
  }
}

const isNamed = ({ name, resource }: ToolValue, nameOrResource: string): boolean =>
  name === nameOrResource || resource.replace(/\/$/, '') === nameOrResource.replace(/\/$/, '')

async function searchTool(deps: Pick<Deps, 'store'>, nameOrResource: string): Promise<string | null> {
  let after: string | undefined
  do {
    const page = await deps.store.list({ kind: 'tool', limit: 500, ...(after === undefined ? {} : { after }) })
    const ids = page.rows.map(({ id }) => sliceId.tool(id))
    const snapshot = await deps.store.read(ids.map((id) => keyOf('slice', id)))
    for (const id of ids) {
      const value = snapshot.get('slice', id)?.value
      if (value?.of === 'tool' && isNamed(value, nameOrResource)) return value.name
    }
    after = page.next ?? undefined
  } while (after !== undefined)
  return null
}

export async function findGrant(deps: Deps, caller: AgentCaller, sought: GrantSought): Promise<Result<Grant, Problem>> {
  const now = deps.clock.now()
  const reader = { now, read: deps.store.read.bind(deps.store) }
  const world = await loadWorld(reader, caller.agent, sought.tool)
  const held = await deps.store.list({
    kind: 'grant',
    where: { agent: caller.agent, tool: sought.tool, state: 'active' },
    newestFirst: true,
    limit: 500,
  })
  const live: { grant: Grant; endsAt: number }[] = []
  let lastRefusal: Problem | null = null
  for (const grant of held.rows) {
    const fits =
      (sought.scopes === null || sought.scopes.every((scope) => grant.scopes.includes(scope))) &&
      (sought.details === null || detailsCover(grant.details, { ...grant.details, ...sought.details }))
    if (!fits || (sought.isProxied ?? null) === (grant.delivery !== 'proxy')) continue
    const judged = judgeGrant(world, grant, await readApprovers(reader, grant.approvers))
    if (judged.ok) live.push({ grant, endsAt: judged.value.endsAt })
    else lastRefusal = judged.error
  }
  live.sort((a, b) => a.grant.scopes.length - b.grant.scopes.length || b.endsAt - a.endsAt)
  if (live[0] !== undefined) return ok(live[0].grant)
  return err(
    lastRefusal ??
      problem('approval_required', `You hold no grant for this on ${sought.tool}.`, {
        hint: 'Ask with request_access first; one grant must cover all scopes of the token.',
        nextTool: 'request_access',
      }),
  )
}
