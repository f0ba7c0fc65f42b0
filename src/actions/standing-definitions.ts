// How each tool with an MCP server stands: what waits for an owner, what is suspended, whether its server can be asked.
// Only what its manifest names now is counted.

import type { ToolMcp } from '../core/manifest.ts'
import { placeOfMcp } from '../core/manifest-mcp.ts'
import { type Definition, type DefinitionState, definitionState, keyOf } from '../core/model.ts'
import type { ToolValue } from '../core/slice.ts'
import { definitionId } from './look-at-definitions.ts'
import type { Deps } from './ports.ts'

export type DefinitionsStanding = {
  /** Its URL, or `command:NAME`. */
  readonly server: string
  readonly pinned: number
  /** Never accepted, or taken back. */
  readonly waiting: number
  /** Accepted once, and described otherwise since: nobody sees or calls it meanwhile. */
  readonly suspended: number
  /** Named by the manifest, and not by the server. */
  readonly missing: number
  /** Why the server could not be asked the last time. */
  readonly failure?: string
}

/** Words of another server than the tool has now are not in use, whatever the new one says. */
export const stateOf = (row: Definition, mcp: Pick<ToolMcp, 'url' | 'command'>): DefinitionState =>
  row.pinned !== null && row.pinned.place !== placeOfMcp(mcp) ? 'suspended' : definitionState(row)

/** Null where the tool has no MCP server. */
export async function definitionsStanding(
  deps: Pick<Deps, 'store' | 'looks'>,
  { name: tool, mcp }: Pick<ToolValue, 'name' | 'mcp'>,
): Promise<DefinitionsStanding | null> {
  if (mcp === undefined) return null
  const names = Object.keys(mcp.tools)
  const rows = await deps.store.read(names.map((name) => keyOf('definition', definitionId(tool, name))))
  const count = { pinned: 0, waiting: 0, suspended: 0 }
  for (const name of names) {
    const row = rows.get('definition', definitionId(tool, name))
    if (row !== undefined) count[stateOf(row, mcp)]++
  }
  const last = deps.looks.get(tool)
  return {
    server: placeOfMcp(mcp),
    ...count,
    missing: last?.missing.length ?? 0,
    ...(last?.failure == null ? {} : { failure: last.failure }),
  }
}
