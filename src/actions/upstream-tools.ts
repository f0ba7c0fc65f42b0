// Tools of upstream MCP servers, as an agent uses them: what it is shown, and each call judged, put on the trail, carried to
// the server and watched until it is over. A revocation meanwhile ends it on both sides (P5). Nothing here holds a secret.

import type { CallEnd } from '../core/call-end.ts'
import { UPSTREAM_MCP } from '../core/limits.ts'
import type { ToolMcp } from '../core/manifest.ts'
import { type Problem, problem } from '../core/problem.ts'
import { err, ok, type Result } from '../core/result.ts'
import { type AdmittedMcpCall, admitMcpCall, judgeMcpAgain, listShownTools, type ShownTool } from './admit-mcp-call.ts'
import type { AgentCaller } from './authenticate-session.ts'
import { createCallEnds } from './call-ends.ts'
import { type CallMeter, UNMETERED } from './call-meter.ts'
import { createLiveCalls } from './live-calls.ts'
import { keepDefinitions } from './look-at-definitions.ts'
import {
  type Deps,
  type Looked,
  type UpstreamCall,
  UpstreamFailure,
  type UpstreamMcp,
  type UpstreamResult,
} from './ports.ts'
import { toolsInForce } from './tools-in-force.ts'
import { calledSpan } from './tracing.ts'

export type UpstreamTools = {
  /** In the order of their names. `tools`: those with an MCP server that the agent may reach. */
  shownTo(agent: string, tools: readonly string[]): Promise<readonly ShownTool[]>
  /** `definition`: what the agent was shown, also of a call that was refused. */
  call(
    caller: AgentCaller,
    call: Pick<UpstreamCall, 'given' | 'signal' | 'onProgress' | 'ask'> & {
      readonly shown: string
      readonly requestId: string
    },
  ): Promise<Result<UpstreamResult, Problem>>
  /** Looks again at what servers say, where it is time to; a round. */
  look(): Promise<void>
  /** How the last look at a tool's server went; undefined before the first. */
  looked(tool: string): Looked | undefined
  close(): Promise<void>
}

export type UpstreamToolsLimits = {
  readonly [K in 'callsPerAgent' | 'callsPerServer' | 'lookMs' | 'lookAgainMs']: number
} & { readonly recheckMs: number }

export const UPSTREAM_TOOLS: UpstreamToolsLimits = { ...UPSTREAM_MCP, recheckMs: 5_000 }

