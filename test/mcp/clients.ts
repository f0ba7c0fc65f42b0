// The official clients of both eras and the 1.x SDK, behind what they have in common.

import { Client as OldClient } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport as OldTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { LEGACY, MODERN, type Served } from './support.ts'

export type AnyClient = {
  callTool(call: { name: string; arguments: Record<string, unknown> }): Promise<unknown>
  readResource(wanted: { uri: string }): Promise<unknown>
  listResources(): Promise<{ resources: { uri: string }[] }>
  listResourceTemplates(): Promise<{ resourceTemplates: { uriTemplate: string }[] }>
  listPrompts(): Promise<{ prompts: { name: string }[] }>
  getPrompt(wanted: { name: string; arguments: Record<string, string> }): Promise<unknown>
  getServerCapabilities(): unknown
}

export async function connectOld(served: Served, token: string): Promise<OldClient> {
  const client = new OldClient({ name: 'old', version: '1' })
  const requestInit = { headers: { Authorization: `Bearer ${token}` } }
  await client.connect(new OldTransport(new URL(served.url), { requestInit }))
  served.closeLater(client)
  return client
}

export const CONNECT: Readonly<Record<string, (served: Served, token: string) => Promise<AnyClient>>> = {
  'the official client, 2026-07-28': (served, token) => served.client(token, MODERN),
  'the official client in its legacy era': (served, token) => served.client(token, LEGACY),
  'the 1.x SDK': connectOld,
}
