// What agents send all day over MCP, against the SDK's own server doing nothing: lists, calls and durable audited mints.

import type { BenchAgent, BenchBroker } from '../broker.ts'
import { httpRequest } from '../load.ts'
import { startRival, withRivals } from '../processes.ts'
import { type Compared, compare, type Pace } from '../rounds.ts'

const VERSION = '2026-07-28'
const META = {
  'io.modelcontextprotocol/protocolVersion': VERSION,
  'io.modelcontextprotocol/clientInfo': { name: 'bench', version: '1.0.0' },
  'io.modelcontextprotocol/clientCapabilities': {},
}

/** One POST, as a client of 2026-07-28 sends it. */
const posted = (session: string, method: string, params: { readonly name?: string; readonly [key: string]: unknown }) =>
  httpRequest(
    'POST',
    '/mcp',
    {
      authorization: `Bearer ${session}`,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-protocol-version': VERSION,
      'mcp-method': method,
      ...(params.name === undefined ? {} : { 'mcp-name': params.name }),
    },
    JSON.stringify({ jsonrpc: '2.0', id: 1, method, params: { ...params, _meta: META } }),
  )

const row =
  (name: string, marker: string, requestOf: (agent: BenchAgent) => Buffer) =>
  (broker: BenchBroker, pace: Pace): Promise<readonly Compared[]> => {
    const requests = broker.agents.map(requestOf)
    return withRivals(
      { hoisted: startRival('mcp.ts', 'hoisted'), documented: startRival('mcp.ts', 'documented') },
      (of) =>
        compare(
          [
            { name, server: broker.server, aim: { port: broker.port, requests, marker } },
            { name: 'SDK no-op, hoisted', server: of.hoisted, aim: { port: of.hoisted.port, requests, marker } },
            {
              name: 'SDK no-op, as documented',
              server: of.documented,
              aim: { port: of.documented.port, requests, marker },
            },
          ],
          pace,
        ),
    )
  }

export const listOverMcp = row('list over MCP', '"release_access"', ({ session }) => posted(session, 'tools/list', {}))

export const callOverMcp = row('call over MCP', '"maxDurationSeconds"', ({ session }) =>
  posted(session, 'tools/call', { name: 'list_access', arguments: {} }),
)

export const mintOverMcp = row('mint over MCP', '"accessToken"', ({ session, grants }) =>
  posted(session, 'tools/call', { name: 'issue_token', arguments: { grantId: grants.asks } }),
)
