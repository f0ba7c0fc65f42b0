// Tools' own MCP servers: their definitions listed, their tools called, with the tool's own credential and nothing of the
// agent's. An HTTP connection serves one agent's calls one at a time, so that no agent meets another's session there.

import type { CallToolResult, PriorDiscovery, Tool } from '@modelcontextprotocol/client'
import { ProtocolError, SdkError, SdkErrorCode, SdkHttpError, TRACEPARENT_META_KEY } from '@modelcontextprotocol/client'
import { z } from 'zod'
import type { Log, McpAsk, UpstreamCall, UpstreamMcp, UpstreamResult } from '../../actions/ports.ts'
import { UpstreamFailure } from '../../actions/ports.ts'
import { type OpenSecret, presentedAs } from '../../actions/proxy-secret.ts'
import { UPSTREAM_MCP } from '../../core/limits.ts'
import type { ToolMcp } from '../../core/manifest.ts'
import { placeOfMcp } from '../../core/manifest-mcp.ts'
import { safeText } from '../../core/safe-text.ts'
import { type Connection, connectHttp } from './connection.ts'
import { type OpenProgram, type RunningProgram, runProgram } from './program.ts'
import { isTooDeep, withoutMeta } from './without-secrets.ts'

export type UpstreamLimits = { readonly [K in keyof typeof UPSTREAM_MCP]: number }

type Deps = {
  readonly openSecret: OpenSecret
  readonly openProgram: OpenProgram
  readonly log: Log
  readonly monotonic: () => number
}

type Idle = { readonly place: string; readonly connection: Connection; readonly timer: NodeJS.Timeout }
type Ways = { readonly modes: readonly ('form' | 'url')[]; readonly maxBytes: number }

const PAGE = z.object({ tools: z.array(z.unknown()), nextCursor: z.string().max(4096).optional() })
const NAMED = z.object({ name: z.string() })

