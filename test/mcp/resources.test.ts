// What an agent may ask for, asked for and holds, read as resources, and the prompt that teaches to ask for the least.

import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { type AnyClient, CONNECT } from './clients.ts'
import { MODERN, post, rpc, type Served, serveMcp } from './support.ts'

let served: Served
beforeEach(async () => {
  served = await serveMcp()
})
afterEach(() => served.close())

const ASK = { tool: 'tickets', scopes: ['ticket:read'], reason: 'INC-1', details: { queue: ['incidents'] } }
const CONTENTS = z.object({ contents: z.array(z.object({ uri: z.string(), text: z.string() })).length(1) })

const textOf = async (client: AnyClient, uri: string) => {
  const [content] = CONTENTS.parse(await client.readResource({ uri })).contents
  expect(content?.uri).toBe(uri)
  return content?.text ?? ''
}
const read = async (client: AnyClient, uri: string) => JSON.parse(await textOf(client, uri))
const call = async (client: AnyClient, name: string, given: Record<string, unknown>) =>
  z.object({ structuredContent: z.any() }).parse(await client.callTool({ name, arguments: given })).structuredContent

describe.each(Object.entries(CONNECT))('%s', (_name, connect) => {
  test('reads what it may ask for, asked for and holds, and nobody else can (S7)', async () => {
    const { token } = await served.session('triage-bot')
    const client = await connect(served, token)
    const other = await connect(served, (await served.session('other-bot')).token)
    expect(await read(client, 'hallpass://access')).toEqual({
      agent: 'triage-bot',
      purpose: expect.any(String),
      owners: ['alice@example.com'],
      access: (await call(client, 'list_access', {})).access,
    })
    const { request } = await call(client, 'request_access', ASK)
    const { grant: held } = await call(client, 'request_access', {
      tool: 'metrics',
      scopes: ['metrics:read'],
      reason: 'INC-1',
    })
    const uris = ['hallpass://access', `hallpass://requests/${request.id}`, `hallpass://grants/${held.id}`]
    expect((await client.listResources()).resources.map(({ uri }) => uri)).toEqual(uris)
    expect((await client.listResourceTemplates()).resourceTemplates.map(({ uriTemplate }) => uriTemplate)).toEqual([
      'hallpass://grants/{id}',
      'hallpass://requests/{id}',
    ])
    expect(await read(client, `hallpass://requests/${request.id}`)).toMatchObject({ status: 'pending', request })
    expect(await read(client, `hallpass://grants/${held.id}`)).toMatchObject({ status: 'granted', grant: held })

    expect((await other.listResources()).resources.map(({ uri }) => uri)).toEqual(['hallpass://access'])
    const refusals = await Promise.all(
      [...uris.slice(1), 'hallpass://grants/grt_none', 'hallpass://tokens/1', 'file:///etc/passwd'].map((uri) =>
        other.readResource({ uri }).then(
          () => 'read',
          (thrown: Error) => thrown.message.replace(uri, ''),
        ),
      ),
    )
    expect(new Set(refusals)).toEqual(new Set([expect.stringContaining('You have no such resource.')]))
    await served.approve(request.id)
    expect(await read(client, `hallpass://requests/${request.id}`)).toMatchObject({ status: 'granted' })
    await call(client, 'release_access', { grantId: held.id })
    expect(await read(client, `hallpass://grants/${held.id}`)).toMatchObject({
      status: 'ended',
      error: { code: 'grant_revoked' },
    })
  })

  test('finds no token in any of them (P7)', async () => {
    const { token } = await served.session('triage-bot')
    const client = await connect(served, token)
    const { request } = await call(client, 'request_access', ASK)
    await served.approve(request.id)
    const { grant } = await call(client, 'access_status', { requestId: request.id })
    const { accessToken } = await call(client, 'issue_token', { grantId: grant.id })
    expect(accessToken).toMatch(/^ey/)
    const { resources } = await client.listResources()
    expect(resources).toHaveLength(2)
    for (const { uri } of [...resources, { uri: `hallpass://requests/${request.id}` }])
      expect(await textOf(client, uri)).not.toMatch(/eyJ|hp_/)
  })

  test('is taught to ask for the least, with what it may ask for', async () => {
    const client = await connect(served, (await served.session('triage-bot')).token)
    expect((await client.listPrompts()).prompts.map(({ name }) => name)).toEqual(['ask_for_access'])
    const get = (given: Record<string, string>) => client.getPrompt({ name: 'ask_for_access', arguments: given })
    const text = JSON.stringify(await get({ task: 'Triage INC-7', tool: 'tickets' }))
    expect(text).toContain('Triage INC-7')
    expect(text).toContain('ticket:comment (medium risk')
    expect(text).not.toContain('metrics:read')
    expect(JSON.stringify(await get({ task: 'Triage INC-7' }))).toContain('metrics:read')
    await expect(get({ task: 'x', tool: 'ticket' })).rejects.toThrow('Did you mean tickets?')
    await expect(get({ task: ' ' })).rejects.toThrow('1 to 1000')
  })
})

test('each way to be served declares what it can do, and no more', async () => {
  const speaks = { tools: { listChanged: true }, resources: { listChanged: true, subscribe: true }, prompts: {} }
  for (const connect of Object.values(CONNECT)) {
    const client = await connect(served, (await served.session('triage-bot')).token)
    expect(client.getServerCapabilities()).toMatchObject(speaks)
  }
  const { token } = await served.session('other-bot')
  const init = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'raw', version: '1' } }
  const opened = []
  for (let i = 0; i <= 32; i++)
    opened.push(await post(served.url, rpc('initialize', init), { Authorization: `Bearer ${token}` }))
  const ids = opened.map(({ headers }) => headers.get('mcp-session-id'))
  expect(new Set(ids).size).toBe(33)
  expect(ids.at(-1)).toBeNull()
  expect(await opened.at(-1)?.text()).not.toContain('listChanged')
})

test('lists may be kept by their agent alone, and what authority moves not at all (2026-07-28)', async () => {
  const client = await served.client((await served.session('triage-bot')).token, MODERN)
  const own = { ttlMs: 0, cacheScope: 'private' }
  expect(await client.listTools()).toMatchObject(own)
  expect(await client.listResources()).toMatchObject(own)
  expect(await client.readResource({ uri: 'hallpass://access' })).toMatchObject(own)
  expect(await client.listPrompts()).toMatchObject({ ttlMs: 3_600_000, cacheScope: 'private' })
})
