// Which tools of upstream MCP servers an agent is shown, and one call of them: judged by its live grants at that moment and
// on the trail before the server sees it (P1). What it was judged by is asserted by the record's commit (S16).

import { LRUCache } from 'lru-cache'
import { judgeGrant, judgeSession } from '../core/judge.ts'
import { judgeMcpCall, reachesTool } from '../core/judge-mcp-call.ts'
import type { ToolMcp } from '../core/manifest.ts'
import { placeOfMcp, shownName, toolOfShown } from '../core/manifest-mcp.ts'
import { argumentsOf, type ToolDefinition } from '../core/mcp-definition.ts'
import { type Definition, type Grant, type Instant, type Key, keyOf, type SeenDefinition } from '../core/model.ts'
import { type Problem, problem } from '../core/problem.ts'
import { personal, type Subject } from '../core/record.ts'
import { err, ok, type Result } from '../core/result.ts'
import type { AgentCaller } from './authenticate-session.ts'
import { staleView } from './authenticate-session.ts'
import { readApprovers } from './grants.ts'
import { isFresh } from './is-fresh.ts'
import { loadWorld, worldFrom, worldKeys } from './load-world.ts'
import { definitionId } from './look-at-definitions.ts'
import { parsedDefinition } from './pin-definition.ts'
import type { Deps } from './ports.ts'
import { type Look, recordOf, transact } from './transact.ts'

type Deciding = Pick<Deps, 'store' | 'clock' | 'ids'>

export type ShownTool = { readonly shown: string; readonly digest: string; readonly definition: ToolDefinition }

export type McpCall = {
  /** As the agent sees it. */
  readonly shown: string
  readonly given: { readonly [name: string]: unknown }
  readonly requestId: string
}

export type AdmittedMcpCall = {
  readonly caller: AgentCaller
  readonly subject: Subject
  readonly tool: string
  /** The server's own name for it. */
  readonly name: string
  readonly mcp: ToolMcp
  readonly definition: ToolDefinition
  readonly grant: Grant
  readonly endsAt: Instant
  /** Rows whose change may end the call. */
  readonly restsOn: readonly Key[]
}

/** Live proxy grants of the agent on the tool, newest first; judged again by whoever uses one. */
async function proxyGrants({ store, clock }: Deciding, agent: string, tool: string): Promise<readonly Grant[]> {
  const held = await store.list({
    kind: 'grant',
    where: { agent, tool, state: 'active', expiresAfter: clock.now() },
    newestFirst: true,
    limit: 200,
  })
  return held.rows.filter(({ delivery }) => delivery === 'proxy')
}

/** Accepted, and still what the server at this place says. */
const isInUse = (row: Definition | undefined, mcp: ToolMcp): row is Definition & { pinned: object } =>
  row?.pinned != null && row.offered === null && row.pinned.place === placeOfMcp(mcp)

/** By digest, which names one text: a list is made for each message that asks for one, and a schema is read once. */
const readBefore = new LRUCache<string, ToolDefinition>({ max: 1_000 })

function definitionOf(pinned: SeenDefinition): ToolDefinition | null {
  const known = readBefore.get(pinned.digest)
  if (known !== undefined) return known
  const definition = parsedDefinition(pinned)
  if (definition !== null) readBefore.set(pinned.digest, definition)
  return definition
}

/** In the order of the names as they are shown: the same for the same grants. `tools`: those with an MCP server. */
export async function listShownTools(deps: Deciding, agent: string, tools: readonly string[]): Promise<ShownTool[]> {
  const shown: ShownTool[] = []
  const reader = { now: deps.clock.now(), read: deps.store.read.bind(deps.store) }
  for (const tool of tools) {
    const grants = await proxyGrants(deps, agent, tool)
    if (grants.length === 0) continue
    const world = await loadWorld(reader, agent, tool)
    const mcp = world.toolValue?.mcp
    if (mcp === undefined) continue
    const live: Grant[] = []
    for (const grant of grants)
      if (judgeGrant(world, grant, await readApprovers(reader, grant.approvers)).ok) live.push(grant)
    const names = Object.keys(mcp.tools).filter((name) => live.some((grant) => reachesTool(mcp.tools[name]!, grant)))
    const rows = await reader.read(names.map((name) => keyOf('definition', definitionId(tool, name))))
    for (const name of names) {
      const row = rows.get('definition', definitionId(tool, name))
      if (!isInUse(row, mcp)) continue
      const definition = definitionOf(row.pinned)
      if (definition !== null) shown.push({ shown: shownName(tool, name), digest: row.pinned.digest, definition })
    }
  }
  return shown.sort((a, b) => (a.shown < b.shown ? -1 : 1))
}

