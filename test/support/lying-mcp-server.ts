// An MCP server that lies in whatever way a test wants: HTTP written by hand, of either era, that by default behaves.

import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'

export type Era = 'legacy' | 'modern'
export const ERAS: readonly Era[] = ['legacy', 'modern']

type Fields = { readonly [key: string]: unknown }
export type Said = { readonly id?: number | string; readonly method?: string; readonly params?: Fields }

/** One HTTP request, with what it said, and the ways to answer it. */
export type Exchange = {
  readonly http: string
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly said: Said
  readonly outgoing: ServerResponse
  /** A result as one JSON body. */
  answer(result: Fields): void
  fail(code: number, message: string, data?: unknown): void
  /** The answer becomes a stream: whole messages of JSON-RPC, and at last what answers the call. */
  stream(): { say(message: Fields): boolean; end(result?: Fields): void }
  /** Resolves when the other side has closed it, to how long that took (milliseconds). */
  readonly gone: Promise<number>
}

export type LyingServer = {
  readonly port: number
  readonly url: string
  /** What it speaks from now on. */
  era: Era
  readonly heard: Exchange[]
  /** A text is JSON as it is. */
  tools: readonly unknown[] | string
  /** What `tools/call` does. */
  calls: (exchange: Exchange) => void
  /** Anything before it is answered; true: it was answered, or never will be. */
  before: (exchange: Exchange) => boolean
  sockets(): number
  /** What was said of this method, in order. */
  of(method: string): Exchange[]
  close(): void
}

export const TOOL = (name: string, more: Fields = {}) => ({
  name,
  description: `Does ${name}`,
  inputSchema: { type: 'object', properties: { queue: { type: 'string' }, text: { type: 'string' } } },
  ...more,
})

export const text = (...texts: readonly string[]) => ({ content: texts.map((one) => ({ type: 'text', text: one })) })

export async function startLyingServer(first: Era): Promise<LyingServer> {
  let session = 0
  const open = new Set<Socket>()
  const server = createServer((incoming, outgoing) => {
    let body = ''
    incoming.on('data', (chunk: Buffer) => {
      body += chunk.toString('utf8')
    })
    incoming.on('end', () => heard(exchangeOf(incoming, outgoing, body)))
  })
  server.on('connection', (socket) => {
    open.add(socket)
    socket.on('close', () => open.delete(socket))
    socket.on('error', () => {})
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo

  const exchangeOf = (incoming: IncomingMessage, outgoing: ServerResponse, body: string): Exchange => {
    const startedAt = performance.now()
    const said: Said = body === '' ? {} : JSON.parse(body)
    const kind = lying.era === 'modern' ? { resultType: 'complete' } : {}
    const message = (rest: Fields) => JSON.stringify({ jsonrpc: '2.0', id: said.id, ...rest })
    const json = (status: number, rest: Fields) =>
      outgoing.writeHead(status, { 'Content-Type': 'application/json' }).end(message(rest))
    outgoing.on('error', () => {})
    return {
      http: incoming.method ?? '',
      url: incoming.url ?? '',
      headers: incoming.headers,
      said,
      outgoing,
      answer: (result) => void json(200, { result: { ...kind, ...result } }),
      fail: (code, text, data) => void json(200, { error: { code, message: text, data } }),
      stream() {
        outgoing.writeHead(200, { 'Content-Type': 'text/event-stream' })
        outgoing.flushHeaders()
        const say = (one: Fields) => outgoing.write(`data: ${JSON.stringify({ jsonrpc: '2.0', ...one })}\n\n`)
        return {
          say,
          end(result) {
            if (result !== undefined) say({ id: said.id, result: { ...kind, ...result } })
            outgoing.end()
          },
        }
      },
      gone: new Promise((resolve) => outgoing.on('close', () => resolve(performance.now() - startedAt))),
    }
  }

  const heard = (exchange: Exchange) => {
    lying.heard.push(exchange)
    if (lying.before(exchange)) return
    const { said, outgoing, answer, fail } = exchange
    if (exchange.http === 'GET') outgoing.writeHead(405).end()
    else if (exchange.http === 'DELETE') outgoing.writeHead(204).end()
    else if (said.id === undefined || said.method === undefined) outgoing.writeHead(202).end()
    else if (said.method === 'server/discover' && lying.era === 'modern')
      answer({ ttlMs: 0, cacheScope: 'private', supportedVersions: ['2026-07-28'], capabilities: { tools: {} } })
    else if (said.method === 'initialize' && lying.era === 'legacy') {
      outgoing.setHeader('Mcp-Session-Id', `of-${++session}`)
      const version = '2025-11-25'
      answer({ protocolVersion: version, capabilities: { tools: {} }, serverInfo: { name: 'liar', version: '1' } })
    } else if (said.method === 'tools/list' && typeof lying.tools === 'string')
      outgoing
        .writeHead(200, { 'Content-Type': 'application/json' })
        .end(`{"jsonrpc":"2.0","id":${said.id},"result":{"resultType":"complete","ttlMs":0,"tools":${lying.tools}}}`)
    else if (said.method === 'tools/list') answer({ tools: lying.tools, ttlMs: 0, cacheScope: 'private' })
    else if (said.method === 'tools/call') lying.calls(exchange)
    else fail(-32601, 'Method not found')
  }

  const lying: LyingServer = {
    port,
    url: `http://127.0.0.1:${port}/mcp`,
    era: first,
    heard: [],
    tools: [],
    calls: ({ answer, said }) => answer(text(JSON.stringify(said.params?.arguments))),
    before: () => false,
    sockets: () => open.size,
    of: (method) => lying.heard.filter(({ said }) => said.method === method),
    close() {
      server.closeAllConnections()
      server.close()
    },
  }
  return lying
}
