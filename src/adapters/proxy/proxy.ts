// `/tools/NAME/…`: an agent's call, admitted and put on the trail, then streamed to the tool with the tool's own
// credential. Only a proxy token opens it (S13); who may call what is decided in core, never here.

import type { IncomingMessage, ServerResponse } from 'node:http'
import { type AdmittedCall, admitCall, judgeAgain } from '../../actions/admit-call.ts'
import type { Claims } from '../../actions/authenticate-session.ts'
import { createCallEnds, type EndOfCall } from '../../actions/call-ends.ts'
import { type CallMeter, UNMETERED } from '../../actions/call-meter.ts'
import type { Edge } from '../../actions/edge.ts'
import { createLiveCalls } from '../../actions/live-calls.ts'
import { StoreUnavailable } from '../../actions/ports.ts'
import { createProxySecrets, type OpenSecret } from '../../actions/proxy-secret.ts'
import { calledSpan, servedSpan } from '../../actions/tracing.ts'
import { PROXY } from '../../core/limits.ts'
import { type Problem, problem } from '../../core/problem.ts'
import { passCall } from './pass-call.ts'
import { type ReadCall, readCall } from './read-call.ts'
import { type Refused, refusalBody, refusalHeaders, refused } from './refusal.ts'
import { createUpstreams } from './upstream.ts'

/** Where it stands; the front door hands over what begins so. */
export const TOOLS = '/tools/'

export type At = {
  readonly requestId: string
  readonly remote: string
  /** Headers of every answer. */
  readonly always: Readonly<Record<string, string>>
}

export type ToolProxy = {
  /** Answers in any case; never rejects. */
  serve(incoming: IncomingMessage, outgoing: ServerResponse, at: At): Promise<void>
  close(): Promise<void>
}

export type ProxyLimits = { readonly [K in 'callsPerAgent' | 'idleMs' | 'connectMs' | 'recheckMs']: number }

const ROUTE = '/tools'