export function createUpstreamMcp(deps: Deps, limits: UpstreamLimits = UPSTREAM_MCP): UpstreamMcp {
  const idle = new Map<string, Idle[]>()
  const open = new Set<Connection>()
  const programs = new Map<string, RunningProgram>()
  /** By place: what era it speaks, once that was found. */
  const eras = new Map<string, PriorDiscovery>()
  let changed: (tool: string) => void = () => {}
  let closed = false

  const programOf = (tool: string, command: string): RunningProgram => {
    const key = `${tool} ${command}`
    const known = programs.get(key)
    if (known !== undefined) return known
    const made = runProgram(tool, command, deps.openProgram, { ...deps, changed: (of) => changed(of) }, limits)
    programs.set(key, made)
    return made
  }

  const connect = async (tool: string, mcp: ToolMcp, url: string, ways: Ways, signal: AbortSignal) => {
    const present = () => {
      if (mcp.secret === null) return null
      const secret = deps.openSecret(mcp.secret)
      if (secret.ok) return presentedAs(mcp, secret.value)
      deps.log.error({ tool, why: secret.error }, "a tool's secret cannot be opened")
      throw new UpstreamFailure('refused', 'was not asked: its credential cannot be read here')
    }
    const inTime = AbortSignal.any([signal, AbortSignal.timeout(limits.connectMs)])
    const prior = eras.get(url)
    const { answerMessages: maxMessages, answerRequests: maxRequests, lullMs } = limits
    const http = { url, present, maxBytes: ways.maxBytes, maxMessages, maxRequests, lullMs }
    try {
      const connection = await connectHttp(http, { ...ways, prior, onChanged: () => changed(tool) }, inTime)
      const discover = connection.client.getDiscoverResult()
      eras.set(url, discover === undefined ? { kind: 'legacy' } : { kind: 'modern', discover })
      open.add(connection)
      if (closed) {
        void drop(connection)
        throw new UpstreamFailure('unreachable', 'is not asked any more')
      }
      return connection
    } catch (thrown) {
      // Another era may be spoken there by now.
      eras.delete(url)
      throw thrown
    }
  }

  const drop = async (connection: Connection) => {
    open.delete(connection)
    await connection.close()
  }

  /** One for this call alone; `give` it back whole, or it is closed. */
  const lease = async (tool: string, mcp: ToolMcp, agent: string, ways: Ways, signal: AbortSignal) => {
    if (closed) throw new UpstreamFailure('unreachable', 'is not asked any more')
    if (mcp.url === null) {
      const connection = await unlessAborted(programOf(tool, mcp.command ?? '').connection(), signal)
      return { connection, isKept: false, give: (_: boolean) => undefined }
    }
    const { url } = mcp
    const key = JSON.stringify([tool, url, mcp.secret, mcp.header, mcp.prefix, agent, ways.modes])
    const kept = idle.get(key)?.pop()
    if (kept !== undefined) clearTimeout(kept.timer)
    const isKept = kept !== undefined && !kept.connection.isOver()
    const connection = isKept ? kept.connection : await connect(tool, mcp, url, ways, signal)
    // Whoever answers there may be another by now, and say something else.
    if (!isKept && agent !== '') changed(tool)
    connection.awaited = true
    const give = (isWhole: boolean) => {
      connection.asks = null
      connection.awaited = false
      if (!isWhole || connection.isOver() || closed || countIdle(idle) >= limits.idleConnections) {
        void drop(connection)
        return
      }
      const waiting = idle.get(key) ?? []
      const timer = setTimeout(() => {
        const left = (idle.get(key) ?? []).filter((one) => one.connection !== connection)
        if (left.length === 0) idle.delete(key)
        else idle.set(key, left)
        void drop(connection)
      }, limits.keepMs)
      timer.unref()
      idle.set(key, [...waiting, { place: url, connection, timer }])
    }
    return { connection, isKept, give }
  }

  /** Sessions that its server does not know any more. */
  const forgetIdle = (isGone: (idle: Idle) => boolean) => {
    for (const [key, waiting] of idle) {
      const left = waiting.filter((one) => !isGone(one))
      for (const { connection, timer } of waiting.filter(isGone)) {
        clearTimeout(timer)
        void drop(connection)
      }
      if (left.length === 0) idle.delete(key)
      else idle.set(key, left)
    }
  }

  /** Another era may be spoken there by now. */
  const forgetEra = ({ url }: ToolMcp) => eras.delete(url ?? '')

  const list: UpstreamMcp['list'] = async (tool, mcp, given) => {
    const signal = AbortSignal.any([given, AbortSignal.timeout(limits.listMs)])
    const wanted = new Set(Object.keys(mcp.tools))
    const said = new Map<string, unknown>()
    const { connection, give } = await lease(tool, mcp, '', { modes: [], maxBytes: limits.listBytes }, signal).catch(
      (thrown: unknown) => {
        throw failureOf(thrown, signal, null)
      },
    )
    try {
      let cursor: string | undefined
      let pages = 0
      let tools = 0
      do {
        const params = cursor === undefined ? {} : { cursor }
        const page = await connection.client.request({ method: 'tools/list', params }, PAGE, {
          signal,
          timeout: limits.listMs,
        })
        tools += page.tools.length
        if (++pages > limits.listPages || tools > limits.listTools)
          throw new UpstreamFailure('too long', `lists more than ${limits.listTools} tools`)
        for (const one of page.tools) {
          const { name } = NAMED.safeParse(one).data ?? { name: '' }
          // Named twice it could mean either, so it means nothing.
          if (wanted.has(name)) said.set(name, said.has(name) ? null : one)
        }
        cursor = page.nextCursor
      } while (cursor !== undefined && cursor !== '')
      return withoutSecrets(said, connection)
    } catch (thrown) {
      forgetEra(mcp)
      throw failureOf(thrown, signal, connection)
    } finally {
      give(false)
    }
  }

  const call: UpstreamMcp['call'] = async (tool, mcp, asked) => {
    try {
      return await callOnce(tool, mcp, asked)
    } catch (thrown) {
      if (!(thrown instanceof SessionGone)) throw thrown
      // It was not called: the session of before is unknown there, as after every restart of a server that keeps none.
      forgetIdle(({ place }) => place === mcp.url)
      return callOnce(tool, mcp, asked)
    }
  }

  const callOnce: UpstreamMcp['call'] = async (tool, mcp, asked) => {
    const { signal, ask, agent } = asked
    const modes = ask?.modes ?? []
    const { connection, isKept, give } = await lease(
      tool,
      mcp,
      agent,
      { modes, maxBytes: limits.answerBytes },
      signal,
    ).catch((thrown: unknown) => {
      throw failureOf(thrown, signal, null)
    })
    let isWhole = false
    const { cutOff } = connection
    // Before its client hears of it, which then tells the server.
    signal.addEventListener('abort', cutOff)
    if (ask !== null && mcp.url !== null)
      connection.asks = (one) =>
        modes.includes(one.mode)
          ? ask.put({ mode: one.mode, params: paramsOf(one.params, connection) }, signal)
          : Promise.resolve({ action: 'cancel' })
    try {
      const result = await connection.client.callTool(
        {
          name: asked.definition.name,
          arguments: { ...asked.given },
          ...(asked.traceparent === null ? {} : { _meta: { [TRACEPARENT_META_KEY]: asked.traceparent } }),
        },
        {
          signal,
          // Whom it asks may take their time.
          timeout: modes.length === 0 ? limits.idleMs : limits.callMs,
          resetTimeoutOnProgress: true,
          maxTotalTimeout: limits.callMs,
          onprogress: (progress) => asked.onProgress(progressOf(progress, connection)),
          toolDefinition: definitionFor(asked),
        },
      )
      isWhole = true
      return resultOf(result, connection)
    } catch (thrown) {
      if (thrown instanceof ProtocolError && !signal.aborted) {
        isWhole = true
        return errorOf(thrown, connection)
      }
      if (isKept && thrown instanceof SdkHttpError && thrown.status === 404 && !signal.aborted) throw new SessionGone()
      forgetEra(mcp)
      throw failureOf(thrown, signal, connection)
    } finally {
      signal.removeEventListener('abort', cutOff)
      give(isWhole)
    }
  }

  return {
    list,
    call,
    onChanged(listener) {
      changed = listener
    },
    keepOnly(places) {
      const kept = new Set([...places].map(([tool, { command }]) => `${tool} ${command}`))
      for (const [key, program] of programs)
        if (!kept.has(key)) {
          programs.delete(key)
          void program.close()
        }
      const urls = new Set([...places.values()].map(placeOfMcp))
      for (const url of eras.keys()) if (!urls.has(url)) eras.delete(url)
      forgetIdle(({ place }) => !urls.has(place))
    },
    async close() {
      closed = true
      for (const waiting of idle.values()) for (const { timer } of waiting) clearTimeout(timer)
      idle.clear()
      await Promise.all([...[...open].map(drop), ...[...programs.values()].map((program) => program.close())])
    },
  }
}

