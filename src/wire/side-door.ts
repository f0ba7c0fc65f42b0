// Beside the front door, for the one question that proxies ask at each of their own requests: there the framework would cost
// more than the answer. It lets in what the front door would, decides nothing, and leaves whatever is unusual to it.

import type { RequestListener } from 'node:http'
import { valuesIn } from '../actions/raw-header.ts'
import type { ForwardAuth } from '../adapters/verifiers/forward-auth.ts'
import { FORWARD_AUTH } from '../adapters/verifiers/verifier-app.ts'
import { alwaysSent, type FrontDoor, hostCheck } from './front-door.ts'

/** What a URL's parser would leave as it is: the long way reads exactly the same. */
const PLAIN_QUERY = /^[!$%&(-;=?-[\]_a-z~]*$/

/** @param ask never rejects. `next` is the front door. */
export function besideTheFrontDoor(door: FrontDoor, ask: ForwardAuth, next: RequestListener): RequestListener {
  const isAllowed = hostCheck(door.allowedHosts)
  const start = `${FORWARD_AUTH}?`
  return (incoming, outgoing) => {
    const { method, url = '', headers, rawHeaders, socket } = incoming
    const isPlain = method === 'GET' && url.startsWith(start) && isAllowed(headers.host ?? '')
    const query = isPlain ? url.slice(start.length) : ''
    if (!isPlain || !PLAIN_QUERY.test(query)) return next(incoming, outgoing)

    const requestId = door.ids.next('rid')
    const remote = socket.remoteAddress ?? 'unknown'
    ask({ requestId, remote, header: (name) => valuesIn(rawHeaders, name) }, query)
      .then(({ status, headers: own, body }) => {
        const length = body === null ? 0 : Buffer.byteLength(body)
        outgoing.writeHead(status, { ...alwaysSent(requestId), ...own, 'Content-Length': length })
        outgoing.end(body)
      })
      .catch((thrown: unknown) => {
        door.log.error({ requestId, error: String(thrown) }, 'an answer could not be written')
        outgoing.destroy()
      })
  }
}
