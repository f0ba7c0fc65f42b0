// A request that waits, as a durable task (SEP-2663). The task is the request: its id is the request's and its status is
// read from the row, so that there is nothing else that could say otherwise. Every call is judged for the agent that makes it.

import {
  type CallToolResult,
  MissingRequiredClientCapabilityError,
  ProtocolError,
  ProtocolErrorCode,
  type Server,
  type ServerContext,
} from '@modelcontextprotocol/server'
import { z } from 'zod'
import { accessStatus } from '../../actions/access-status.ts'
import type { Edge } from '../../actions/edge.ts'
import { knownUntil, ownRequest } from '../../actions/own-request.ts'
import { statusOf } from '../../actions/present.ts'
import { withdrawRequest } from '../../actions/release-access.ts'
import { approveUrl } from '../../actions/request-access.ts'
import { TASK } from '../../core/limits.ts'
import type { AccessRequest, Instant } from '../../core/model.ts'
import { type Problem, problem } from '../../core/problem.ts'
import { rfc3339 } from '../../core/record.ts'
import { answered, refused } from './answers.ts'
import type { Call, CallOf } from './call.ts'
import { capabilitiesIn, declaredWays, TASKS } from './ways-to-wait.ts'

/** Of SEP-2663; times are ISO 8601, durations milliseconds. */
export type Task = {
  readonly taskId: string
  readonly status: 'working' | 'completed' | 'cancelled'
  readonly statusMessage?: string
  readonly createdAt: string
  readonly lastUpdatedAt: string
  /** From its creation; afterwards it is unknown. */
  readonly ttlMs: number
  readonly pollIntervalMs: number
}

/** What a server says of itself that has them. */
export const TASKS_CAPABILITY = { [TASKS]: {} }

/** Longer than an id of ours can be. */
const named = { params: z.looseObject({ taskId: z.string().max(128) }) }

/** Answers `tasks/get`, `tasks/update` and `tasks/cancel` of one request, to clients of 2026-07-28 alone. */
export function serveTasks(server: Server, edge: Edge, callOf: CallOf): void {
  server.setRequestHandler('tasks/get', named, ({ taskId }, context) =>
    judged(edge, callOf, 'tasks/get', taskId, context, detailed),
  )
  // A task never asks for anything: whatever is answered is acknowledged, as the specification has it, and ignored.
  server.setRequestHandler('tasks/update', named, ({ taskId }, context) =>
    judged(edge, callOf, 'tasks/update', taskId, context, async () => ({})),
  )
  server.setRequestHandler('tasks/cancel', named, ({ taskId }, context) =>
    judged(edge, callOf, 'tasks/cancel', taskId, context, cancelled),
  )
}

/** The task of a request that was just made; null where it can already be answered otherwise. */
export async function taskFor(edge: Edge, call: Call, requestId: string): Promise<Task | null> {
  const now = edge.deps.clock.now()
  const request = await ownRequest(edge.deps, call.caller, requestId)
  return request === null || statusOf(request, now) !== 'pending' ? null : taskOf(edge, request, now)
}

async function judged<T>(
  edge: Edge,
  callOf: CallOf,
  method: string,
  taskId: string,
  { mcpReq, http }: ServerContext,
  act: (edge: Edge, call: Call, request: AccessRequest) => Promise<T>,
): Promise<T> {
  const call = callOf(http?.req)
  const about = { agent: call.caller.agent }
  if (mcpReq.envelope === undefined) throw new ProtocolError(ProtocolErrorCode.MethodNotFound, 'Method not found')
  if (!declaredWays(capabilitiesIn(mcpReq.envelope)).tasks) {
    await edge.refusals.note(call, undeclared, `mcp ${method}`, about)
    throw new MissingRequiredClientCapabilityError(
      { requiredCapabilities: { extensions: TASKS_CAPABILITY } },
      undeclared.message,
    )
  }
  try {
    const request = await ownRequest(edge.deps, call.caller, taskId)
    if (request !== null) return await act(edge, call, request)
  } catch (thrown) {
    if (thrown instanceof ProtocolError) throw thrown
    edge.deps.log.error({ requestId: call.requestId, error: String(thrown) }, `${method} failed`)
    throw new ProtocolError(ProtocolErrorCode.InternalError, `Something broke here (${call.requestId}). Try again.`)
  }
  await edge.refusals.note(call, unknown, `mcp ${method}`, about)
  throw new ProtocolError(ProtocolErrorCode.InvalidParams, `${unknown.message} ${unknown.hint}`, { code: unknown.code })
}

