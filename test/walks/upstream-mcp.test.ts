// The whole broker with a tool whose MCP server is a program of the operator's: started with what the configuration gives it
// and nothing else, used by an agent that never sees its secret, and gone with the broker.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio'
import { decodeJwt } from 'jose'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { revoke } from '../../src/actions/revoke.ts'
import { type SampleBroker, startSampleBroker } from '../../src/commands/sample-broker.ts'
import { reveal } from '../../src/core/record.ts'
import { MCP_CLIENTS } from '../support/mcp-clients.ts'
import { unwrap } from '../support/store-on-disk.ts'
import { testDatabase } from '../support/test-store.ts'
import {
  allow,
  SECRET as DESK_SECRET,
  editForDesk,
  pinOnly,
  startUpstreamServer,
  type UpstreamServer,
} from '../support/upstream-server.ts'

const CLI = fileURLToPath(new URL('../../src/cli.ts', import.meta.url))
const PROGRAM = fileURLToPath(new URL('../support/upstream-program.ts', import.meta.url))
const MANIFEST = `apiVersion: hallpass/v1
kind: Tool
metadata: { name: notes }
spec:
  owners: [team/platform]
  category: ticketing
  resource: https://notes.example.com
  scopes:
    notes:read: { description: Read notes, risk: low }
  mcp:
    command: notes
    tools: { environment: notes:read }
`
const SECRET = 'secret-of-the-notes-0123456789'

let desk: UpstreamServer
let broker: SampleBroker
let isOpen = false
beforeEach(async () => {
  vi.stubEnv('HALLPASS_TOOL_NOTES', SECRET)
  vi.stubEnv('HALLPASS_TOOL_DESK', DESK_SECRET)
  vi.stubEnv('HALLPASS_TOOL_OTHER', 'secret-of-another-tool')
  desk = await startUpstreamServer()
  const commands = {
    notes: {
      command: process.execPath,
      args: [PROGRAM],
      env: { MODE: 'plain', NOTES_TOKEN: 'env:HALLPASS_TOOL_NOTES' },
    },
  }
  broker = await startSampleBroker({
    ...(await testDatabase()),
    commands: JSON.stringify(commands),
    edit(scopesPath) {
      writeFileSync(join(scopesPath, 'tools', 'notes.yaml'), MANIFEST)
      allow(scopesPath, 'notes', 'notes:read')
      editForDesk(desk, scopesPath)
    },
  })
  isOpen = true
})
afterEach(async () => {
  vi.unstubAllEnvs()
  if (isOpen) await broker.close()
  await desk.close()
})

const context = {
  caller: { role: 'admin', id: 'admin@example.com', bearer: 'brr_a' },
  requestId: 'rid_revoke',
} as const

test('a program of the operator is started, pinned, called, and gone with the broker (P7, S5)', async () => {
  const agent = await MCP_CLIENTS['the official client, pinned to 2026-07-28']!(broker, 'triage-bot')
  const granted = await agent.call('request_access', { tool: 'notes', scopes: ['notes:read'], reason: 'INC-1' })
  expect(granted.body).toMatchObject({ status: 'granted', grant: { use: { resource: `${broker.url}/mcp` } } })
  expect(await agent.tools()).not.toContain('notes__environment')
  await pinOnly(broker, 'notes')
  expect(await agent.tools()).toContain('notes__environment')

  const said = z
    .object({ pid: z.number(), env: z.record(z.string(), z.string()) })
    .parse((await agent.call('notes__environment')).body)
  expect(said.env).toEqual({ MODE: 'plain', NOTES_TOKEN: '[secret]' })
  expect(() => process.kill(said.pid, 0)).not.toThrow()
  await agent.close()
  isOpen = false
  await broker.close()
  expect(() => process.kill(said.pid, 0)).toThrow()
})

