// Can anything be issued at present? For whoever decides where agents are sent, and for those who watch. It says why not
// in words of a closed list, which reveal nothing of what is kept here.

import { CLOCK_STEP_MS } from '../core/limits.ts'
import type { Deps } from './ports.ts'

/** By a clock below the highest time seen nothing is committed (S18). */
export const isClockBehind = ({ store, clock }: Pick<Deps, 'store' | 'clock'>): boolean =>
  clock.now() < store.highestTime() - CLOCK_STEP_MS

/** Null: it can. What takes away works in all these cases (S17), so none of them is a reason to stop the process. */
export async function whyNotReady(deps: Pick<Deps, 'store' | 'clock'>): Promise<string | null> {
  if (!deps.store.fresh()) return 'the store cannot be written'
  if (!(await deps.store.hasRoom())) return 'the disk is full'
  if (isClockBehind(deps)) return 'the clock is behind'
  return null
}
