// Is what this process knows young enough to judge by? It never says so of what is too old, but may look again first.

import type { Store } from './ports.ts'

/** A process that was paused looks once more, so that it need not refuse what it could have known (STORE rule 6). */
export async function isFresh(store: Pick<Store, 'fresh' | 'refresh'>): Promise<boolean> {
  if (store.fresh()) return true
  await store.refresh()
  return store.fresh()
}
