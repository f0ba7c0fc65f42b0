// Between one client on stdio and the broker's `/mcp`: every message of either side goes to the other as it is, but for
// what a grant says about its use. Which era is spoken is the client's and the broker's affair. No token passes here
// towards the client.

import { setTimeout as sleep } from 'node:timers/promises'
import { BRIDGE } from '../../core/limits.ts'
import { objectOf, textOf } from '../show.ts'
import { Away, type BrokerChannel, type Reply } from './broker-channel.ts'
import { createCourier, Refused, type SignedIn } from './deliver.ts'
import {
  errorFor,
  isAnswer,
  isMessage,
  isNotification,
  isRequest,
  type Message,
  modernVersionOf,
  type Notification,
  type Request,
  type RequestId,
  RPC,
} from './json-rpc.ts'
import { createLegacySession, TOOLS_CHANGED } from './legacy-session.ts'
import { problemOf, refusalFor } from './refusals.ts'
import { isHandshake, ownCall, standIn } from './stand-in.ts'

export type BridgeParts = SignedIn & {
  readonly channel: BrokerChannel
  /** One message to the client; waits while the client does not read. */
  readonly write: (message: Message) => Promise<void>
  /** What a message of the broker's becomes on its way to the client. */
  readonly dress: (message: Message, request: Request | null) => Promise<Message>
  /** One line for whoever reads stderr. */
  readonly note: (line: string) => void
}

export type Bridge = {
  /** A line of the client's; null: it was too long to be read. */
  receive(line: string | null): Promise<void>
  /** A tool of the broker's, called by the bridge itself. */
  call(tool: string, args: object, signal: AbortSignal): Promise<Message | null>
  /** Aborts what is under way. The client hears nothing any more. */
  close(): Promise<void>
}