const undeclared: Problem = problem('invalid_request', `This needs the capability ${TASKS}, declared on this request.`)
const unknown: Problem = problem('invalid_request', 'You have no such task.', {
  hint: 'Call list_access to see your requests and grants.',
})

async function detailed(
  edge: Edge,
  call: Call,
  request: AccessRequest,
): Promise<Task & { readonly result?: CallToolResult }> {
  const task = taskOf(edge, request, edge.deps.clock.now())
  if (task.status !== 'completed') return task
  const asks = { requestId: request.id, grantId: null, waitSeconds: 0 }
  // What was granted is judged now: an answer that rests on it may have died since.
  const outcome = await accessStatus(edge.deps, call.caller, asks, AbortSignal.abort())
  if (outcome.ok) return { ...task, result: whole(answered('access_status', outcome.value)) }
  await edge.refusals.note(call, outcome.error, 'mcp tasks/get', { agent: request.agent, tool: request.tool })
  return { ...task, result: whole(refused(outcome.error)) }
}

/** A result within a result is said to be one too: the extension's own client asks for it. */
const whole = (result: CallToolResult): CallToolResult => ({ ...result, resultType: 'complete' })

async function cancelled(edge: Edge, call: Call, request: AccessRequest): Promise<Record<string, never>> {
  if (statusOf(request, edge.deps.clock.now()) !== 'pending') return {}
  const done = await withdrawRequest(edge.deps, call.caller, request.id, call.requestId)
  // Decided meanwhile: a task that has ended is cancelled without effect.
  if (done.ok || (done.error.code === 'conflict' && done.error.retryable !== true)) return {}
  await edge.refusals.note(call, done.error, 'mcp tasks/cancel', { agent: call.caller.agent })
  throw new ProtocolError(ProtocolErrorCode.InternalError, done.error.message, { code: done.error.code })
}

function taskOf({ deps }: Edge, request: AccessRequest, now: Instant): Task {
  const status = statusOf(request, now)
  const waitedMs = now - request.createdAt
  return {
    taskId: request.id,
    ...STATUS[status](request, deps.settings.issuer),
    createdAt: rfc3339(request.createdAt),
    lastUpdatedAt: rfc3339(request.decidedAt ?? (status === 'expired' ? request.expiresAt : request.createdAt)),
    ttlMs: knownUntil(request) - request.createdAt,
    pollIntervalMs: Math.min(TASK.pollMsMax, Math.max(TASK.pollMs, Math.round(waitedMs / 10))),
  }
}

/** What another act took away is an answer like a denial; `cancelled` is what the agent itself called off. */
const STATUS: Record<
  ReturnType<typeof statusOf>,
  (request: AccessRequest, issuer: string) => Pick<Task, 'status' | 'statusMessage'>
> = {
  pending: ({ id, words }, issuer) => ({
    status: 'working',
    statusMessage: `Waits for an owner to decide at ${approveUrl(issuer, id)} (words: ${words}).`,
  }),
  approved: () => ({ status: 'completed' }),
  denied: () => ({ status: 'completed' }),
  expired: () => ({ status: 'completed' }),
  withdrawn: ({ revocation }) =>
    revocation === null ? { status: 'cancelled', statusMessage: 'Withdrawn.' } : { status: 'completed' },
}
