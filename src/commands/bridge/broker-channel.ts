// One message to the broker and what comes back (MCP, Streamable HTTP). Nothing is sent twice from here, no redirect is
// followed, and no connection is used again: whether a call was sent is then never in doubt.

import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { Readable } from 'node:stream'
import { BRIDGE } from '../../core/limits.ts'
import { readEvents } from '../../guard/event-stream.ts'
import { isMessage, type Message } from './json-rpc.ts'

/** The broker is away, or left in the middle. */
export class Away extends Error {
  override name = 'Away'
  /** Whether the call may have reached it. */
  readonly wasSent: boolean
  constructor(why: string, wasSent: boolean) {
    super(why)
    this.wasSent = wasSent
  }
}

export type Reply = {
  readonly status: number
  readonly header: (name: string) => string | null
  /** What it said, in order; throws {@link Away} where it breaks off. */
  messages(): AsyncGenerator<Message>
  /** The body of a refusal, as it came. */
  text(): Promise<string>
}

export type BrokerChannel = {
  post(message: Message, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Reply>
  /** The stream of what the broker has to say by itself (2025-11-25 and before). */
  listen(headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Reply>
  /** Ends a session of 2025-11-25 and before. */
  end(headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<void>
}

/** Failures before a byte of the call was sent. */
const NEVER_SENT = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'ENETDOWN'])

/** @param url of the broker's `/mcp`. */
export function createBrokerChannel(url: URL): BrokerChannel {
  const open = url.protocol === 'https:' ? httpsRequest : httpRequest
  const send = (method: string, body: string | null, headers: Readonly<Record<string, string>>, signal: AbortSignal) =>
    new Promise<Reply>((resolve, reject) => {
      const options: RequestOptions = {
        method,
        agent: false,
        signal,
        timeout: BRIDGE.idleMs,
        headers: {
          Accept: 'application/json, text/event-stream',
          ...(body === null ? {} : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) }),
          ...headers,
        },
      }
      const asking = open(url, options, (answer) => resolve(replyOf(answer)))
      asking.once('timeout', () => asking.destroy(new Error('it did not answer in time')))
      asking.once('error', (error) => reject(signal.aborted ? signal.reason : awayFor(error)))
      asking.end(body ?? undefined)
    })
  return {
    post: (message, headers, signal) => send('POST', JSON.stringify(message), headers, signal),
    listen: (headers, signal) => send('GET', null, headers, signal),
    async end(headers, signal) {
      await (await send('DELETE', null, headers, signal)).text()
    },
  }
}

function awayFor(error: Error): Away {
  const code = 'code' in error ? String(error.code) : null
  return new Away(code ?? error.message, code === null || !NEVER_SENT.has(code))
}

function replyOf(answer: IncomingMessage): Reply {
  const header = (name: string) => {
    const value = answer.headers[name]
    return typeof value === 'string' ? value : null
  }
  const type = header('content-type')?.split(';', 1)[0]?.trim().toLowerCase()
  return {
    status: answer.statusCode ?? 0,
    header,
    text: () => textOf(answer).catch(brokeOff),
    async *messages() {
      try {
        if (type === 'text/event-stream') yield* fromEvents(answer)
        else yield* messagesIn(await textOf(answer))
      } catch (thrown) {
        brokeOff(thrown)
      } finally {
        answer.destroy()
      }
    },
  }
}

function brokeOff(thrown: unknown): never {
  if (thrown instanceof Away || (thrown instanceof Error && thrown.name === 'AbortError')) throw thrown
  throw new Away(thrown instanceof Error ? thrown.message : 'it broke off', true)
}

async function* fromEvents(answer: IncomingMessage): AsyncGenerator<Message> {
  for await (const { event, data } of readEvents(
    Readable.toWeb(answer) as ReadableStream<Uint8Array>,
    BRIDGE.answerBytes,
  ))
    if (event === '' || event === 'message') yield* messagesIn(data)
}

/** Whatever else stands there is nothing for a client. */
function* messagesIn(text: string): Generator<Message> {
  if (text.trim() === '') return
  let said: unknown
  try {
    said = JSON.parse(text)
  } catch {
    throw new Away('what listens there does not speak MCP', true)
  }
  for (const one of Array.isArray(said) ? said : [said]) if (isMessage(one)) yield one
}

async function textOf(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of answer) {
    const bytes = Buffer.from(chunk)
    length += bytes.length
    if (length > BRIDGE.answerBytes) throw new Away('its answer is too large', true)
    chunks.push(bytes)
  }
  return Buffer.concat(chunks).toString('utf8')
}
