// The MCP Inspector's command line against the whole broker, in both eras: what it lists, calls, reads and gets, and what it
// is told where that is refused. The ways to wait for an owner are walked elsewhere.

import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type SampleBroker, startSampleBroker } from '../../src/commands/sample-broker.ts'
import { MCP_CLIENTS, type McpAgent } from '../support/mcp-clients.ts'

const INSPECTOR = join(fileURLToPath(new URL('../peers', import.meta.url)), 'node_modules/.bin/mcp-inspector')

let broker: SampleBroker
let agent: McpAgent
beforeAll(async () => {
  if (!existsSync(INSPECTOR)) throw new Error('the Inspector is missing: npm ci --prefix test/peers')
  broker = await startSampleBroker()
  agent = await MCP_CLIENTS['the official client, pinned to 2026-07-28']!(broker, 'triage-bot')
})
afterAll(async () => {
  await agent.close()
  await broker.close()
})

type Said = { readonly exit: number; readonly out: Record<string, never>; readonly err: string }

const inspect = (era: string, token: string, ...args: readonly string[]): Promise<Said> =>
  new Promise((resolve) => {
    const all = ['--cli', `${broker.url}/mcp`, '--transport', 'http', '--protocol-era', era, '--format', 'json']
    const header = ['--header', `Authorization: Bearer ${token}`]
    // Its catalog of servers goes with the broker.
    const env = { ...process.env, HOME: join(broker.dataPath, '..') }
    execFile(process.execPath, [INSPECTOR, ...all, ...header, ...args], { env }, (failed, out, err) =>
      resolve({
        exit: typeof failed?.code === 'number' ? failed.code : 0,
        out: out === '' ? {} : JSON.parse(out),
        err,
      }),
    )
  })

describe.each(['modern', 'legacy'])('the Inspector, %s', (era) => {
  const run = (...args: string[]) => inspect(era, agent.sessionToken(), ...args)
  const call = (name: string, ...args: string[]) =>
    run('--method', 'tools/call', '--tool-name', name, ...(args.length === 0 ? [] : ['--tool-arg', ...args]))

  test('lists the tools, and finds nothing in their schemas that a client could trip over', async () => {
    const { exit, out } = await run('--method', 'tools/list', '--strict')
    const { tools } = out.result as unknown as { tools: { name: string }[] }
    expect({ exit, names: tools.map(({ name }) => name) }).toEqual({
      exit: 0,
      names: ['list_access', 'request_access', 'access_status', 'issue_token', 'release_access'],
    })
  })

  test('calls one', async () => {
    const { exit, out } = await call('list_access')
    expect(exit).toBe(0)
    expect(out).toMatchObject({ result: { structuredContent: { agent: 'triage-bot' } } })
  })

  test('is told what was refused and what to do instead (P8)', async () => {
    const { exit, out, err } = await call('request_access', 'tool=tickets', 'scopes=["ticket:raed"]', 'reason=INC-1')
    expect(exit).not.toBe(0)
    expect(err).toContain('isError')
    expect(out).toMatchObject({
      result: {
        isError: true,
        structuredContent: { error: { code: 'scope_not_in_manifest', didYouMean: 'ticket:read' } },
      },
    })
  })

  test('reads a resource, and hears that another is not there (S7)', async () => {
    const read = await run('--method', 'resources/read', '--uri', 'hallpass://access')
    expect(read.exit).toBe(0)
    expect(JSON.stringify(read.out)).toContain('triage-bot')
    const none = await run('--method', 'resources/read', '--uri', 'hallpass://requests/req_unknown')
    expect(none.exit).not.toBe(0)
    expect(none.err).toContain('You have no such resource')
  })

  test('gets a prompt', async () => {
    const [listed, got] = await Promise.all([
      run('--method', 'prompts/list'),
      run('--method', 'prompts/get', '--prompt-name', 'ask_for_access', '--prompt-args', 'task=INC-4211'),
    ])
    expect(listed.out).toMatchObject({ result: { prompts: [{ name: 'ask_for_access' }] } })
    expect(got.exit).toBe(0)
    expect(JSON.stringify(got.out)).toContain('INC-4211')
  })

  test('without a good token gets nothing (S13)', async () => {
    const { exit, out } = await inspect(era, 'nonsense', '--method', 'tools/list')
    expect(exit).not.toBe(0)
    expect(out).toEqual({})
  })
})

test('a request in the legacy era is pending, with who has to decide and where (P4)', async () => {
  const { exit, out } = await inspect(
    ...(['legacy', agent.sessionToken(), '--method', 'tools/call', '--tool-name', 'request_access'] as const),
    ...['--tool-arg', 'tool=tickets', 'scopes=["ticket:read"]', 'reason=INC-1', 'details={"queue":["incidents"]}'],
  )
  expect(exit).toBe(0)
  expect(out).toMatchObject({
    result: {
      structuredContent: {
        status: 'pending',
        approveUrl: expect.stringContaining(broker.url),
        request: { owners: expect.arrayContaining(['sre-lead@example.com']) },
      },
    },
  })
})
