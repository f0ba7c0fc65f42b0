// What a found token can turn out to be.

/** `account`: the secret of an account in a tool. `nothing`: none that is known here, or no longer. */
export const INSPECTED = ['session', 'credential', 'account', 'bearer', 'nothing'] as const
export type InspectedKind = (typeof INSPECTED)[number]
