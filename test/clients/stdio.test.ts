// `hallpass mcp` with clients that nobody here wrote, which speak stdio alone: they ask, wait for the owner, use what was
// granted with curl and a path, give it back; and the broker dies in the middle.

import { execFile } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Client } from '@modelcontextprotocol/client'
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio'
import { Client as OldClient } from '@modelcontextprotocol/sdk/client/index.js'
import { StdioClientTransport as OldTransport } from '@modelcontextprotocol/sdk/client/stdio.js'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { type BridgeStage, setBridgeStage } from '../cli/bridge-stage.ts'
import { hallpass } from '../cli/launcher.ts'
import { findPeers, INSPECTOR } from './peers.ts'

const LAUNCHER = fileURLToPath(new URL('../../hallpass', import.meta.url))

let stage: BridgeStage
beforeAll(async () => {
  findPeers()
  stage = await setBridgeStage()
}, 120_000)
afterAll(() => stage.close())

type Agent = {
  call(name: string, args?: Record<string, unknown>): Promise<{ isError: boolean; body: Record<string, unknown> }>
  tools(): Promise<string[]>
  /** Everything that came over stdout. */
  transcript(): string
  close(): Promise<void>
}
const ANSWER = z.object({
  isError: z.boolean().default(false),
  content: z.array(z.object({ text: z.string() })),
  structuredContent: z.record(z.string(), z.unknown()),
})
const PENDING = z.object({ request: z.object({ id: z.string() }) })
const GRANTED = z.object({
  grant: z.object({
    id: z.string(),
    use: z.object({ how: z.string(), headerFile: z.string(), tokenFile: z.string(), resource: z.string() }),
  }),
})

const GRANTS = z.object({
  grants: z.array(z.object({ id: z.string(), use: z.object({ how: z.string(), headerFile: z.string().optional() }) })),
})

const info = { name: 'stdio', version: '1' }
const parameters = () => ({
  command: process.execPath,
  args: [LAUNCHER, 'mcp'],
  env: { PATH: process.env.PATH ?? '', ...stage.env },
  stderr: 'pipe' as const,
})

const open: Agent[] = []
afterEach(async () => {
  for (const agent of open.splice(0)) await agent.close().catch(() => undefined)
})

function agentOf(
  client: {
    callTool(call: { name: string; arguments: Record<string, unknown> }): Promise<unknown>
    listTools(): Promise<{ tools: { name: string }[] }>
    close(): Promise<void>
  },
  transport: object,
): Agent {
  let said = ''
  const { stdout } = z.looseObject({ stdout: z.instanceof(Object) }).parse(Reflect.get(transport, '_process'))
  Reflect.get(stdout, 'on').call(stdout, 'data', (chunk: Buffer) => {
    said += chunk
  })
  const agent: Agent = {
    async call(name, args = {}) {
      const { isError, structuredContent, content } = ANSWER.parse(await client.callTool({ name, arguments: args }))
      // What a client that reads text alone sees is the same.
      if (!isError) expect(content[0]?.text).toContain(JSON.stringify(structuredContent))
      return { isError, body: structuredContent }
    },
    tools: async () => (await client.listTools()).tools.map(({ name }) => name),
    transcript: () => said,
    close: () => client.close(),
  }
  open.push(agent)
  return agent
}

const CLIENTS: Record<string, () => Promise<Agent>> = {
  'the official client, pinned to 2026-07-28': async () => {
    const client = new Client(info, { versionNegotiation: { mode: { pin: '2026-07-28' } } })
    const transport = new StdioClientTransport(parameters())
    await client.connect(transport)
    return agentOf(client, transport)
  },
  'the official client, in its default legacy mode': async () => {
    const client = new Client(info)
    const transport = new StdioClientTransport(parameters())
    await client.connect(transport)
    return agentOf(client, transport)
  },
  'the 1.x SDK': async () => {
    const client = new OldClient(info)
    const transport = new OldTransport(parameters())
    await client.connect(transport)
    return agentOf(client, transport)
  },
}

