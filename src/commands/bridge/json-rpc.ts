// The messages that cross the bridge, as far as it has to tell them apart. It never judges what they mean: the client and
// the broker do.

import { PROTOCOL_VERSION_META_KEY } from '@modelcontextprotocol/server'
import { objectOf, textOf } from '../show.ts'

export type Message = { readonly [key: string]: unknown }
export type RequestId = string | number
export type Request = Message & { readonly id: RequestId; readonly method: string }
export type Notification = Message & { readonly method: string }

const isId = (id: unknown): id is RequestId => typeof id === 'string' || Number.isSafeInteger(id)

export const isMessage = (value: unknown): value is Message =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && 'jsonrpc' in value && value.jsonrpc === '2.0'

export const isRequest = (message: Message): message is Request =>
  typeof message.method === 'string' && isId(message.id)

export const isNotification = (message: Message): message is Notification =>
  typeof message.method === 'string' && message.id === undefined

/** An answer to a request; `id` is null where what it answers could not be read. */
export const isAnswer = (message: Message): boolean =>
  message.method === undefined && (message.result !== undefined || message.error !== undefined)

/** The revision that a message of 2026-07-28 and later names in its envelope; null: one of the legacy era. */
export function modernVersionOf({ params }: Message): string | null {
  const version = objectOf(objectOf(params)._meta)[PROTOCOL_VERSION_META_KEY]
  return typeof version === 'string' ? version : null
}

/** Which of the parameters `Mcp-Name` says again (2026-07-28, Streamable HTTP; tasks: SEP-2663). */
const NAMED_BY: ReadonlyMap<string, string> = new Map([
  ['tools/call', 'name'],
  ['prompts/get', 'name'],
  ['resources/read', 'uri'],
  ['tasks/get', 'taskId'],
  ['tasks/update', 'taskId'],
  ['tasks/cancel', 'taskId'],
])

/** The headers that say a modern request again, for what stands between (SEP-2243). */
export function standardHeaders(message: Message, version: string): Record<string, string> {
  const headers: Record<string, string> = { 'MCP-Protocol-Version': version }
  if (!isRequest(message)) return headers
  headers['Mcp-Method'] = message.method
  const named = NAMED_BY.get(message.method)
  const name = named === undefined ? undefined : objectOf(message.params)[named]
  if (typeof name === 'string') headers['Mcp-Name'] = headerValue(name)
  return headers
}

/** As the revision encodes what no header can hold. */
function headerValue(text: string): string {
  const isPlain = /^[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?$/.test(text) && !/^=\?base64\?.*\?=$/.test(text)
  return isPlain ? text : `=?base64?${Buffer.from(text).toString('base64')}?=`
}

/** JSON-RPC 2.0 section 5.1; the last is what an implementation says for itself. */
export const RPC = { parse: -32700, invalid: -32600, internal: -32603, server: -32000 } as const

export const errorFor = (id: RequestId | null, code: number, message: string, data?: unknown): Message => ({
  jsonrpc: '2.0',
  id,
  error: { code, message, ...(data === undefined ? {} : { data }) },
})

/** The tool that a request calls; null: it calls none. */
export const toolCalledBy = ({ method, params }: Message): string | null =>
  method === 'tools/call' ? textOf(objectOf(params).name) : null
