// The MCP edge: every request is admitted, authenticated against current state and only then spoken to, whatever its
// client cached. No token reaches the SDK, a log or an answer that was not asked for it.

import { hostHeaderValidation } from '@modelcontextprotocol/hono'
import type { Server } from '@modelcontextprotocol/server'
import { type Context, Hono, type MiddlewareHandler } from 'hono'
import { authenticateSession } from '../../actions/authenticate-session.ts'
import type { Edge, EdgeVariables } from '../../actions/edge.ts'
import { rawHeader } from '../../actions/raw-header.ts'
import { type Problem, problem } from '../../core/problem.ts'
import { ok, type Result } from '../../core/result.ts'
import { type AgentHandler, createAgentHandlers } from './agent-handlers.ts'
import { createBearerGate, type Shown } from './bearer-gate.ts'
import type { Call } from './call.ts'
import { callTool } from './call-tool.ts'
import { createUpstreamCaller } from './call-upstream.ts'
import { answerCall, answerList, createDirectReader } from './direct-call.ts'
import { createAccessFollower, type News } from './follow-access.ts'
import { endsSession, httpRefusal } from './http-refusal.ts'
import { readJsonBody } from './json-body.ts'
import { createToolLists } from './list-tools.ts'
import { withOwedAnswer } from './owed-answer.ts'
import { createAgentServer, type ServerFor } from './serve-agent.ts'
import { tracedMessage } from './traced-message.ts'

const PATH = '/mcp'

type McpEnv = { Variables: EdgeVariables }

export type McpApp = {
  /** Answers at `/mcp` alone. */
  readonly app: Hono<McpEnv>
  /** Ends the streams and waiting calls of this agent, or of everybody (null): after what it rests on was taken away. */
  cut(agent: string | null): Promise<void>
  /** Tells this agent's streams, and no other's, of a change that is not of its access: of what extends its servers. */
  tell(agent: string, news: News): void
  close(): Promise<void>
}

/** Adds to what a server offers, before it serves. */
export type Extend = (server: Server, wanted: ServerFor) => void

