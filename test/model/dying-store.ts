// A store whose process dies at a commit: as kill -9 does it, with the commit on the disk or without it.

import type { Deps, Store } from '../../src/actions/ports.ts'
import type { Crash } from './steps.ts'

export class Died extends Error {
  override name = 'Died'
}

/** A store whose process dies at one commit: nothing is written through it after that. */
export function dying(deps: Deps, crash: Crash | null) {
  const fate = { commits: 0, committed: 0, died: false }
  const commit: Store['commit'] = async (member) => {
    const isLast = crash !== null && fate.commits++ === crash.at
    if (fate.died) throw new Died()
    fate.died = isLast
    if (isLast && !crash.durable) throw new Died()
    const outcome = await deps.store.commit(member)
    if (outcome.ok) fate.committed++
    if (isLast) throw new Died()
    return outcome
  }
  return { deps: { ...deps, store: { ...deps.store, commit } }, fate }
}
