// The proxy behind a real listener, over a real store, in front of a tool that does whatever a test wants; spoken to in
// bytes, as an attacker does.

import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { createTokenVerifier } from '../../src/actions/authenticate-session.ts'
import type { Edge } from '../../src/actions/edge.ts'
import { createToolsetReader } from '../../src/actions/list-access.ts'
import { createRefusals } from '../../src/actions/note-refusals.ts'
import { createRateLimiter, type Rate } from '../../src/actions/rate-limit.ts'
import { createMetrics } from '../../src/adapters/http/metrics.ts'
import { createProxy, type ProxyLimits } from '../../src/adapters/proxy/proxy.ts'
import { PROXY, RATE } from '../../src/core/limits.ts'
import type { ToolManifest, ToolUpstream } from '../../src/core/manifest.ts'
import type { Grant, Session } from '../../src/core/model.ts'
import { type PathRule, PROXY_METHODS } from '../../src/core/path-rule.ts'
import { ok } from '../../src/core/result.ts'
import { Secret } from '../../src/core/secret.ts'
import { alwaysSent } from '../../src/wire/front-door.ts'
import { besideForCalls } from '../../src/wire/side-door.ts'
import { createHarness, type Harness } from '../support/harness.ts'
import { agent, entry, scope, setOf, tool } from '../support/manifest-set.ts'
import { silentLog, unwrap } from '../support/store-on-disk.ts'

export const TOOL_SECRET = 'tool-s3cret-of-the-installation'

export type Heard = {
  readonly method: string
  readonly url: string
  readonly raw: readonly string[]
  body: string
}

export type Answer = { readonly status: number; readonly head: string; readonly body: string }

export type ProxyStage = {
  readonly h: Harness
  readonly port: number
  readonly upstreamPort: number
  readonly session: Session
  readonly grant: Grant
  /** A token for `/tools/wiki`, and one for the wiki itself. */
  readonly proxyToken: string
  readonly exchangeToken: string
  readonly otherToken: string
  /** What the tool was asked, in order. */
  readonly heard: Heard[]
  /** What the tool does next; by default it answers what it was asked. */
  does: RequestListener
  /** Bytes as they are, and all that comes back until the broker closes. */
  speak(bytes: string): Promise<string>
  /** One call with the token, unless `headers` say otherwise. */
  call(target: string, headers?: readonly string[], method?: string, body?: string): Promise<Answer>
  open(): Socket
  close(): Promise<void>
  /** The text of `/metrics`. */
  metrics(): Promise<string>
}

const rules = (paths: readonly string[], methods: readonly (typeof PROXY_METHODS)[number][] = PROXY_METHODS) =>
  paths.flatMap((path): PathRule[] => methods.map((method) => ({ method, path, query: {} })))

export function proxied(name: string, url: string, more: Partial<ToolUpstream> = {}): ToolManifest {
  const upstream = { url, secret: 'env:HALLPASS_TOOL_FAKE', header: 'Authorization', prefix: 'Bearer ', pass: [] }
  return tool(name, {
    details: { space: { description: '', enforcedBy: 'proxy' } },
    scopes: {
      read: scope({ allow: [...rules(['/x/**']), ...rules(['/s/{space}/**'], ['GET'])] }),
      admin: scope({ allow: rules(['/admin']) }),
    },
    upstream: { ...upstream, bodyBytes: 1024 * 1024, ...more },
  })
}

