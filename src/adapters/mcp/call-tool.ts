// One tool call: its rate, its input, its action, its answer. Every refusal is on the trail before it is answered (P8),
// and whatever breaks is answered with the request's id and nothing of what broke.

import { type CallToolResult, ProtocolError, ProtocolErrorCode } from '@modelcontextprotocol/server'
import type { z } from 'zod'
import { accessStatus } from '../../actions/access-status.ts'
import type { Edge, Limiters } from '../../actions/edge.ts'
import { issueCredential } from '../../actions/issue-credential.ts'
import { listAccess } from '../../actions/list-access.ts'
import { StoreInDoubt, StoreUnavailable } from '../../actions/ports.ts'
import { releaseGrant, withdrawRequest } from '../../actions/release-access.ts'
import { didYouMean } from '../../core/did-you-mean.ts'
import { TEXT } from '../../core/limits.ts'
import { type Problem, type ProblemCode, problem } from '../../core/problem.ts'
import { rfc3339 } from '../../core/record.ts'
import { err, ok, type Result } from '../../core/result.ts'
import { answered, refused } from './answers.ts'
import { askAccess } from './ask-access.ts'
import type { Call } from './call.ts'
import { Told } from './told.ts'
import { INPUTS, readInput, TOOL_NAMES, type ToolName } from './tool-inputs.ts'
import { NO_WAYS, type Ways } from './ways-to-wait.ts'

type Answer = { readonly [key: string]: unknown }

type Verb = {
  readonly limiter: keyof Limiters
  run(edge: Edge, call: Call, given: unknown, signal: AbortSignal, ways: Ways): Promise<Result<Answer | Told, Problem>>
}

const verb = <T>(
  name: ToolName,
  limiter: keyof Limiters,
  schema: z.ZodType<T>,
  act: (edge: Edge, call: Call, input: T, signal: AbortSignal, ways: Ways) => Promise<Result<Answer | Told, Problem>>,
): [ToolName, Verb] => [
  name,
  {
    limiter,
    async run(edge, call, given, signal, ways) {
      const input = readInput(name, schema, given)
      return input.ok ? act(edge, call, input.value, signal, ways) : input
    },
  },
]

const VERBS: ReadonlyMap<string, Verb> = new Map([
  verb('list_access', 'call', INPUTS.list_access, (edge, { caller }) => listAccess(edge.deps, edge.toolsetOf, caller)),

  verb('request_access', 'ask', INPUTS.request_access, async (edge, call, input, signal, ways) => {
    const asked = await askAccess(edge, call, input, ways, signal)
    return asked.ok || asked.error.code !== 'unknown_tool'
      ? asked
      : withNearestTool(edge, call.caller.agent, input.tool, asked.error)
  }),

  verb('access_status', 'call', INPUTS.access_status, (edge, { caller, cut }, input, signal) =>
    accessStatus(edge.deps, caller, { ...input, waitSeconds: input.waitSeconds ?? 0 }, AbortSignal.any([signal, cut])),
  ),

  verb('issue_token', 'mint', INPUTS.issue_token, async (edge, { caller, requestId }, { grantId }) => {
    const wanted = { grant: grantId, scopes: null, details: null, via: 'inline' } as const
    const issued = await issueCredential(edge.deps, caller, wanted, requestId)
    if (!issued.ok) return issued
    const { credential, token, use } = issued.value
    return ok({
      ...(use === null ? { tokenType: 'Bearer' } : { tokenType: 'N_A', use }),
      accessToken: token,
      expiresAt: rfc3339(credential.expiresAt),
      resource: credential.resource,
      scopes: credential.scopes,
    })
  }),

  verb('release_access', 'call', INPUTS.release_access, async (edge, { caller, requestId }, input) => {
    if (input.grantId !== null) {
      const taken = await releaseGrant(edge.deps, caller, input.grantId, requestId)
      if (!taken.ok) return taken
      return ok({ status: taken.value.state === 'complete' ? 'revoked' : 'revoking', receipt: taken.value.id })
    }
    const withdrawn = await withdrawRequest(edge.deps, caller, input.requestId ?? '', requestId)
    return withdrawn.ok ? ok({ status: 'withdrawn' }) : withdrawn
  }),
])

/**
 * @param ways how this client can be told to wait.
 * @throws ProtocolError for a tool that is not one of the five, and for a state that is none of ours: the protocol has errors
 * of its own for those.
 */
