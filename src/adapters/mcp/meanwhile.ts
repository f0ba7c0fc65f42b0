// What passes between a tool's server and an agent's client while a call is under way, by what this client asked for and
// declared on this very request.

import { randomUUID } from 'node:crypto'
import type { ElicitRequestFormParams, Server, ServerContext } from '@modelcontextprotocol/server'
import type { McpAnswer, McpAsk, McpProgress } from '../../actions/ports.ts'
import { UPSTREAM_MCP } from '../../core/limits.ts'
import type { Question } from '../../core/mcp-question.ts'
import { elicitationOf, stateIn, type Ways } from './ways-to-wait.ts'

export type Meanwhile = {
  /** Its client gave the call up. */
  readonly signal: AbortSignal
  onProgress(progress: McpProgress): void
  /** What its client can be asked. */
  readonly modes: readonly McpAsk['mode'][]
  /** Asks within the call, while it is held open (2025-11-25). Null: in a result that its client comes back from (2026-07-28). */
  readonly askNow: ((question: Question, signal: AbortSignal) => Promise<McpAnswer>) | null
  readonly back: Ways['back']
}

/** Of one call that is served by the SDK, whichever the era. */
export function meanwhileOf(server: Server, context: ServerContext): Meanwhile {
  const { mcpReq } = context
  const progressToken = mcpReq._meta?.progressToken
  const elicitation = elicitationOf(server, context)
  return {
    signal: mcpReq.signal,
    onProgress(progress) {
      if (progressToken === undefined) return
      const params = { progressToken, ...progress }
      // Its client may have left.
      void mcpReq.notify({ method: 'notifications/progress', params }).catch(() => undefined)
    },
    modes: modesOf(elicitation),
    askNow: mcpReq.envelope === undefined ? askWithin(context) : null,
    back: stateIn(context),
  }
}

/** `{}` means forms alone. */
function modesOf(elicitation: ReturnType<typeof elicitationOf>): McpAsk['mode'][] {
  if (elicitation === null) return []
  const isBare = !('form' in elicitation) && !('url' in elicitation)
  return [
    ...(isBare || 'form' in elicitation ? (['form'] as const) : []),
    ...('url' in elicitation ? (['url'] as const) : []),
  ]
}

const askWithin =
  ({ mcpReq }: ServerContext): NonNullable<Meanwhile['askNow']> =>
  async (question, signal) => {
    const asked =
      question.mode === 'url' ? { ...question, elicitationId: randomUUID() } : (question as ElicitRequestFormParams)
    const { action, content } = await mcpReq.elicitInput(asked, {
      signal,
      timeout: UPSTREAM_MCP.askMs,
      relatedRequestId: mcpReq.id,
    })
    return { action, ...(content === undefined ? {} : { content }) }
  }
