// Reads all authority that is in force as one snapshot, and the names that a new manifest set may refer to.
// Every slice is read through `look`, so that the commit asserts what the edit was judged on (S16).

import { NOTHING_REMEMBERED, type Standing } from '../core/edit.ts'
import type { KnownNames } from '../core/manifest.ts'
import { type Agent, keyOf, type Revision, type Rows, type Slice } from '../core/model.ts'
import type { Deps, Where } from './ports.ts'
import type { Look } from './transact.ts'

type Reads = Pick<Deps, 'store'>

/** Rows of one page of a list. */
const PAGE = 500

/** Every row that the filter names, page by page. */
export async function listAll<K extends keyof Rows>(deps: Reads, kind: K, where: Where = {}): Promise<Rows[K][]> {
  const rows: Rows[K][] = []
  let after: string | null = null
  do {
    const page: { rows: readonly Rows[K][]; next: string | null } = await deps.store.list({
      kind,
      where,
      limit: PAGE,
      ...(after === null ? {} : { after }),
    })
    rows.push(...page.rows)
    after = page.next
  } while (after !== null)
  return rows
}

/** The revision in force, if any was applied yet. */
export async function currentRevision(deps: Reads): Promise<Revision | null> {
  const page = await deps.store.list({ kind: 'revision', where: { state: 'in force' }, limit: 1, newestFirst: true })
  return page.rows[0] ?? null
}

export async function readStanding(
  deps: Reads,
  look: Pick<Look, 'now' | 'read'>,
  current: Revision | null,
): Promise<Standing> {
  const listed = await listAll(deps, 'slice')
  const slices = new Map<string, Slice>()
  if (listed.length > 0) {
    const snapshot = await look.read(listed.map(({ id }) => keyOf('slice', id)))
    for (const { id } of listed) {
      const slice = snapshot.get('slice', id)
      if (slice !== undefined) slices.set(id, slice)
    }
  }
  const ended: Agent[] = [
    ...(await listAll(deps, 'agent', { state: 'decommissioning' })),
    ...(await listAll(deps, 'agent', { state: 'decommissioned' })),
  ]
  return { now: look.now, slices, ended, remembered: current?.remembers ?? NOTHING_REMEMBERED }
}

/** Names once in force: what the parser lets a set refer to with a warning (P3). */
export async function knownNames(deps: Reads): Promise<KnownNames> {
  const [agents, tools, slices, current] = await Promise.all([
    listAll(deps, 'agent'),
    listAll(deps, 'tool'),
    listAll(deps, 'slice'),
    currentRevision(deps),
  ])
  const remembered = current?.remembers ?? NOTHING_REMEMBERED
  const sets = (of: Readonly<Record<string, readonly string[]>>) =>
    new Map(Object.entries(of).map(([tool, names]) => [tool, new Set(names)]))
  return {
    agents: new Set(agents.map(({ id }) => id)),
    tools: new Set(tools.map(({ id }) => id)),
    roles: new Set(remembered.roles),
    teams: new Set(slices.flatMap(({ id }) => (id.startsWith('team/') ? [id.slice('team/'.length)] : []))),
    scopes: sets(remembered.scopes),
    details: sets(remembered.details),
  }
}
