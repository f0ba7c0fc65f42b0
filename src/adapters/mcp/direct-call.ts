// The one message that agents send all day, a call of a tool in its plainest form (2026-07-28), without a server of the SDK
// for each request. It accepts nothing that the SDK would not: whatever is in any way unusual is the SDK's to judge.

import { hash } from 'node:crypto'
import { type CallToolResult, classifyInboundRequest, PROTOCOL_VERSION_META_KEY } from '@modelcontextprotocol/server'
import { LRUCache } from 'lru-cache'
import { INFO } from './serve-agent.ts'
import type { Told } from './told.ts'
import { TOOL_NAMES, type ToolName } from './tool-inputs.ts'
import { capabilitiesIn, declaredWays, NO_WAYS, type Ways } from './ways-to-wait.ts'

export type DirectCall = {
  readonly id: string | number
  readonly name: ToolName
  readonly given: unknown
  /** How its client can be told to wait. */
  readonly ways: Ways
}

const VERSION = '2026-07-28'
const METHOD = 'tools/call'

/** `access_status` may wait, and then has to be told when its client leaves. */
const DIRECT: ReadonlyMap<unknown, ToolName> = new Map(
  TOOL_NAMES.filter((name) => name !== 'access_status').map((name) => [name, name]),
)
const MESSAGE_KEYS = new Set(['jsonrpc', 'id', 'method', 'params'])
const PARAMS_KEYS = new Set(['name', 'arguments', '_meta'])

/** Reads a POST's parsed body; null where it is for the SDK. */
export type ReadDirectCall = (body: unknown, headers: Pick<Headers, 'get'>) => DirectCall | null

/**
 * A client sends the same envelope (`_meta`: its version, its name, what it can do) with each call. The SDK judges it when it
 * is first seen; `max` of those that it found good are remembered by hash.
 */
export function createDirectCallReader(max = 1_000): ReadDirectCall {
  const good = new LRUCache<string, Ways>({ max })
  return (body, headers) => {
    if (!isPlain(body, MESSAGE_KEYS) || body.jsonrpc !== '2.0' || body.method !== METHOD) return null
    const { id, params } = body
    if (typeof id !== 'string' && (typeof id !== 'number' || !Number.isSafeInteger(id))) return null
    if (!isPlain(params, PARAMS_KEYS) || !isPlain(params._meta)) return null
    const name = DIRECT.get(params.name)
    if (name === undefined || (params.arguments !== undefined && !isPlain(params.arguments))) return null
    const sent = {
      protocolVersionHeader: headers.get('mcp-protocol-version') ?? '',
      mcpMethodHeader: headers.get('mcp-method') ?? '',
      mcpNameHeader: headers.get('mcp-name') ?? '',
    }
    if (sent.protocolVersionHeader !== VERSION || sent.mcpMethodHeader !== METHOD || sent.mcpNameHeader !== name)
      return null
    if (params._meta[PROTOCOL_VERSION_META_KEY] !== VERSION) return null

    const envelope = hash('sha256', JSON.stringify(params._meta), 'base64')
    let ways = good.get(envelope)
    if (ways === undefined) {
      const judged = classifyInboundRequest({ httpMethod: 'POST', body, ...sent })
      if (judged.kind !== 'modern' || judged.messageKind !== 'request') return null
      ways = { ...NO_WAYS, ...declaredWays(capabilitiesIn(params._meta)) }
      good.set(envelope, ways)
    }
    return { id, name, given: params.arguments ?? {}, ways }
  }
}

const META = { 'io.modelcontextprotocol/serverInfo': INFO }

/** The answer as the SDK writes it. */
export const answerDirectly = ({ id }: DirectCall, result: CallToolResult | Told['result']): Response =>
  new Response(JSON.stringify({ result: { resultType: 'complete', ...result, _meta: META }, jsonrpc: '2.0', id }), {
    status: 200,
    headers: { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' },
  })

/** Of `keys` alone, where they are given. */
function isPlain(value: unknown, keys?: ReadonlySet<string>): value is { readonly [key: string]: unknown } {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  return keys === undefined || Object.keys(value).every((key) => keys.has(key))
}
