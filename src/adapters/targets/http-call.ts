// One HTTP request to a tool with every limit explicit (S21): time, size, no redirects, the resolved address checked and
// used. Never logs, and puts neither a header nor a body into what it throws.

import { type LookupAddress, type LookupOptions, lookup } from 'node:dns'
import { type IncomingHttpHeaders, type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { BlockList, isIP } from 'node:net'
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

const LOOPBACK = new BlockList()
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4')
LOOPBACK.addAddress('::1', 'ipv6')

/** Where no tool is: this host's wildcard, link-local (a cloud's metadata among it), multicast and broadcast. */
const NOWHERE = new BlockList()
for (const [address, prefix] of [
  ['0.0.0.0', 8],
  ['169.254.0.0', 16],
  ['224.0.0.0', 3],
] as const)
  NOWHERE.addSubnet(address, prefix, 'ipv4')
for (const [address, prefix] of [
  ['::', 128],
  ['fe80::', 10],
  ['ff00::', 8],
  ['fd00:ec2::', 32],
] as const)
  NOWHERE.addSubnet(address, prefix, 'ipv6')

/** Whether a call by this protocol may go to that address: plain http stays on this machine. */
export function mayCall(protocol: string, address: string): boolean {
  const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
  if (protocol === 'http:') return LOOPBACK.check(address, family)
  return protocol === 'https:' && !NOWHERE.check(address, family)
}

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
      lookup: (name, options, done) => lookUp(url.protocol, name, options, done),
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

type LookedUp = (error: NodeJS.ErrnoException | null, address: string | LookupAddress[], family?: number) => void

/** The addresses of a name that may be called, to the very connection that asks: no second look-up can differ. */
function lookUp(protocol: string, name: string, options: LookupOptions, done: LookedUp): void {
  lookup(name, { ...options, all: true }, (error, addresses) => {
    if (error !== null) {
      done(error, [])
      return
    }
    const good = addresses.filter(({ address }) => mayCall(protocol, address))
    const [first] = good
    if (first === undefined) {
      done(Object.assign(new Error('no tool may be called at that address'), { code: 'EADDRNOTAVAIL' }), [])
    } else if (options.all === true) done(null, good)
    else done(null, first.address, first.family)
  })
}
