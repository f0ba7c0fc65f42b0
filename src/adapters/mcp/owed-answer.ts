// The answer that a stream owes its client still when its agent is cut off: without one, clients wait until they lose patience.

import type { JSONRPCErrorResponse } from '@modelcontextprotocol/server'

export const CUT_WORDS = 'Something of yours was taken away while this was under way. Call again.'

/** The same stream; cut off, it ends with an error for the request that it answers. */
export function withOwedAnswer(response: Response, requestId: unknown, cut: AbortSignal): Response {
  if (response.body === null || (typeof requestId !== 'string' && typeof requestId !== 'number')) return response
  const reader = response.body.getReader()
  const error: JSONRPCErrorResponse = { jsonrpc: '2.0', id: requestId, error: { code: -32000, message: CUT_WORDS } }
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      // What is cut off may break.
      const { done, value } = await reader.read().catch(() => ({ done: true, value: undefined }))
      if (!done && value !== undefined) return controller.enqueue(value)
      if (cut.aborted)
        controller.enqueue(new TextEncoder().encode(`event: message\ndata: ${JSON.stringify(error)}\n\n`))
      controller.close()
    },
    cancel: (reason) => reader.cancel(reason),
  })
  return new Response(body, response)
}
