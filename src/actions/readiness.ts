// Can anything be issued at present? For whoever decides where agents are sent; whoever may read the status is told why not.

import { CLOCK_STEP_MS } from '../core/limits.ts'
import type { Deps } from './ports.ts'

/** By a clock below the highest time seen nothing is committed (S18). */
export const isClockBehind = ({ store, clock }: Pick<Deps, 'store' | 'clock'>): boolean =>
  clock.now() < store.highestTime() - CLOCK_STEP_MS

/**
 * No while the store cannot be written, its disk is full, or the clock is behind. What takes away works in all these cases
 * (S17), so none of them is a reason to stop the process.
 */
export const isReady = async (deps: Pick<Deps, 'store' | 'clock'>): Promise<boolean> =>
  deps.store.fresh() && !isClockBehind(deps) && (await deps.store.hasRoom())