export async function callTool(
  edge: Edge,
  call: Call,
  name: string,
  given: unknown,
  signal: AbortSignal,
  ways: Ways = NO_WAYS,
): Promise<CallToolResult | Told['result']> {
  const { caller, requestId } = call
  const wanted = VERBS.get(name)
  const about = { agent: caller.agent, ...plausibleTool(toolNamedIn(given)) }
  const note = (refusal: Problem, tool: string) =>
    edge.refusals.note({ caller, requestId }, refusal, `mcp ${tool}`, about)
  if (wanted === undefined) {
    const unknown = unknownTool(name)
    await note(unknown, 'unknown tool')
    throw new ProtocolError(ProtocolErrorCode.InvalidParams, `${unknown.message} ${unknown.hint}`, {
      code: unknown.code,
      didYouMean: unknown.didYouMean,
    })
  }
  try {
    const rate = edge.limiters[wanted.limiter].take(caller.agent)
    const done = rate.ok ? await wanted.run(edge, call, given, signal, ways) : rate
    if (done.ok) return done.value instanceof Told ? done.value.result : answered(name, done.value)
    await note(done.error, name)
    return refused(await withChange(call, name, done.error))
  } catch (thrown) {
    if (thrown instanceof ProtocolError) throw thrown
    const broken = brokenWorld(thrown, requestId)
    edge.deps.log.error({ requestId, tool: name, agent: caller.agent, error: String(thrown) }, 'a tool call failed')
    await note(broken, name)
    return refused(broken)
  }
}

/** Refusals of what a client may call for because it was listed once (P3), and what they say then. */
export type Changed = { readonly codes: ReadonlySet<ProblemCode>; readonly changed: string }
const OUR_OWN: Changed = {
  codes: new Set(['unknown_tool', 'scope_not_in_manifest', 'details_not_allowed']),
  changed: 'Your access changed since you listed your tools: list them again.',
}

/** Many clients pass over what they are told of changes: then the refusal says it. */
export async function withChange(
  call: Call,
  name: string,
  refusal: Problem,
  { codes, changed }: Changed = OUR_OWN,
): Promise<Problem> {
  if (!codes.has(refusal.code) || !(await call.hasStaleTools(name))) return refusal
  return { ...refusal, hint: refusal.hint === undefined ? changed : `${changed} ${refusal.hint}` }
}

function unknownTool(name: string): Problem {
  const nearest = didYouMean(name, TOOL_NAMES)
  return problem('invalid_request', `There is no tool ${JSON.stringify(name.slice(0, TEXT.name))}.`, {
    hint: `${nearest === null ? '' : `Did you mean ${nearest}? `}There are: ${TOOL_NAMES.join(', ')}.`,
    ...(nearest === null ? {} : { didYouMean: nearest }),
  })
}

async function withNearestTool(
  edge: Edge,
  agent: string,
  tool: string,
  unknown: Problem,
): Promise<Result<never, Problem>> {
  const { access } = await edge.toolsetOf(agent)
  const nearest = didYouMean(
    tool,
    access.map((one) => one.tool),
  )
  return err(nearest === null ? unknown : { ...unknown, didYouMean: nearest })
}

/** What the trail may index: a plausible name, not whatever was sent. */
const PLAUSIBLE = /^[a-z0-9]+(-[a-z0-9]+)*$/

export const plausibleTool = (tool: unknown): { readonly tool?: string } =>
  typeof tool === 'string' && tool.length <= TEXT.name && PLAUSIBLE.test(tool) ? { tool } : {}

const toolNamedIn = (given: unknown): unknown =>
  typeof given === 'object' && given !== null && 'tool' in given ? given.tool : undefined

export const brokenWorld = (thrown: unknown, requestId: string): Problem =>
  thrown instanceof StoreUnavailable || thrown instanceof StoreInDoubt
    ? problem('audit_unavailable', 'The store cannot be used, so nothing is issued or changed.', {
        retryable: true,
        retryAfterSeconds: 5,
        hint: 'Try again in a few seconds; tell an admin if it lasts.',
        detail: thrown.message,
      })
    : problem('internal', 'Something broke here. Nothing was issued.', {
        hint: `Tell an operator: ${requestId}.`,
        detail: String(thrown),
      })
