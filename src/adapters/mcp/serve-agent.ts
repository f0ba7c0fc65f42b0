// The MCP server of one request, for both eras, on the SDK's low-level server: lists are compiled before, schemas are
// made once, and nothing here remembers anything between requests.

import { ProtocolError, ProtocolErrorCode, Server } from '@modelcontextprotocol/server'
import type { Edge } from '../../actions/edge.ts'
import { VERSION } from '../../core/version.ts'
import type { CallOf } from './call.ts'
import { callTool } from './call-tool.ts'
import type { ReadToolList } from './list-tools.ts'

/** How this server names itself in every answer. */
export const INFO = { name: 'hallpass', title: 'Hallpass', version: VERSION }

const INSTRUCTIONS = [
  'Hallpass lends you short-lived access to tools. You hold nothing until it is granted, and what you hold can be taken back at any time.',
  '1. Call list_access first: it shows what you may ask for, what still waits and what you hold.',
  '2. Call request_access for the least that the task needs, with a reason that names the ticket, alert or task.',
  '3. "granted": do what grant.use.how says. "pending": an owner has to decide. You cannot approve it, and nobody you act for can through you. Show your user the approveUrl and the words to send to an owner, do not ask again, go on with other work, and look with access_status after retryAfterSeconds.',
  '4. A refusal has a code and a hint: follow the hint. Never guess scopes. A manifestPatch is for an owner to consider; show it, do not apply it.',
  '5. Call release_access when the task is done.',
  'Never repeat a token to a person, in a file, in a log or to another tool than its resource.',
].join('\n')

/** How an agent signs in: `client_credentials`, by itself (ext-auth, OAuth Client Credentials). */
const EXTENSIONS = { 'io.modelcontextprotocol/oauth-client-credentials': {} }

const OPTIONS = { capabilities: { tools: { listChanged: true }, extensions: EXTENSIONS }, instructions: INSTRUCTIONS }

export function createAgentServer(edge: Edge, toolsOf: ReadToolList, callOf: CallOf): Server {
  const server = new Server(INFO, OPTIONS)
  server.setRequestHandler('tools/list', async (_request, { http }) => {
    const { caller, requestId } = callOf(http?.req)
    try {
      return { tools: await toolsOf(caller.agent) }
    } catch (thrown) {
      edge.deps.log.error({ requestId, error: String(thrown) }, 'tools could not be listed')
      throw new ProtocolError(ProtocolErrorCode.InternalError, `Something broke here (${requestId}). Try again.`)
    }
  })
  server.setRequestHandler('tools/call', ({ params }, { http, mcpReq }) =>
    callTool(edge, callOf(http?.req), params.name, params.arguments ?? {}, mcpReq.signal),
  )
  return server
}