/** An ask of its own for each test: the same again would find the same grant. */
let asks = 0
const read = () => ({ tool: 'desk', scopes: ['desk:read'], reason: 'INC-1', durationSeconds: 3000 + ++asks })

describe.each(Object.entries(CLIENTS))('%s', (_, connect) => {
  test('asks, waits, is approved, calls the tool with a path and no token, and gives back (P4, P7)', async () => {
    const agent = await connect()
    expect(await agent.tools()).toContain('request_access')
    const { request } = PENDING.parse((await agent.call('request_access', read())).body)
    const waiting = agent.call('access_status', { requestId: request.id, waitSeconds: 30 })
    await stage.approve(request.id)
    const { grant } = GRANTED.parse((await waiting).body)

    const { headerFile, tokenFile, how } = grant.use
    expect(how).toContain(`-H @${headerFile}`)
    expect(await stage.curl(headerFile)).toEqual({ status: 200, body: 'desk' })
    for (const file of [headerFile, tokenFile]) expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(statSync(dirname(headerFile)).mode & 0o777).toBe(0o700)
    const token = readFileSync(tokenFile, 'utf8')
    expect(readFileSync(headerFile, 'utf8')).toBe(`Authorization: Bearer ${token}\n`)

    const listed = await agent.call('list_access')
    expect(JSON.stringify(listed.body.grants)).toContain(headerFile)
    expect(await agent.call('release_access', { grantId: grant.id })).toMatchObject({ isError: false })
    expect([headerFile, tokenFile].filter((file) => existsSync(file))).toEqual([])
    expect(await stage.isActive(token)).toBe(false)
    await agent.close()
    expect(agent.transcript().includes(grant.id)).toBe(true)
    expect(agent.transcript()).not.toContain('eyJ')
    expect(agent.transcript()).not.toContain(token.split('.')[2])
  })

  test('outlives a broker that dies and comes back in the middle of the wait (P9)', async () => {
    const agent = await connect()
    const { request } = PENDING.parse((await agent.call('request_access', read())).body)
    const waiting = agent.call('access_status', { requestId: request.id, waitSeconds: 50 })
    await stage.broker.kill()
    await stage.broker.start()
    await stage.approve(request.id)
    const { grant } = GRANTED.parse((await waiting).body)
    expect(await stage.curl(grant.use.headerFile)).toMatchObject({ status: 200 })
  })
})

// Of each era one: the 1.x SDK says what the official client says in its legacy mode.
test.each(Object.entries(CLIENTS).slice(0, 2))(
  '%s connects while the broker is away, is told so, and goes on when it is back (P8, P10)',
  async (_, connect) => {
    await stage.broker.stop()
    const agent = await connect()
    const listing = agent.tools().catch(String)
    expect(await agent.call('list_access')).toMatchObject({
      isError: true,
      body: { error: { code: 'overloaded', retryable: true, hint: expect.stringContaining('Try again') } },
    })
    expect(await listing).toContain('cannot be reached')
    await stage.broker.start()
    expect(await agent.call('list_access')).toMatchObject({ isError: false })
    expect(await agent.tools()).toContain('request_access')
  },
  60_000,
)

const [connectAny] = Object.values(CLIENTS)

