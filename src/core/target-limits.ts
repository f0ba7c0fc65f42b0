// What each type of target cannot do, as far as it is known without asking one: `scopes check` says so while it can
// still be thought about. The adapters say what holds at run time.

import type { TargetConnection } from './manifest.ts'
import type { Recipe } from './recipe.ts'

type Known = {
  readonly scope: 'exact' | 'coarse' | 'none'
  readonly expires: boolean
  readonly revokes: boolean
  readonly lists: boolean
  readonly probes: boolean
}

const KNOWN: Readonly<Record<TargetConnection['type'], Known | null>> = {
  redmine: { scope: 'exact', expires: false, revokes: true, lists: true, probes: true },
  rt: { scope: 'coarse', expires: false, revokes: true, lists: true, probes: true },
  influxdb: { scope: 'exact', expires: false, revokes: true, lists: true, probes: true },
  // By its recipe.
  http: null,
}

/** What is to be known before such a tool is connected, each the end of a sentence about it. */
export const targetWarnings = (
  type: TargetConnection['type'],
  recipe?: Pick<Recipe, 'capabilities'>,
): readonly string[] => {
  const known = recipe?.capabilities ?? KNOWN[type]
  if (known === null) return ['can do what its recipe can: where that revokes nothing, lifetimes are capped']
  return [
    ...(known.scope === 'coarse'
      ? ['has groups for rights, made beforehand: what a group may do is not seen here']
      : []),
    ...(known.scope === 'none' ? ['cannot hold an account to its rights'] : []),
    ...(known.revokes ? [] : ['revokes nothing: lifetimes are capped, and a revocation waits for the end']),
    ...(known.lists ? [] : ['lists no accounts: what others do there is not found']),
    ...(known.probes ? [] : ['cannot be probed: a revocation rests on what the tool says']),
  ]
}
