// Definitions of upstream MCP tools as people see them, and the act that accepts one: an admin's, or an owner's of the tool.
// It binds the digest that was shown, and nothing is accepted that a model could not be shown (S3).

import { isLocked } from '../core/judge.ts'
import { placeOfMcp, shownName } from '../core/manifest-mcp.ts'
import { definitionDiff, type ToolDefinition } from '../core/mcp-definition.ts'
import { type Definition, definitionState, keyOf, type SeenDefinition } from '../core/model.ts'
import { type Problem, problem } from '../core/problem.ts'
import { rfc3339 } from '../core/record.ts'
import { err, ok, type Result } from '../core/result.ts'
import { safeText } from '../core/safe-text.ts'

import { authorize } from './authorize.ts'
import { definitionId, mcpInForce } from './look-at-definitions.ts'
import { unfit } from './may-settle.ts'
import type { Caller, Context, Deps } from './ports.ts'
import { byOf } from './revoke.ts'
import { recordOf, transact } from './transact.ts'

export type DefinitionView = {
  readonly name: string
  /** As agents see it. */
  readonly shown: string
  readonly scope: string
  /** `unseen`: the server has not named it yet. */
  readonly status: 'unseen' | 'waiting' | 'pinned' | 'suspended'
  /** What an acceptance must name; null where nothing waits. */
  readonly digest: string | null
  readonly fault?: string
  /** From what was accepted to what waits, `-` and `+`. */
  readonly diff: readonly string[]
  readonly pinnedBy?: string
  readonly pinnedAt?: string
}

const LINE_MAX = 240

export const parsedDefinition = ({ text }: Pick<SeenDefinition, 'text'>): ToolDefinition | null =>
  text === null ? null : (JSON.parse(text) as ToolDefinition)

/** Every tool that the manifest names, in order. */
export async function listDefinitions(
  deps: Pick<Deps, 'store' | 'clock'>,
  caller: Caller,
  tool: string,
): Promise<Result<readonly DefinitionView[], Problem>> {
  const reader = { now: deps.clock.now(), read: deps.store.read.bind(deps.store) }
  const refused = await authorize(reader, caller, 'tool.see', { tool })
  if (refused !== null) return err(refused)
  const mcp = await mcpInForce(reader, tool)
  if (mcp === null) return err(noServer(tool))
  const names = Object.keys(mcp.tools).sort()
  const rows = await reader.read(names.map((name) => keyOf('definition', definitionId(tool, name))))
  return ok(
    names.map((name) => ({
      name,
      shown: shownName(tool, name),
      scope: mcp.tools[name]!.scope,
      ...viewOf(rows.get('definition', definitionId(tool, name))),
    })),
  )
}

function viewOf(row: Definition | undefined): Omit<DefinitionView, 'name' | 'shown' | 'scope'> {
  if (row === undefined) return { status: 'unseen', digest: null, diff: [] }
  const { pinned, offered } = row
  const to = offered === null ? null : parsedDefinition(offered)
  const moved = pinned !== null && offered !== null && pinned.place !== offered.place
  return {
    status: definitionState(row),
    digest: offered?.digest ?? null,
    ...(offered?.fault == null ? {} : { fault: offered.fault }),
    diff: [
      ...(moved ? [`~ server ${safeText(pinned.place, LINE_MAX)} → ${safeText(offered.place, LINE_MAX)}`] : []),
      ...(to === null ? [] : definitionDiff(pinned === null ? null : parsedDefinition(pinned), to)),
    ].map((line) => safeText(line, LINE_MAX)),
    ...(pinned === null ? {} : { pinnedBy: pinned.by, pinnedAt: rfc3339(pinned.pinnedAt) }),
  }
}

export async function pinDefinition(
  deps: Deps,
  context: Context,
  input: { readonly tool: string; readonly name: string; readonly digest: string },
): Promise<Result<{ readonly name: string; readonly digest: string }, Problem>> {
  const { tool, name } = input
  const done = await transact(deps, 'normal', async (look) => {
    const broken = await unfit(look, context)
    if (broken !== null) return err(broken)
    const refused = await authorize(look, context.caller, 'tool.pin', { tool })
    if (refused !== null) return err(refused)
    if (isLocked(await look.row('tool', tool), look.now))
      return err(
        problem('tool_locked', `${tool} is locked: nothing is accepted for it.`, { hint: 'Lift the lock first.' }),
      )
    const mcp = await mcpInForce(look, tool)
    if (mcp === null || !Object.hasOwn(mcp.tools, name)) return err(mcp === null ? noServer(tool) : noTool(tool, name))
    const row = await look.row('definition', definitionId(tool, name))
    const offered = row?.offered
    if (row === undefined || offered == null) return err(nothingWaits(tool, name))
    if (offered.digest !== input.digest || offered.place !== placeOfMcp(mcp))
      return err(
        problem('conflict', `What ${tool} says of ${name} is not what you were shown.`, {
          hint: 'Look at it again, and accept what it says now.',
        }),
      )
    if (offered.text === null)
      return err(problem('invalid_request', `What ${tool} says of ${name} cannot be accepted: it ${offered.fault}.`))
    const pinned = { ...offered, by: byOf(context.caller), pinnedAt: look.now }
    const body = { name, digest: offered.digest, before: row.pinned?.digest ?? null }
    return ok({
      value: { name, digest: offered.digest },
      put: [{ kind: 'definition' as const, row: { ...row, pinned, offered: null } }],
      records: [recordOf(context, look.now, 'definition.pinned', { tool }, body)],
    })
  })
  return done.ok ? ok(done.value.value) : done
}

const noServer = (tool: string) =>
  problem('unknown_tool', `${tool} has no MCP server that is reached through Hallpass.`, {
    missing: true,
    hint: 'Its manifest says so with "mcp".',
  })
const noTool = (tool: string, name: string) =>
  problem('invalid_request', `The manifest of ${tool} does not name the MCP tool "${safeText(name, 64)}".`, {
    missing: true,
  })
const nothingWaits = (tool: string, name: string) =>
  problem('conflict', `Nothing waits to be accepted for ${name} of ${tool}.`)
