// HTTP to an accepted MCP server and nowhere else (S21): its one URL, by an address that was looked at first, no redirects,
// every answer bounded. The secret goes in here, for this origin alone, and comes out in no error.

import { type ClientRequest, type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { isIP } from 'node:net'
import { Readable, Transform } from 'node:stream'
import { UpstreamFailure } from '../../actions/ports.ts'
import type { Presented } from '../../actions/proxy-secret.ts'
import { lookUpFor, mayCall } from '../../actions/tool-address.ts'
import { HTTP } from '../../core/limits.ts'

export type GuardedFetch = {
  readonly fetch: (url: string | URL, init?: RequestInit) => Promise<Response>
  /** Every exchange that is under way, on both sides; what is sent afterwards goes out. */
  cutOff(): void
}

type Guard = {
  readonly url: string
  /** Opened at each request (S5); null: the server wants none. */
  readonly present: () => Presented | null
  /** Of the body of one answer, a stream's too. */
  readonly maxBytes: number
  /** An answer broke off, or was cut off for its length: nobody waits for the rest of it. */
  readonly onBroken: (why: UpstreamFailure) => void
  /** Nothing more comes of an exchange that this was the beginning of. */
  readonly onSent: (method: string) => () => void
}

const WITHOUT_BODY = new Set([101, 103, 204, 205, 304])

export function guardedFetch(guard: Guard): GuardedFetch {
  const open = new Set<ClientRequest>()
  return {
    async fetch(url, init = {}) {
      const over = guard.onSent(init.method ?? 'GET')
      try {
        return await send(new URL(url), init, guard, (sent) => {
          open.add(sent)
          sent.once('close', () => {
            open.delete(sent)
            over()
          })
        })
      } catch (thrown) {
        over()
        throw thrown
      }
    },
    cutOff() {
      for (const sent of open) sent.destroy(new Error('cut off'))
    },
  }
}

type Sent = (sent: ClientRequest) => void

function send(url: URL, init: RequestInit, guard: Guard, onSent: Sent): Promise<Response> {
  const own = new URL(guard.url)
  const host = url.hostname.replace(/^\[|\]$/g, '')
  return new Promise((resolve, reject) => {
    const fail = (why: UpstreamFailure['why'], message: string) => reject(new UpstreamFailure(why, message))
    if (url.origin !== own.origin || url.pathname !== own.pathname || url.search !== '') {
      fail('refused', 'leads to another address')
      return
    }
    if (isIP(host) !== 0 && !mayCall(url.protocol, host)) {
      fail('unreachable', 'is at an address that no tool may have')
      return
    }
    const headers = new Headers(init.headers)
    const presented = guard.present()
    if (presented !== null) headers.set(presented.header, presented.value.reveal())
    const body = typeof init.body === 'string' ? init.body : ''
    if (body !== '') headers.set('content-length', String(Buffer.byteLength(body)))
    const sent = (url.protocol === 'https:' ? requestHttps : requestHttp)(url, {
      method: init.method ?? 'GET',
      headers: Object.fromEntries(headers),
      agent: false,
      maxHeaderSize: HTTP.headerBytes,
      lookup: lookUpFor(url.protocol),
      ...(init.signal == null ? {} : { signal: init.signal }),
    })
    onSent(sent)
    let answered = false
    sent.on('error', (thrown: NodeJS.ErrnoException) => {
      if (answered) return
      if (init.signal?.aborted === true) reject(init.signal.reason ?? thrown)
      else fail('unreachable', `cannot be reached (${thrown.code ?? 'the connection failed'})`)
    })
    sent.on('upgrade', (_, socket) => {
      socket.destroy()
      fail('refused', 'switches to another protocol')
    })
    sent.on('response', (answer) => {
      answered = true
      const status = answer.statusCode ?? 0
      if (status < 200 || (status >= 300 && status < 400)) {
        sent.destroy()
        fail('refused', status < 300 ? 'answered what is no answer' : 'redirects to somewhere else')
        return
      }
      resolve(
        new Response(WITHOUT_BODY.has(status) ? drained(answer) : bodyOf(answer, guard, init), {
          status,
          headers: headersOf(answer),
        }),
      )
    })
    sent.end(body)
  })
}

function drained(answer: IncomingMessage): null {
  answer.resume()
  return null
}

function bodyOf(answer: IncomingMessage, { maxBytes, onBroken }: Guard, init: RequestInit): ReadableStream<Uint8Array> {
  let bytes = 0
  const bounded = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length
      if (bytes > maxBytes) done(new UpstreamFailure('too long', `answers with more than ${maxBytes} bytes`))
      else done(null, chunk)
    },
  })
  answer.on('error', () => bounded.destroy(new UpstreamFailure('broken', 'broke off its answer')))
  bounded.on('error', (error) => {
    answer.destroy()
    if (init.signal?.aborted === true) return
    onBroken(error instanceof UpstreamFailure ? error : new UpstreamFailure('broken', 'broke off its answer'))
  })
  return Readable.toWeb(answer.pipe(bounded)) as ReadableStream<Uint8Array>
}

/** What the protocol reads; a cookie would be a session that nobody asked for. */
const KEPT = new Set(['content-type', 'mcp-session-id', 'www-authenticate', 'retry-after'])

function headersOf({ headers }: IncomingMessage): Headers {
  const kept = new Headers()
  for (const [name, value] of Object.entries(headers))
    if (KEPT.has(name) && typeof value === 'string' && value.length <= 1024) kept.set(name, value)
  return kept
}
