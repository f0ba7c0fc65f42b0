// Beside the front door, for the one question that proxies ask at each of their own requests: there the framework would cost
// more than the answer. It lets in what the front door would, where there is room, decides nothing, and leaves the unusual to it.

import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { valuesIn } from '../actions/raw-header.ts'
import { withinTrace } from '../actions/tracing.ts'
import { TOOLS, type ToolProxy } from '../adapters/proxy/proxy.ts'
import type { ForwardAuth } from '../adapters/verifiers/forward-auth.ts'
import type { Answer } from '../adapters/verifiers/refusal.ts'
import { FORWARD_AUTH } from '../adapters/verifiers/verifier-app.ts'
import { alwaysSent, type FrontDoor, hostCheck } from './front-door.ts'

/** What a URL's parser would leave as it is: the long way reads exactly the same. */
const PLAIN_QUERY = /^[!$%&(-;=?-[\]_a-z~]*$/

/** @param ask never rejects. `next` is the front door. */
export function besideTheFrontDoor(door: FrontDoor, ask: ForwardAuth, next: RequestListener): RequestListener {
  const isAllowed = hostCheck(door.allowedHosts)
  const start = `${FORWARD_AUTH}?`
  const { checks } = door

  function serve(incoming: IncomingMessage, outgoing: ServerResponse, query: string, leave: () => void): void {
    const requestId = door.ids.next('rid')
    const { rawHeaders, socket } = incoming
    const remote = socket.remoteAddress ?? 'unknown'
    ask({ requestId, remote, header: (name) => valuesIn(rawHeaders, name) }, query)
      .then((answer) => send(outgoing, requestId, answer))
      .catch((thrown: unknown) => {
        door.log.error({ requestId, error: String(thrown) }, 'an answer could not be written')
        outgoing.destroy()
      })
      .finally(leave)
  }

  return (incoming, outgoing) => {
    const { method, url = '', headers } = incoming
    const isPlain = method === 'GET' && url.startsWith(start) && isAllowed(headers.host ?? '')
    const query = isPlain ? url.slice(start.length) : ''
    if (!isPlain || !PLAIN_QUERY.test(query)) return next(incoming, outgoing)
    if (checks === undefined) return serve(incoming, outgoing, query, nothing)

    const entered = (leave: (() => void) | null) => {
      if (leave !== null && !outgoing.destroyed) return serve(incoming, outgoing, query, leave)
      // Who has gone while waiting hears nothing, and takes no place.
      leave?.()
      const requestId = door.ids.next('rid')
      send(outgoing, requestId, checks.turnedAway(requestId))
    }
    const entering = checks.enter()
    if (entering instanceof Promise) void entering.then(entered)
    else entered(entering)
  }
}

function send(outgoing: ServerResponse, requestId: string, { status, headers, body }: Answer): void {
  const length = body === null ? 0 : Buffer.byteLength(body)
  outgoing.writeHead(status, { ...alwaysSent(requestId), ...headers, 'Content-Length': length })
  outgoing.end(body)
}

const nothing = () => undefined

/** Beside it too: whatever begins with `/tools/` is streamed, which the framework would hold in its hands twice. */
export function besideForCalls(
  door: FrontDoor,
  proxy: Pick<ToolProxy, 'serve'>,
  next: RequestListener,
): RequestListener {
  const isAllowed = hostCheck(door.allowedHosts)
  return (incoming, outgoing) => {
    const { url = '', headers, socket } = incoming
    if (!url.startsWith(TOOLS) || !isAllowed(headers.host ?? '')) return next(incoming, outgoing)
    const requestId = door.ids.next('rid')
    const at = { requestId, remote: socket.remoteAddress ?? 'unknown', always: alwaysSent(requestId) }
    void withinTrace(headers.traceparent, headers.tracestate, () => proxy.serve(incoming, outgoing, at))
  }
}
