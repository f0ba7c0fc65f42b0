// The whole path of an agent, with the official clients of both eras.

import { Client as ClientOfOne } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport as TransportOfOne } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { afterEach, describe, expect, test } from 'vitest'
import { LEGACY, MODERN, OWNER, type Served, serveMcp } from './support.ts'

type Result = { content?: unknown; structuredContent?: unknown; isError?: unknown; toolResult?: unknown }
/** What the three clients have in common. */
type Agent = {
  listTools(): Promise<{ tools: { name: string; description?: string; inputSchema: object; outputSchema?: object }[] }>
  callTool(params: { name: string; arguments?: Record<string, unknown> }): Promise<Result>
  getInstructions(): string | undefined
}

let served: Served
afterEach(() => served.close())

const sdkOne = async (token: string): Promise<Agent> => {
  const client = new ClientOfOne({ name: 'test', version: '1.0.0' })
  const requestInit = { headers: { Authorization: `Bearer ${token}` } }
  await client.connect(new TransportOfOne(new URL(served.url), { requestInit }))
  return {
    listTools: () => client.listTools(),
    callTool: async (params) => client.callTool(params),
    getInstructions: () => client.getInstructions(),
  }
}

const CLIENTS = [
  {
    name: '@modelcontextprotocol/client pinned to 2026-07-28',
    connect: (token: string) => served.client(token, MODERN),
  },
  {
    name: '@modelcontextprotocol/client in its default legacy mode',
    connect: (token: string) => served.client(token, LEGACY),
  },
  { name: '@modelcontextprotocol/sdk 1.x', connect: sdkOne },
] satisfies { name: string; connect(token: string): Promise<Agent> }[]

describe.each(CLIENTS)('$name', ({ connect }) => {
  test('walks ask, pending, approved, minted, released (P1, P4)', async () => {
    served = await serveMcp()
    const { session, token } = await served.session('triage-bot')
    const client: Agent = await connect(token)
    const call = async (name: string, args: Record<string, unknown> = {}) => client.callTool({ name, arguments: args })

    expect(client.getInstructions()).toContain('Call list_access first')
    const { tools } = await client.listTools()
    expect(tools.map((tool) => tool.name)).toEqual([
      'list_access',
      'request_access',
      'access_status',
      'issue_token',
      'release_access',
    ])
    expect(tools.every((tool) => (tool.description?.length ?? 0) > 80 && tool.outputSchema !== undefined)).toBe(true)

    expect((await call('list_access')).structuredContent).toEqual({
      agent: 'triage-bot',
      access: [
        expect.objectContaining({ tool: 'metrics' }),
        {
          tool: 'tickets',
          description: expect.any(String),
          scopes: [
            { name: 'ticket:comment', description: '', risk: 'medium', approval: 'owner' },
            { name: 'ticket:read', description: '', risk: 'low', approval: 'owner' },
          ],
          details: { queue: ['incidents'] },
          maxDurationSeconds: 8 * 3600,
        },
      ],
      requests: [],
      grants: [],
      manifest: 'rev_test',
    })

    const ask = { tool: 'tickets', scopes: ['ticket:read'], reason: 'INC-4211', details: { queue: ['incidents'] } }
    const pending = await call('request_access', ask)
    expect(pending.isError).toBeFalsy()
    expect(pending.structuredContent).toEqual({
      status: 'pending',
      request: {
        id: expect.stringMatching(/^req_/),
        words: expect.any(String),
        tool: 'tickets',
        scopes: ['ticket:read'],
        details: { queue: ['incidents'] },
        status: 'pending',
        owners: [OWNER],
        expiresAt: expect.stringMatching(/^2026-01-15T10:00:00/),
      },
      approveUrl: expect.stringContaining(`${served.issuer}/requests/req_`),
      retryAfterSeconds: expect.any(Number),
    })
    const { request, approveUrl } = pending.structuredContent as {
      request: { id: string; words: string }
      approveUrl: string
    }
    const says = textOf(pending)
    for (const told of [OWNER, approveUrl, request.words, 'cannot approve', 'access_status'])
      expect(says).toContain(told)
    expect((await call('request_access', ask)).structuredContent).toEqual(pending.structuredContent)

    const waiting = call('access_status', { requestId: request.id, waitSeconds: 20 })
    const { grant } = await served.approve(request.id)
    const granted = {
      status: 'granted',
      grant: {
        id: grant.id,
        tool: 'tickets',
        scopes: ['ticket:read'],
        details: { queue: ['incidents'] },
        expiresAt: expect.any(String),
        delivery: 'inline',
        use: { resource: 'https://tickets.example.com', how: expect.stringContaining('issue_token') },
      },
    }
    expect((await waiting).structuredContent).toEqual(granted)
    expect((await call('access_status', { grantId: grant.id })).structuredContent).toEqual(granted)
    expect((await call('request_access', ask)).structuredContent).toEqual(granted)

    const minted = (await call('issue_token', { grantId: grant.id })).structuredContent as Record<string, string>
    expect(minted).toEqual({
      tokenType: 'Bearer',
      accessToken: expect.any(String),
      expiresAt: '2026-01-15T09:05:00.000Z',
      resource: 'https://tickets.example.com',
      scopes: ['ticket:read'],
    })
    const claims = await served.deps.signer.verifyToken(minted.accessToken!)
    expect(claims).toMatchObject({ aud: 'https://tickets.example.com', sid: session.id, grant_id: grant.id })
    const trail = await served.trail()
    expect(trail.filter(({ kind }) => kind === 'credential.issued').map(({ subject }) => subject.credential)).toEqual([
      claims?.jti,
    ])
    expect(JSON.stringify(trail)).not.toContain(minted.accessToken)

    const released = await call('release_access', { grantId: grant.id })
    expect(released.structuredContent).toEqual({ status: 'revoked', receipt: expect.stringMatching(/^rvk_/) })
    const after = await call('issue_token', { grantId: grant.id })
    expect(after).toMatchObject({
      isError: true,
      structuredContent: { error: { code: 'grant_revoked', nextTool: 'request_access' } },
    })
  })

  test('gets a refusal that helps, and its client accepts the shape (P8)', async () => {
    served = await serveMcp()
    const { token } = await served.session('triage-bot')
    const client: Agent = await connect(token)
    await client.listTools()
    const refused = await client.callTool({
      name: 'request_access',
      arguments: { tool: 'tickets', scopes: ['ticket:close'], reason: 'INC-1' },
    })
    expect(refused.isError).toBe(true)
    expect(refused.structuredContent).toEqual({
      error: {
        code: 'scope_not_in_manifest',
        message: expect.stringContaining('ticket:close'),
        hint: expect.any(String),
        retryable: false,
        nextTool: 'list_access',
        manifestPatch: expect.stringContaining('scopes: [ticket:close, ticket:comment, ticket:read]'),
      },
    })
    expect(textOf(refused)).toContain('ticket:close, ticket:comment, ticket:read')
    for (const name of ['access_status', 'issue_token', 'release_access', 'list_access'])
      expect((await client.callTool({ name, arguments: { nonsense: 1 } })).structuredContent).toMatchObject({
        error: { code: 'invalid_request' },
      })
  })
})

const textOf = ({ content }: Result) =>
  (content as { type: string; text: string }[]).map((block) => (block.type === 'text' ? block.text : '')).join('\n')
