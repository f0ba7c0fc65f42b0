// Definitions of upstream MCP tools as people see them, and the acts that accept and take back: an admin's, or an owner's of
// the tool. A yes binds the digest that was shown, and nothing is accepted that a model could not be shown (S3).

import { isLocked } from '../core/judge.ts'
import type { ToolMcp } from '../core/manifest.ts'
import { placeOfMcp, shownName } from '../core/manifest-mcp.ts'
import { definitionDiff, type ToolDefinition } from '../core/mcp-definition.ts'
import { type Definition, keyOf, type SeenDefinition } from '../core/model.ts'
import { type Problem, problem } from '../core/problem.ts'
import { personal, rfc3339 } from '../core/record.ts'
import { err, ok, type Result } from '../core/result.ts'
import { safeText } from '../core/safe-text.ts'

import { authorize } from './authorize.ts'
import { mayAtAll, readerOf } from './list-rows.ts'
import { definitionId, mcpInForce } from './look-at-definitions.ts'
import { unfit } from './may-settle.ts'
import type { Caller, Context, Deps } from './ports.ts'
import { byOf } from './revoke.ts'
import { stateOf } from './standing-definitions.ts'
import { toolsInForce } from './tools-in-force.ts'
import { type Look, recordOf, transact } from './transact.ts'

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
  /** The server does not have it any more, as of the last look that it answered. */
  readonly missing?: true
  /** From what was accepted to what waits, `-` and `+`. */
  readonly diff: readonly string[]
  readonly pinnedBy?: string
  readonly pinnedAt?: string
}

/** Longer than any line: a place is the longest. */
const LINE_MAX = 600

export const parsedDefinition = ({ text }: Pick<SeenDefinition, 'text'>): ToolDefinition | null =>
  text === null ? null : (JSON.parse(text) as ToolDefinition)

/** Every tool that the manifest names, in order. */
export async function listDefinitions(
  deps: Pick<Deps, 'store' | 'clock' | 'looks'>,
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
      ...(deps.looks.get(tool)?.missing.includes(name) ? { missing: true as const } : {}),
      ...viewOf(rows.get('definition', definitionId(tool, name)), mcp),
    })),
  )
}

function viewOf(row: Definition | undefined, mcp: ToolMcp): Omit<DefinitionView, 'name' | 'shown' | 'scope'> {
  if (row === undefined) return { status: 'unseen', digest: null, diff: [] }
  const { pinned, offered } = row
  const to = offered === null ? null : parsedDefinition(offered)
  const moved = pinned !== null && offered !== null && pinned.place !== offered.place
  return {
    status: stateOf(row, mcp),
    digest: offered?.digest ?? null,
    ...(offered?.fault == null ? {} : { fault: offered.fault }),
    diff: [
      ...(moved ? [`- server: ${pinned.place}`, `+ server: ${offered.place}`] : []),
      ...(to === null ? [] : definitionDiff(pinned === null ? null : parsedDefinition(pinned), to)),
    ].map((line) => safeText(line, LINE_MAX)),
    ...(pinned === null ? {} : { pinnedBy: pinned.by, pinnedAt: rfc3339(pinned.pinnedAt) }),
  }
}

/** What waits for this caller's yes, of every tool; each with its tool. What is not fit waits for its server instead. */
export async function listWaitingDefinitions(
  deps: Pick<Deps, 'store' | 'clock' | 'looks'>,
  caller: Caller,
): Promise<readonly (DefinitionView & { readonly tool: string; readonly digest: string })[]> {
  if (!mayAtAll(caller, 'tool.pin')) return []
  const reader = readerOf(deps)
  const waiting: (DefinitionView & { readonly tool: string; readonly digest: string })[] = []
  for (const [tool, { mcp }] of await toolsInForce(deps)) {
    if (mcp === undefined || (await authorize(reader, caller, 'tool.pin', { tool })) !== null) continue
    const listed = await listDefinitions(deps, caller, tool)
    if (!listed.ok) continue
    for (const one of listed.value) if (one.digest !== null) waiting.push({ ...one, tool, digest: one.digest })
  }
  return waiting
}

