// The MCP clients that nobody here wrote, each signing in by itself from nothing but the MCP URL, a name and a key.

import { readFileSync } from 'node:fs'
import { Client, PrivateKeyJwtProvider, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { PrivateKeyJwtProvider as OldProvider } from '@modelcontextprotocol/sdk/client/auth-extensions.js'
import { Client as OldClient } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport as OldTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { z } from 'zod'
import type { SampleBroker } from '../../src/commands/sample-broker.ts'

/** What a tool call answered, whichever client made it. */
export type McpAnswer = { readonly isError: boolean; readonly body: Record<string, unknown> }

export type McpAgent = {
  call(name: string, args?: Record<string, unknown>): Promise<McpAnswer>
  tools(): Promise<string[]>
  /** The session's token that the client holds at the moment; empty where it holds none. */
  sessionToken(): string
  close(): Promise<void>
}

type Broker = Pick<SampleBroker, 'url' | 'agents'>

const ANSWER = z.object({ isError: z.boolean().default(false), structuredContent: z.record(z.string(), z.unknown()) })

const agentOf = (
  client: {
    callTool(call: { name: string; arguments: Record<string, unknown> }): Promise<unknown>
    listTools(): Promise<{ tools: { name: string }[] }>
    close(): Promise<void>
  },
  provider: { tokens(): { access_token: string } | undefined },
): McpAgent => ({
  async call(name, args = {}) {
    const { isError, structuredContent } = ANSWER.parse(await client.callTool({ name, arguments: args }))
    return { isError, body: structuredContent }
  },
  tools: async () => (await client.listTools()).tools.map((tool) => tool.name),
  sessionToken: () => provider.tokens()?.access_token ?? '',
  close: () => client.close(),
})

/** The private key of a sample agent, in PEM. */
export const keyOf = (broker: Broker, agent: string): string => {
  const found = broker.agents[agent]
  if (found === undefined) throw new Error(`no agent ${agent} in the sample`)
  return readFileSync(found.keyPath, 'utf8')
}
const credentials = (broker: Broker, agent: string) => ({
  clientId: agent,
  privateKey: keyOf(broker, agent),
  algorithm: 'ES256',
})

async function connectOfficial(client: Client, broker: Broker, agent: string): Promise<McpAgent> {
  const provider = new PrivateKeyJwtProvider({ ...credentials(broker, agent), expectedIssuer: broker.url })
  await client.connect(new StreamableHTTPClientTransport(new URL(`${broker.url}/mcp`), { authProvider: provider }))
  return agentOf(client, provider)
}

const info = { name: 'walk', version: '1' }

/** By name; each connects as an agent of the sample. */
export const MCP_CLIENTS: Readonly<Record<string, (broker: Broker, agent: string) => Promise<McpAgent>>> = {
  'the official client, pinned to 2026-07-28': (broker, agent) =>
    connectOfficial(new Client(info, { versionNegotiation: { mode: { pin: '2026-07-28' } } }), broker, agent),
  'the official client, in its default legacy mode': (broker, agent) =>
    connectOfficial(new Client(info), broker, agent),
  'the 1.x SDK': async (broker, agent) => {
    // Without expectedIssuer, which earlier releases of this line do not have: it warns, and has to work.
    const provider = new OldProvider(credentials(broker, agent))
    const client = new OldClient(info)
    await client.connect(new OldTransport(new URL(`${broker.url}/mcp`), { authProvider: provider }))
    return agentOf(client, provider)
  },
}
