// The broker and the reference model side by side, and what both sides' histories have brought about so far: what every
// step is taken in.

import { createTokenVerifier, type VerifyToken } from '../../src/actions/authenticate-session.ts'
import type { Context, Deps } from '../../src/actions/ports.ts'
import type { Manifest } from '../../src/core/manifest.ts'
import type { AccessRequest, Kind, Rows } from '../../src/core/model.ts'
import { as, type Harness } from '../support/harness.ts'
import { type HeldSession, ReferenceModel } from './reference-model.ts'
import { setFrom } from './steps.ts'

/** The broker did what the model does not justify. */
class Unjustified extends Error {
  override name = 'Unjustified'
}
export const must: (holds: boolean, what: string, shown?: unknown) => asserts holds = (holds, what, shown) => {
  if (!holds) throw new Unjustified(shown === undefined ? what : `${what}: ${JSON.stringify(shown)}`)
}

export const contextOf = (who: string): Context => (who === 'admin' ? as.admin : as.owner(who))
export const nth = <T>(items: readonly T[], n: number): T | undefined => items[n % Math.max(1, items.length)]

export type Counts = Record<
  'steps' | 'done' | 'grants' | 'credentials' | 'accepted' | 'taken' | 'crashes' | 'alive',
  number
>

/** One step in the broker, and what the model makes of its yes. */
export type Doing = {
  readonly run: (deps: Deps) => Promise<{ readonly ok: boolean }>
  readonly done: (now: number) => Promise<void> | void
}

export type World = ReturnType<typeof createWorld>

export function createWorld(harness: Harness, first: Map<string, Manifest>, counts: Counts) {
  const model = new ReferenceModel(setFrom(first))
  const requests = new Map<string, AccessRequest>()
  const states = new Map<string, string>()
  const verifier: { verify: VerifyToken } = { verify: createTokenVerifier(harness.deps) }
  const rows = async <K extends Kind>(kind: K): Promise<readonly Rows[K][]> =>
    (await harness.deps.store.list({ kind, limit: 500 })).rows

  return {
    harness,
    model,
    counts,
    clock: harness.disk.clock,
    ids: harness.disk.ids,
    /** As they are written at the moment, and all that were ever written. */
    sources: { documents: first, history: [...first.values()] },
    requests,
    /** `kind id` → the state that its row was last seen in. */
    states,
    verifier,
    sessions: () => [...model.sessions.values()],
    grants: () => [...model.grants.values()],
    credentials: () => [...model.credentials.values()],
    /** Requests that wait; all of them where none does. */
    pending() {
      const waiting = [...requests.values()].filter(({ id }) => states.get(`request ${id}`) === 'pending')
      return waiting.length > 0 ? waiting : [...requests.values()]
    },
    rows,
    fresh: async <K extends 'session' | 'request' | 'grant' | 'credential' | 'lock'>(
      kind: K,
      known: ReadonlyMap<string, unknown>,
    ) => (await rows(kind)).filter(({ id }) => !known.has(id)),
    async reopen(): Promise<void> {
      verifier.verify = createTokenVerifier(await harness.reopen())
    },
  }
}

export const caller = (session: HeldSession) => ({ role: 'agent', agent: session.agent, session: session.id }) as const
