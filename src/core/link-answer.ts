// What came back when an agent's client was asked to show a link, in the words of MCP elicitation. None of them approves.

/** `none`: it said nothing, or nothing that was understood. */
export const LINK_ANSWERS = ['accept', 'decline', 'cancel', 'none'] as const
export type LinkAnswer = (typeof LINK_ANSWERS)[number]
