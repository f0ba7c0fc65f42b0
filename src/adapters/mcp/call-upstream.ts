// A call of a tool of some upstream MCP server, as an agent makes it: its rate, its judgement and its answer, or a refusal in
// our words. What the server said is passed on as the adapter cleaned it, and nothing of ours is put into it.

import {
  type CallToolResult,
  type ElicitRequestFormParams,
  inputRequired,
  inputResponse,
  ProtocolError,
  ProtocolErrorCode,
} from '@modelcontextprotocol/server'
import type { Edge } from '../../actions/edge.ts'
import type { McpAnswer } from '../../actions/ports.ts'
import { toolOfShown } from '../../core/manifest-mcp.ts'
import type { Question } from '../../core/mcp-question.ts'
import { type Problem, problem } from '../../core/problem.ts'
import { refused } from './answers.ts'
import { createAskedCalls } from './asked-calls.ts'
import type { Call } from './call.ts'
import { brokenWorld, type Changed, plausibleTool, withChange } from './call-tool.ts'
import type { Meanwhile } from './meanwhile.ts'
import { type RunningCall, runCall } from './running-call.ts'
import type { Told } from './told.ts'

export type UpstreamCaller = {
  /** Whether what is called so could be a tool of an upstream server's. */
  serves(shown: string): boolean
  /** @throws ProtocolError for a state that is not one of this call's. */
  call(call: Call, shown: string, given: Given, meanwhile: Meanwhile): Promise<CallToolResult | Told['result']>
  close(): void
}

type Given = { readonly [name: string]: unknown }

/** What the server's question is called in a result that a client comes back from. */
const KEY = 'asked'

export function createUpstreamCaller(edge: Edge): UpstreamCaller {
  const { upstreamTools, deps, limiters } = edge
  const asked = createAskedCalls(deps.ids)

  const serve = async (
    call: Call,
    shown: string,
    given: Given,
    meanwhile: Meanwhile,
    running: RunningCall,
    refuse: (refusal: Problem) => Promise<CallToolResult>,
  ): Promise<CallToolResult | Told['result']> => {
    for (;;) {
      const next = await running.next(call, meanwhile)
      if ('over' in next) return next.over.ok ? (next.over.value as CallToolResult) : refuse(next.over.error)
      const requestState = asked.keep({ call, shown, given }, { running, put: next.asked })
      if (requestState !== null)
        return inputRequired({ inputRequests: { [KEY]: inputRequestOf(next.asked.question) }, requestState })
      next.asked.answer({ action: 'cancel' })
    }
  }

  return {
    serves: (shown) => upstreamTools !== undefined && toolOfShown(shown) !== null,
    async call(call, shown, given, meanwhile) {
      const { caller, requestId } = call
      const about = { agent: caller.agent, ...plausibleTool(toolOfShown(shown)) }
      const note = (refusal: Problem) => edge.refusals.note({ caller, requestId }, refusal, 'mcp upstream tool', about)
      const refuse = async (refusal: Problem) => {
        await note(refusal)
        return withoutStructure(refused(await withChange(call, shown, refusal, GONE_WITH_ACCESS)))
      }
      try {
        const rate = limiters.call.take(caller.agent)
        if (!rate.ok) return await refuse(rate.error)
        const { back } = meanwhile
        if (back === null) {
          const running = runCall(upstreamTools!, deps.settings.issuer, call, shown, given, meanwhile)
          return await serve(call, shown, given, meanwhile, running, refuse)
        }
        const taken = asked.take({ call, shown, given }, back.state)
        if (taken === null) {
          await note(notAState)
          throw new ProtocolError(ProtocolErrorCode.InvalidParams, 'Invalid or expired requestState', {
            reason: 'invalid_request_state',
            hint: notAState.hint,
          })
        }
        taken.put.answer(answerIn(back.responses))
        return await serve(call, shown, given, meanwhile, taken.running, refuse)
      } catch (thrown) {
        if (thrown instanceof ProtocolError) throw thrown
        deps.log.error({ requestId, tool: about.tool, agent: caller.agent, error: String(thrown) }, 'a call failed')
        return refuse(brokenWorld(thrown, requestId))
      }
    },
    close: () => asked.close(),
  }
}

const inputRequestOf = (question: Question) =>
  question.mode === 'url'
    ? inputRequired.elicitUrl({ message: question.message, url: question.url })
    : inputRequired.elicit(question as ElicitRequestFormParams)

function answerIn(responses: unknown): McpAnswer {
  const view = typeof responses === 'object' && responses !== null ? inputResponse({ ...responses }, KEY) : null
  if (view?.kind !== 'elicit') return { action: 'cancel' }
  return { action: view.action, ...(view.content === undefined ? {} : { content: view.content }) }
}

const notAState: Problem = problem(
  'invalid_request',
  'This requestState is not one of yours for this call, or was used, or is too old.',
  {
    hint: 'The call that it belonged to is over, and whether the tool did anything is not known. Look first; then call again without it.',
  },
)

/** A name that is made up, and one that was listed once, look alike. */
const GONE_WITH_ACCESS: Changed = {
  codes: new Set([
    'unknown_tool',
    'scope_not_in_manifest',
    'details_not_allowed',
    'approval_required',
    'grant_revoked',
    'grant_expired',
    'tool_locked',
    'invalid_request',
  ]),
  changed: 'Your list of tools is out of date: list them again.',
}

/** Clients hold structured content to the outputSchema that the server gave its tool, of which our refusals know nothing. */
const withoutStructure = ({ structuredContent: _, ...refusal }: CallToolResult): CallToolResult => refusal
