// Stands between a target and its tool and does to chosen requests what networks, gateways and sick tools do.

import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'
import { type HttpAnswer, httpCall } from '../../src/adapters/targets/http-call.ts'

export type Answer = {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}
/** What becomes of a request: whether the tool hears it, and what the caller hears. */
export type Fault = {
  /** `later`: once it is told to, which may be after the caller is gone. */
  readonly forwarded: boolean | 'later'
  /** An answer in place of the tool's; nothing at all, ever; the connection cut; the tool's own after a time. */
  readonly answer: Answer | 'silence' | 'cut' | { readonly afterMs: number }
}
export type Heard = { readonly method: string; readonly path: string; readonly body: string }

export type FaultProxy = {
  readonly url: string
  /** From now on; null lets everything through. */
  strike(fault: Fault | null, which?: (heard: Heard) => boolean): void
  /** Resolves once a request met the fault, and the tool has answered it where it was to hear it. */
  struck(): Promise<void>
  /** Lets the tool hear what was held back for later; resolves once it has answered it, whatever it says. */
  deliver(): Promise<void>
  /** Every request since the last strike. */
  readonly heard: Heard[]
  close(): Promise<void>
}

const UNHEARD: Forwarded = { status: 500, headers: {}, text: '' }
/** Bent by nothing: the client of the targets knows what these tools do to HTTP. */
const toTool = httpCall({ timeoutMs: 60_000, maxBytes: 16 * 1024 * 1024 })

export async function startFaultProxy(tool: string): Promise<FaultProxy> {
  const heard: Heard[] = []
  let fault: Fault | null = null
  let which: (heard: Heard) => boolean = () => true
  let met = Promise.withResolvers<void>()
  const late: (() => Promise<unknown>)[] = []

  const handle = async (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const chunks: Uint8Array[] = []
    for await (const chunk of incoming as AsyncIterable<Uint8Array>) chunks.push(chunk)
    const body = Buffer.concat(chunks).toString()
    const asked = { method: incoming.method ?? '', path: incoming.url ?? '', body }
    heard.push(asked)
    const struck = fault !== null && which(asked) ? fault : null
    if (struck?.forwarded === 'later') late.push(() => forward(tool, incoming, body))
    const isHeard = struck === null || struck.forwarded === true
    const answer = isHeard ? await forward(tool, incoming, body) : UNHEARD
    if (struck !== null) met.resolve()
    const given = struck?.answer ?? answer
    if (given === 'silence') return
    if (given === 'cut') outgoing.destroy()
    else if ('afterMs' in given) {
      await wait(given.afterMs)
      outgoing.writeHead(answer.status, answer.headers).end(answer.text)
    } else outgoing.writeHead(given.status, given.headers).end('text' in given ? given.text : given.body)
  }
  const server = createServer((incoming, outgoing) => {
    handle(incoming, outgoing).catch(() => outgoing.destroy())
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    url: `http://127.0.0.1:${address.port}`,
    heard,
    struck: () => met.promise,
    async deliver() {
      await Promise.allSettled(late.splice(0).map((send) => send()))
    },
    strike(next, chosen = () => true) {
      fault = next
      which = chosen
      met = Promise.withResolvers()
      heard.length = 0
    },
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

type Forwarded = Pick<HttpAnswer, 'status' | 'headers' | 'text'>

async function forward(tool: string, incoming: IncomingMessage, body: string): Promise<Forwarded> {
  const { host: _, connection: __, 'content-length': ___, ...given } = incoming.headers
  const headers = Object.fromEntries(Object.entries(given).map(([name, value]) => [name, String(value)]))
  const { method = 'GET', url = '/' } = incoming
  const answer = await toTool({ method, url: tool + url, headers, body }, new AbortController().signal)
  const { 'transfer-encoding': ____, 'content-length': _____, connection: ______, ...kept } = answer.headers
  return { ...answer, headers: kept }
}