export function createProxy(
  edge: Edge,
  openSecret: OpenSecret,
  { limits = PROXY, meter = UNMETERED }: { readonly limits?: ProxyLimits; readonly meter?: CallMeter } = {},
): ToolProxy {
  const { deps } = edge
  const upstreams = createUpstreams(limits.idleMs)
  const live = createLiveCalls(deps, limits)
  const secrets = createProxySecrets(deps, openSecret)
  const ends = createCallEnds(deps)

  async function serve(incoming: IncomingMessage, outgoing: ServerResponse, at: At): Promise<void> {
    const refuse = (why: Refused) => {
      if (outgoing.headersSent || outgoing.destroyed) return
      const body = refusalBody(why, at.requestId)
      const isReading = incoming.complete ? {} : { Connection: 'close' }
      const length = { 'Content-Length': Buffer.byteLength(body) }
      outgoing.writeHead(why.status, { ...at.always, ...refusalHeaders(why), ...isReading, ...length })
      outgoing.end(body)
    }
    try {
      const read = readCall(incoming, at.requestId)
      if (!read.ok) {
        edge.refusals.stranger(read.error.problem.code)
        meter.refused(read.error.problem.code)
        refuse(read.error)
        return
      }
      const claims = await edge.verify(read.value.token)
      const why =
        claims === null
          ? unknown(at)
          : await servedSpan(`${ROUTE}/{tool}`, aboutOf(at, claims, read.value), () =>
              served(incoming, outgoing, at, read.value, claims, refuse),
            )
      if (why === null) return
      meter.refused(why.problem.code)
      refuse(why)
    } catch (thrown) {
      const isDown = thrown instanceof StoreUnavailable
      deps.log.error({ requestId: at.requestId, error: String(thrown) }, 'a call through the proxy failed')
      const why = isDown ? unavailable() : problem('internal', 'Something broke here. The call may not pass.')
      meter.refused(why.code)
      refuse(refused(why))
    }
  }

  /** Nobody's token: counted, and slowed down by address. */
  function unknown({ remote }: At): Refused {
    edge.refusals.stranger('unauthenticated')
    const slowed = edge.limiters.stranger.take(remote)
    return refused(slowed.ok ? problem('unauthenticated', 'This token is not active.') : slowed.error)
  }

  async function noted(claims: Claims, { call }: ReadCall, why: Problem): Promise<Refused> {
    const caller = { role: 'agent', agent: String(claims.sub), session: String(claims.sid) } as const
    if (why.code !== 'stale_view' && why.code !== 'audit_unavailable')
      await edge.refusals.note({ caller, requestId: call.requestId }, why, ROUTE, { agent: caller.agent })
    return refused(why)
  }

  /** Null: it was answered. */
  async function served(
    incoming: IncomingMessage,
    outgoing: ServerResponse,
    at: At,
    read: ReadCall,
    claims: Claims,
    refuse: (why: Refused) => void,
  ): Promise<Refused | null> {
    const { call } = read
    const agent = String(claims.sub)
    const slowed = edge.limiters.check.take(`proxy ${agent}`)
    if (!slowed.ok) return noted(claims, read, slowed.error)
    const place = live.enter(agent)
    if (!place.ok) return noted(claims, read, place.error)
    try {
      const startedAt = deps.clock.monotonic()
      const admitted = await admitCall(deps, claims, call)
      if (!admitted.ok) return noted(claims, read, admitted.error)
      const measured = meter.admitted(admitted.value.tool.name, deps.clock.monotonic() - startedAt)
      let end: EndOfCall = NEVER_SENT
      try {
        const passing = await passed(incoming, outgoing, at, read, claims, admitted.value, refuse)
        end = passing.end
        return passing.why
      } finally {
        measured(end)
        ends.note(admitted.value, at.requestId, end)
      }
    } finally {
      place.value()
    }
  }

  /** An admitted call, with the tool's own credential. `why`: it was not answered, for this. */
  async function passed(
    incoming: IncomingMessage,
    outgoing: ServerResponse,
    at: At,
    { call, body }: ReadCall,
    claims: Claims,
    admitted: AdmittedCall,
    refuse: (why: Refused) => void,
  ): Promise<{ readonly end: EndOfCall; readonly why: Refused | null }> {
    const presented = await secrets.of(admitted, at.requestId)
    if (!presented.ok) return { end: NEVER_SENT, why: refused(presented.error) }
    const { restsOn, endsAt } = admitted
    const end = await calledSpan('upstream', { 'hallpass.tool': call.tool }, (traceparent) =>
      passCall(upstreams, {
        traceparent,
        incoming,
        outgoing,
        call,
        admitted,
        presented: presented.value,
        body,
        mount: `${ROUTE}/${call.tool}`,
        always: Object.entries(at.always).flat(),
        refuse,
        watch: (cut) => live.watch({ restsOn, endsAt, again: () => judgeAgain(deps, claims, call, admitted), cut }),
        connectMs: limits.connectMs,
        monotonic: () => deps.clock.monotonic(),
        warn: (why) => deps.log.warn({ requestId: at.requestId, tool: call.tool, why }, 'a tool did not answer a call'),
      }),
    )
    return { end, why: null }
  }

  return {
    serve,
    async close() {
      await live.close()
      upstreams.close()
      await ends.flush()
    },
  }
}

const aboutOf = ({ requestId }: At, claims: Claims, { call }: ReadCall) => ({
  'hallpass.request_id': requestId,
  'hallpass.agent': String(claims.sub),
  'hallpass.tool': call.tool,
})

const NEVER_SENT = { status: null, ended: 'unreachable', sentBytes: 0, receivedBytes: 0, afterMilliseconds: 0 } as const

const unavailable = () =>
  problem('audit_unavailable', 'The store cannot be used, so no call is made.', {
    retryable: true,
    retryAfterSeconds: 2,
  })
