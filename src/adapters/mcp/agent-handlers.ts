// One MCP handler per agent, so that a change of one toolset is told to that agent alone and one agent's streams can be
// cut without touching another's. The SDK's notifier broadcasts to every listener of a handler.

import {
  createMcpHandler,
  type McpHttpHandler,
  type McpRequestContext,
  type Server,
} from '@modelcontextprotocol/server'
import { LRUCache } from 'lru-cache'
import type { AgentCaller } from '../../actions/authenticate-session.ts'
import { BODY_BYTES } from '../../core/limits.ts'

/** One HTTP request that was let in: all that serving it needs to know of it. */
export type Call = {
  readonly caller: AgentCaller
  readonly requestId: string
  /** Aborts when the agent is cut off. */
  readonly cut: AbortSignal
}

export type AgentHandler = {
  readonly cut: AbortSignal
  fetch(request: Request, call: Call, parsedBody: unknown): Promise<Response>
}

export interface AgentHandlers {
  /** The agent's handler, made if need be. Once its `cut` is aborted it serves nothing any more; ask for another. */
  of(agent: string): AgentHandler
  toolsChanged(agent: string): void
  /** Ends the streams and the waiting calls of this agent, or of all. */
  cut(agent: string | null): Promise<void>
}

/** Streams that one agent may hold open, all its sessions together. */
const STREAMS_PER_AGENT = 4

type Entry = AgentHandler & { readonly mcp: McpHttpHandler; readonly stop: AbortController }

/** @param serve a server for one request; `report` hears of requests that the SDK refused. */
export function createAgentHandlers(
  serve: (call: Call) => Server,
  report: (error: Error) => void,
  max = 10_000,
): AgentHandlers {
  const calls = new WeakMap<Request, Call>()
  const factory = ({ requestInfo }: McpRequestContext): Server => {
    const call = requestInfo === undefined ? undefined : calls.get(requestInfo)
    if (call === undefined) throw new Error('a request reached MCP without passing the gate')
    return serve(call)
  }
  const entries = new LRUCache<string, Entry>({
    max,
    dispose: (entry, _agent, reason) => {
      if (reason === 'evict') void shut(entry)
    },
  })

  const create = (): Entry => {
    const mcp = createMcpHandler(factory, {
      onerror: report,
      maxSubscriptions: STREAMS_PER_AGENT,
      maxRequestBodySize: BODY_BYTES.mcp,
    })
    const stop = new AbortController()
    return {
      mcp,
      stop,
      cut: stop.signal,
      fetch(request, call, parsedBody) {
        calls.set(request, call)
        return mcp.fetch(request, parsedBody === undefined ? {} : { parsedBody })
      },
    }
  }

  return {
    of(agent) {
      const known = entries.get(agent)
      if (known !== undefined) return known
      const made = create()
      entries.set(agent, made)
      return made
    },
    toolsChanged(agent) {
      entries.peek(agent)?.mcp.notify.toolsChanged()
    },
    async cut(agent) {
      const ended =
        agent === null ? [...entries.values()] : [entries.peek(agent)].filter((entry) => entry !== undefined)
      if (agent === null) entries.clear()
      else entries.delete(agent)
      await Promise.all(ended.map(shut))
    },
  }
}

/** Streams end with their result, as a server that means it ends them; then whatever waits is aborted. */
async function shut({ mcp, stop }: Entry): Promise<void> {
  const closing = mcp.close()
  stop.abort()
  await closing
}
