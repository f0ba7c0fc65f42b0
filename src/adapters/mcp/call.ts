// One HTTP request that was let in: what serving it needs to know of it, and nothing that it showed to be let in.

import type { AgentCaller } from '../../actions/authenticate-session.ts'
import type { Instant } from '../../core/model.ts'

export type Call = {
  readonly caller: AgentCaller
  readonly requestId: string
  /** When the token that it was let in with ends: nothing that it opened lasts longer. */
  readonly expiresAt: Instant
  /** Aborts when the agent is cut off; in a session also when the token ends or the client leaves. */
  readonly cut: AbortSignal
  /** Whether its agent was shown other tools than it has now, or calls one that it does not have. */
  hasStaleTools(called: string): Promise<boolean>
}

/** The call that a request of the SDK's is served for. */
export type CallOf = (request: Request | undefined) => Call
