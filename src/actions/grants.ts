// What every verb that touches grants shares: making one, the people it rests on, and whether two asks are the same.

import type { World } from '../core/judge.ts'
import { reviewEnd } from '../core/judge.ts'
import type { ApprovalLevel, Details } from '../core/manifest.ts'
import { type AccessRequest, type Grant, type Instant, keyOf, type Person } from '../core/model.ts'
import type { Shown } from './approval-hash.ts'
import type { Deps } from './ports.ts'
import type { Look } from './transact.ts'

/** A grant born now under the world's grant epochs. */
export function grantFrom(
  deps: Pick<Deps, 'ids'>,
  world: World,
  from: Shown & {
    readonly session: string
    readonly key: string
    readonly request: string | null
    readonly approval: ApprovalLevel
    /** As they were read for this: the commit asserts that nobody locked them meanwhile. */
    readonly approvers: readonly Pick<Person, 'id' | 'grantEpoch'>[]
    readonly approvedHash: string | null
    readonly askedSeconds: number
    readonly at: Instant
  },
): Grant {
  const { at, durationSeconds, approvers, ...kept } = from
  return {
    ...kept,
    id: deps.ids.next('grt'),
    approvers: approvers.map(({ id }) => id),
    createdAt: at,
    expiresAt: Math.min(at + durationSeconds * 1000, reviewEnd(world.identity?.reviewBy ?? null)),
    state: 'active',
    revocation: null,
    born: {
      agent: world.agent!.grantEpoch,
      tool: world.tool!.grantEpoch,
      installation: world.installation!.grantEpoch,
      approvers: approvers.map(({ grantEpoch }) => grantEpoch),
    },
  }
}

/**
 * What the agent holds on the tool that has not ended, by the newest of its rows: expiry is never written into one, so
 * most of an old agent's have ended.
 */
export async function liveGrants(
  deps: Pick<Deps, 'store'>,
  { agent, tool }: { readonly agent: string; readonly tool: string },
  now: Instant,
): Promise<readonly Grant[]> {
  const where = { agent, tool, state: 'active' }
  const { rows } = await deps.store.list({ kind: 'grant', where, newestFirst: true, limit: 500 })
  return rows.filter(({ expiresAt }) => now < expiresAt)
}

/** The people an approval rests on; the commit asserts them (STORE rule 4). */
export async function readApprovers(
  look: Pick<Look, 'read'>,
  emails: readonly string[],
): Promise<ReadonlyMap<string, Person>> {
  if (emails.length === 0) return new Map()
  const snapshot = await look.read(emails.map((email) => keyOf('person', email)))
  return new Map(
    emails.flatMap((email) => {
      const person = snapshot.get('person', email)
      return person === undefined ? [] : [[email, person] as const]
    }),
  )
}

type Asked = { readonly scopes: readonly string[]; readonly details: Details }

/** The same (scopes, details, duration) of one agent and tool. */
export function sameAsk(row: AccessRequest | Grant, ask: Asked & { readonly durationSeconds: number }): boolean {
  const askedSeconds = 'durationSeconds' in row ? row.durationSeconds : row.askedSeconds
  return (
    askedSeconds === ask.durationSeconds &&
    row.scopes.join(' ') === ask.scopes.join(' ') &&
    JSON.stringify(sorted(row.details)) === JSON.stringify(sorted(ask.details))
  )
}

const sorted = (details: Details) => Object.entries(details).sort(([a], [b]) => (a < b ? -1 : 1))
