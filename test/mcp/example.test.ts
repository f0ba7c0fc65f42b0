// The example agent as it is run from a shell: it finds the token endpoint by itself, from the MCP URL and its key.

import { spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { calculateJwkThumbprint } from 'jose'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { agent, entry } from '../support/manifest-set.ts'
import { manifests, OWNER, type Served, serveMcp } from './support.ts'

let served: Served
beforeEach(async () => {
  // Assertions are made on this machine's clock.
  served = await serveMcp()
  served.clock.advance((Date.now() - served.clock.now()) / 1000)
})
afterEach(() => served.close())

const EXAMPLE = new URL('../../examples/mcp-client/agent.ts', import.meta.url).pathname

async function example(...args: string[]) {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const { kty, crv, x, y } = publicKey.export({ format: 'jwk' })
  const jwk = { kty: kty!, crv: crv!, x: x!, y: y! }
  const key = { kid: await calculateJwkThumbprint(jwk), alg: 'ES256', jwk } as const
  const access = [
    entry('tickets', ['ticket:read'], { details: { queue: ['incidents'] } }),
    entry('metrics', ['metrics:read'], { approval: 'none', delivery: 'inline' }),
  ]
  await served.inForce(
    ...manifests().filter(({ name }) => name !== 'triage-bot'),
    agent('triage-bot', { keys: [key], access }),
  )
  const path = join(served.folder, 'triage-bot.pem')
  writeFileSync(path, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 })
  const env = { ...process.env, HALLPASS_MCP_URL: served.url, HALLPASS_AGENT: 'triage-bot', HALLPASS_AGENT_KEY: path }
  const child = spawn(process.execPath, [EXAMPLE, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  const exit = new Promise<number | null>((resolve) => child.once('close', resolve))
  return { exit, output: () => output }
}

test('the example waits for its owner, redeems the grant at the token endpoint and gives it back', async () => {
  const run = await example('tickets', 'ticket:read', 'INC-4211: find the cause', 'queue=incidents')
  await vi.waitFor(() => expect(run.output()).toContain(`waiting for ${OWNER}`), 20_000)
  const [request] = (await served.deps.store.list({ kind: 'request', limit: 1 })).rows
  await served.approve(request!.id)
  expect({ exit: await run.exit, output: run.output() }).toEqual({
    exit: 0,
    output: expect.stringMatching(
      /granted until [\s\S]*holds a token for https:\/\/tickets[\s\S]*given back: revok(ed|ing), receipt rvk_/,
    ),
  })
  expect(run.output()).not.toContain('eyJ')
})

test('the example is given a token by the tool where the manifest says so', async () => {
  const run = await example('metrics', 'metrics:read', 'INC-4211')
  expect({ exit: await run.exit, output: run.output() }).toEqual({
    exit: 0,
    output: expect.stringContaining('holds a token for https://metrics.example.com until'),
  })
})

test('the example says in words why it is refused (P8)', async () => {
  const run = await example('tickets', 'ticket:close', 'INC-4211', 'queue=incidents')
  expect({ exit: await run.exit, output: run.output() }).toEqual({
    exit: 2,
    output: expect.stringContaining('scope_not_in_manifest'),
  })
  expect(run.output()).toContain('scopes: [ticket:close, ticket:read]')
})
