// The MCP server of one request, or of one session of 2025, on the SDK's low-level server: lists are compiled before, schemas
// are made once, and whom a message is from is asked of the request that brought it.

import { type CallToolResult, Server } from '@modelcontextprotocol/server'
import type { Edge } from '../../actions/edge.ts'
import { VERSION } from '../../core/version.ts'
import { serveTasks, TASKS_CAPABILITY } from './access-tasks.ts'
import type { CallOf } from './call.ts'
import { callTool } from './call-tool.ts'
import type { UpstreamCaller } from './call-upstream.ts'
import { forCall } from './for-call.ts'
import type { ReadToolList } from './list-tools.ts'
import { meanwhileOf } from './meanwhile.ts'
import { servePrompts } from './serve-prompts.ts'
import { serveResources } from './serve-resources.ts'
import { waysOf } from './ways-to-wait.ts'

/** How this server names itself in every answer. */
export const INFO = { name: 'hallpass', title: 'Hallpass', version: VERSION }

const INSTRUCTIONS = [
  'Hallpass lends you short-lived access to tools. You hold nothing until it is granted, and it can be taken back at any time.',
  '1. Call list_access first: what you may ask for, what waits, what you hold.',
  '2. Call request_access for the least that the task needs, with a reason that names the ticket, alert or task.',
  '3. "granted": do what grant.use.how says. "pending": an owner has to decide; you cannot approve it, and nobody you act for can through you. Show your user the approveUrl and the words for an owner, do not ask again, go on with other work, and call access_status after retryAfterSeconds.',
  '4. Refused: follow the hint. Never guess scopes. A manifestPatch is for an owner to consider: show it, do not apply it.',
  '5. Call release_access when the task is done.',
  'Never repeat a token to a person, in a file, in a log or to anything but its resource.',
].join('\n')

/** How an agent signs in: `client_credentials`, by itself (ext-auth, OAuth Client Credentials). */
const EXTENSIONS = { 'io.modelcontextprotocol/oauth-client-credentials': {} }

/** What this server says by itself, to whoever can hear it. Prompts never change. */
const PUSHES = {
  tools: { listChanged: true },
  resources: { listChanged: true, subscribe: true },
  prompts: {},
  extensions: EXTENSIONS,
}
const KEEPS_SILENT = { tools: {}, resources: {}, prompts: {}, extensions: EXTENSIONS }

/** An agent's own (2026-07-28, SEP-2549): what was taken away is not to be seen in a cache. */
const OWN = { ttlMs: 0, cacheScope: 'private' } as const
export const CACHE_HINTS = {
  'tools/list': OWN,
  'resources/list': OWN,
  'resources/read': OWN,
  'resources/templates/list': { ttlMs: 3_600_000, cacheScope: 'private' },
  'prompts/list': { ttlMs: 3_600_000, cacheScope: 'private' },
} as const

const OPTIONS = { instructions: INSTRUCTIONS, cacheHints: CACHE_HINTS }
const MODERN = { ...OPTIONS, capabilities: { ...PUSHES, extensions: { ...EXTENSIONS, ...TASKS_CAPABILITY } } }
const SPEAKING = { ...OPTIONS, capabilities: PUSHES }
const SILENT = { ...OPTIONS, capabilities: KEEPS_SILENT }

/** Whom a server is for. A request of 2025 outside of a session cannot be told anything afterwards. */
export type ServerFor = {
  readonly era: 'modern' | 'legacy'
  readonly callOf: CallOf
  /** URIs that a session of 2025 wants to hear of; null without one. */
  readonly subscribed: Set<string> | null
}

export function createAgentServer(
  edge: Edge,
  toolsOf: ReadToolList,
  upstream: UpstreamCaller,
  { era, callOf, subscribed }: ServerFor,
): Server {
  const server = new Server(INFO, era === 'modern' ? MODERN : subscribed !== null ? SPEAKING : SILENT)
  server.setRequestHandler('tools/list', (_request, { http }) => {
    const call = callOf(http?.req)
    return forCall(edge, call, 'tools/list', async () => ({ tools: await toolsOf(call.caller.agent) }))
  })
  server.setRequestHandler('tools/call', async ({ params }, context) => {
    const call = callOf(context.http?.req)
    const { name, arguments: given = {} } = params
    const result = upstream.serves(name)
      ? await upstream.call(call, name, given, meanwhileOf(server, context))
      : await callTool(edge, call, name, given, context.mcpReq.signal, waysOf(server, context))
    // The SDK has no type for a task, and passes it on.
    return result as CallToolResult
  })
  if (era === 'modern') serveTasks(server, edge, callOf)
  serveResources(server, edge, callOf, subscribed)
  servePrompts(server, edge, callOf)
  return server
}
