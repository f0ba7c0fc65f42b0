// The local side-car: a program that only takes a URL speaks to it, and it adds the agent's credential. Whoever reaches it
// acts as the agent, so it listens where this host alone can, and no web page can use it: neither by another name for this
// host, nor from another origin.

import { createHash, timingSafeEqual } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { pipeline } from 'node:stream'
import { valuesIn } from '../actions/raw-header.ts'
import { redirectedTo, towardsAgent, withoutOwn } from '../adapters/proxy/call-headers.ts'
import { createUpstreams } from '../adapters/proxy/upstream.ts'
import { readCallTarget } from '../core/call-target.ts'
import { HTTP } from '../core/limits.ts'
import type { FreshCredential } from './fresh-credential.ts'

export type SideCarOptions = {
  /** Where calls go, without a slash at its end: the broker's `/tools/NAME`, or the tool's own resource. */
  readonly base: string
  readonly credential: FreshCredential
  /** A first path segment that a caller must know; null: none. */
  readonly secretSegment: string | null
  readonly note: (line: string) => void
}

export type SideCar = { readonly server: Server; close(): Promise<void> }

export function createSideCar({ base, credential, secretSegment, note }: SideCarOptions): SideCar {
  const upstreams = createUpstreams()
  const mount = secretSegment === null ? '' : `/${secretSegment}`

  const serve = async (incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> => {
    const foreign = foreignness(incoming)
    if (foreign !== null) return refuse(outgoing, 403, foreign)
    const below = belowMount(incoming.url ?? '', secretSegment)
    if (below === null) return refuse(outgoing, 404, 'There is nothing here.')
    const target = readCallTarget(below)
    if (!target.ok) return refuse(outgoing, 400, `The path ${target.error}.`)
    if (valuesIn(incoming.rawHeaders, 'upgrade').length > 0)
      return refuse(outgoing, 501, 'No other protocol goes through here: use plain HTTP.')

    const { token, header, prefix } = await credential.get()
    // Gone meanwhile: nothing tells of it any more, and nobody wants an answer.
    if (outgoing.destroyed) return
    const { path, query } = target.value
    const asking = upstreams.open({
      base,
      path: query === null ? path : `${path}?${query}`,
      method: incoming.method ?? 'GET',
      headers: [...withoutOwn(incoming.rawHeaders, header), ...framing(incoming), header, prefix + token],
    })
    outgoing.once('close', () => {
      if (!outgoing.writableFinished) asking.destroy()
    })
    asking.once('timeout', () => asking.destroy(new Error('no answer in time')))
    asking.on('error', (error) => {
      note(`${incoming.method} ${path}: ${error.message}`)
      if (outgoing.headersSent) outgoing.destroy()
      else refuse(outgoing, 502, 'It cannot be reached.')
    })
    asking.once('upgrade', (_, socket) => socket.destroy())
    asking.once('response', (answer) => {
      const status = answer.statusCode ?? 502
      if (status === 401) credential.refused(token)
      const [place] = valuesIn(answer.rawHeaders, 'location')
      const to = place === undefined ? null : redirectedTo(place, base, path, mount)
      if (status >= 300 && status < 400 && place !== undefined && to === null) {
        asking.destroy()
        return refuse(outgoing, 502, 'It redirects to somewhere else.')
      }
      if (outgoing.destroyed) return void asking.destroy()
      try {
        outgoing.writeHead(status, [...towardsAgent(answer.rawHeaders), ...(to === null ? [] : ['Location', to])])
      } catch (thrown) {
        note(`${incoming.method} ${path}: ${thrown instanceof Error ? thrown.message : 'an odd answer'}`)
        asking.destroy()
        return refuse(outgoing, 502, 'Its answer cannot be passed on.')
      }
      pipeline(answer, outgoing, (error) => {
        if (error) asking.destroy()
      })
    })
    incoming.pipe(asking)
  }

  const server = createServer(
    { maxHeaderSize: HTTP.headerBytes, headersTimeout: HTTP.headersTimeoutMs },
    (incoming, outgoing) => {
      serve(incoming, outgoing).catch((thrown: unknown) => {
        const why = thrown instanceof Error ? thrown.message : 'something broke'
        note(`no credential: ${why}`)
        refuse(outgoing, 503, `Hallpass gives no credential for this now: ${why}`)
      })
    },
  )
  note(`everything that reaches it calls ${base} as this agent`)
  return {
    server,
    async close() {
      server.closeAllConnections()
      await new Promise<void>((resolve) => server.close(() => resolve()))
      upstreams.close()
      await credential.giveBack()
    },
  }
}

/** Node frames what is piped; a length that was given stays. */
function framing({ rawHeaders, method }: IncomingMessage): string[] {
  const [length] = valuesIn(rawHeaders, 'content-length')
  if (length !== undefined) return ['Content-Length', length]
  if (valuesIn(rawHeaders, 'transfer-encoding').length > 0) return ['Transfer-Encoding', 'chunked']
  return method === 'POST' || method === 'PUT' || method === 'PATCH' ? ['Content-Length', '0'] : []
}

/** Why this is no call of a program on this host; null: it may be. */
function foreignness({ rawHeaders, socket }: IncomingMessage): string | null {
  const hosts = valuesIn(rawHeaders, 'host')
  // On a Unix socket there is no name to rebind and no port.
  const isSocket = socket.localPort === undefined
  const own = ['127.0.0.1', 'localhost', '[::1]'].map((name) => `${name}:${socket.localPort}`)
  const [host = ''] = hosts
  if (hosts.length !== 1 || (!isSocket && !own.includes(host.toLowerCase())))
    return 'This is not the name of this place (Host).'
  const origins = valuesIn(rawHeaders, 'origin')
  if (origins.some((origin) => origin !== `http://${host}`)) return 'A page of another origin may not call this.'
  const sites = valuesIn(rawHeaders, 'sec-fetch-site')
  if (sites.some((site) => site !== 'same-origin' && site !== 'none'))
    return 'A page of another site may not call this.'
  return null
}

/** The target below the secret segment, as it came; null where the segment is not the one. */
function belowMount(url: string, secretSegment: string | null): string | null {
  if (url.length > HTTP.urlBytes || !url.startsWith('/')) return null
  if (secretSegment === null) return url
  const [, segment = '', rest = ''] = /^\/([^/?]*)(.*)$/s.exec(url) ?? []
  const digest = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(segment), digest(secretSegment)) ? rest || '/' : null
}

function refuse(outgoing: ServerResponse, status: number, title: string): void {
  if (outgoing.headersSent || outgoing.destroyed) return
  const body = JSON.stringify({ type: 'about:blank', title, status })
  outgoing.writeHead(status, { 'Content-Type': 'application/problem+json', Connection: 'close' }).end(body)
}
