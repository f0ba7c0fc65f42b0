// `request_access`, told in the way that this client waits best: as a task, by a link that it shows, else as pending. The
// store alone says what became of a request: no answer of a client's approves anything (P4).

import { inputRequired, inputResponse, ProtocolError, ProtocolErrorCode } from '@modelcontextprotocol/server'
import { accessStatus } from '../../actions/access-status.ts'
import type { Edge } from '../../actions/edge.ts'
import { type AskInput, type AskOutcome, askFor } from '../../actions/request-access.ts'
import { newShowing, noteAnswer, takeAnswer } from '../../actions/show-link.ts'
import { waitFor } from '../../actions/wait-for.ts'
import { WAIT_SECONDS_MAX } from '../../core/limits.ts'
import type { LinkAnswer } from '../../core/link-answer.ts'
import type { Problem } from '../../core/problem.ts'
import { ok, type Result } from '../../core/result.ts'
import { taskFor } from './access-tasks.ts'
import type { Call } from './call.ts'
import { Told } from './told.ts'
import type { Link, Ways } from './ways-to-wait.ts'

type Pending = Extract<AskOutcome, { status: 'pending' }>

/** @throws ProtocolError for a state that is not one of this call's. */
export async function askAccess(
  edge: Edge,
  call: Call,
  input: AskInput,
  ways: Ways,
  signal: AbortSignal,
): Promise<Result<AskOutcome | Told, Problem>> {
  const { deps } = edge
  if (ways.back !== null) {
    const outcome = await cameBack(edge, call, input, ways.back)
    return outcome.ok ? ok(await asTask(edge, call, outcome.value, ways)) : outcome
  }
  const show = ways.link
  const showing = ways.tasks || show === null ? undefined : newShowing(deps, input)
  const asked = await askFor(deps, call.caller, input, call.requestId, showing?.kept)
  if (!asked.ok) return asked
  const { outcome, isNew } = asked.value
  // Only the call that made the request shows its link, so that no person is shown it twice.
  if (outcome.status !== 'pending' || showing === undefined || show === null || !isNew)
    return ok(await asTask(edge, call, outcome, ways))
  if (show === 'later')
    return ok(
      new Told({
        ...inputRequired({
          inputRequests: { [KEY]: inputRequired.elicitUrl(linkOf(call, outcome)) },
          requestState: showing.stateOf(outcome.request.id),
        }),
      }),
    )
  return shownWithin(edge, call, outcome, show, signal)
}

/** What the link's answer is called in a result that a client comes back from. */
const KEY = 'owner'

const linkOf = ({ caller }: Call, { request, approveUrl }: Pending): Link => ({
  message:
    `${caller.agent} asks for ${request.scopes.join(', ')} on ${request.tool}. Only an owner can decide, signed in at this ` +
    `page; going there approves nothing. Its words: ${request.words}.`,
  url: approveUrl,
})

async function asTask(edge: Edge, call: Call, outcome: AskOutcome, ways: Ways): Promise<AskOutcome | Told> {
  if (outcome.status !== 'pending' || !ways.tasks) return outcome
  const task = await taskFor(edge, call, outcome.request.id)
  return task === null ? outcome : new Told({ resultType: 'task', ...task })
}

async function cameBack(
  edge: Edge,
  { caller, requestId }: Call,
  input: AskInput,
  { state, responses }: NonNullable<Ways['back']>,
): Promise<Result<AskOutcome, Problem>> {
  const context = { caller, requestId }
  const taken = await takeAnswer(edge.deps, context, { input, state, answer: answerIn(responses) })
  if (taken.ok) return statusNow(edge, caller, taken.value)
  if (taken.error.code !== 'invalid_request') return taken
  await edge.refusals.note(context, taken.error, 'mcp request_access', { agent: caller.agent })
  throw new ProtocolError(ProtocolErrorCode.InvalidParams, 'Invalid or expired requestState', {
    reason: 'invalid_request_state',
    hint: taken.error.hint,
  })
}

function answerIn(responses: unknown): LinkAnswer {
  const view = typeof responses === 'object' && responses !== null ? inputResponse({ ...responses }, KEY) : null
  return view?.kind === 'elicit' ? view.action : 'none'
}

const statusNow = (edge: Edge, caller: Call['caller'], id: string): Promise<Result<AskOutcome, Problem>> =>
  accessStatus(edge.deps, caller, { requestId: id, grantId: null, waitSeconds: 0 }, AbortSignal.abort())

/** Holds the call until the client has answered or the owner has decided; shorter than clients wait for a call. */
async function shownWithin(
  edge: Edge,
  call: Call,
  pending: Pending,
  show: (link: Link, until: AbortSignal) => Promise<LinkAnswer>,
  signal: AbortSignal,
): Promise<Result<AskOutcome, Problem>> {
  const { deps } = edge
  const { id } = pending.request
  const stop = new AbortController()
  const until = AbortSignal.any([signal, call.cut, stop.signal])
  const decided = waitFor(
    deps,
    { kind: 'request', id, done: ({ state }) => state !== 'pending' },
    WAIT_SECONDS_MAX * 1000,
    until,
  )
  const answer = await Promise.race([
    show(linkOf(call, pending), until).catch((): LinkAnswer => 'none'),
    decided.then((): LinkAnswer => 'none'),
  ])
  stop.abort()
  await decided
  const noted = await noteAnswer(deps, call, id, answer)
  return noted.ok ? statusNow(edge, call.caller, id) : noted
}