export async function proxyStage(
  limits: Partial<ProxyLimits> = {},
  more: Partial<ToolUpstream> = {},
): Promise<ProxyStage> {
  const heard: Heard[] = []
  const upstream = createServer((incoming, outgoing) => {
    const one: Heard = { method: incoming.method ?? '', url: incoming.url ?? '', raw: incoming.rawHeaders, body: '' }
    heard.push(one)
    incoming.on('data', (chunk: Buffer) => {
      if (one.body.length < 4096) one.body += chunk.toString('latin1')
    })
    stage.does(incoming, outgoing)
  })
  upstream.keepAliveTimeout = 60_000
  const upstreamPort = await listening(upstream)
  const h = await createHarness()
  await h.start(
    setOf(
      proxied('wiki', `http://127.0.0.1:${upstreamPort}/base`, more),
      proxied('other', `http://127.0.0.1:${upstreamPort}`, more),
      agent('bot', {
        access: [
          entry('wiki', ['read'], { approval: 'none', delivery: 'proxy' }),
          entry('other', ['read'], { approval: 'none', delivery: 'proxy' }),
          entry('wiki', ['admin'], { approval: 'none', delivery: 'exchange' }),
        ],
      }),
    ),
  )
  const { deps } = h
  const limiter = (rate: Rate) => createRateLimiter(rate, deps.clock)
  const edge: Edge = {
    deps,
    verify: createTokenVerifier(deps),
    toolsetOf: createToolsetReader(deps),
    refusals: createRefusals(deps),
    limiters: {
      ask: limiter(RATE.askPerAgent),
      token: limiter(RATE.tokenPerClient),
      mint: limiter(RATE.mintPerAgent),
      call: limiter(RATE.callPerAgent),
      stranger: limiter({ ...RATE.strangerPerAddress, capacity: 1_000 }),
      api: limiter(RATE.apiPerBearer),
      check: limiter(RATE.checkPerTool),
    },
    allowedHosts: ['127.0.0.1'],
  }
  const metrics = createMetrics(deps)
  const proxy = createProxy(edge, () => ok(new Secret(TOOL_SECRET)), {
    limits: { ...PROXY, ...limits },
    meter: metrics.calls,
  })
  const door = { log: silentLog, ids: deps.ids, allowedHosts: ['127.0.0.1'], operator: false }
  const server = createServer(
    { maxHeaderSize: 16 * 1024 },
    besideForCalls(door, proxy, (_, outgoing) => outgoing.writeHead(404, alwaysSent('rid_none')).end()),
  )
  const port = await listening(server)
  const session = await h.session('bot')
  const grant = await h.grant(session, 'wiki', ['read'])
  const mint = async (of: Grant) => unwrap(await h.credential(session, of)).token

  const open = () => connect(port, '127.0.0.1')
  const speak = (bytes: string) =>
    new Promise<string>((resolve, reject) => {
      const socket = open()
      let text = ''
      socket.setTimeout(10_000, () => socket.destroy(new Error(`nothing more came after: ${text}`)))
      socket.on('data', (chunk) => {
        text += chunk.toString('latin1')
      })
      socket.on('error', (error: NodeJS.ErrnoException) => (text === '' ? reject(error) : resolve(text)))
      socket.on('close', () => resolve(text))
      socket.write(bytes, 'latin1')
    })
  const stage: ProxyStage = {
    h,
    port,
    upstreamPort,
    session,
    grant,
    proxyToken: await mint(grant),
    exchangeToken: await mint(await h.grant(session, 'wiki', ['admin'])),
    otherToken: await mint(await h.grant(session, 'other', ['read'])),
    heard,
    does: answerWhatWasAsked,
    speak,
    async call(target, headers = [`Authorization: Bearer ${stage.proxyToken}`], method = 'GET', body = '') {
      const length = body === '' ? [] : [`Content-Length: ${Buffer.byteLength(body)}`]
      const head = [`${method} ${target} HTTP/1.1`, 'Host: 127.0.0.1', 'Connection: close', ...headers, ...length]
      return parsed(await speak(`${head.join('\r\n')}\r\n\r\n${body}`))
    },
    open,
    metrics: () => metrics.text(),
    async close() {
      for (const each of [server, upstream]) {
        each.closeAllConnections()
        await new Promise<void>((resolve) => each.close(() => resolve()))
      }
      await proxy.close()
      await h.close()
    },
  }
  return stage
}

export const parsed = (text: string): Answer => {
  const at = text.indexOf('\r\n\r\n')
  return { status: Number(text.slice(9, 12)), head: text.slice(0, at), body: text.slice(at + 4) }
}

export const answerWhatWasAsked = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
  incoming.resume()
  incoming.on('end', () => {
    const body = JSON.stringify({ method: incoming.method, url: incoming.url, raw: incoming.rawHeaders })
    outgoing.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) }).end(body)
  })
}

async function listening(server: ReturnType<typeof createServer>): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()))
  return (server.address() as AddressInfo).port
}
