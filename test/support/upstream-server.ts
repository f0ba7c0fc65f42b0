// A tool's own MCP server, small and real, on the SDK: it wants the tool's secret, tells what reached it, and says of its tools
// what the test has it say.

import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { createAdaptorServer } from '@hono/node-server'
import {
  type CallToolResult,
  createMcpHandler,
  inputRequired,
  inputResponse,
  Server,
  type ServerContext,
  type Tool,
} from '@modelcontextprotocol/server'
import { expect, vi } from 'vitest'
import { listDefinitions, pinDefinition } from '../../src/actions/pin-definition.ts'
import type { SampleBroker } from '../../src/commands/sample-broker.ts'
import { unwrap } from './store-on-disk.ts'

export const SECRET = 'tickets-own-secret-0123456789'

const text = { type: 'string' } as const
const schema = (properties: Record<string, { readonly type: string }>, required: string[] = []) => ({
  type: 'object' as const,
  properties,
  required,
})

export const TOOLS: Readonly<Record<string, Tool>> = {
  comment: {
    name: 'comment',
    description: 'Adds a comment.',
    inputSchema: schema({ queue: text, body: text }, ['queue', 'body']),
    outputSchema: schema({ comment: text }, ['comment']),
  },
  slow: { name: 'slow', description: 'Takes its time.', inputSchema: schema({ queue: text }) },
  confirm: { name: 'confirm', description: 'Asks first.', inputSchema: schema({ queue: text }) },
  hidden: { name: 'hidden', description: 'No manifest names it.', inputSchema: schema({}) },
}

const MANIFEST = (url: string) => `apiVersion: hallpass/v1
kind: Tool
metadata: { name: desk }
spec:
  owners: [team/platform]
  category: ticketing
  resource: https://desk.example.com
  scopes:
    desk:use: { description: Use the desk, risk: low }
  mcp:
    url: ${url}
    secret: env:HALLPASS_TOOL_DESK
    tools: { slow: desk:use }
`

/** For `startSampleBroker`: the server as the tool `desk`, of which triage-bot may call `slow`. HALLPASS_TOOL_DESK is its secret. */
export const editForDesk = ({ url }: Pick<UpstreamServer, 'url'>, scopesPath: string): void => {
  writeFileSync(join(scopesPath, 'tools', 'desk.yaml'), MANIFEST(url))
  allow(scopesPath, 'desk', 'desk:use')
}

/** Lets the sample's triage-bot have a scope without asking anybody, to be used through the broker. */
export const allow = (scopesPath: string, tool: string, scope: string): void => {
  const agent = join(scopesPath, 'agents', 'triage-bot.yaml')
  const entry = `\n    - { tool: ${tool}, scopes: [${scope}], approval: none, delivery: proxy }`
  writeFileSync(agent, readFileSync(agent, 'utf8').replace(/^ {2}access:$/m, `  access:${entry}`))
}

/** An admin accepts what the tool's server says of its one tool, once the broker has looked at it. */
export async function pinOnly(broker: Pick<SampleBroker, 'running'>, tool: string): Promise<void> {
  const { deps } = broker.running.broker
  const context = { caller: { role: 'admin', id: 'admin@example.com', bearer: 'brr_a' }, requestId: 'rid_pin' } as const
  const waiting = async () => {
    const [one] = unwrap(await listDefinitions(deps, context.caller, tool))
    expect(one).toMatchObject({ status: 'waiting' })
    return one!
  }
  const { name, digest } = await vi.waitFor(waiting, { timeout: 20_000, interval: 250 })
  unwrap(await pinDefinition(deps, context, { tool, name, digest: digest! }))
}

export type UpstreamServer = Awaited<ReturnType<typeof startUpstreamServer>>

export async function startUpstreamServer() {
  const tools = new Map(Object.entries(TOOLS))
  const seen: { readonly name: string; readonly given: unknown; readonly authorization: string | null }[] = []
  const traceparents: unknown[] = []
  let ended = 0
  const finished = new AbortController()
  let asks: Parameters<typeof inputRequired.elicit>[0] | { url: string; message: string } = {
    message: 'Close it?',
    requestedSchema: { type: 'object', properties: { sure: { type: 'boolean' } }, required: ['sure'] },
  }

  const said = (what: string): CallToolResult => ({ content: [{ type: 'text', text: what }] })

  async function called(name: string, given: Record<string, unknown>, context: ServerContext): Promise<CallToolResult> {
    const { mcpReq } = context
    if (name === 'comment')
      return { ...said(`Said: ${String(given.body)}`), structuredContent: { comment: String(given.body) } }
    if (name === 'slow') {
      const progressToken = mcpReq._meta?.progressToken
      if (progressToken !== undefined)
        await mcpReq.notify({
          method: 'notifications/progress',
          params: { progressToken, progress: 1, total: 2, message: `half ${SECRET}` },
        })
      await delay(30_000, undefined, { signal: AbortSignal.any([mcpReq.signal, finished.signal]) }).catch(() => {
        if (mcpReq.signal.aborted) ended++
      })
      return said('done')
    }
    const answer = inputResponse(mcpReq.inputResponses, 'sure')
    if (answer.kind === 'missing') {
      const sure = 'url' in asks ? inputRequired.elicitUrl(asks) : inputRequired.elicit(asks)
      return inputRequired({ inputRequests: { sure }, requestState: 'waits' }) as unknown as CallToolResult
    }
    return said(`They said ${JSON.stringify(answer.kind === 'elicit' ? [answer.action, answer.content] : answer.kind)}`)
  }

  const handler = createMcpHandler(() => {
    const server = new Server({ name: 'tickets', version: '1.0.0' }, { capabilities: { tools: {} } })
    server.setRequestHandler('tools/list', () => ({ tools: [...tools.values()] }))
    server.setRequestHandler('tools/call', ({ params }, context) => {
      const authorization = context.http?.req?.headers.get('authorization') ?? null
      traceparents.push(context.mcpReq._meta?.traceparent)
      seen.push({ name: params.name, given: params.arguments ?? {}, authorization })
      return called(params.name, params.arguments ?? {}, context)
    })
    return server
  })
  const server = createAdaptorServer({
    fetch: (request) =>
      request.headers.get('authorization') === `Bearer ${SECRET}`
        ? handler.fetch(request)
        : new Response(null, { status: 401 }),
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`,
    /** Calls that reached it. */
    seen,
    /** As its calls carried them. */
    traceparents,
    /** Calls that were given up on. */
    ended: () => ended,
    /** What takes its time is done, now and from now on. */
    finish: () => finished.abort(),
    say: (tool: Tool) => void tools.set(tool.name, tool),
    ask: (what: typeof asks) => {
      asks = what
    },
    async close() {
      await handler.close()
      await new Promise<void>((resolve) => {
        server.close(() => resolve())
        if ('closeAllConnections' in server) server.closeAllConnections()
      })
    },
  }
}
