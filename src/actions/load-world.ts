// Reads, as one snapshot, all that has a say over one agent on one tool.

import type { World } from '../core/judge.ts'
import { type Instant, type Key, keyOf } from '../core/model.ts'
import { sliceId } from '../core/slice.ts'
import type { Snapshot } from './ports.ts'

type Reader = { readonly now: Instant; read(keys: readonly Key[]): Promise<Snapshot> }

/** The keys a decision about this agent (and tool) rests on. */
export const worldKeys = (agent: string, tool: string | null): Key[] => [
  'installation/self',
  keyOf('agent', agent),
  keyOf('slice', sliceId.agent(agent)),
  ...(tool === null
    ? []
    : [keyOf('slice', sliceId.access(agent, tool)), keyOf('tool', tool), keyOf('slice', sliceId.tool(tool))]),
]

export const worldFrom = (snapshot: Pick<Snapshot, 'get'>, now: Instant, agent: string, tool: string | null): World => {
  const identity = snapshot.get('slice', sliceId.agent(agent))?.value
  const access = tool === null ? null : snapshot.get('slice', sliceId.access(agent, tool))?.value
  const toolValue = tool === null ? null : snapshot.get('slice', sliceId.tool(tool))?.value
  return {
    now,
    installation: snapshot.get('installation', 'self') ?? null,
    agent: snapshot.get('agent', agent) ?? null,
    identity: identity?.of === 'agent' ? identity : null,
    access: access?.of === 'access' ? access : null,
    tool: tool === null ? null : (snapshot.get('tool', tool) ?? null),
    toolValue: toolValue?.of === 'tool' ? toolValue : null,
  }
}

export const loadWorld = async (reader: Reader, agent: string, tool: string | null): Promise<World> =>
  worldFrom(await reader.read(worldKeys(agent, tool)), reader.now, agent, tool)