/** A program that is being started is not the call's to give up. */
function unlessAborted<T>(starting: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const give = () => reject(signal.reason)
    if (signal.aborted) give()
    signal.addEventListener('abort', give, { once: true })
    void starting.then(resolve, reject).finally(() => signal.removeEventListener('abort', give))
  })
}

class SessionGone extends Error {
  override name = 'SessionGone'
}

const countIdle = (idle: ReadonlyMap<string, readonly Idle[]>): number => {
  let count = 0
  for (const waiting of idle.values()) count += waiting.length
  return count
}

/** For the headers that mirror arguments; its outputSchema is the agent's client's to hold the answer to. */
const definitionFor = ({ definition }: UpstreamCall): Tool => ({
  name: definition.name,
  inputSchema: definition.inputSchema as Tool['inputSchema'],
})

const withoutSecrets = (said: ReadonlyMap<string, unknown>, { mask }: Connection) =>
  new Map([...said].map(([name, one]) => [name, isTooDeep(one, UPSTREAM_MCP.answerDepth) ? null : mask.value(one)]))

function resultOf(result: CallToolResult, { mask }: Connection): UpstreamResult {
  if (isTooDeep(result, UPSTREAM_MCP.answerDepth))
    throw new UpstreamFailure('refused', `answers with what is nested deeper than ${UPSTREAM_MCP.answerDepth}`)
  const { content, structuredContent, isError } = result
  return {
    content: (content ?? []).map((block) => mask.value(withoutMeta(block))),
    ...(structuredContent === undefined
      ? {}
      : { structuredContent: mask.value(structuredContent) as Record<string, unknown> }),
    ...(isError === true ? { isError } : {}),
  }
}

/** What it asks is shown to a person. */
function paramsOf(params: McpAsk['params'], { mask }: Connection): McpAsk['params'] {
  if (isTooDeep(params, UPSTREAM_MCP.answerDepth))
    throw new UpstreamFailure('refused', `asks with what is nested deeper than ${UPSTREAM_MCP.answerDepth}`)
  return mask.value(withoutMeta(params)) as McpAsk['params']
}

/** A model can read what a server refused, and go on. */
const errorOf = ({ code, message }: ProtocolError, { mask }: Connection): UpstreamResult => ({
  content: [
    {
      type: 'text',
      text: `The tool's server answered with an error (${code}): ${safeText(mask.text(message), 1000)}`,
    },
  ],
  isError: true,
})

function progressOf(
  { progress, total, message }: { progress: number; total?: number | undefined; message?: string | undefined },
  { mask }: Connection,
) {
  return {
    progress,
    ...(total === undefined ? {} : { total }),
    ...(message === undefined ? {} : { message: safeText(mask.text(message), 500) }),
  }
}

/** What happened, in words that hold nothing of what the server said. */
function failureOf(thrown: unknown, signal: AbortSignal, connection: Connection | null): unknown {
  if (signal.aborted && !(signal.reason instanceof DOMException)) return signal.reason
  const broke = connection?.broke() ?? null
  if (broke !== null) return broke
  for (let cause: unknown = thrown; cause instanceof Error; cause = cause.cause)
    if (cause instanceof UpstreamFailure) return cause
  if (signal.aborted) return new UpstreamFailure('late', 'did not answer in time')
  if (thrown instanceof SdkError) {
    if (thrown.code === SdkErrorCode.RequestTimeout) return new UpstreamFailure('late', 'did not answer in time')
    if (thrown.code === SdkErrorCode.ConnectionClosed) return new UpstreamFailure('broken', 'went away')
  }
  if (thrown instanceof DOMException) return new UpstreamFailure('late', 'did not answer in time')
  if (thrown instanceof SdkHttpError) return new UpstreamFailure('refused', `answers with status ${thrown.status}`)
  return new UpstreamFailure(connection === null ? 'unreachable' : 'refused', 'gave no answer that MCP knows')
}