export function createUpstreamTools(
  deps: Deps,
  servers: UpstreamMcp,
  limits: UpstreamToolsLimits = UPSTREAM_TOOLS,
  meter: CallMeter = UNMETERED,
): UpstreamTools {
  const live = createLiveCalls(deps, limits)
  const ends = createCallEnds(deps)
  const { looks } = deps
  /** By tool: when its server is looked at next, on the monotonic clock, and what it was looked at as. */
  const due = new Map<string, { readonly at: number; readonly of: string }>()
  /** By what is looked at: a look that takes long is waited for, or it would end after the next. */
  const looking = new Map<string, Promise<void>>()
  const underWay = new Map<string, number>()
  const stop = new AbortController()

  servers.onChanged((tool) => {
    const next = due.get(tool)
    if (next !== undefined) due.set(tool, { ...next, at: Math.min(next.at, lastLook(tool) + limits.lookAgainMs) })
  })
  const lookedAt = new Map<string, number>()
  const lastLook = (tool: string) => lookedAt.get(tool) ?? Number.NEGATIVE_INFINITY

  const lookAt = async (tool: string, mcp: ToolMcp): Promise<void> => {
    const at = deps.clock.now()
    try {
      const said = await servers.list(tool, mcp, stop.signal)
      const suspends = await keepDefinitions(deps, tool, mcp, said, deps.ids.next('tsk'))
      if (suspends)
        deps.log.warn({ tool }, 'an MCP server describes a tool otherwise than was accepted: it is suspended')
      const missing = Object.keys(mcp.tools).filter((name) => !said.has(name))
      looks.set(tool, { at, failure: null, missing })
    } catch (thrown) {
      if (stop.signal.aborted) return
      if (!(thrown instanceof UpstreamFailure))
        deps.log.error({ tool, error: String(thrown) }, 'definitions of an MCP server could not be kept')
      const failure = thrown instanceof UpstreamFailure ? thrown.message : 'what it says could not be kept'
      if (looks.get(tool)?.failure !== failure)
        deps.log.warn({ tool, failure }, "a tool's MCP server cannot be looked at")
      looks.set(tool, { at, failure, missing: [] })
    }
  }

  const enterServer = (tool: string): Result<() => void, Problem> => {
    const now = underWay.get(tool) ?? 0
    if (now >= limits.callsPerServer)
      return err(
        problem('overloaded', `${limits.callsPerServer} calls of ${tool} are under way already.`, {
          retryable: true,
          retryAfterSeconds: 1,
          hint: 'Try again in a while.',
        }),
      )
    underWay.set(tool, now + 1)
    return ok(() => {
      const left = (underWay.get(tool) ?? 1) - 1
      if (left <= 0) underWay.delete(tool)
      else underWay.set(tool, left)
    })
  }

  return {
    shownTo: (agent, tools) => listShownTools(deps, agent, tools),

    async call(caller, { shown, given, requestId, signal, onProgress, ask }) {
      const sentBytes = Buffer.byteLength(JSON.stringify(given))
      if (sentBytes > UPSTREAM_MCP.argumentBytes)
        return refused(
          problem('invalid_request', `The arguments come to more than ${UPSTREAM_MCP.argumentBytes} bytes.`, {
            hint: 'Send less at once.',
          }),
        )
      const place = live.enter(caller.agent)
      if (!place.ok) return refused(place.error)
      try {
        const call = { shown, given, requestId }
        const cameAt = deps.clock.monotonic()
        const admitted = await admitMcpCall(deps, caller, call)
        if (!admitted.ok) return refused(admitted.error)
        const startedAt = deps.clock.monotonic()
        const measured = meter.admitted(admitted.value.tool, startedAt - cameAt)
        const note = (ended: CallEnd, receivedBytes: number) => {
          const afterMilliseconds = Math.max(0, Math.round(deps.clock.monotonic() - startedAt))
          const end = { status: null, ended, sentBytes, receivedBytes, afterMilliseconds }
          measured(end)
          ends.note(admitted.value, requestId, end)
        }
        const room = enterServer(admitted.value.tool)
        if (!room.ok) {
          note('unreachable', 0)
          return room
        }
        try {
          return await carried(admitted.value, call, { signal, onProgress, ask }, note)
        } finally {
          room.value()
        }
      } finally {
        place.value()
      }
    },

    async look() {
      if (stop.signal.aborted) return
      const tools = new Map<string, ToolMcp>()
      for (const [name, { mcp }] of await toolsInForce(deps)) if (mcp !== undefined) tools.set(name, mcp)
      servers.keepOnly(tools)
      for (const tool of looks.keys()) if (!tools.has(tool)) looks.delete(tool)
      for (const tool of due.keys()) if (!tools.has(tool)) due.delete(tool)
      const now = deps.clock.monotonic()
      // One that does not answer holds up no other.
      for (const [tool, mcp] of tools) {
        const of = JSON.stringify(mcp)
        const next = due.get(tool)
        const key = `${tool} ${of}`
        if (looking.has(key) || (next !== undefined && next.at > now && next.of === of)) continue
        due.set(tool, { at: now + limits.lookMs, of })
        lookedAt.set(tool, now)
        const look = lookAt(tool, mcp).finally(() => looking.delete(key))
        looking.set(key, look)
      }
    },

    looked: (tool) => looks.get(tool),

    async close() {
      stop.abort(new UpstreamFailure('unreachable', 'is not asked any more'))
      await servers.close()
      await Promise.all(looking.values())
      await live.close()
      await ends.flush()
    },
  }

  function refused(why: Problem): Result<never, Problem> {
    meter.refused(why.code)
    return err(why)
  }

  async function carried(
    admitted: AdmittedMcpCall,
    call: { readonly shown: string; readonly given: UpstreamCall['given']; readonly requestId: string },
    on: Pick<UpstreamCall, 'signal' | 'onProgress' | 'ask'>,
    note: (ended: CallEnd, receivedBytes: number) => void,
  ): Promise<Result<UpstreamResult, Problem>> {
    const cut = new AbortController()
    const { restsOn, endsAt, caller, definition, tool, mcp } = admitted
    let why: Problem | null = null
    const unwatch = live.watch({
      restsOn,
      endsAt,
      again: () => judgeMcpAgain(deps, call, admitted),
      cut(because) {
        why ??= because
        cut.abort(new CutOff())
      },
    })
    try {
      const signal = AbortSignal.any([on.signal, cut.signal])
      const result = await calledSpan('upstream', { 'hallpass.tool': tool }, (traceparent) =>
        servers.call(tool, mcp, { agent: caller.agent, definition, given: call.given, ...on, signal, traceparent }),
      )
      // What it was allowed by may have gone while the last of it came in.
      if (why !== null) return cutOff(why)
      note('whole', Buffer.byteLength(JSON.stringify(result)))
      return ok(result)
    } catch (thrown) {
      if (why !== null) return cutOff(why)
      if (on.signal.aborted) {
        // An agent that is cut off may seem to have left.
        const over = await judgeMcpAgain(deps, call, admitted).catch(() => null)
        if (over !== null) return cutOff(over)
        note('left', 0)
        return err(problem('conflict', 'The call was given up.', { retryable: true }))
      }
      if (!(thrown instanceof UpstreamFailure)) {
        note('broken', 0)
        throw thrown
      }
      note(thrown.why, 0)
      deps.log.warn({ requestId: call.requestId, tool, why: thrown.message }, "a tool's MCP server gave no answer")
      return err(noAnswer(tool, thrown))
    } finally {
      unwatch()
    }

    function cutOff(because: Problem): Result<never, Problem> {
      note('cut', 0)
      return err({
        ...because,
        message: `The call was ended: ${because.message}`,
        hint: `${because.hint ?? 'What it rested on is over.'} Whether the tool did what was asked is not known.`,
      })
    }
  }
}

class CutOff extends Error {
  override name = 'CutOff'
}

const noAnswer = (tool: string, { why, message }: UpstreamFailure): Problem =>
  why === 'too long' || why === 'refused'
    ? problem('internal', `The MCP server of ${tool} ${message}, so its answer is not passed on.`, {
        hint: 'Ask for less, or go on without it; an operator of the tool can say why.',
      })
    : problem('overloaded', `The MCP server of ${tool} ${message}.`, {
        retryable: true,
        hint: `Try again in a while; tell an operator if it lasts.${why === 'unreachable' ? '' : ' Whether the tool did what was asked is not known.'}`,
      })