/** Without `extend`, as the broker is wired, an agent finds its own tools and nothing else. */
export function createMcpApp(edge: Edge, extend?: Extend): McpApp {
  const { deps } = edge
  const gate = createBearerGate(edge)
  const own = new URL(deps.settings.issuer)
  const tools = createToolLists(edge)
  const upstream = createUpstreamCaller(edge)
  const follower = createAccessFollower(edge, tools.of, {
    news: (agent, news) => handlers.tell(agent, news),
    gone: (agent) => void handlers.cut(agent),
  })
  const handlers = createAgentHandlers({
    newServer: (wanted) => {
      const server = createAgentServer(edge, tools.show, upstream, wanted)
      extend?.(server, wanted)
      return server
    },
    newId: () => Buffer.from(deps.ids.random(32)).toString('base64url'),
    clock: deps.clock,
    follow: (agent) => follower.follow(agent),
    report: (error) =>
      deps.log.info({ reason: error.message.slice(0, 200) }, 'an MCP request was refused by the protocol'),
  })
  const directOf = createDirectReader()
  const app = new Hono<McpEnv>()

  app.use(PATH, remembering(hostHeaderValidation(edge.allowedHosts.map(hostName))))
  app.all(PATH, async (c) => {
    const requestId = c.get('requestId')
    const remote = c.get('remote')
    const refuse = (refused: Problem, more?: Parameters<typeof httpRefusal>[3]) =>
      httpRefusal(deps.settings, requestId, refused, more)

    if (isForeignOrigin(c, own)) {
      edge.refusals.stranger('forbidden')
      return refuse(problem('forbidden', 'Pages of other origins may not call this.'))
    }
    const shown = await gate.show(rawHeader(c, 'authorization'), remote)
    if (!shown.ok) return refuse(shown.error.problem, shown.error)
    const body = await readJsonBody(c.req.raw)
    if (!body.ok) return refuse(body.error.problem, body.error)

    // Asked for before the session is judged: a cut that comes after that judgement aborts this one.
    const handler = handlers.of(shown.value.caller.agent)
    const admitted = await admit(shown.value, callsOtherThanTools(body.value))
    if (!admitted.ok) {
      if (endsSession(admitted.error)) gate.dismiss(shown.value)
      await edge.refusals.note({ caller: shown.value.caller, requestId }, admitted.error, 'mcp', {
        agent: shown.value.caller.agent,
      })
      return refuse(admitted.error, { error: 'invalid_token' })
    }
    gate.welcome(shown.value, remote)
    const { caller, expiresAt } = shown.value
    const hasStaleTools = (called: string) => tools.isStale(caller.agent, called)
    const call: Call = { caller, requestId, expiresAt, cut: handler.cut, hasStaleTools }
    return tracedMessage(call, body.value, () => serve(handler, call, c.req.raw, body.value, refuse))
  })

  async function admit(shown: Shown, calls: number): Promise<Result<void, Problem>> {
    const judged = await authenticateSession(deps, edge.verify, shown.token)
    if (!judged.ok) return judged
    return calls === 0 ? ok(undefined) : edge.limiters.call.take(shown.caller.agent, calls)
  }

  async function serve(
    handler: AgentHandler,
    call: Call,
    request: Request,
    body: unknown,
    refuse: (refused: Problem) => Response,
  ): Promise<Response> {
    const wasCut = problem('conflict', 'Something of yours was taken away while this was under way.', {
      retryable: true,
      hint: 'Call again: what you still have is judged then.',
    })
    if (handler.cut.aborted) return refuse(wasCut)
    const direct = request.method === 'POST' ? directOf(body, request.headers) : null
    if (direct?.method === 'tools/call') {
      const result = await callTool(edge, call, direct.name, direct.given, handler.cut, direct.ways)
      return handler.cut.aborted ? refuse(wasCut) : answerCall(direct, result)
    }
    // What extends a server may list more.
    if (direct?.method === 'tools/list' && extend === undefined) {
      const shown = await tools.show(call.caller.agent).catch(() => null)
      if (handler.cut.aborted) return refuse(wasCut)
      if (shown !== null) return answerList(direct, shown)
    }
    const response = await handler.fetch(
      isListen(body) ? expiring(request, call, deps.clock.now()) : request,
      call,
      body,
    )
    if (handler.cut.aborted && (response.status === 499 || isStream(response))) {
      await response.body?.cancel()
      return refuse(wasCut)
    }
    if (isStream(response)) {
      // A session settles by itself what it owes.
      const owes = methodOf(body) === 'tools/call' && !request.headers.has('mcp-session-id')
      return owes ? withOwedAnswer(response, idOf(body), handler.cut) : response
    }
    response.headers.set('Cache-Control', 'no-store')
    return response
  }

  return {
    app,
    cut: (agent) => handlers.cut(agent),
    tell: (agent, news) => handlers.tell(agent, news),
    async close() {
      await handlers.cut(null)
      upstream.close()
      await follower.close()
    },
  }
}

/** Spellings of allowed hosts that were seen before; a client has one. */
const MAX_SPELLINGS = 100

/** Asks `check`, which parses a URL each time, once for each spelling that it lets in. */
function remembering(check: MiddlewareHandler): MiddlewareHandler {
  const known = new Set<string>()
  return (c, next) => {
    const host = c.req.header('host') ?? ''
    if (known.has(host)) return next()
    return check(c, () => {
      if (known.size < MAX_SPELLINGS) known.add(host)
      return next()
    })
  }
}

const hostName = (host: string): string => (URL.canParse(`http://${host}`) ? new URL(`http://${host}`).hostname : host)

/** Browsers name the page that calls; programs send nothing. Only our own origin may, port included (S20). */
function isForeignOrigin(c: Context<McpEnv>, own: URL): boolean {
  const origin = c.req.header('origin')
  return origin !== undefined && origin !== own.origin && origin !== `${own.protocol}//${c.req.header('host')}`
}

const isStream = (response: Response) => response.headers.get('content-type')?.startsWith('text/event-stream') ?? false

const methodOf = (message: unknown): unknown =>
  typeof message === 'object' && message !== null && 'method' in message ? message.method : undefined

const idOf = (message: unknown): unknown =>
  typeof message === 'object' && message !== null && 'id' in message ? message.id : undefined

const isListen = (body: unknown): boolean => methodOf(body) === 'subscriptions/listen'

/** Calls of tools are counted where they are served, each by its own rate. */
const callsOtherThanTools = (body: unknown): number =>
  (Array.isArray(body) ? body : [body]).filter((message) => methodOf(message) !== 'tools/call').length

/** The same request, ending when its token does: authorization is looked at only when a stream opens. */
function expiring(request: Request, { expiresAt }: Call, now: number): Request {
  const signal = AbortSignal.any([request.signal, AbortSignal.timeout(Math.max(0, expiresAt - now))])
  return new Request(request.url, { method: request.method, headers: request.headers, signal })
}
