// What applying a manifest set would do, and who would lose what: it changes nothing and records nothing.

import type { Narrowed, Orphaned, WideningDraft } from '../core/authority.ts'
import { judgeEdit } from '../core/edit.ts'
import type { Fault, ManifestSet } from '../core/manifest.ts'
import { type Kind, keyOf, type Rows } from '../core/model.ts'
import { credentialsTaken } from './confirmations.ts'
import type { Deps } from './ports.ts'
import { reachesOf } from './reaches.ts'
import { rowsForMoves } from './slice-rows.ts'
import { currentRevision, readStanding } from './standing.ts'
import type { Look } from './transact.ts'

export type Plan = {
  /** Of the set that was looked at, and of the one in force: what a push has to name as its base. */
  readonly digest: string
  readonly inForce: string | null
  readonly narrowings: readonly Narrowed[]
  readonly widenings: readonly WideningDraft[]
  readonly orphaned: readonly Orphaned[]
  /** Would refuse the whole edit. */
  readonly barred: readonly Fault[]
  readonly warnings: readonly Fault[]
  /** Ids of what would die. */
  readonly dies: {
    readonly sessions: readonly string[]
    readonly grants: readonly string[]
    readonly credentials: readonly string[]
  }
}

/** Sessions, requests or grants of one agent or tool that a plan names; a shorter list is better read in the store. */
const NAMED = 20_000

export async function planManifests(deps: Deps, set: ManifestSet): Promise<Plan> {
  const look: Look = {
    now: deps.clock.now(),
    read: (keys) => deps.store.read(keys),
    row: async <K extends Kind>(kind: K, id: string): Promise<Rows[K] | undefined> =>
      (await deps.store.read([keyOf(kind, id)])).get(kind, id),
  }
  const installation = await look.row('installation', 'self')
  const edit = judgeEdit(set, await readStanding(deps, look, await currentRevision(deps)))
  const moves = [...edit.next].map(([id, now]) => ({ was: edit.inForce.get(id) ?? null, now }))
  const { cutOff } = await rowsForMoves(look, moves)
  const reaches = await reachesOf(deps, look.now, { ...edit, cutOff }, NAMED)
  const sessions = reaches.flatMap((reach) => reach.sessions.map(({ id }) => id))
  const grants = reaches.flatMap((reach) => [...reach.grants.keys()])
  const credentials = await credentialsTaken(deps, look.now, [
    ...sessions.map((session) => ({ session })),
    ...grants.map((grant) => ({ grant })),
  ])
  return {
    digest: set.digest,
    inForce: installation?.revision ?? null,
    narrowings: edit.narrowings,
    widenings: edit.widenings,
    orphaned: edit.orphaned,
    barred: edit.barred,
    warnings: [...set.warnings, ...edit.ignored],
    dies: {
      sessions,
      grants,
      credentials: credentials.filter(({ expiresAt }) => expiresAt > look.now).map(({ id }) => id),
    },
  }
}