/** Heard of progress, its answer is a stream by then; with its session, the agent is cut off. */
test.each([
  ['grant', true],
  ['grant', false],
  ['session', true],
  ['session', false],
] as const)(
  'revoking its %s ends a call under way at once, heard of progress: %s (P5)',
  async (kind, hearsProgress) => {
    await pinOnly(broker, 'desk')
    const agent = await MCP_CLIENTS['the official client, pinned to 2026-07-28']!(broker, 'triage-bot')
    const granted = await agent.call('request_access', { tool: 'desk', scopes: ['desk:use'], reason: 'INC-1' })
    const { grant } = z.object({ grant: z.object({ id: z.string() }) }).parse(granted.body)
    const id = kind === 'grant' ? grant.id : String(decodeJwt(agent.sessionToken()).sid)
    const client = new Client({ name: 'walk', version: '1' }, { versionNegotiation: { mode: { pin: '2026-07-28' } } })
    const requestInit = { headers: { Authorization: `Bearer ${agent.sessionToken()}` } }
    await client.connect(new StreamableHTTPClientTransport(new URL(`${broker.url}/mcp`), { requestInit }))
    const heard: unknown[] = []
    const under = client
      .callTool(
        { name: 'desk__slow', arguments: {} },
        hearsProgress ? { onprogress: (one) => void heard.push(one) } : {},
      )
      .then(
        (result) => JSON.stringify(result),
        (thrown: unknown) => String(thrown),
      )
    await vi.waitFor(() => expect(hearsProgress ? heard : desk.seen).toHaveLength(1), 5_000)
    const at = performance.now()
    unwrap(await revoke(broker.running.broker.deps, context, { kind, id, reason: null }))
    const said = await under
    expect(performance.now() - at).toBeLessThan(2_000)
    expect(said).toMatch(/ended|taken away|Connection closed|terminated/)
    await vi.waitFor(() => expect(desk.ended()).toBe(1), 5_000)
    await vi.waitFor(async () => {
      const records = (await broker.running.broker.deps.store.records(0, 500)).map(({ bytes, opened }) =>
        reveal(bytes, opened),
      )
      expect(records.findLast(({ kind }) => kind === 'tool.answered')?.body).toMatchObject({ ended: 'cut' })
    }, 5_000)
    const metrics = await fetch(`${broker.url}/metrics`, { headers: { authorization: `Bearer ${broker.adminToken}` } })
    expect(await metrics.text()).toContain('hallpass_proxied_calls_total{tool="desk",status="none",ended="cut"} 1')
    await client.close()
    await agent.close()
  },
)

test.each([
  ['2026-07-28', { versionNegotiation: { mode: { pin: '2026-07-28' } } }],
  ['2025-11-25', {}],
] as const)(
  'a client of %s that speaks stdio alone uses them through the bridge, and nothing is redeemed (P7)',
  async (_era, options) => {
    await pinOnly(broker, 'desk')
    const client = new Client({ name: 'walk', version: '1' }, options)
    const env = {
      PATH: process.env.PATH ?? '',
      HALLPASS_URL: broker.url,
      HALLPASS_AGENT: 'triage-bot',
      HALLPASS_AGENT_KEY: broker.agents['triage-bot']!.keyPath,
    }
    await client.connect(
      new StdioClientTransport({ command: process.execPath, args: [CLI, 'mcp'], env, stderr: 'ignore' }),
    )
    const asked = { tool: 'desk', scopes: ['desk:use'], reason: 'INC-1' }
    const granted = await client.callTool({ name: 'request_access', arguments: asked })
    expect(granted.structuredContent).toMatchObject({ status: 'granted', grant: { use: { tools: ['desk__slow'] } } })
    expect(JSON.stringify(granted)).not.toContain('headerFile')
    expect((await client.listTools()).tools.map(({ name }) => name)).toContain('desk__slow')
    const heard: unknown[] = []
    const onprogress = (one: unknown) => {
      heard.push(one)
      desk.finish()
    }
    const said = await client.callTool({ name: 'desk__slow', arguments: {} }, { onprogress })
    expect(said).toMatchObject({ content: [{ text: 'done' }] })
    expect(heard).toMatchObject([{ progress: 1, total: 2, message: 'half [secret]' }])
    await client.close()
  },
)
