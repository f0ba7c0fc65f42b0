// Sessions of 2025-era clients, each with a server of its own that can speak first (MCP 2025-11-25, Streamable HTTP). A session
// is a place to be told things and never an authorization: each request shows its own bearer, and its agent has to be the session's.

import { isInitializeRequest, isLegacyRequest } from '@modelcontextprotocol/server'
import { MCP_SESSIONS } from '../../core/limits.ts'
import type { Call } from './call.ts'
import type { News } from './follow-access.ts'
import { type LegacySession, openLegacySession, type SessionParts } from './legacy-session.ts'

export interface LegacySessions {
  /** Null where no session is named or opened, or there is no room for one: to be served as a request of its own. */
  serve(request: Request, call: Call, body: unknown): Promise<Response | null>
  tell(agent: string, news: News): void
  /** After `call.cut` of this agent was aborted: what would open later finds that. */
  end(agent: string): void
}

/**
 * Past its limits what was unused for longest goes, if it was unused for a while; else a client gets no session and is served
 * without one, as by a server that has none.
 */
export function createLegacySessions(parts: SessionParts, limits = MCP_SESSIONS): LegacySessions {
  const { clock } = parts
  /** Least recently used first. */
  const live = new Map<string, LegacySession>()
  const counts = new Map<string, number>()

  const opened = (session: LegacySession) => {
    live.set(session.id, session)
    counts.set(session.agent, (counts.get(session.agent) ?? 0) + 1)
  }
  const ended = (session: LegacySession) => {
    if (!live.delete(session.id)) return
    const left = (counts.get(session.agent) ?? 1) - 1
    if (left > 0) counts.set(session.agent, left)
    else counts.delete(session.agent)
  }
  const used = (session: LegacySession) => {
    session.usedAt = clock.monotonic()
    if (live.delete(session.id)) live.set(session.id, session)
  }
  /** Ends what was unused for longest, of `agent` or of all, if for `ms` at least. */
  const letGo = (ms: number, agent: string | null): boolean => {
    const before = clock.monotonic() - ms
    for (const session of live.values()) {
      if (session.usedAt > before) return false
      if (session.isBusy() || (agent !== null && session.agent !== agent)) continue
      session.end()
      return true
    }
    return false
  }
  const hasRoom = (agent: string): boolean =>
    ((counts.get(agent) ?? 0) < limits.perAgent || letGo(limits.idleMs, agent)) &&
    (live.size < limits.all || letGo(limits.idleMs, null))

  return {
    async serve(request, call, body) {
      const id = request.headers.get('mcp-session-id')
      const opens = isInitialize(body)
      if ((id === null && !opens) || !(await isLegacyRequest(request, body))) return null
      while (letGo(limits.forgottenMs, null));
      const named = id === null ? undefined : live.get(id)
      // Another agent's is answered as one that never was.
      const known = named?.agent === call.caller.agent ? named : undefined
      if (known === undefined && !opens) return notFound()
      if (known === undefined && !hasRoom(call.caller.agent)) return null
      const session = known ?? (await openLegacySession(parts, call, { opened, ended }))
      used(session)
      return session.serve(request, call, body)
    },
    tell(agent, news) {
      for (const session of live.values()) if (session.agent === agent) session.tell(news)
    },
    end(agent) {
      for (const session of [...live.values()]) if (session.agent === agent) session.end()
    },
  }
}

/** Only what says so by name is looked at whole. */
const isInitialize = (body: unknown): boolean =>
  typeof body === 'object' &&
  body !== null &&
  'method' in body &&
  body.method === 'initialize' &&
  isInitializeRequest(body)

/** As the SDK says it of a session that has ended: the client has to open a new one. */
const notFound = () =>
  Response.json({ jsonrpc: '2.0', error: { code: -32001, message: 'Session not found' }, id: null }, { status: 404 })
