// What a command needs that opens a store itself, before anybody serves it.

import type { Context, Deps, Guards } from '../actions/ports.ts'
import { Stop } from './stop.ts'

/** For a store that nobody reaches: no guard holds a lease. */
export const NO_GUARDS: Guards = { lease: () => ({ leaseSeconds: 0 }), acknowledged: () => ({ all: false, guards: 0 }) }

/** Whoever holds the data folder. */
export const operator = (deps: Pick<Deps, 'ids'>): Context => ({
  caller: { role: 'operator' },
  requestId: deps.ids.next('rid'),
})

export function orStop<T>(
  result: { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: string },
): T {
  if (!result.ok) throw new Stop(1, result.error)
  return result.value
}
