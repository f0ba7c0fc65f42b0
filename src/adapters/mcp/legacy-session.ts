// One session of a 2025-era client. What it has open ends with the token that opened it, when its client leaves, and when its
// agent is cut off: an answer is then owed to nobody, and nothing more is told.

import {
  type JSONRPCErrorResponse,
  type RequestId,
  type Server,
  WebStandardStreamableHTTPServerTransport,
} from '@modelcontextprotocol/server'
import { BODY_BYTES } from '../../core/limits.ts'
import type { Call } from './call.ts'
import type { News } from './follow-access.ts'
import { CUT_WORDS } from './owed-answer.ts'

/** What sessions are made with. */
export type SessionParts = {
  /** For a session that wants to hear of these URIs. */
  newServer(subscribed: Set<string>): Server
  /** A fresh id that nobody can guess: visible ASCII. */
  newId(): string
  /** Before a request is handed to a session's server, which asks for its call by it. */
  enter(request: Request, call: Call): void
  report(error: Error): void
  /** Has the agent told what changes for it, until the returned function is called. */
  follow(agent: string): () => void
  /** Milliseconds; `now` as tokens' ends are measured. */
  readonly clock: { now(): number; monotonic(): number }
}

export type LegacySession = {
  readonly id: string
  readonly agent: string
  /** What changed; kept for when its client listens again. */
  tell(news: News): void
  /** Monotonic milliseconds. */
  usedAt: number
  /** Whether a call of it is under way. */
  isBusy(): boolean
  serve(request: Request, call: Call, body: unknown): Promise<Response>
  end(): void
}

/** A call that was answered with a stream. */
type Exchange = { readonly ids: readonly RequestId[]; stop(why: string | null): void }

const NOTHING: News = { tools: false, resources: false, updated: [] }

const EXPIRED = 'Your session token ended while this was under way. Open a new session and call again.'

