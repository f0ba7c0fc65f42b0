// One admitted call, streamed to the tool and its answer back, with back-pressure and nothing held whole. Ours stays here,
// the tool's own credential goes in, and whatever the tool may not say to an agent is refused instead of mended.

import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http'
import { pipeline } from 'node:stream'
import type { AdmittedCall, Call } from '../../actions/admit-call.ts'
import type { EndOfCall } from '../../actions/call-ends.ts'
import type { Presented } from '../../actions/proxy-secret.ts'
import { valuesIn } from '../../actions/raw-header.ts'
import type { CallEnd } from '../../core/call-end.ts'
import { type Problem, problem } from '../../core/problem.ts'
import { redirectedTo, saysBack, towardsAgent, towardsTool } from './call-headers.ts'
import type { ReadCall } from './read-call.ts'
import { type Refused, refused } from './refusal.ts'
import type { Upstreams } from './upstream.ts'

export type Passing = {
  readonly incoming: IncomingMessage
  readonly outgoing: ServerResponse
  readonly call: Call
  readonly admitted: AdmittedCall
  readonly presented: Presented | null
  /** Sent in place of the agent's own, where a tracer records this call; null: the agent's goes on. */
  readonly traceparent: string | null
  readonly body: ReadCall['body']
  /** Where the tool stands on the broker: `/tools/NAME`. */
  readonly mount: string
  /** Headers of every answer, names and values by turns. */
  readonly always: readonly string[]
  readonly refuse: (why: Refused) => void
  /** The call is under way until the returned function is called; `cut` ends it. */
  readonly watch: (cut: (why: Problem) => void) => () => void
  readonly connectMs: number
  readonly monotonic: () => number
  readonly warn: (why: string) => void
}

