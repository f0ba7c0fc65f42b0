// Serves one message of a call. Whatever breaks is answered with the request's id and nothing of what broke.

import { ProtocolError, ProtocolErrorCode } from '@modelcontextprotocol/server'
import type { Edge } from '../../actions/edge.ts'
import type { Call } from './call.ts'

/** @throws ProtocolError alone: what `act` throws as one, or that something broke. */
export async function forCall<T>(edge: Edge, { requestId }: Call, method: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act()
  } catch (thrown) {
    if (thrown instanceof ProtocolError) throw thrown
    edge.deps.log.error({ requestId, method, error: String(thrown) }, 'an MCP message could not be served')
    throw new ProtocolError(ProtocolErrorCode.InternalError, `Something broke here (${requestId}). Try again.`)
  }
}
