// How a call through the proxy can end, in the words of the trail.

/**
 * `whole`: the tool's answer was passed on. `left`: the agent went away. `cut`: its right to call ended meanwhile.
 * `refused`: the tool answered what must not be passed on. `broken`: the tool went away. `unreachable`, `late`: it never
 * answered. `too long`: the body was longer than it may be.
 */
export const CALL_ENDS = ['whole', 'left', 'cut', 'refused', 'broken', 'unreachable', 'late', 'too long'] as const
export type CallEnd = (typeof CALL_ENDS)[number]
