// Registers the fixtures of the conformance suite on the server of one call, beside what Hallpass offers there: its own
// lists stay in the lists, its own tools, resources and prompts answer as ever. Only the entry point of the suite calls it.

import {
  type CallToolResult,
  type GetPromptResult,
  type InputRequiredResult,
  ProtocolError,
  ProtocolErrorCode,
  type ReadResourceResult,
  type Server,
  type ServerContext,
  type Tool,
} from '@modelcontextprotocol/server'
import type { ServerFor } from '../../src/adapters/mcp/serve-agent.ts'
import { ASKING_TOOLS } from './fixture-asking-tools.ts'
import { PLAIN_TOOLS } from './fixture-plain-tools.ts'
import { PROMPTS, RESOURCES, readResource, TEMPLATES } from './fixture-reading.ts'

export type ToolFixture = {
  readonly tool: Tool
  call(given: Readonly<Record<string, unknown>>, ctx: ServerContext): Promise<CallToolResult | InputRequiredResult>
}
export type PromptFixture = {
  readonly prompt: { name: string; description: string; arguments?: { name: string; required: boolean }[] }
  get(given: Readonly<Record<string, string>>, ctx: ServerContext): Promise<GetPromptResult | InputRequiredResult>
}

/** A tool that changes nothing but tells of a change. */
export type Trigger = (agent: string) => void

type Handler = (request: unknown, ctx: ServerContext) => Promise<Record<string, unknown>>

/** The SDK has this accessor for its own subclasses. */
const ownHandler = (server: Server, method: string): Handler | undefined =>
  (server as unknown as { _getRequestHandler(method: string): Handler | undefined })._getRequestHandler(method)

/** What ours lists, and behind it the fixtures'. */
async function listed<T>(
  own: Handler | undefined,
  key: string,
  request: unknown,
  ctx: ServerContext,
  more: readonly T[],
) {
  const ours = own === undefined ? {} : await own(request, ctx)
  const items = ours[key]
  return { ...ours, [key]: [...(Array.isArray(items) ? items : []), ...more] }
}

export function extendWithFixtures(triggers: Readonly<Record<string, Trigger>>) {
  const toolFixtures = new Map([...PLAIN_TOOLS, ...ASKING_TOOLS].map((fixture) => [fixture.tool.name, fixture]))
  const triggerTools = Object.keys(triggers).map(
    (name): Tool => ({ name, description: 'Tells of a change', inputSchema: { type: 'object' } }),
  )
  const tools = [...[...toolFixtures.values()].map(({ tool }) => tool), ...triggerTools]
  const promptFixtures = new Map(PROMPTS.map((fixture) => [fixture.prompt.name, fixture]))
  const watched = new Set<string>()

  return (server: Server, { callOf }: ServerFor): void => {
    const own = (method: string) => ownHandler(server, method)
    server.registerCapabilities({
      tools: { listChanged: true },
      resources: { subscribe: true, listChanged: true },
      prompts: {},
      completions: {},
      logging: {},
    })

    const [listTools, callTool] = [own('tools/list'), own('tools/call')]
    server.setRequestHandler('tools/list', (request, ctx) => listed(listTools, 'tools', request, ctx, tools) as never)
    server.setRequestHandler('tools/call', async (request, ctx) => {
      const { name, arguments: given } = request.params
      const trigger = Object.hasOwn(triggers, name) ? triggers[name] : undefined
      if (trigger !== undefined) {
        trigger(callOf(ctx.http?.req).caller.agent)
        return { content: [{ type: 'text', text: 'Told.' }] }
      }
      const fixture = toolFixtures.get(name)
      if (fixture !== undefined) return fixture.call(given ?? {}, ctx)
      return callTool!(request, ctx) as never
    })

    const [listResources, listTemplates, read] = [
      own('resources/list'),
      own('resources/templates/list'),
      own('resources/read'),
    ]
    server.setRequestHandler(
      'resources/list',
      (request, ctx) => listed(listResources, 'resources', request, ctx, RESOURCES) as never,
    )
    server.setRequestHandler(
      'resources/templates/list',
      (request, ctx) => listed(listTemplates, 'resourceTemplates', request, ctx, TEMPLATES) as never,
    )
    server.setRequestHandler('resources/read', async (request, ctx): Promise<ReadResourceResult> => {
      const { uri } = request.params
      const found = readResource(uri)
      if (found !== null) return found
      if (read !== undefined) return read(request, ctx) as never
      throw new ProtocolError(ProtocolErrorCode.InvalidParams, 'Resource not found', { uri })
    })
    const [subscribe, unsubscribe] = [own('resources/subscribe'), own('resources/unsubscribe')]
    server.setRequestHandler('resources/subscribe', async (request, ctx) => {
      if (readResource(request.params.uri) === null && subscribe !== undefined) return subscribe(request, ctx)
      watched.add(request.params.uri)
      return {}
    })
    server.setRequestHandler('resources/unsubscribe', async (request, ctx) => {
      if (!watched.delete(request.params.uri) && unsubscribe !== undefined) return unsubscribe(request, ctx)
      return {}
    })

    const [listPrompts, getPrompt] = [own('prompts/list'), own('prompts/get')]
    server.setRequestHandler(
      'prompts/list',
      (request, ctx) =>
        listed(
          listPrompts,
          'prompts',
          request,
          ctx,
          PROMPTS.map(({ prompt }) => prompt),
        ) as never,
    )
    server.setRequestHandler('prompts/get', async (request, ctx) => {
      const { name, arguments: given } = request.params
      const fixture = promptFixtures.get(name)
      if (fixture !== undefined) return fixture.get(given ?? {}, ctx)
      if (getPrompt !== undefined) return getPrompt(request, ctx) as never
      throw new ProtocolError(ProtocolErrorCode.InvalidParams, `There is no prompt ${name}`)
    })

    server.setRequestHandler('completion/complete', async ({ params }) => ({
      completion: { values: ['paris', 'park', 'party'].filter((one) => one.startsWith(params.argument.value)) },
    }))
  }
}
