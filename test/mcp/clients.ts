// The official clients of both eras and the 1.x SDK, behind what they have in common.

import type { Client } from '@modelcontextprotocol/client'
import { Client as OldClient } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport as OldTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import {
  ResourceListChangedNotificationSchema,
  ResourceUpdatedNotificationSchema,
  ToolListChangedNotificationSchema,
} from '@modelcontextprotocol/sdk/types.js'
import { LEGACY, MODERN, type Served } from './support.ts'

export type AnyClient = {
  listTools(): Promise<{ tools: { name: string }[] }>
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

/** What a client was told so far, in the order it heard it. */
export type Told = string[]

type Listening = { readonly client: AnyClient; readonly told: Told; subscribe(uri: string): Promise<unknown> }

const NOTICES = ['notifications/tools/list_changed', 'notifications/resources/list_changed'] as const

function hearing(client: Client): Told {
  const told: Told = []
  for (const method of NOTICES) client.setNotificationHandler(method, () => void told.push(method.split('/')[1] ?? ''))
  client.setNotificationHandler('notifications/resources/updated', ({ params }) => void told.push(params.uri))
  return told
}

/** Connected, and told of all that the client of this era can hear of. */
export const LISTEN: Readonly<Record<string, (served: Served, token: string) => Promise<Listening>>> = {
  async 'the official client, 2026-07-28'(served, token) {
    const client = await served.client(token, MODERN)
    const told = hearing(client)
    await client.listen({ toolsListChanged: true, resourcesListChanged: true })
    const subscribe = (uri: string) => client.listen({ resourceSubscriptions: [uri] })
    return { client, told, subscribe }
  },
  async 'the official client in its legacy era'(served, token) {
    const client = await served.client(token, LEGACY)
    return { client, told: hearing(client), subscribe: (uri) => client.subscribeResource({ uri }) }
  },
  async 'the 1.x SDK'(served, token) {
    const client = await connectOld(served, token)
    const told: Told = []
    client.setNotificationHandler(ToolListChangedNotificationSchema, () => void told.push('tools'))
    client.setNotificationHandler(ResourceListChangedNotificationSchema, () => void told.push('resources'))
    client.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ params }) => void told.push(params.uri))
    return { client, told, subscribe: (uri) => client.subscribeResource({ uri }) }
  },
}

export const CONNECT: Readonly<Record<string, (served: Served, token: string) => Promise<AnyClient>>> = {
  'the official client, 2026-07-28': (served, token) => served.client(token, MODERN),
  'the official client in its legacy era': (served, token) => served.client(token, LEGACY),
  'the 1.x SDK': connectOld,
}
