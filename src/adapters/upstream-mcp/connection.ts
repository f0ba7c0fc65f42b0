// One MCP connection to a tool's own server, of either era. It declares what the agent's client can do and no more, offers
// the server nothing of ours (no sampling, no roots), and is used by one call at a time where it is HTTP.

import { Client, type PriorDiscovery, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { type McpAnswer, type McpAsk, UpstreamFailure } from '../../actions/ports.ts'
import type { Presented } from '../../actions/proxy-secret.ts'
import { UPSTREAM_MCP } from '../../core/limits.ts'
import { VERSION } from '../../core/version.ts'
import type { ChildTransport } from './child.ts'
import { guardedFetch } from './guarded-fetch.ts'
import { createMask, type Mask } from './without-secrets.ts'

export type Asking = (ask: McpAsk) => Promise<McpAnswer>

export type Connection = {
  readonly client: Client
  /** Who may be asked meanwhile; null: nobody. */
  asks: Asking | null
  /** Whether somebody waits for an answer on it: where none can come any more, it breaks. */
  awaited: boolean
  /** Of every secret that went out on it. */
  readonly mask: Mask
  readonly isOver: () => boolean
  /** Why it is over, where an answer broke off. */
  readonly broke: () => UpstreamFailure | null
  /** Whatever is under way, at once: before the server is told, who may take its time. */
  cutOff(): void
  close(): Promise<void>
}

export type Http = {
  readonly url: string
  readonly present: () => Presented | null
  readonly maxBytes: number
  /** What a server may say on it between two answers, and how much of it may ask us. */
  readonly maxMessages: number
  readonly maxRequests: number
  /** How long nothing is under way that could bring an answer that is waited for, until it is given up. */
  readonly lullMs: number
}

type Ways = {
  readonly modes: readonly McpAsk['mode'][]
  readonly onChanged: () => void
  /** The era that the server was found to speak before. */
  readonly prior?: PriorDiscovery | undefined
}

const NO_RETRIES = {
  maxRetries: 0,
  initialReconnectionDelay: 1_000,
  maxReconnectionDelay: 1_000,
  reconnectionDelayGrowFactor: 1,
}
/** A server that never heard of discovery may not answer it at all. */
const PROBE_MS = 3_000

function clientOf({ modes, onChanged }: Ways, asked: (ask: McpAsk) => Promise<McpAnswer>): Client {
  const elicitation = Object.fromEntries(modes.map((mode) => [mode, {}]))
  const client = new Client(
    { name: 'hallpass', version: VERSION },
    {
      capabilities: modes.length === 0 ? {} : { elicitation },
      versionNegotiation: { mode: 'auto', probe: { timeoutMs: PROBE_MS } },
    },
  )
  client.setNotificationHandler('notifications/tools/list_changed', () => onChanged())
  if (modes.length > 0)
    client.setRequestHandler('elicitation/create', async ({ params }) => {
      const mode = params.mode === 'url' ? 'url' : 'form'
      const { action, content } = await asked({ mode, params: { ...params } })
      return { action, ...(content === undefined ? {} : { content: content as Record<string, string> }) }
    })
  return client
}

export async function connectHttp(http: Http, ways: Ways, signal: AbortSignal): Promise<Connection> {
  const mask = createMask()
  let broken: UpstreamFailure | null = null
  let over = false
  let underWay = 0
  let awaited = false
  let lull: NodeJS.Timeout | undefined
  const begun = () => {
    underWay++
    clearTimeout(lull)
  }
  const ended = () => {
    if (--underWay > 0) return
    // What came last is still being read.
    lull = setTimeout(() => {
      if (awaited) breakOff(new UpstreamFailure('broken', 'ended its answer before it was one'))
    }, http.lullMs).unref()
  }
  const breakOff = (why: UpstreamFailure) => {
    broken ??= why
    cutOff()
    void close()
  }
  const { fetch, cutOff } = guardedFetch({
    ...http,
    present: () => {
      const presented = http.present()
      mask.add(presented?.forms ?? [])
      return presented
    },
    onBroken: breakOff,
    onSent: (method) => {
      // The stream that a server speaks on by itself brings no answer.
      if (method === 'GET') return () => undefined
      begun()
      return once(ended)
    },
  })
  const transport = new StreamableHTTPClientTransport(new URL(http.url), {
    fetch,
    reconnectionOptions: NO_RETRIES,
    onInsufficientScope: 'throw',
  })
  let messages = 0
  let requests = 0
  let asked = 0
  const heard = (isRequest: boolean): UpstreamFailure | null => {
    messages++
    if (isRequest) requests++
    if (messages <= http.maxMessages && Math.max(requests, asked) <= http.maxRequests) return null
    if (broken === null) breakOff(new UpstreamFailure('too long', 'says more than anybody asked for'))
    return broken
  }
  // Heard before the client is, which answers every request and looks at every notification.
  transport.onmessage = (message) => {
    const tooMuch = heard('id' in message && 'method' in message)
    // What has come in already is looked at no further.
    if (tooMuch !== null) throw tooMuch
  }
  transport.onerror = () => void heard(false)
  const connection: Connection = {
    client: clientOf(ways, async (ask) => {
      // In the modern era one message may ask any number of things.
      asked++
      const tooMuch = heard(false)
      if (tooMuch !== null) throw tooMuch
      begun()
      return (connection.asks?.(ask) ?? refuse()).finally(ended)
    }),
    asks: null,
    get awaited() {
      return awaited
    },
    set awaited(is) {
      awaited = is
      messages = 0
      requests = 0
      asked = 0
    },
    mask,
    isOver: () => over,
    broke: () => broken,
    cutOff,
    close,
  }
  const { client } = connection
  client.onclose = () => {
    over = true
  }
  await client.connect(transport, {
    signal,
    timeout: UPSTREAM_MCP.connectMs,
    ...(ways.prior === undefined ? {} : { prior: ways.prior }),
  })
  return connection

  async function close(): Promise<void> {
    if (over) return
    over = true
    // Its session ends with it; a server that does not hear of it forgets it by itself.
    const farewell = transport.sessionId === undefined ? Promise.resolve() : transport.terminateSession()
    await Promise.race([farewell.catch(() => undefined), pause(UPSTREAM_MCP.killMs)])
    await client.close().catch(() => undefined)
  }
}

export async function connectChild(transport: ChildTransport, mask: Mask, onChanged: () => void): Promise<Connection> {
  let over = false
  let broken: UpstreamFailure | null = null
  const connection: Connection = {
    client: clientOf({ modes: [], onChanged }, refuse),
    asks: null,
    awaited: false,
    mask,
    isOver: () => over,
    broke: () => broken,
    // It serves other calls too.
    cutOff: () => undefined,
    async close() {
      over = true
      await connection.client.close().catch(() => undefined)
      await transport.close()
    },
  }
  const { client } = connection
  client.onclose = () => {
    over = true
  }
  client.onerror = (error) => {
    if (error instanceof UpstreamFailure) broken ??= error
  }
  try {
    await client.connect(transport, { timeout: UPSTREAM_MCP.connectMs })
  } catch (thrown) {
    await connection.close()
    throw thrown
  }
  return connection
}

const once = (act: () => void): (() => void) => {
  let done = false
  return () => {
    if (!done) act()
    done = true
  }
}

const refuse = (): Promise<McpAnswer> => Promise.resolve({ action: 'cancel' })

const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms).unref()
  })
