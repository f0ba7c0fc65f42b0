// One MCP handler per agent, so that a change of one toolset is told to that agent alone and one agent's streams can be
// cut without touching another's. The SDK's notifier broadcasts to every listener of a handler.

import {
  createMcpHandler,
  InMemoryServerEventBus,
  type McpHttpHandler,
  type Server,
  type ServerEventBus,
} from '@modelcontextprotocol/server'
import { LRUCache } from 'lru-cache'
import { BODY_BYTES, MCP_STREAMS_PER_AGENT } from '../../core/limits.ts'
import type { Call, CallOf } from './call.ts'
import type { News } from './follow-access.ts'
import type { SessionParts } from './legacy-session.ts'
import { createLegacySessions } from './legacy-sessions.ts'
import type { ServerFor } from './serve-agent.ts'

export type AgentHandler = {
  readonly cut: AbortSignal
  fetch(request: Request, call: Call, parsedBody: unknown): Promise<Response>
}

export interface AgentHandlers {
  /** The agent's handler, made if need be. Once its `cut` is aborted it serves nothing any more; ask for another. */
  of(agent: string): AgentHandler
  tell(agent: string, news: News): void
  /** Ends the streams and the waiting calls of this agent, or of all. */
  cut(agent: string | null): Promise<void>
}

type Entry = AgentHandler & { readonly mcp: McpHttpHandler; readonly stop: AbortController }

/** What handlers are made with: `newServer` makes one for a request, or for a session of 2025. */
export type HandlerParts = Pick<SessionParts, 'newId' | 'clock' | 'follow'> & {
  newServer(wanted: ServerFor): Server
  /** Hears of requests that the SDK refused. */
  report(error: Error): void
}

export function createAgentHandlers(
  { newServer, newId, clock, follow, report }: HandlerParts,
  max = 10_000,
): AgentHandlers {
  const calls = new WeakMap<Request, Call>()
  const callOf: CallOf = (request) => {
    const call = request === undefined ? undefined : calls.get(request)
    if (call === undefined) throw new Error('a request reached MCP without passing the gate')
    return call
  }
  const sessions = createLegacySessions({
    newServer: (subscribed) => newServer({ era: 'legacy', callOf, subscribed }),
    newId,
    enter: (request, call) => void calls.set(request, call),
    report,
    clock,
    follow,
  })
  const entries = new LRUCache<string, Entry>({
    max,
    dispose: (entry, agent, reason) => {
      if (reason === 'evict') void shut(agent, entry)
    },
  })

  /** Streams of one agent; it is followed while one is open. */
  const busOf = (agent: string): ServerEventBus => {
    const bus = new InMemoryServerEventBus(report)
    return {
      publish: (event) => bus.publish(event),
      subscribe(listener) {
        const stopHearing = bus.subscribe(listener)
        const stopFollowing = follow(agent)
        return () => {
          stopHearing()
          stopFollowing()
        }
      },
    }
  }

  const create = (agent: string): Entry => {
    const mcp = createMcpHandler(({ era }) => newServer({ era, callOf, subscribed: null }), {
      onerror: report,
      bus: busOf(agent),
      maxSubscriptions: MCP_STREAMS_PER_AGENT,
      maxRequestBodySize: BODY_BYTES.mcp,
    })
    const stop = new AbortController()
    return {
      mcp,
      stop,
      cut: stop.signal,
      async fetch(request, call, parsedBody) {
        const answer = await sessions.serve(request, call, parsedBody)
        if (answer !== null) return answer
        calls.set(request, call)
        return mcp.fetch(request, parsedBody === undefined ? {} : { parsedBody })
      },
    }
  }

  /** Streams end with their result, as a server that means it ends them; then whatever waits is aborted. */
  async function shut(agent: string, { mcp, stop }: Entry): Promise<void> {
    const closing = mcp.close()
    stop.abort()
    sessions.end(agent)
    await closing
  }

  return {
    of(agent) {
      const known = entries.get(agent)
      if (known !== undefined) return known
      const made = create(agent)
      entries.set(agent, made)
      return made
    },
    tell(agent, news) {
      const notify = entries.peek(agent)?.mcp.notify
      if (notify !== undefined) {
        if (news.tools) notify.toolsChanged()
        if (news.resources) notify.resourcesChanged()
        for (const uri of news.updated) notify.resourceUpdated(uri)
      }
      sessions.tell(agent, news)
    },
    async cut(agent) {
      const known = agent === null ? undefined : entries.peek(agent)
      const ended: [string, Entry][] = agent === null ? [...entries] : known === undefined ? [] : [[agent, known]]
      for (const [name] of ended) entries.delete(name)
      await Promise.all(ended.map(([name, entry]) => shut(name, entry)))
    },
  }
}
