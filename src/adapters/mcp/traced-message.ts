// The span of one message of an agent's, in the trace that its `_meta` names (SEP-414), else in the one that the HTTP header
// named. A stream that stays open is not held in one: its span ends where it begins.

import { TRACEPARENT_META_KEY, TRACESTATE_META_KEY } from '@modelcontextprotocol/server'
import { servedSpan, withinTrace } from '../../actions/tracing.ts'
import type { Call } from './call.ts'
import { TOOL_NAMES } from './tool-inputs.ts'

/** What may stand in a span: methods are a closed list, whatever somebody sent is not. */
const METHODS = new Set([
  'initialize',
  'server/discover',
  'ping',
  'tools/list',
  'tools/call',
  'resources/list',
  'resources/read',
  'resources/templates/list',
  'prompts/list',
  'prompts/get',
  'completion/complete',
  'subscriptions/listen',
  'tasks/get',
  'tasks/update',
  'tasks/cancel',
])
const TOOLS: ReadonlySet<unknown> = new Set(TOOL_NAMES)

export function tracedMessage<T>({ caller, requestId }: Call, body: unknown, act: () => Promise<T>): Promise<T> {
  const { method, params } = fieldsOf(body)
  const { name, _meta } = fieldsOf(params)
  const meta = fieldsOf(_meta)
  const known = typeof method === 'string' && METHODS.has(method) ? method : 'other'
  const tool = known === 'tools/call' && TOOLS.has(name) ? String(name) : null
  const attributes = {
    'mcp.method.name': known,
    'hallpass.request_id': requestId,
    'hallpass.agent': caller.agent,
    ...(tool === null ? {} : { 'gen_ai.tool.name': tool }),
  }
  return withinTrace(meta[TRACEPARENT_META_KEY], meta[TRACESTATE_META_KEY], () =>
    servedSpan(tool === null ? known : `${known} ${tool}`, attributes, act),
  )
}

const fieldsOf = (value: unknown): { readonly [key: string]: unknown } =>
  typeof value === 'object' && value !== null ? (value as { readonly [key: string]: unknown }) : NOTHING
const NOTHING = {}
