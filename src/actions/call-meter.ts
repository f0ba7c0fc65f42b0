// Who counts the calls that agents make of tools through the broker. A tool is named once its call was admitted, so that no
// caller makes a label.

import type { ProblemCode } from '../core/problem.ts'
import type { EndOfCall } from './call-ends.ts'

export type CallMeter = {
  /** A call that was judged and is on the trail, and how long that took; the function says how it ended. */
  admitted(tool: string, milliseconds: number): (end: EndOfCall) => void
  /** A call that the tool never heard of. */
  refused(code: ProblemCode): void
}

export const UNMETERED: CallMeter = { admitted: () => () => {}, refused: () => {} }
