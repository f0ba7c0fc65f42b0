// What a tool's MCP server says of its tools, looked at once its manifest is accepted (S5): what is new or other than was
// accepted waits for a person, and agents neither see nor call it meanwhile. It shows nothing to anybody.

import { digest } from '../core/canonical.ts'
import type { ToolMcp } from '../core/manifest.ts'
import { placeOfMcp } from '../core/manifest-mcp.ts'
import { definitionDigest, definitionText, readDefinition } from '../core/mcp-definition.ts'
import { type Definition, type Instant, keyOf, type SeenDefinition } from '../core/model.ts'
import type { RecordBody } from '../core/record-kinds.ts'
import { ok } from '../core/result.ts'
import { sliceId } from '../core/slice.ts'
import type { Deps } from './ports.ts'
import { type Look, recordOf, transact } from './transact.ts'

export const definitionId = (tool: string, name: string): string => `${tool}/${name}`

const read = (name: string, raw: unknown, place: string, at: Instant): SeenDefinition => {
  const definition = readDefinition(name, raw)
  return definition.ok
    ? { digest: definitionDigest(definition.value), text: definitionText(definition.value), fault: null, place, at }
    : { digest: digest({ fault: definition.error }), text: null, fault: definition.error, place, at }
}

/**
 * Keeps what the server said, by its tools' names, of the tools that the manifest names. Says whether anything that was
 * accepted is suspended by it.
 */
export async function keepDefinitions(
  deps: Deps,
  tool: string,
  asked: ToolMcp,
  said: ReadonlyMap<string, unknown>,
  requestId: string,
): Promise<boolean> {
  const context = { caller: { role: 'system', part: 'keeper' }, requestId } as const
  const place = placeOfMcp(asked)
  const done = await transact<boolean>(deps, 'normal', async (look) => {
    const mcp = await mcpInForce(look, tool)
    // Moved while it was asked: what the other place said is nobody's.
    if (mcp === null || placeOfMcp(mcp) !== place) return ok({ value: false, records: [] })
    const names = Object.keys(mcp.tools).filter((name) => said.has(name))
    const rows = await look.read(names.map((name) => keyOf('definition', definitionId(tool, name))))
    const put: Definition[] = []
    const records: ReturnType<typeof recordOf>[] = []
    let suspends = false
    for (const name of names) {
      const id = definitionId(tool, name)
      const row = rows.get('definition', id)
      const now = read(name, said.get(name), place, look.now)
      const known = row?.offered ?? row?.pinned
      if (known !== undefined && known !== null && known.digest === now.digest && known.place === place) continue
      suspends ||= row?.pinned != null && row.offered === null
      put.push({ id, tool, name, pinned: row?.pinned ?? null, offered: now })
      records.push(
        recordOf(
          context,
          look.now,
          'definition.offered',
          { tool },
          {
            name,
            digest: now.digest,
            pinned: row?.pinned?.digest ?? null,
            because: because(row, now),
          },
        ),
      )
    }
    return ok({ value: suspends, put: put.map((row) => ({ kind: 'definition' as const, row })), records })
  })
  if (!done.ok) throw new Error(`what the MCP server of ${tool} says could not be kept: ${done.error.message}`)
  return done.value.value
}

const because = (row: Definition | undefined, now: SeenDefinition): RecordBody<'definition.offered'>['because'] =>
  now.fault !== null
    ? 'not fit to be shown'
    : row?.pinned == null
      ? 'new'
      : row.pinned.place === now.place
        ? 'changed'
        : 'another server'

/** The MCP server of the tool in force, or null. */
export async function mcpInForce(look: Pick<Look, 'read'>, tool: string): Promise<ToolMcp | null> {
  const id = sliceId.tool(tool)
  const value = (await look.read([keyOf('slice', id)])).get('slice', id)?.value
  return (value?.of === 'tool' ? value.mcp : undefined) ?? null
}
