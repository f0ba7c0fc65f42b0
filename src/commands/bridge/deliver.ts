// A client's message on its way to the broker: signed in, tried again while that surely does no harm, and what comes back.
// A stream that the client listens to outlives the broker's restarts and the session's end.

import { setTimeout as sleep } from 'node:timers/promises'
import { BRIDGE, WAIT_SECONDS_MAX } from '../../core/limits.ts'
import { type Problem, problem } from '../../core/problem.ts'
import { listOf, numberOf, objectOf } from '../show.ts'
import { Stop } from '../stop.ts'
import { Away, type BrokerChannel, type Reply } from './broker-channel.ts'
import { isAnswer, type Message, modernVersionOf, type Request, standardHeaders, toolCalledBy } from './json-rpc.ts'
import type { LegacySession } from './legacy-session.ts'
import { errorIn, problemIn } from './refusals.ts'
import { isHandshake } from './stand-in.ts'

/** The broker said no before MCP was spoken. */
export class Refused extends Error {
  override name = 'Refused'
  readonly problem: Problem
  constructor(refused: Problem) {
    super(refused.message)
    this.problem = refused
  }
}

export type SignedIn = {
  /** A session token that is good for a while. */
  session(): Promise<string>
  /** The broker did not take it. */
  dismiss(token: string): void
}

