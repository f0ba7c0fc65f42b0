// What every edge is handed by the wire: the actions' dependencies and the few things that live as long as the process.

import type { TokenVerifier } from './authenticate-session.ts'
import type { ReadToolset } from './list-access.ts'
import type { Refusals } from './note-refusals.ts'
import type { Caller, Deps } from './ports.ts'
import type { RateLimiter } from './rate-limit.ts'
import type { UpstreamTools } from './upstream-tools.ts'

export type Limiters = {
  readonly ask: RateLimiter
  readonly token: RateLimiter
  readonly mint: RateLimiter
  readonly call: RateLimiter
  readonly stranger: RateLimiter
  readonly api: RateLimiter
  readonly check: RateLimiter
}

export type Edge = {
  readonly deps: Deps
  readonly verify: TokenVerifier
  readonly toolsetOf: ReadToolset
  readonly refusals: Refusals
  readonly limiters: Limiters
  /** Absent: no tool's own MCP server is spoken to. */
  readonly upstreamTools?: Pick<UpstreamTools, 'shownTo' | 'call'>
  /** Host names (with port) that requests may be addressed to; anything else is refused (DNS rebinding). */
  readonly allowedHosts: readonly string[]
}

/** Set by the wire on each request before an edge sees it. `operator` only on the local socket. */
export type EdgeVariables = {
  readonly requestId: string
  /** Remote address, or `socket`. */
  readonly remote: string
  readonly operator: Extract<Caller, { role: 'operator' }> | null
}
