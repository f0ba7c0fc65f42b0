// What passes between a tool's server and an agent's client while a call is under way, by what this client asked for and
// declared on this very request.

import type { ServerContext } from '@modelcontextprotocol/server'
import type { UpstreamCall } from '../../actions/ports.ts'

/** Of one call that is served by the SDK, whichever the era. */
export function meanwhileOf({ mcpReq }: ServerContext): Pick<UpstreamCall, 'signal' | 'onProgress' | 'ask'> {
  const progressToken = mcpReq._meta?.progressToken
  return {
    signal: mcpReq.signal,
    onProgress(progress) {
      if (progressToken === undefined) return
      const params = { progressToken, ...progress }
      // Its client may have left.
      void mcpReq.notify({ method: 'notifications/progress', params }).catch(() => undefined)
    },
    ask: null,
  }
}
