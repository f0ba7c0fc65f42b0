// Whose trace a call belongs to, by its own word (W3C Trace Context, section 3.2). Anybody may send anything: what is not
// exactly one is as if it was not sent, and it decides nothing.

export type TraceParent = {
  /** 32 hexadecimal digits, not all zero. */
  readonly traceId: string
  /** 16 of them: the caller's span. */
  readonly parentId: string
  readonly isSampled: boolean
}

/** Version, trace, parent and flags; a later version may say more behind another dash. */
const TRACE_PARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[!-~]*)?$/
const MAX_LENGTH = 256
const ZEROS = /^0+$/

export function readTraceParent(given: unknown): TraceParent | null {
  if (typeof given !== 'string' || given.length > MAX_LENGTH) return null
  const [, version = '', traceId = '', parentId = '', flags = '', more] = TRACE_PARENT.exec(given) ?? []
  if (version === '' || version === 'ff' || (version === '00' && more !== undefined)) return null
  if (ZEROS.test(traceId) || ZEROS.test(parentId)) return null
  return { traceId, parentId, isSampled: (Number.parseInt(flags, 16) & 1) === 1 }
}

/** Section 3.3: 512 characters are passed on. What is in it is a tracer's affair; here it is only kept from being more. */
export const readTraceState = (given: unknown): string | null =>
  typeof given === 'string' && given.length <= 512 && /^[ -~]+$/.test(given) ? given : null
