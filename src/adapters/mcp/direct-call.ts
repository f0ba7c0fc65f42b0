// The two messages that agents send all day, a call of a tool and a list of tools in their plainest form (2026-07-28), without
// a server of the SDK for each request. They accept nothing that the SDK would not: whatever is in any way unusual is the SDK's
// to judge.

import { hash } from 'node:crypto'
import {
  type CallToolResult,
  classifyInboundRequest,
  PROTOCOL_VERSION_META_KEY,
  type Tool,
} from '@modelcontextprotocol/server'
import { LRUCache } from 'lru-cache'
import { CACHE_HINTS, INFO } from './serve-agent.ts'
import type { Told } from './told.ts'
import { TOOL_NAMES, type ToolName } from './tool-inputs.ts'
import { capabilitiesIn, declaredWays, NO_WAYS, type Ways } from './ways-to-wait.ts'

type Id = string | number

export type DirectCall = {
  readonly method: 'tools/call'
  readonly id: Id
  readonly name: ToolName
  readonly given: unknown
  /** How its client can be told to wait. */
  readonly ways: Ways
}
export type DirectList = { readonly method: 'tools/list'; readonly id: Id }

const VERSION = '2026-07-28'

/** `access_status` may wait, and then has to be told when its client leaves. */
const DIRECT: ReadonlyMap<unknown, ToolName> = new Map(
  TOOL_NAMES.filter((name) => name !== 'access_status').map((name) => [name, name]),
)
const MESSAGE_KEYS = new Set(['jsonrpc', 'id', 'method', 'params'])
const CALL_KEYS = new Set(['name', 'arguments', '_meta'])
/** No cursor: there is one page. */
const LIST_KEYS = new Set(['_meta'])

/** Reads a POST's parsed body; null where it is for the SDK. */
export type ReadDirect = (body: unknown, headers: Pick<Headers, 'get'>) => DirectCall | DirectList | null

/**
 * A client sends the same envelope (`_meta`: its version, its name, what it can do) with each call. The SDK judges it when it
 * is first seen; `max` of those that it found good are remembered by hash.
 */
export function createDirectReader(max = 1_000): ReadDirect {
  const good = new LRUCache<string, Ways>({ max })
  return (body, headers) => {
    if (!isPlain(body, MESSAGE_KEYS) || body.jsonrpc !== '2.0') return null
    const { id, method, params } = body
    if (typeof id !== 'string' && (typeof id !== 'number' || !Number.isSafeInteger(id))) return null
    if (!isPlain(params) || !isPlain(params._meta)) return null
    const direct = readMessage(id, method, params)
    if (direct === null) return null
    const name = direct.method === 'tools/call' ? direct.name : undefined
    if (headers.get('mcp-protocol-version') !== VERSION || headers.get('mcp-method') !== direct.method) return null
    if ((headers.get('mcp-name') ?? undefined) !== name) return null
    if (params._meta[PROTOCOL_VERSION_META_KEY] !== VERSION) return null

    const envelope = hash('sha256', JSON.stringify(params._meta), 'base64')
    let ways = good.get(envelope)
    if (ways === undefined) {
      const judged = classifyInboundRequest({
        httpMethod: 'POST',
        body,
        protocolVersionHeader: VERSION,
        mcpMethodHeader: direct.method,
        ...(name === undefined ? {} : { mcpNameHeader: name }),
      })
      if (judged.kind !== 'modern' || judged.messageKind !== 'request') return null
      ways = { ...NO_WAYS, ...declaredWays(capabilitiesIn(params._meta)) }
      good.set(envelope, ways)
    }
    return direct.method === 'tools/call' ? { ...direct, ways } : direct
  }
}

function readMessage(
  id: Id,
  method: unknown,
  params: { readonly [key: string]: unknown },
): Omit<DirectCall, 'ways'> | DirectList | null {
  if (method === 'tools/list') return isPlain(params, LIST_KEYS) ? { method, id } : null
  if (method !== 'tools/call' || !isPlain(params, CALL_KEYS)) return null
  const name = DIRECT.get(params.name)
  if (name === undefined || (params.arguments !== undefined && !isPlain(params.arguments))) return null
  return { method, id, name, given: params.arguments ?? {} }
}

const META = { 'io.modelcontextprotocol/serverInfo': INFO }
const HEADERS = { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' }

const answered = ({ id }: { readonly id: Id }, result: string): Response =>
  new Response(`{"result":${result},"jsonrpc":"2.0","id":${JSON.stringify(id)}}`, { status: 200, headers: HEADERS })

/** The answer as the SDK writes it. */
export const answerCall = (call: DirectCall, result: CallToolResult | Told['result']): Response =>
  answered(call, JSON.stringify({ resultType: 'complete', ...result, _meta: META }))

/** Lists that were written before: the same list is the same array (ReadToolList). */
const written = new WeakMap<readonly Tool[], string>()

/** The same of a list, written once for as long as it stands. */
export function answerList(list: DirectList, tools: readonly Tool[]): Response {
  const known = written.get(tools)
  const result = known ?? JSON.stringify({ tools, resultType: 'complete', ...CACHE_HINTS['tools/list'], _meta: META })
  if (known === undefined) written.set(tools, result)
  return answered(list, result)
}

/** Of `keys` alone, where they are given. */
function isPlain(value: unknown, keys?: ReadonlySet<string>): value is { readonly [key: string]: unknown } {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  return keys === undefined || Object.keys(value).every((key) => keys.has(key))
}