export async function admitMcpCall(
  deps: Deciding,
  caller: AgentCaller,
  call: McpCall,
): Promise<Result<AdmittedMcpCall, Problem>> {
  const tool = toolOfShown(call.shown)
  if (tool === null) return err(noSuchTool(call.shown))
  const candidates = (await proxyGrants(deps, caller.agent, tool)).map(({ id }) => id)
  const done = await transact<AdmittedMcpCall>(deps, 'normal', async (look) => {
    const judged = await judge(look, caller, call, tool, candidates)
    if (!judged.ok) return judged
    const { subject, name, mcp, endsAt } = judged.value
    const { scope } = mcp.tools[name]!
    const body = { method: 'tools/call', target: personal(name), scope }
    const record = recordOf({ caller, requestId: call.requestId }, look.now, 'tool.called', subject, body)
    return ok({ value: judged.value, notAfter: endsAt, records: [record] })
  })
  return done.ok ? ok(done.value.value) : done
}

/** May a call that is under way go on? Null: it may. */
export async function judgeMcpAgain(deps: Deciding, call: McpCall, before: AdmittedMcpCall): Promise<Problem | null> {
  if (!(await isFresh(deps.store))) return staleView()
  const look = { now: deps.clock.now(), read: deps.store.read.bind(deps.store) }
  const judged = await judge(look, before.caller, call, before.tool, [before.grant.id])
  if (!judged.ok) return judged.error
  return placeOfMcp(judged.value.mcp) === placeOfMcp(before.mcp) ? null : noSuchTool(call.shown)
}

async function judge(
  look: Pick<Look, 'read' | 'now'>,
  caller: AgentCaller,
  call: McpCall,
  tool: string,
  candidates: readonly string[],
): Promise<Result<AdmittedMcpCall, Problem>> {
  const { agent } = caller
  const keys = [
    ...worldKeys(agent, tool),
    keyOf('session', caller.session),
    ...candidates.map((id) => keyOf('grant', id)),
  ]
  const snapshot = await look.read(keys)
  const world = worldFrom(snapshot, look.now, agent, tool)
  const session = snapshot.get('session', caller.session)
  if (session === undefined || session.agent !== agent)
    return err(problem('unauthenticated', 'This session is unknown here.'))
  const dead = judgeSession(world, session)
  if (dead !== null) return err(dead)
  const mcp = world.toolValue?.mcp
  const name = mcp === undefined ? undefined : Object.keys(mcp.tools).find((own) => shownName(tool, own) === call.shown)
  if (mcp === undefined || name === undefined) return err(noSuchTool(call.shown))
  const mapping = mcp.tools[name]!

  const definitionKey = definitionId(tool, name)
  const row = (await look.read([keyOf('definition', definitionKey)])).get('definition', definitionKey)
  const definition = isInUse(row, mcp) ? definitionOf(row.pinned) : null

  let refusal: Problem | null = null
  for (const id of candidates) {
    const grant = snapshot.get('grant', id)
    if (grant === undefined || grant.agent !== agent || grant.tool !== tool || grant.delivery !== 'proxy') continue
    const judged = judgeGrant(world, grant, await readApprovers(look, grant.approvers))
    // What a live grant does not reach says more than that another one is over.
    if (!judged.ok) refusal ??= judged.error
    else {
      if (definition === null) return err(row?.pinned == null ? notAccepted(call.shown) : suspended(call.shown))
      const refused = judgeMcpCall(call.shown, mapping, argumentsOf(definition), grant, call.given)
      if (refused === null)
        return ok({
          caller,
          subject: { agent, tool, session: session.id, grant: grant.id },
          tool,
          name,
          mcp,
          definition,
          grant,
          endsAt: Math.min(session.expiresAt, judged.value.endsAt),
          restsOn: [
            ...worldKeys(agent, tool),
            keyOf('session', session.id),
            keyOf('grant', grant.id),
            keyOf('definition', definitionKey),
            ...grant.approvers.map((email) => keyOf('person', email)),
          ],
        })
      if (refusal === null || refused.code === 'details_not_allowed') refusal = refused
    }
  }
  return err(refusal ?? (world.access === null ? noSuchTool(call.shown) : needsGrant(call.shown, tool, mapping.scope)))
}

/** The same whether there is no such tool or it is another agent's. */
export const noSuchTool = (shown: string): Problem =>
  problem('invalid_request', `There is no tool ${JSON.stringify(shown.slice(0, 64))} for you.`, {
    hint: 'Call list_access for what you may ask for.',
    nextTool: 'list_access',
  })

const needsGrant = (shown: string, tool: string, scope: string): Problem =>
  problem('approval_required', `You hold no grant that covers ${shown}.`, {
    hint: `Ask for ${scope} on ${tool} with request_access.`,
    nextTool: 'request_access',
  })

const notAccepted = (shown: string): Problem =>
  problem('tool_locked', `${shown} was not accepted by an owner of the tool yet.`, {
    hint: 'Go on without it, or tell your owner: `hallpass tool pin` shows it.',
    detail: 'no definition is pinned',
  })

const suspended = (shown: string): Problem =>
  problem('tool_locked', `${shown} is suspended: its server describes it otherwise than was accepted.`, {
    hint: 'Go on without it, and tell your owner.',
    detail: 'its definition changed',
  })
