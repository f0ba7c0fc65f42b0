// What the broker's rows say, in the words of the model.

import type { Details } from '../../src/core/manifest.ts'
import type { Grant } from '../../src/core/model.ts'
import type { SliceValue } from '../../src/core/slice.ts'
import { accessPart, agentPart, type Part, toolPart } from './authority-model.ts'
import type { HeldGrant } from './reference-model.ts'

export const queuesOf = (details: Readonly<Record<string, readonly string[]>>) => details.queue ?? null
export const detailsOf = (queues: readonly string[] | null): Details => (queues === null ? {} : { queue: queues })

export const heldAs = ({
  agent,
  tool,
  scopes,
  details,
  delivery,
}: Pick<Grant, 'agent' | 'tool' | 'scopes' | 'details' | 'delivery'>) => ({
  agent,
  tool,
  scopes,
  queues: queuesOf(details),
  delivery: delivery === 'inline' ? ('inline' as const) : ('exchange' as const),
})

export const heldGrant = ({
  id,
  agent,
  tool,
  session,
  scopes,
  details,
  approval,
  delivery,
  approvers,
  createdAt,
  expiresAt,
}: Grant): HeldGrant => ({
  id,
  agent,
  tool,
  session,
  scopes,
  queues: queuesOf(details),
  level: approval === 'none' ? 'none' : 'owner',
  delivery: delivery === 'inline' ? 'inline' : 'exchange',
  approver: approvers[0] ?? null,
  createdAt,
  endsAt: expiresAt,
  dead: false,
})

/** What the broker has in force, in the model's words. */
export function partOf(value: SliceValue): Part | null {
  if (value.of === 'agent') return agentPart(value)
  if (value.of === 'tool') return toolPart(value)
  if (value.of === 'team') return { of: 'team', name: value.name, members: value.members }
  return accessPart(value.agent, value.tool, value.entitlements)
}
