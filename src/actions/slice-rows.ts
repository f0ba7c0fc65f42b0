// What else moves when a slice's value does: the agent's or tool's own row, which outlives every document (S4), and its
// epochs. It never lowers an epoch: what died stays dead when a document returns.

import { confusableSkeleton } from '../core/confusable.ts'
import { placeOfMcp } from '../core/manifest-mcp.ts'
import { keyOf, NEW_LOCKABLE, type Row, raised } from '../core/model.ts'
import type { SliceValue, ToolValue } from '../core/slice.ts'
import { placeOf } from './account-rows.ts'
import type { Look } from './transact.ts'

/** An agent or tool that this change cuts off: everything born of it so far is dead. */
export type CutOff = { readonly kind: 'agent' | 'tool'; readonly name: string }

export type SliceMove = { readonly was: SliceValue | null; readonly now: SliceValue | null }

/** Rows to put for these moves, and what they cut off. All rows that matter are read in one snapshot and asserted. */
export async function rowsForMoves(
  look: Pick<Look, 'read' | 'now'>,
  moves: readonly SliceMove[],
): Promise<{ readonly put: readonly Row[]; readonly cutOff: readonly CutOff[] }> {
  const named = moves.flatMap((move) => {
    const value = move.now ?? move.was
    const cuts = isCutOff(move)
    return value?.of === 'agent' || value?.of === 'tool'
      ? [{ kind: value.of, name: value.name, cuts, exists: move.now !== null }]
      : []
  })
  if (named.length === 0) return { put: [], cutOff: [] }
  const rows = await look.read(named.map(({ kind, name }) => keyOf(kind, name)))
  const put = named.flatMap(({ kind, name, cuts, exists }): Row[] => {
    if (kind === 'agent') {
      const row = rows.get('agent', name)
      if (row !== undefined) return cuts ? [{ kind, row: raised(row, look.now, true) }] : []
      const fresh = {
        ...NEW_LOCKABLE,
        id: name,
        state: 'active',
        skeleton: confusableSkeleton(name),
        decommission: null,
      } as const
      return exists ? [{ kind, row: fresh }] : []
    }
    const row = rows.get('tool', name)
    if (row !== undefined) return cuts ? [{ kind, row: raised(row, look.now, true) }] : []
    return exists ? [{ kind, row: { ...NEW_LOCKABLE, id: name } }] : []
  })
  return { put, cutOff: named.filter(({ cuts }) => cuts).map(({ kind, name }) => ({ kind, name })) }
}

/** Gone, stopped by its manifest (S4), or another connection under the same name (S1). */
function isCutOff({ was, now }: SliceMove): boolean {
  if (was === null) return false
  if (now === null) return true
  if (was.of === 'agent' && now.of === 'agent') return was.state === 'active' && now.state === 'decommissioned'
  return was.of === 'tool' && now.of === 'tool' && connection(was) !== connection(now)
}

/** Where accounts are made counts, not which secret does it or what is done about others: those are turned in place. */
const connection = ({ resource, token, target, upstream, mcp }: ToolValue): string =>
  JSON.stringify([
    resource,
    token.alg,
    target.type === 'none' ? target.type : placeOf(target),
    ...(upstream === undefined ? [] : [upstream.url]),
    ...(mcp === undefined ? [] : [{ mcp: placeOfMcp(mcp) }]),
  ])