/** It is `opened` once its client has said a proper `initialize`, and never after its agent was cut off. */
export async function openLegacySession(
  parts: SessionParts,
  { caller, cut }: Call,
  on: { opened(session: LegacySession): void; ended(session: LegacySession): void },
): Promise<LegacySession> {
  const id = parts.newId()
  const subscribed = new Set<string>()
  const server = parts.newServer(subscribed)
  const exchanges = new Set<Exchange>()
  let ends: NodeJS.Timeout | undefined
  let stopFollowing: (() => void) | undefined
  /** The stream on which it is told, and what there was to tell while there was none. */
  let listener: object | null = null
  let owed: News = NOTHING
  const transport = new WebStandardStreamableHTTPServerTransport({
    sessionIdGenerator: () => id,
    maxRequestBodySize: BODY_BYTES.mcp,
    onsessioninitialized: () => {
      if (cut.aborted) return session.end()
      stopFollowing = parts.follow(caller.agent)
      on.opened(session)
    },
  })
  server.onclose = () => {
    clearTimeout(ends)
    stopFollowing?.()
    on.ended(session)
  }
  server.onerror = parts.report
  await server.connect(transport)

  /** Milliseconds until the token of this call ends; a timer takes no more. */
  const left = ({ expiresAt }: Call) => Math.min(Math.max(0, expiresAt - parts.clock.now()), 0x7fff_ffff)

  /** Settles what the transport keeps of requests that will not be answered; `why` reaches a client that still reads. */
  const giveUp = (ids: readonly RequestId[], why: string | null) => {
    for (const one of ids) {
      if (why === null) transport.closeSSEStream(one)
      const error: JSONRPCErrorResponse = { jsonrpc: '2.0', id: one, error: { code: -32000, message: why ?? 'Left.' } }
      void transport.send(error).catch(() => {})
    }
  }

  const speak = ({ tools, resources, updated }: News) => {
    const said = [
      ...(tools ? [server.sendToolListChanged()] : []),
      ...(resources ? [server.sendResourceListChanged()] : []),
      ...updated.filter((uri) => subscribed.has(uri)).map((uri) => server.sendResourceUpdated({ uri })),
    ]
    for (const one of said) void one.catch(parts.report)
  }

  /** Its stream of what the server says by itself: one at a time, the newest, for as long as the token that opened it lives. */
  async function listen(request: Request, call: Call): Promise<Response> {
    transport.closeStandaloneSSEStream()
    const response = await transport.handleRequest(request)
    if (!response.ok || response.body === null) return response
    clearTimeout(ends)
    ends = setTimeout(() => transport.closeStandaloneSSEStream(), left(call)).unref()
    const own = {}
    listener = own
    const over = () => {
      if (listener === own) listener = null
    }
    speak(owed)
    owed = NOTHING
    return watched(response, response.body, over, over)
  }

  async function post(request: Request, call: Call, body: unknown): Promise<Response> {
    const stopped = new AbortController()
    parts.enter(request, { ...call, cut: AbortSignal.any([call.cut, stopped.signal]) })
    const exchange: Exchange = {
      ids: requestIdsIn(body),
      stop(why) {
        if (!exchanges.delete(exchange)) return
        clearTimeout(timer)
        stopped.abort()
        giveUp(exchange.ids, why)
      },
    }
    const timer = setTimeout(() => exchange.stop(EXPIRED), left(call)).unref()
    exchanges.add(exchange)
    const finished = () => {
      exchanges.delete(exchange)
      clearTimeout(timer)
    }
    const response = await transport.handleRequest(request, { parsedBody: body })
    const cancelled = cancelledIn(body)
    if (cancelled !== null)
      for (const one of exchanges) if (one.ids.length === 1 && one.ids[0] === cancelled) one.stop(null)
    if (response.body === null || response.headers.get('content-type') !== 'text/event-stream') {
      finished()
      return response
    }
    return watched(response, response.body, finished, () => exchange.stop(null))
  }

  const session: LegacySession = {
    id,
    agent: caller.agent,
    usedAt: 0,
    tell(news) {
      if (listener !== null) return speak(news)
      owed = {
        tools: owed.tools || news.tools,
        resources: owed.resources || news.resources,
        updated: [...new Set([...owed.updated, ...news.updated])].filter((uri) => subscribed.has(uri)),
      }
    },
    isBusy: () => exchanges.size > 0,
    async serve(request, call, body) {
      if (request.method === 'POST') return post(request, call, body)
      return request.method === 'GET' ? listen(request, call) : transport.handleRequest(request)
    },
    end() {
      for (const exchange of [...exchanges]) exchange.stop(CUT_WORDS)
      void transport.close()
    },
  }
  return session
}

/** The same answer; says when all of it was read, or that its reader has left. */
function watched(response: Response, body: ReadableStream<Uint8Array>, read: () => void, left: () => void): Response {
  const reader = body.getReader()
  const passed = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await reader.read()
      if (!done) return controller.enqueue(value)
      read()
      controller.close()
    },
    async cancel(reason) {
      // First: what is cancelled reads as if it had come to its end.
      left()
      await reader.cancel(reason)
    },
  })
  return new Response(passed, response)
}

type Message = { readonly id?: unknown; readonly method?: unknown; readonly params?: { readonly requestId?: unknown } }

const messagesIn = (body: unknown): readonly Message[] =>
  (Array.isArray(body) ? body : [body]).filter((one) => typeof one === 'object' && one !== null)

const isId = (id: unknown): id is RequestId => typeof id === 'string' || typeof id === 'number'

const requestIdsIn = (body: unknown): RequestId[] =>
  messagesIn(body).flatMap(({ id, method }) => (method !== undefined && isId(id) ? [id] : []))

/** The request that a client gave up; the SDK then owes no answer, and keeps its stream open. */
function cancelledIn(body: unknown): RequestId | null {
  const [message] = messagesIn(body)
  const id = message?.method === 'notifications/cancelled' ? message.params?.requestId : undefined
  return isId(id) ? id : null
}
