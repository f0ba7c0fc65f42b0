// The machine's clocks. The only place that reads them.

import type { Clock } from '../../actions/ports.ts'

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
}
