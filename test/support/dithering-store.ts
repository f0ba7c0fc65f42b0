// A store whose answers come a random while later, and to which commits come a random while later: what races, meets.

import type { Store } from '../../src/actions/ports.ts'

/** Waits from nothing to a few turns of the event loop. */
export async function dither(): Promise<void> {
  for (let left = Math.floor(Math.random() ** 2 * 5); left > 0; left--) await new Promise(setImmediate)
}

/** The same store to everybody else: only who calls through this is slow. */
export const ditheringStore = (store: Store): Store => ({
  async commit(member) {
    await dither()
    return store.commit(member)
  },
  async read(keys) {
    const snapshot = await store.read(keys)
    await dither()
    return snapshot
  },
  async list(query) {
    const page = await store.list(query)
    await dither()
    return page
  },
  outcomeOf: (id) => store.outcomeOf(id),
  insist: (member) => store.insist(member),
  changes: (after, signal) => store.changes(after, signal),
  records: (from, limit, filter) => store.records(from, limit, filter),
  tree: () => store.tree(),
  node: (level, index) => store.node(level, index),
  fresh: () => store.fresh(),
  refresh: () => store.refresh(),
  hasRoom: () => store.hasRoom(),
  highestTime: () => store.highestTime(),
  close: () => store.close(),
})