export function createBridge({ channel, session, dismiss, write, dress, note }: BridgeParts): Bridge {
  const closing = new AbortController()
  const open = new Map<RequestId, AbortController>()
  let ownCalls = 0
  let isLookingForIt = false

  const say = async (message: Message, request: Request | null = null): Promise<void> => {
    const dressed = await dress(message, request)
    if (!closing.signal.aborted) await write(dressed)
  }
  const legacy = createLegacySession(
    {
      post: (message, headers, signal) => courier.send(message, signal, headers),
      listen: (headers, signal) => courier.listen(headers, signal),
      end: (headers) =>
        session().then((token) =>
          channel.end({ ...headers, Authorization: `Bearer ${token}` }, AbortSignal.timeout(BRIDGE.goodbyeMs)),
        ),
      write: say,
    },
    closing.signal,
  )
  const courier = createCourier(channel, { session, dismiss }, () => legacy)

  /** A client of the era before listens to nothing that could tell it that the broker is back. */
  const lookForIt = async (): Promise<void> => {
    if (isLookingForIt) return
    isLookingForIt = true
    try {
      for (;;) {
        await sleep(BRIDGE.retryMsMax / 5, undefined, { signal: closing.signal })
        try {
          if (legacy.hasBegun()) await legacy.reopen()
          else await session()
          note('the broker is back')
          if (legacy.isReady() && !legacy.isHeld()) await say(TOOLS_CHANGED)
          return
        } catch (thrown) {
          if (closing.signal.aborted) return
          if (!(thrown instanceof Away)) note(`the broker: ${messageOf(thrown)}`)
        }
      }
    } catch {
      // Closing.
    } finally {
      isLookingForIt = false
    }
  }

  const serve = async (request: Request, stop: AbortController): Promise<void> => {
    const signal = AbortSignal.any([stop.signal, closing.signal])
    let answered: Reply | null = null
    const replied = (reply: Reply) => {
      answered = reply
    }
    try {
      for await (const message of courier.deliver(request, signal, replied)) {
        if (request.method === 'initialize' && isAnswer(message) && message.result !== undefined)
          legacy.began(request, textOf(objectOf(message.result).protocolVersion), answered)
        if (isAnswer(message) && message.error === undefined && WATCHING.has(request.method))
          legacy.watches(textOf(objectOf(request.params).uri), request.method === 'resources/subscribe')
        if (signal.aborted) return
        // Whoever gets the answer may use the id again at once.
        if (isAnswer(message)) open.delete(request.id)
        await say(message, request)
      }
    } catch (thrown) {
      if (signal.aborted) return
      note(`${request.method}: ${messageOf(thrown)}`)
      if (thrown instanceof Away) void lookForIt()
      if (thrown instanceof Away && isHandshake(request)) {
        const answer = standIn(request)
        if (request.method === 'initialize')
          legacy.began(request, textOf(objectOf(answer.result).protocolVersion), null)
        await say(answer)
      } else await say(refusalFor(request, thrown instanceof Refused ? thrown.problem : problemOf(thrown)))
    } finally {
      if (open.get(request.id) === stop) open.delete(request.id)
    }
  }

  const take = (request: Request): Promise<void> => {
    if (open.has(request.id)) return say(errorFor(request.id, RPC.invalid, 'This id is in use.'))
    if (open.size >= BRIDGE.inFlight)
      return say(errorFor(request.id, RPC.server, 'Too many requests are under way. Wait for some of them.'))
    const stop = new AbortController()
    open.set(request.id, stop)
    void serve(request, stop).catch((thrown: unknown) => note(messageOf(thrown)))
    return Promise.resolve()
  }

  const pass = async (message: Message): Promise<void> => {
    try {
      const reply = await courier.send(message, closing.signal)
      await reply.text()
      if (message.method === 'notifications/initialized') legacy.ready()
    } catch (thrown) {
      if (message.method === 'notifications/initialized') legacy.ready()
      if (!closing.signal.aborted) note(`${textOf(message.method) || 'an answer'} was lost: ${messageOf(thrown)}`)
    }
  }

  /** The broker takes the end of a call's connection for its cancellation, in either era. */
  const cancel = (message: Notification): void => {
    const { requestId } = objectOf(message.params)
    open.get(requestId as RequestId)?.abort()
    open.delete(requestId as RequestId)
    if (modernVersionOf(message) === null && legacy.isHeld()) void pass(message)
  }

  const receiveOne = (message: unknown): Promise<void> => {
    if (!isMessage(message)) return say(errorFor(null, RPC.invalid, 'This is no JSON-RPC 2.0 message.'))
    if (isRequest(message)) return take(message)
    if (isNotification(message)) {
      if (message.method === 'notifications/cancelled') cancel(message)
      else void pass(message)
      return Promise.resolve()
    }
    if (!isAnswer(message)) return say(errorFor(null, RPC.invalid, 'This is no JSON-RPC 2.0 message.'))
    void pass(message)
    return Promise.resolve()
  }

  return {
    async receive(line) {
      if (line === null)
        return say(errorFor(null, RPC.parse, `A message is longer than ${BRIDGE.lineBytes} bytes: it was dropped.`))
      if (line.trim() === '') return
      let said: unknown
      try {
        said = JSON.parse(line)
      } catch {
        return say(errorFor(null, RPC.parse, 'A line is not JSON: it was dropped.'))
      }
      for (const one of Array.isArray(said) ? said.slice(0, BRIDGE.inFlight) : [said]) await receiveOne(one)
    },
    async call(tool, args, signal) {
      let answer: Message | null = null
      const request = ownCall(`hallpass-${++ownCalls}`, tool, args)
      for await (const message of courier.deliver(request, signal)) if (isAnswer(message)) answer = message
      return answer
    },
    async close() {
      closing.abort()
      for (const stop of open.values()) stop.abort()
      await legacy.close().catch(() => undefined)
    },
  }
}

const WATCHING = new Set(['resources/subscribe', 'resources/unsubscribe'])

const messageOf = (thrown: unknown): string => (thrown instanceof Error ? thrown.message : 'something broke')
