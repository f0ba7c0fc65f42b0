// The link of a request, shown once at the agent's client. What comes back is bound to the agent and to what it asked, is
// used once (S18), and approves nothing: only the store says what became of the request (P4).

import { hash, timingSafeEqual } from 'node:crypto'
import { CLOCK_SKEW_SECONDS } from '../core/limits.ts'
import type { LinkAnswer } from '../core/link-answer.ts'
import type { AccessRequest } from '../core/model.ts'
import { type Problem, problem } from '../core/problem.ts'
import { err, ok, type Result } from '../core/result.ts'
import type { AgentCaller } from './authenticate-session.ts'
import { knownUntil } from './own-request.ts'
import type { Context, Deps } from './ports.ts'
import type { AskInput } from './request-access.ts'
import { recordOf, transact } from './transact.ts'

/** The id of the request, and 32 random bytes that are kept as their hash alone. */
const STATE = /^(req_[0-9a-f]{32})\.[A-Za-z0-9_-]{43}$/

export type Showing = {
  readonly kept: NonNullable<AccessRequest['showing']>
  /** What has to come back with the answer, once the request has its id. */
  stateOf(requestId: string): string
}

/** To be kept with a request of exactly this input, in the commit that makes it. */
export function newShowing(deps: Pick<Deps, 'ids'>, input: AskInput): Showing {
  const secret = Buffer.from(deps.ids.random(32)).toString('base64url')
  return { kept: { state: hash('sha256', secret), ask: askHash(input) }, stateOf: (id) => `${id}.${secret}` }
}

/**
 * The id of the request that `state` was made for. Forged, foreign, used, too old, or come back with another input: one
 * and the same refusal, `invalid_request`.
 */
export async function takeAnswer(
  deps: Pick<Deps, 'store' | 'clock' | 'ids'>,
  context: Context & { readonly caller: AgentCaller },
  given: { readonly input: AskInput; readonly state: string; readonly answer: LinkAnswer },
): Promise<Result<string, Problem>> {
  const id = STATE.exec(given.state)?.[1]
  if (id === undefined) return err(notAState('not of the form of one'))
  const secret = given.state.slice(id.length + 1)
  const done = await transact<AccessRequest>(deps, 'normal', async (look) => {
    const request = await look.row('request', id)
    const showing = request?.showing
    if (request === undefined || showing === undefined || request.agent !== context.caller.agent)
      return err(notAState('made for nobody, or for another agent'))
    if (!isSame(showing.state, hash('sha256', secret))) return err(notAState('forged'))
    if (!isSame(showing.ask, askHash(given.input))) return err(notAState('made for another input'))
    const until = knownUntil(request)
    if (look.now >= until) return err(notAState('too old'))
    return ok({
      value: request,
      once: [{ space: 'request-state', value: showing.state, until: until + CLOCK_SKEW_SECONDS * 1000 }],
      records: [shown(context, look.now, request, given.answer)],
    })
  })
  if (done.ok) return ok(done.value.value.id)
  return err(done.error.code === 'conflict' && done.error.retryable !== true ? notAState('used before') : done.error)
}

/** For a client that was asked within the call itself, and answered there. */
export async function noteAnswer(
  deps: Pick<Deps, 'store' | 'clock' | 'ids'>,
  context: Context,
  id: string,
  answer: LinkAnswer,
): Promise<Result<void, Problem>> {
  const done = await transact(deps, 'normal', async (look) => {
    const request = await look.row('request', id)
    return ok({ value: null, records: request === undefined ? [] : [shown(context, look.now, request, answer)] })
  })
  return done.ok ? ok(undefined) : done
}

const shown = (context: Context, at: number, request: AccessRequest, answer: LinkAnswer) =>
  recordOf(
    context,
    at,
    'request.shown',
    { agent: request.agent, tool: request.tool, session: request.session, request: request.id },
    { answer },
  )

const notAState = (detail: string): Problem =>
  problem('invalid_request', 'This requestState is not one of yours for this call, or was used, or is too old.', {
    hint: 'Call request_access again without it: that answers how your request stands.',
    nextTool: 'request_access',
    detail: `requestState ${detail}`,
  })

/** Hex SHA-256 of the whole input; the edge has sorted the values, and this sorts the keys. */
const askHash = ({ tool, scopes, reason, durationSeconds, details }: AskInput): string =>
  hash(
    'sha256',
    JSON.stringify([
      tool,
      scopes,
      reason,
      durationSeconds,
      Object.entries(details).sort(([a], [b]) => (a < b ? -1 : 1)),
    ]),
  )

const isSame = (a: string, b: string): boolean =>
  a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b))
