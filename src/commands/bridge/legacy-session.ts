// The era before 2026-07-28 speaks within a session that the client's `initialize` opened. A broker that was restarted has
// lost it: it is opened again here with the same words, and the client, which knows nothing of it, is told to list again.

import { setTimeout as sleep } from 'node:timers/promises'
import { BRIDGE, MCP_SUBSCRIPTIONS_PER_SESSION } from '../../core/limits.ts'
import { objectOf, textOf } from '../show.ts'
import type { Reply } from './broker-channel.ts'
import { isAnswer, type Message, type Request } from './json-rpc.ts'

export type LegacySession = {
  /** Of every message that belongs to it. */
  headers(): Record<string, string>
  /** The broker holds something for this client that a restart loses. */
  readonly isHeld: () => boolean
  /** The client's own `initialize`, and whatever came back for it. */
  began(initialize: Request, version: string, reply: Pick<Reply, 'header'> | null): void
  readonly hasBegun: () => boolean
  /** The client said that it is ready: from now on it may be spoken to. */
  ready(): void
  readonly isReady: () => boolean
  /** The client has, or has no longer, the broker's promise to tell it of this resource. */
  watches(uri: string, isOn: boolean): void
  /** Opens it again; one at a time. */
  reopen(): Promise<void>
  close(): Promise<void>
}

type Send = (message: Message, headers: Readonly<Record<string, string>>, signal: AbortSignal) => Promise<Reply>

export type LegacyParts = {
  readonly post: Send
  readonly listen: (headers: Readonly<Record<string, string>>, signal: AbortSignal) => Promise<Reply>
  readonly end: (headers: Readonly<Record<string, string>>) => Promise<void>
  readonly write: (message: Message) => Promise<void>
}

const READY = { jsonrpc: '2.0', method: 'notifications/initialized' }
const RESOURCES_CHANGED = { jsonrpc: '2.0', method: 'notifications/resources/list_changed' }
export const TOOLS_CHANGED = { jsonrpc: '2.0', method: 'notifications/tools/list_changed' }

/** @param closing ends the stream that it listens to. */
export function createLegacySession({ post, listen, end, write }: LegacyParts, closing: AbortSignal): LegacySession {
  let begun: Request | null = null
  let version = ''
  let sessionId: string | null = null
  let isReady = false
  let reopening: Promise<void> | null = null
  let isListening = false
  const watched = new Set<string>()

  const headers = (): Record<string, string> => ({
    ...(version === '' ? {} : { 'MCP-Protocol-Version': version }),
    ...(sessionId === null ? {} : { 'Mcp-Session-Id': sessionId }),
  })

  const openAgain = async () => {
    if (begun === null) return
    sessionId = null
    const reply = await post({ ...begun, id: 'hallpass-reopens' }, {}, closing)
    for await (const message of reply.messages())
      if (isAnswer(message)) version = textOf(objectOf(message.result).protocolVersion) || version
    sessionId = reply.header('mcp-session-id')
    if (!isReady) return
    await (await post(READY, headers(), closing)).text()
    for (const uri of watched) {
      const again = { jsonrpc: '2.0', id: `hallpass-watches-${uri}`, method: 'resources/subscribe', params: { uri } }
      await (await post(again, headers(), closing)).text()
    }
    // What happened meanwhile nobody told it: it looks again at everything.
    await write(TOOLS_CHANGED)
    await write(RESOURCES_CHANGED)
    for (const uri of watched)
      await write({ jsonrpc: '2.0', method: 'notifications/resources/updated', params: { uri } })
    void keepListening()
  }

  /** What the broker says by itself, for as long as it has a session to say it in. */
  const keepListening = async () => {
    if (isListening || sessionId === null) return
    isListening = true
    try {
      for (let delay: number = BRIDGE.retryMs; !closing.aborted && sessionId !== null; ) {
        try {
          const reply = await listen(headers(), closing)
          if (reply.status === 404) {
            isListening = false
            await session.reopen()
            return
          }
          if (reply.status === 405 || reply.status === 501) return
          if (reply.status === 200) delay = BRIDGE.retryMs
          for await (const message of reply.messages()) await write(message)
        } catch {
          // Away: it is tried again, and calls say so to the client meanwhile.
        }
        await sleep(delay, undefined, { signal: closing })
        delay = Math.min(delay * 2, BRIDGE.retryMsMax)
      }
    } catch {
      // Closing.
    } finally {
      isListening = false
    }
  }

  const session: LegacySession = {
    headers,
    isHeld: () => sessionId !== null,
    began(initialize, agreed, reply) {
      begun = initialize
      version = agreed
      sessionId = reply?.header('mcp-session-id') ?? null
    },
    hasBegun: () => begun !== null,
    ready() {
      isReady = true
      void keepListening()
    },
    isReady: () => isReady,
    watches(uri, isOn) {
      if (isOn && watched.size < MCP_SUBSCRIPTIONS_PER_SESSION) watched.add(uri)
      if (!isOn) watched.delete(uri)
    },
    reopen() {
      reopening ??= openAgain().finally(() => {
        reopening = null
      })
      return reopening
    },
    async close() {
      if (sessionId !== null) await end(headers())
    },
  }
  return session
}