export type Courier = {
  /** One try. A session that the broker no longer knows is opened anew, once. */
  send(message: Message, signal: AbortSignal, headers?: Readonly<Record<string, string>>): Promise<Reply>
  listen(headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Reply>
  /** Everything that answers this request, its answer last. */
  deliver(request: Request, signal: AbortSignal, replied?: (reply: Reply) => void): AsyncGenerator<Message>
}

/** `legacy`: asked for when it is needed, for it speaks through here itself. */
export function createCourier(
  channel: BrokerChannel,
  { session, dismiss }: SignedIn,
  legacy: () => LegacySession,
): Courier {
  const signedIn = async (once: (authorization: { Authorization: string }) => Promise<Reply>): Promise<Reply> => {
    for (let isLast = false; ; isLast = true) {
      const token = await session().catch((thrown: unknown) => {
        // Nobody answered there, or not as a broker does: it may yet.
        throw thrown instanceof Stop && thrown.problem === null ? new Away(thrown.message, false) : thrown
      })
      const reply = await once({ Authorization: `Bearer ${token}` })
      if (reply.status !== 401) return reply
      dismiss(token)
      if (isLast) return reply
      await reply.text()
    }
  }

  const send: Courier['send'] = (message, signal, headers) => {
    const version = modernVersionOf(message)
    const about = () =>
      headers ??
      (version !== null ? standardHeaders(message, version) : message.method === 'initialize' ? {} : legacy().headers())
    return signedIn((authorization) => channel.post(message, { ...about(), ...authorization }, signal))
  }

  async function* once(
    request: Request,
    signal: AbortSignal,
    replied: (reply: Reply) => void,
  ): AsyncGenerator<Message> {
    let reply = await send(request, signal)
    const isLegacy = modernVersionOf(request) === null && request.method !== 'initialize'
    if (reply.status === 404 && isLegacy && legacy().hasBegun()) {
      await reply.text()
      await legacy().reopen()
      reply = await send(request, signal)
    }
    if (reply.status >= 300 && reply.status < 400) {
      await reply.text()
      throw new Refused(REDIRECTED)
    }
    if (reply.status >= 400) {
      const body = await reply.text()
      const error = errorIn(body, request)
      if (error === null) throw refusedOrAway(problemIn(body, reply.status))
      yield error
      return
    }
    let isAnswered = false
    for await (const message of reply.messages()) {
      if (isAnswer(message)) {
        isAnswered = true
        replied(reply)
      }
      yield message
    }
    if (!isAnswered) throw new Away('it ended without an answer', true)
  }

  async function* deliver(
    request: Request,
    signal: AbortSignal,
    replied: (reply: Reply) => void = () => undefined,
  ): AsyncGenerator<Message> {
    const startedAt = performance.now()
    const until = startedAt + patienceOf(request)
    for (let delay: number = BRIDGE.retryMs; ; delay = Math.min(delay * 2, BRIDGE.retryMsMax)) {
      try {
        yield* once(waitingLess(request, performance.now() - startedAt), signal, replied)
        return
      } catch (thrown) {
        if (!(thrown instanceof Away) || (thrown.wasSent && !isRepeatable(request))) throw thrown
        if (performance.now() + delay > until) throw thrown
        await sleep(delay, undefined, { signal })
      }
    }
  }

  return {
    send,
    listen: (headers, signal) => signedIn((authorization) => channel.listen({ ...headers, ...authorization }, signal)),
    deliver: (request, signal, replied) =>
      request.method === 'subscriptions/listen' ? listening(request, signal) : deliver(request, signal, replied),
  }

  /** The stream is opened again whatever ended it, until it is refused; then what ended it is the client's to hear. */
  async function* listening(request: Request, signal: AbortSignal): AsyncGenerator<Message> {
    let ended: Message | null = null
    let isOpenedAgain = false
    for (let delay: number = BRIDGE.retryMs; ; delay = Math.min(delay * 2, BRIDGE.retryMsMax)) {
      try {
        for await (const message of once(request, signal, () => undefined)) {
          if (isAnswer(message)) {
            if (message.error !== undefined) {
              yield ended ?? message
              return
            }
            ended = message
          } else if (message.method !== ACKNOWLEDGED) yield message
          else {
            delay = BRIDGE.retryMs
            if (isOpenedAgain) yield* missed(message)
            else yield message
            isOpenedAgain = true
          }
        }
      } catch (thrown) {
        if (!(thrown instanceof Away) && ended === null) throw thrown
        if (!(thrown instanceof Away)) {
          yield ended!
          return
        }
      }
      await sleep(delay, undefined, { signal })
    }
  }
}

const REDIRECTED = problem('invalid_request', 'The broker redirects to somewhere else, which is not followed.', {
  hint: 'Tell your user: HALLPASS_URL is not where the broker is.',
})

const ACKNOWLEDGED = 'notifications/subscriptions/acknowledged'

/** What may have happened while nobody listened: the client looks again at what it asked to hear of. */
function* missed({ params }: Message): Generator<Message> {
  const { notifications, _meta } = objectOf(params)
  const { toolsListChanged, resourcesListChanged, promptsListChanged, resourceSubscriptions } = objectOf(notifications)
  const again = (method: string, about: object = {}): Message => ({
    jsonrpc: '2.0',
    method,
    params: { ...about, _meta },
  })
  if (toolsListChanged === true) yield again('notifications/tools/list_changed')
  if (resourcesListChanged === true) yield again('notifications/resources/list_changed')
  if (promptsListChanged === true) yield again('notifications/prompts/list_changed')
  for (const uri of listOf(resourceSubscriptions)) yield again('notifications/resources/updated', { uri })
}

const refusedOrAway = (said: Problem | Away): Error => (said instanceof Away ? said : new Refused(said))

/** Hallpass's own tools answer the same to the same; an upstream's may have acted before the answer was lost. */
const REPEATABLE = new Set(['list_access', 'request_access', 'access_status', 'release_access'])

/** How long a call goes without an answer at the most: one that came to wait was going to wait anyway. */
const patienceOf = (request: Request): number =>
  isHandshake(request) ? BRIDGE.handshakeMs : Math.max(BRIDGE.patienceMs, waitSecondsOf(request) * 1000)

const waitSecondsOf = ({ params }: Request): number =>
  Math.min(numberOf(objectOf(objectOf(params).arguments).waitSeconds), WAIT_SECONDS_MAX)

/** What was waited for already is not waited for again, or the client would give up first. */
function waitingLess(request: Request, elapsedMs: number): Request {
  const waitSeconds = waitSecondsOf(request)
  if (waitSeconds <= 0 || elapsedMs < 1000 || toolCalledBy(request) !== 'access_status') return request
  const params = objectOf(request.params)
  const left = Math.max(0, Math.ceil(waitSeconds - elapsedMs / 1000))
  return { ...request, params: { ...params, arguments: { ...objectOf(params.arguments), waitSeconds: left } } }
}

function isRepeatable(request: Request): boolean {
  const tool = toolCalledBy(request)
  // A state that came back is good once.
  return tool === null || (REPEATABLE.has(tool) && objectOf(request.params).requestState === undefined)
}