/** Resolves when the call is over, however it ends; never rejects. */
export function passCall(upstreams: Upstreams, passing: Passing): Promise<EndOfCall> {
  const { incoming, outgoing, call, admitted, presented, body, refuse } = passing
  const { upstream: to } = admitted
  const startedAt = passing.monotonic()
  let status: number | null = null
  let sentBytes = 0
  let receivedBytes = 0
  let tool: ClientRequest | undefined
  let over = false

  return new Promise((resolve) => {
    const end = (ended: CallEnd) => {
      if (over) return
      over = true
      unwatch()
      const afterMilliseconds = Math.max(0, Math.round(passing.monotonic() - startedAt))
      resolve({ status, ended, sentBytes, receivedBytes, afterMilliseconds })
    }
    const fail = (ended: CallEnd, why: Problem, as?: number) => {
      if (over) return
      // Whatever the agent still sends is read and dropped, or it would never see the answer.
      incoming.unpipe()
      incoming.resume()
      if (outgoing.headersSent) outgoing.destroy()
      else refuse(refused(why, as))
      tool?.destroy()
      end(ended)
    }
    const unwatch = passing.watch((why) => fail('cut', why))
    outgoing.once('close', () => {
      if (outgoing.writableFinished) return
      tool?.destroy()
      end('left')
    })
    // It may have gone while its call was judged: then nothing tells of it any more, and the tool need not be asked.
    if (outgoing.destroyed) end('left')
    else if (typeof body === 'number' && body > to.bodyBytes) fail('too long', tooLong(to.bodyBytes), 413)
    else ask(true)

    function ask(mayRepeat: boolean): void {
      try {
        tool = upstreams.open({ base: to.url, path: pathOf(call), method: call.method, headers: headers() })
      } catch (thrown) {
        passing.warn(String(thrown))
        fail('unreachable', unreachable(), 502)
        return
      }
      const asked = tool
      asked.once('socket', (socket) => {
        if (!socket.connecting) return
        const late = setTimeout(() => asked.destroy(new Error('no connection in time')), passing.connectMs)
        for (const event of ['connect', 'close'] as const) socket.once(event, () => clearTimeout(late))
      })
      asked.once('timeout', () => fail('late', unreachable('did not answer in time'), 504))
      asked.on('error', (error: NodeJS.ErrnoException) => {
        if (over) return
        // The tool closed a connection that it had kept: it has read nothing, and nothing was sent but the head.
        if (mayRepeat && asked.reusedSocket && error.code === 'ECONNRESET' && status === null && body === null) {
          ask(false)
          return
        }
        passing.warn(`${error.code ?? error.name}: ${error.message}`)
        fail(status === null ? 'unreachable' : 'broken', unreachable(), 502)
      })
      asked.once('upgrade', (_, socket) => {
        socket.destroy()
        fail('refused', misbehaved('switches to another protocol'), 502)
      })
      asked.once('response', answer)
      if (body === null || body === 0) {
        incoming.resume()
        asked.end()
      } else {
        incoming.on('data', count)
        incoming.pipe(asked)
      }
    }

    function count(chunk: Buffer): void {
      sentBytes += chunk.length
      if (sentBytes > to.bodyBytes) fail('too long', tooLong(to.bodyBytes), 413)
    }

    function headers(): string[] {
      const kept = towardsTool(incoming.rawHeaders, to.pass).filter(
        (_, at, all) => all[at - (at % 2)]!.toLowerCase() !== presented?.header.toLowerCase(),
      )
      if (passing.traceparent !== null) replace(kept, 'traceparent', passing.traceparent)
      if (presented !== null) kept.push(presented.header, presented.value.reveal())
      if (body === 'chunked') kept.push('Transfer-Encoding', 'chunked')
      else if (body !== null || call.method === 'POST' || call.method === 'PUT' || call.method === 'PATCH')
        kept.push('Content-Length', String(body ?? 0))
      return kept
    }

    function answer(answered: IncomingMessage): void {
      if (over || outgoing.destroyed) {
        answered.destroy()
        end('left')
        return
      }
      status = answered.statusCode ?? 0
      const heads = headersOf(answered, status, passing)
      if (typeof heads === 'string') {
        fail('refused', misbehaved(heads), 502)
        return
      }
      try {
        outgoing.writeHead(status, incoming.complete || body === null ? heads : [...heads, 'Connection', 'close'])
      } catch (thrown) {
        passing.warn(String(thrown))
        fail('refused', misbehaved('answered with a header that cannot be passed on'), 502)
        return
      }
      answered.on('data', (chunk: Buffer) => {
        receivedBytes += chunk.length
      })
      answered.once('error', () => end('broken'))
      pipeline(answered, outgoing, (error) => {
        if (error) tool?.destroy()
        end(error ? 'left' : 'whole')
      })
    }
  })
}

/** What goes on of the answer's head, or what is wrong with it, as the end of a sentence about the tool. */
function headersOf(
  { rawHeaders }: IncomingMessage,
  status: number,
  { presented, admitted, call, mount, always }: Passing,
): string[] | string {
  if (presented !== null && saysBack(rawHeaders, presented.forms))
    return 'answered with the credential that it was called with'
  const places = valuesIn(rawHeaders, 'location')
  const place = places.length === 1 ? redirectedTo(places[0]!, admitted.upstream.url, call.target.path, mount) : null
  if (status >= 300 && status < 400 && places.length > 0 && place === null) return 'redirects to somewhere else'
  return [...always, ...towardsAgent(rawHeaders), ...(place === null ? [] : ['Location', place])]
}

const pathOf = ({ target: { path, query } }: Call): string => (query === null ? path : `${path}?${query}`)

const tooLong = (bytes: number) => problem('invalid_request', `The body is longer than the tool's ${bytes} bytes.`)

const unreachable = (why = 'cannot be reached') =>
  problem('overloaded', `The tool ${why}.`, {
    retryable: true,
    hint: 'Try again in a while; tell an operator if it lasts.',
  })

const misbehaved = (what: string) =>
  problem('internal', `The tool ${what}, so its answer is not passed on.`, { hint: 'Tell an operator of the tool.' })

/** Of names and values by turns. */
function replace(headers: string[], name: string, value: string): void {
  for (let at = headers.length - 2; at >= 0; at -= 2) if (headers[at]!.toLowerCase() === name) headers.splice(at, 2)
  headers.push(name, value)
}
