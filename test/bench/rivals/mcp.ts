// The MCP SDK's own high-level server, as many tools with the same fields as ours, doing nothing: no token is checked, none
// is made, nothing is written. `hoisted` keeps its schemas at module scope; `documented` builds them where the SDK's
// documentation does, in the factory that runs once for each request.

import { serve } from '@hono/node-server'
import { createMcpHonoApp } from '@modelcontextprotocol/hono'
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server'
import { z } from 'zod'

const schemas = () => {
  const id = z.string().describe('An id')
  const request = z.object({
    id,
    tool: z.string(),
    scopes: z.array(z.string()),
    details: z.record(z.string(), z.array(z.string())),
    durationSeconds: z.number(),
    words: z.string(),
    expiresAt: z.string(),
  })
  const grant = z.object({
    id,
    tool: z.string(),
    scopes: z.array(z.string()),
    details: z.record(z.string(), z.array(z.string())),
    delivery: z.string(),
    expiresAt: z.string(),
  })
  return {
    nothing: z.object({}),
    access: z.object({
      access: z.array(z.object({ tool: z.string(), scopes: z.array(z.string()), maxDurationSeconds: z.number() })),
      requests: z.array(request),
      grants: z.array(grant),
    }),
    ask: z.object({
      tool: z.string().describe('Name of the tool'),
      scopes: z.array(z.string()).min(1).max(64),
      reason: z.string().min(1).max(1000),
      durationSeconds: z.number().int().positive().optional(),
      details: z.record(z.string(), z.array(z.string())).optional(),
    }),
    asked: z.object({
      status: z.enum(['granted', 'pending']),
      grant: grant.optional(),
      request: request.optional(),
      approveUrl: z.string().optional(),
      retryAfterSeconds: z.number().optional(),
    }),
    either: z.object({ requestId: id.optional(), grantId: id.optional() }),
    one: z.object({ grantId: id }),
    token: z.object({
      tokenType: z.string(),
      accessToken: z.string(),
      expiresAt: z.string(),
      resource: z.string(),
      scopes: z.array(z.string()),
    }),
    released: z.object({ status: z.enum(['released', 'revoking', 'withdrawn']) }),
  }
}

const TOKEN = {
  tokenType: 'Bearer',
  accessToken: `eyJ${'a'.repeat(700)}`,
  expiresAt: '2030-01-01T00:00:00.000Z',
  resource: 'http://127.0.0.1:8432',
  scopes: ['metrics:read'],
}

/** As an agent of the bench has it. */
const NAMES = ['asks', 'guarded', 'proxied']
const ACCESS = {
  access: NAMES.map((tool) => ({ tool, scopes: [`${tool}:read`], maxDurationSeconds: 14_400 })),
  requests: [],
  grants: NAMES.map((tool) => ({
    id: `grt_${'a'.repeat(22)}`,
    tool,
    scopes: [`${tool}:read`],
    details: {},
    delivery: 'inline',
    expiresAt: '2030-01-01T00:00:00.000Z',
  })),
}

function build(of: ReturnType<typeof schemas>): McpServer {
  const server = new McpServer({ name: 'no-op', version: '1.0.0' })
  const nothing = async () => ({ content: [], structuredContent: {} })
  const tool = { title: 'A tool', description: 'Does nothing' }
  server.registerTool('list_access', { ...tool, inputSchema: of.nothing, outputSchema: of.access }, async () => ({
    content: [{ type: 'text', text: JSON.stringify(ACCESS) }],
    structuredContent: ACCESS,
  }))
  server.registerTool('request_access', { ...tool, inputSchema: of.ask, outputSchema: of.asked }, nothing)
  server.registerTool('access_status', { ...tool, inputSchema: of.either, outputSchema: of.asked }, nothing)
  server.registerTool('issue_token', { ...tool, inputSchema: of.one, outputSchema: of.token }, async () => ({
    content: [{ type: 'text', text: JSON.stringify(TOKEN) }],
    structuredContent: TOKEN,
  }))
  server.registerTool('release_access', { ...tool, inputSchema: of.either, outputSchema: of.released }, nothing)
  return server
}

const hoisted = schemas()
const factory = process.argv[2] === 'hoisted' ? () => build(hoisted) : () => build(schemas())
const handler = createMcpHandler(factory)
const app = createMcpHonoApp()
app.all('/mcp', (c) => handler.fetch(c.req.raw, { parsedBody: c.get('parsedBody' as never) }))
serve({ fetch: app.fetch, port: Number(process.argv[3]), hostname: '127.0.0.1' })
