// A call of a tool of some upstream MCP server, as an agent makes it: its rate, its judgement and its answer, or a refusal in
// our words. What the server said is passed on as the adapter cleaned it, and nothing of ours is put into it.

import type { CallToolResult } from '@modelcontextprotocol/server'
import type { Edge } from '../../actions/edge.ts'
import type { UpstreamCall } from '../../actions/ports.ts'
import { toolOfShown } from '../../core/manifest-mcp.ts'
import type { Problem, ProblemCode } from '../../core/problem.ts'
import { refused } from './answers.ts'
import type { Call } from './call.ts'
import { brokenWorld, plausibleTool, withChange } from './call-tool.ts'

export type CallUpstream = (
  call: Call,
  shown: string,
  given: { readonly [name: string]: unknown },
  meanwhile: Pick<UpstreamCall, 'signal' | 'onProgress' | 'ask'>,
) => Promise<CallToolResult>

/** Null: what is called so is none of an upstream server's. */
export function upstreamCaller(edge: Edge, shown: string): CallUpstream | null {
  const { upstreamTools } = edge
  return upstreamTools === undefined || toolOfShown(shown) === null
    ? null
    : (...asked) => callUpstream(edge, upstreamTools, ...asked)
}

async function callUpstream(
  edge: Edge,
  upstreamTools: NonNullable<Edge['upstreamTools']>,
  call: Call,
  shown: string,
  given: { readonly [name: string]: unknown },
  { signal, onProgress, ask }: Pick<UpstreamCall, 'signal' | 'onProgress' | 'ask'>,
): Promise<CallToolResult> {
  const { caller, requestId, cut } = call
  const about = { agent: caller.agent, ...plausibleTool(toolOfShown(shown)) }
  const refuse = async (refusal: Problem) => {
    await edge.refusals.note({ caller, requestId }, refusal, 'mcp upstream tool', about)
    return withoutStructure(refused(await withChange(call, shown, refusal, GONE_WITH_ACCESS)))
  }
  try {
    const rate = edge.limiters.call.take(caller.agent)
    if (!rate.ok) return refuse(rate.error)
    const asked = { shown, given, requestId, signal: AbortSignal.any([signal, cut]), onProgress, ask }
    const done = await upstreamTools.call(caller, asked)
    return done.ok ? (done.value as CallToolResult) : refuse(done.error)
  } catch (thrown) {
    edge.deps.log.error({ requestId, tool: about.tool, agent: caller.agent, error: String(thrown) }, 'a call failed')
    return refuse(brokenWorld(thrown, requestId))
  }
}

/** It is called for because it was listed once. */
const GONE_WITH_ACCESS: ReadonlySet<ProblemCode> = new Set([
  'unknown_tool',
  'scope_not_in_manifest',
  'details_not_allowed',
  'approval_required',
  'grant_revoked',
  'grant_expired',
  'tool_locked',
  'invalid_request',
])

/** Clients hold structured content to the outputSchema that the server gave its tool, of which our refusals know nothing. */
const withoutStructure = ({ structuredContent: _, ...refusal }: CallToolResult): CallToolResult => refusal
