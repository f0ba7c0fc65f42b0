// The suite cannot send a header of its own: this listener on loopback adds a session's token to whatever passes and
// changes nothing else, so that Host, Origin and every answer are those of the mount behind it.

import { once } from 'node:events'
import { createServer, request as send } from 'node:http'
import type { AddressInfo } from 'node:net'

/** @param upstream an MCP URL on loopback. */
export async function lendToken(upstream: string, token: () => string) {
  const { hostname, port } = new URL(upstream)
  const server = createServer((incoming, outgoing) => {
    const { method, url, rawHeaders } = incoming
    const headers = [...rawHeaders, 'Authorization', `Bearer ${token()}`]
    const passed = send({ hostname, port, method, path: url, headers, setHost: false }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.rawHeaders)
      answer.pipe(outgoing)
    })
    passed.on('error', () => outgoing.destroy())
    outgoing.on('close', () => passed.destroy())
    incoming.pipe(passed)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