test('files and grants go when the client goes; what it did not ask for stays (S11)', async () => {
  const before = await connectAny!()
  const kept = GRANTED.parse((await before.call('request_access', comment())).body).grant
  const agent = await connectAny!()
  const { request } = PENDING.parse((await agent.call('request_access', read())).body)
  await stage.approve(request.id)
  const own = GRANTED.parse((await agent.call('access_status', { requestId: request.id })).body).grant
  // Another's is redeemed when it is asked about, and not because it is in a list.
  const { grants } = GRANTS.parse((await agent.call('list_access')).body)
  const shown = (id: string) => grants.find((grant) => grant.id === id)?.use
  expect(shown(own.id)?.headerFile).toBe(own.use.headerFile)
  expect(shown(kept.id)).toEqual({ how: expect.stringContaining('Call access_status') })
  const borrowed = GRANTED.parse((await agent.call('access_status', { grantId: kept.id })).body).grant
  expect(borrowed.use.headerFile).not.toBe(kept.use.headerFile)
  const token = readFileSync(own.use.tokenFile, 'utf8')
  const lent = readFileSync(borrowed.use.tokenFile, 'utf8')
  const pending = PENDING.parse((await agent.call('request_access', read())).body).request
  await agent.close()
  await expect.poll(() => existsSync(own.use.headerFile), { timeout: 10_000 }).toBe(false)
  const status = async (id: string) => (await stage.grants()).find((row) => row.id === id)?.status
  await expect.poll(() => status(own.id), { timeout: 10_000 }).toBe('revoked')
  expect(await stage.isActive(token)).toBe(false)
  expect(await status(kept.id)).toBe('active')
  expect(await stage.isActive(lent)).toBe(false)
  // What still waits goes on waiting, and is there for the next client.
  expect((await stage.pending()).map(({ id }) => id)).toContain(pending.id)
  expect(await stage.curl(kept.use.headerFile)).toMatchObject({ status: 200 })
})
const comment = () => ({ ...read(), scopes: ['desk:comment'] })

test('a grant that was approved and never looked at goes with its client too', async () => {
  const agent = await connectAny!()
  const { request } = PENDING.parse((await agent.call('request_access', read())).body)
  await stage.approve(request.id)
  const before = (await stage.grants()).filter(({ status }) => status === 'active').length
  await agent.close()
  const active = async () => (await stage.grants()).filter(({ status }) => status === 'active').length
  await expect.poll(active, { timeout: 10_000 }).toBe(before - 1)
})

test('a credential is replaced in its file before it ends, whole', async () => {
  const agent = await connectAny!()
  const { grant } = GRANTED.parse((await agent.call('request_access', comment())).body)
  const first = readFileSync(grant.use.tokenFile, 'utf8')
  await expect.poll(() => readFileSync(grant.use.tokenFile, 'utf8') !== first, { timeout: 15_000 }).toBe(true)
  expect(await stage.curl(grant.use.headerFile)).toMatchObject({ status: 200 })
  expect(readdirSync(dirname(grant.use.headerFile)).filter((name) => name.endsWith('.new'))).toEqual([])
})

test('what is delivered through the broker is called there, with a file as well, and the tool sees no token of ours', async () => {
  const agent = await connectAny!()
  const ask = { tool: 'wiki', scopes: ['wiki:read'], reason: 'INC-2' }
  const { grant } = GRANTED.parse((await agent.call('request_access', ask)).body)
  expect(grant.use.resource).toBe(`${stage.broker.issuer}/tools/wiki`)
  const answer = await stage.curl(grant.use.headerFile, `${grant.use.resource}/page`)
  expect(answer).toMatchObject({ status: 200 })
  expect(JSON.parse(answer.body)).toEqual({ page: true })
})

describe('what `hallpass connect` prints', () => {
  test.each(['legacy', 'modern'])('is all that the Inspector needs to be the agent, %s (P7)', async (era) => {
    const printed = await hallpass(stage.folder, ['connect', 'claude-desktop'], stage.env)
    const config = join(stage.folder, 'printed.json')
    writeFileSync(config, printed.stdout)
    const inspect = async (...args: string[]) => {
      const asked = ['--cli', '--config', config, '--server', 'hallpass', '--format', 'json', '--protocol-era', era]
      const { stdout } = await promisify(execFile)(process.execPath, [INSPECTOR, ...asked, ...args], {
        cwd: stage.folder,
        env: { PATH: process.env.PATH, HOME: stage.folder },
      })
      return stdout
    }
    expect(await inspect('--method', 'tools/list')).toContain('request_access')
    const asked = ['tool=desk', 'scopes=["desk:comment"]', 'reason=INC-1']
    const granted = await inspect('--method', 'tools/call', '--tool-name', 'request_access', '--tool-arg', ...asked)
    expect(granted).toContain('.header')
    expect(granted).not.toContain('eyJ')
  })
})
