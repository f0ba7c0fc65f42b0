// A tool behind the proxy, beside the sample's: it answers with what it was asked.

import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'

const MANIFEST = (port: number) => `apiVersion: hallpass/v1
kind: Tool
metadata: { name: wiki }
spec:
  owners: [team/platform]
  category: ticketing
  resource: http://127.0.0.1:${port}
  upstream: { url: "http://127.0.0.1:${port}" }
  scopes:
    wiki:read:
      description: Read pages
      risk: low
      allow: [{ methods: [GET, POST], paths: [/page, "/old*"] }]
    wiki:direct: { description: Read pages without the proxy, risk: low }
`
const ENTRIES = `
    - { tool: wiki, scopes: [wiki:read], approval: none, delivery: proxy }
    - { tool: wiki, scopes: [wiki:direct], approval: none }`

export type Wiki = {
  readonly port: number
  /** For `startSampleBroker`: the sample's triage-bot may call it, and may hold its credential. */
  edit(scopesPath: string): void
  close(): void
}

const said: RequestListener = (incoming, outgoing) => {
  if (incoming.url === '/old') outgoing.writeHead(302, { Location: '/page' }).end()
  else if (incoming.url === '/old-elsewhere') outgoing.writeHead(302, { Location: 'https://evil.example/' }).end()
  else {
    const { method, url, headers } = incoming
    outgoing.setHeader('Set-Cookie', 'a=b')
    outgoing.end(JSON.stringify({ method, url, headers }))
  }
}

export async function startWiki(): Promise<Wiki> {
  const server = createServer(said)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    port,
    edit(scopesPath) {
      writeFileSync(join(scopesPath, 'tools', 'wiki.yaml'), MANIFEST(port))
      const agent = join(scopesPath, 'agents', 'triage-bot.yaml')
      writeFileSync(agent, readFileSync(agent, 'utf8').replace(/^ {2}access:$/m, `  access:${ENTRIES}`))
    },
    close() {
      server.closeAllConnections()
      server.close()
    },
  }
}
