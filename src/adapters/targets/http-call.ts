// One HTTP request to a tool with every limit explicit (S21): time, size, no redirects, the resolved address checked and
// used. Never logs, and puts neither a header nor a body into what it throws.

import { type IncomingHttpHeaders, type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { isIP } from 'node:net'
import { lookUpFor, mayCall } from '../../actions/tool-address.ts'
import { TargetFailure } from '../../core/target.ts'

export type HttpRequest = {
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}
export type HttpAnswer = { readonly status: number; readonly headers: IncomingHttpHeaders; readonly text: string }

/**
 * Throws {@link TargetFailure} where no whole answer came; `mayHaveActed` is false while nothing was sent. Every status is
 * an answer, a redirect too.
 */
export type HttpCall = (request: HttpRequest, signal: AbortSignal) => Promise<HttpAnswer>

export type HttpLimits = { readonly timeoutMs: number; readonly maxBytes: number }

const LIMITS: HttpLimits = { timeoutMs: 15_000, maxBytes: 4 * 1024 * 1024 }

/** A call with these limits: milliseconds from the first look-up to the last byte, and bytes of an answer's body. */
export const httpCall =
  (limits: HttpLimits = LIMITS): HttpCall =>
  (request, signal) =>
    send(request, AbortSignal.any([signal, AbortSignal.timeout(limits.timeoutMs)]), limits)

function send(asked: HttpRequest, signal: AbortSignal, { maxBytes }: HttpLimits): Promise<HttpAnswer> {
  const url = new URL(asked.url)
  const place = `${asked.method} ${url.pathname}`
  const host = url.hostname.replace(/^\[|\]$/g, '')
  return new Promise((resolve, reject) => {
    let reached = false
    const fail = (why: TargetFailure['why'], message: string) =>
      reject(new TargetFailure(why, `${place}: ${message}`, { mayHaveActed: reached }))
    const failWith = (thrown: NodeJS.ErrnoException) =>
      signal.aborted
        ? fail('timeout', 'no answer in time')
        : fail('unreachable', thrown.code ?? 'the connection failed')
    if (isIP(host) !== 0 && !mayCall(url.protocol, host)) {
      fail('unreachable', 'no tool may be called at that address')
      return
    }
    if (signal.aborted) {
      fail('timeout', 'no answer in time')
      return
    }
    const send = url.protocol === 'https:' ? requestHttps : requestHttp
    const sent = send(url, {
      method: asked.method,
      headers: { ...asked.headers, 'content-length': String(Buffer.byteLength(asked.body)) },
      agent: false,
      signal,
      lookup: lookUpFor(url.protocol),
    })
    sent.on('socket', (socket) =>
      socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', () => {
        reached = true
      }),
    )
    // Once an answer began, its reading alone tells whether it came whole: RT ends a chunked one twice, and Node calls that
    // a broken connection.
    let answered = false
    sent.on('error', (thrown) => {
      if (!answered) failWith(thrown)
    })
    sent.on('response', (answer) => {
      answered = true
      readText(answer, maxBytes).then(
        (text) => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text }),
        (thrown: unknown) => {
          sent.destroy()
          if (thrown instanceof Unreadable) fail('garbled', thrown.message)
          else failWith(thrown instanceof Error ? thrown : new Error())
        },
      )
    })
    sent.end(asked.body)
  })
}

class Unreadable extends Error {
  override name = 'Unreadable'
}

async function readText(answer: IncomingMessage, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of answer as AsyncIterable<Uint8Array>) {
    bytes += chunk.byteLength
    if (bytes > maxBytes) throw new Unreadable(`the answer is longer than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks))
  } catch {
    throw new Unreadable('the answer is not UTF-8')
  }
}
