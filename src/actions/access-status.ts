// How a request or a grant of the agent stands, waiting a while for its owner if asked to. Never another agent's.

import { judgeGrant } from '../core/judge.ts'
import { WAIT_SECONDS_MAX } from '../core/limits.ts'
import { keyOf } from '../core/model.ts'
import { type Problem, problem } from '../core/problem.ts'
import { err, ok, type Result } from '../core/result.ts'
import type { AgentCaller } from './authenticate-session.ts'
import { ownersOf } from './authorize.ts'
import { readApprovers } from './grants.ts'
import { loadWorld } from './load-world.ts'
import type { Deps } from './ports.ts'
import { presentGrant, statusOf } from './present.ts'
import { type AskOutcome, pendingOutcome } from './request-access.ts'

export type StatusInput = {
  readonly requestId: string | null
  readonly grantId: string | null
  readonly waitSeconds: number
}

/** Answers the shapes of request_access. Ends early when the request is settled or `signal` aborts. */
export async function accessStatus(
  deps: Deps,
  caller: AgentCaller,
  input: StatusInput,
  signal: AbortSignal,
): Promise<Result<AskOutcome, Problem>> {
  if (input.grantId !== null) return grantStatus(deps, caller, input.grantId)
  if (input.requestId === null) return err(problem('invalid_request', 'Name a requestId or a grantId.'))
  await settled(
    deps,
    caller,
    input.requestId,
    Math.min(Math.max(0, input.waitSeconds), WAIT_SECONDS_MAX) * 1000,
    signal,
  )
  const request = (await deps.store.read([keyOf('request', input.requestId)])).get('request', input.requestId)
  const now = deps.clock.now()
  if (request === undefined || request.agent !== caller.agent)
    return err(
      problem('invalid_request', 'You have no such request.', {
        hint: 'Call list_access to see yours.',
        nextTool: 'list_access',
      }),
    )
  switch (statusOf(request, now)) {
    case 'pending':
      return ok(
        pendingOutcome(
          deps,
          request,
          await ownersOf({ now, read: (keys) => deps.store.read(keys) }, 'agent', caller.agent),
          now,
        ),
      )
    case 'approved':
      return grantStatus(deps, caller, request.grant ?? '')
    case 'denied':
      return err(
        problem(
          'approval_denied',
          `An owner said no${request.decidedReason === null ? '.' : `: ${request.decidedReason}`}`,
          {
            hint: 'Do without it, or ask for less with a better reason.',
          },
        ),
      )
    case 'withdrawn':
      return err(
        problem('request_expired', 'This request was withdrawn.', {
          hint: 'Ask again if you still need it.',
          nextTool: 'request_access',
        }),
      )
    case 'expired':
      return err(
        problem('request_expired', 'Nobody decided in time, which means no.', {
          hint: 'Ask again if you still need it.',
          nextTool: 'request_access',
        }),
      )
  }
}

async function grantStatus(deps: Deps, caller: AgentCaller, id: string): Promise<Result<AskOutcome, Problem>> {
  const grant = (await deps.store.read([keyOf('grant', id)])).get('grant', id)
  if (grant === undefined || grant.agent !== caller.agent)
    return err(
      problem('invalid_request', 'You have no such grant.', {
        hint: 'Call list_access to see yours.',
        nextTool: 'list_access',
      }),
    )
  const reader = { now: deps.clock.now(), read: deps.store.read.bind(deps.store) }
  const world = await loadWorld(reader, caller.agent, grant.tool)
  const judged = judgeGrant(world, grant, await readApprovers(reader, grant.approvers))
  return judged.ok
    ? ok({ status: 'granted', grant: presentGrant(grant, world.toolValue, judged.value.endsAt, deps.settings.issuer) })
    : judged
}

/** Resolves when the request is no longer pending, at its expiry, after `waitMs`, or on abort: whichever is first. */
async function settled(
  deps: Deps,
  caller: AgentCaller,
  id: string,
  atMostMs: number,
  signal: AbortSignal,
): Promise<void> {
  if (atMostMs <= 0 || signal.aborted) return
  const read = await deps.store.read([keyOf('request', id)])
  const request = read.get('request', id)
  // Another agent's is not waited on: how long the answer takes would say that it exists.
  if (request?.agent !== caller.agent || request.state !== 'pending') return
  const waitMs = Math.min(atMostMs, Math.max(0, request.expiresAt - deps.clock.now()))
  const stop = new AbortController()
  const timer = setTimeout(() => stop.abort(), waitMs)
  const onAbort = () => stop.abort()
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    for await (const item of deps.store.changes(read.seq, stop.signal)) {
      if (item.type === 'reload') return
      if (item.type === 'change' && item.change.put.some((put) => put.kind === 'request' && put.row.id === id)) return
    }
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', onAbort)
    stop.abort()
  }
}
