// A broker whose tools tickets (tina's) and metrics (mia's) have MCP servers, and what those servers said, without any server.

import { keepDefinitions } from '../../src/actions/look-at-definitions.ts'
import type { ToolMcp } from '../../src/core/manifest.ts'
import { type ApiServer, apiServer } from './api-server.ts'
import { agent, entry, setOf, tool } from './manifest-set.ts'

export const MCP: ToolMcp = {
  url: 'https://tickets.example.com/mcp',
  command: null,
  secret: null,
  header: 'Authorization',
  prefix: 'Bearer ',
  tools: { comment: { scope: 'comment', details: {} }, close: { scope: 'close', details: {} } },
}

export const SET = setOf(
  agent('bot', { owners: ['alice@example.com'], access: [entry('tickets', ['read', 'comment'])] }),
  tool('tickets', { details: {}, mcp: MCP }),
  tool('metrics', {
    owners: ['mia@example.com'],
    category: 'observability',
    mcp: { ...MCP, url: 'https://m.example.com' },
  }),
)

export const serverWithDefinitions = (): Promise<ApiServer> => apiServer({}, {}, { set: SET })

export const said = (description: string, more: Record<string, unknown> = {}) => ({
  description,
  inputSchema: { type: 'object', properties: { body: { type: 'string' } } },
  ...more,
})

/** The server of tickets describes its tools so. */
export const offer = ({ harness }: Pick<ApiServer, 'harness'>, tools: Record<string, unknown>): Promise<boolean> =>
  keepDefinitions(harness.deps, 'tickets', MCP, new Map(Object.entries(tools)), 'rid_look')
