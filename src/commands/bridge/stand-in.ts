// The answer to a client's first message while the broker is away: a client that got none would give this server up, and
// be gone when the broker is back. It promises only what every broker has.

import { PROTOCOL_VERSION_META_KEY, SUPPORTED_PROTOCOL_VERSIONS } from '@modelcontextprotocol/server'
import { INFO } from '../../adapters/mcp/serve-agent.ts'
import { objectOf, textOf } from '../show.ts'
import type { Message, Request } from './json-rpc.ts'

const LATEST_MODERN = '2026-07-28'
const CAPABILITIES = { tools: { listChanged: true } }
const INSTRUCTIONS =
  'Hallpass lends you short-lived access to tools. Its broker cannot be reached now: try list_access in a while, and tell your user if it lasts.'

/** Whether a client cannot go on without an answer to this. */
export const isHandshake = ({ method }: Message): boolean => method === 'initialize' || method === 'server/discover'

export function standIn({ id, method, params }: Request): Message {
  const asked = textOf(objectOf(params).protocolVersion)
  const result =
    method === 'initialize'
      ? {
          protocolVersion: SUPPORTED_PROTOCOL_VERSIONS.includes(asked) ? asked : SUPPORTED_PROTOCOL_VERSIONS[0],
          capabilities: CAPABILITIES,
          serverInfo: INFO,
          instructions: INSTRUCTIONS,
        }
      : {
          resultType: 'complete',
          supportedVersions: [LATEST_MODERN],
          capabilities: CAPABILITIES,
          instructions: INSTRUCTIONS,
          ttlMs: 0,
          cacheScope: 'private',
          _meta: { 'io.modelcontextprotocol/serverInfo': INFO },
        }
  return { jsonrpc: '2.0', id, result }
}

/** A call of the bridge's own: it speaks the modern era, which needs no handshake. */
export const ownCall = (id: string, name: string, args: object): Request => ({
  jsonrpc: '2.0',
  id,
  method: 'tools/call',
  params: {
    name,
    arguments: args,
    _meta: {
      [PROTOCOL_VERSION_META_KEY]: LATEST_MODERN,
      'io.modelcontextprotocol/clientInfo': { name: 'hallpass mcp', version: INFO.version },
      'io.modelcontextprotocol/clientCapabilities': {},
    },
  },
})