export type Shown = { readonly name: string; readonly digest: string }

/** Accepts all of these as they were shown, or none of them. */
export async function pinDefinitions(
  deps: Deps,
  context: Context,
  { tool, definitions }: { readonly tool: string; readonly definitions: readonly Shown[] },
): Promise<Result<readonly Shown[], Problem>> {
  const done = await transact(deps, 'normal', async (look) => {
    const broken = await unfit(look, context)
    if (broken !== null) return err(broken)
    const mcp = await ofOwn(look, context, tool)
    if (!mcp.ok) return mcp
    if (isLocked(await look.row('tool', tool), look.now))
      return err(
        problem('tool_locked', `${tool} is locked: nothing is accepted for it.`, { hint: 'Lift the lock first.' }),
      )
    const pinned: Definition[] = []
    const records: ReturnType<typeof recordOf>[] = []
    for (const { name, digest } of definitions) {
      if (!Object.hasOwn(mcp.value.tools, name)) return err(noTool(tool, name))
      const row = await look.row('definition', definitionId(tool, name))
      const offered = row?.offered
      if (row === undefined || offered == null) return err(nothingWaits(tool, name))
      if (offered.digest !== digest || offered.place !== placeOfMcp(mcp.value))
        return err(
          problem('conflict', `What ${tool} says of ${name} is not what you were shown.`, {
            hint: 'Look at it again, and accept what it says now.',
          }),
        )
      if (offered.text === null)
        return err(problem('invalid_request', `What ${tool} says of ${name} cannot be accepted: it ${offered.fault}.`))
      pinned.push({ ...row, pinned: { ...offered, by: byOf(context.caller), pinnedAt: look.now }, offered: null })
      const body = { name, digest, before: row.pinned?.digest ?? null }
      records.push(recordOf(context, look.now, 'definition.pinned', { tool }, body))
    }
    return ok({ value: definitions, put: pinned.map((row) => ({ kind: 'definition' as const, row })), records })
  })
  return done.ok ? ok(done.value.value) : done
}

export const pinDefinition = (
  deps: Deps,
  context: Context,
  { tool, ...shown }: Shown & { readonly tool: string },
): Promise<Result<readonly Shown[], Problem>> => pinDefinitions(deps, context, { tool, definitions: [shown] })

/** Takes back what was accepted of these: they wait again as the server describes them, and calls under way are ended (P5). */
export async function withdrawDefinitions(
  deps: Deps,
  context: Context,
  input: { readonly tool: string; readonly names: readonly string[]; readonly reason: string | null },
): Promise<Result<readonly string[], Problem>> {
  const { tool, names } = input
  const reason = input.reason === null ? {} : { reason: personal(input.reason) }
  const done = await transact(deps, 'narrowing', async (look) => {
    const mcp = await ofOwn(look, context, tool)
    if (!mcp.ok) return mcp
    const put: Definition[] = []
    const records: ReturnType<typeof recordOf>[] = []
    for (const name of names) {
      if (!Object.hasOwn(mcp.value.tools, name)) return err(noTool(tool, name))
      const row = await look.row('definition', definitionId(tool, name))
      if (row?.pinned == null)
        return err(
          problem('conflict', `Nothing of ${safeText(name, 64)} of ${tool} is accepted, so nothing is taken back.`),
        )
      const { by, pinnedAt, ...seen } = row.pinned
      put.push({ ...row, pinned: null, offered: row.offered ?? seen })
      const body = { name, before: seen.digest, ...reason }
      records.push(recordOf(context, look.now, 'definition.withdrawn', { tool }, body))
    }
    return ok({ value: names, put: put.map((row) => ({ kind: 'definition' as const, row })), records })
  })
  return done.ok ? ok(done.value.value) : done
}

/** The tool's MCP server, where this caller is one who accepts what it says. */
async function ofOwn(look: Look, { caller }: Context, tool: string): Promise<Result<ToolMcp, Problem>> {
  const refused = await authorize(look, caller, 'tool.pin', { tool })
  if (refused !== null) return err(refused)
  const mcp = await mcpInForce(look, tool)
  return mcp === null ? err(noServer(tool)) : ok(mcp)
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
