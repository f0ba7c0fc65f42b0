// The whole broker with a tool whose MCP server is a program of the operator's: started with what the configuration gives it
// and nothing else, used by an agent that never sees its secret, and gone with the broker.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { listDefinitions, pinDefinition } from '../../src/actions/pin-definition.ts'
import { type SampleBroker, startSampleBroker } from '../../src/commands/sample-broker.ts'
import { MCP_CLIENTS } from '../support/mcp-clients.ts'
import { unwrap } from '../support/store-on-disk.ts'
import { testDatabase } from '../support/test-store.ts'

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

let broker: SampleBroker
let isOpen = false
beforeEach(async () => {
  vi.stubEnv('HALLPASS_TOOL_NOTES', SECRET)
  vi.stubEnv('HALLPASS_TOOL_OTHER', 'secret-of-another-tool')
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
      const agent = join(scopesPath, 'agents', 'triage-bot.yaml')
      const entry = '\n    - { tool: notes, scopes: [notes:read], approval: none, delivery: proxy }'
      writeFileSync(agent, readFileSync(agent, 'utf8').replace(/^ {2}access:$/m, `  access:${entry}`))
    },
  })
  isOpen = true
})
afterEach(async () => {
  vi.unstubAllEnvs()
  if (isOpen) await broker.close()
})

test('a program of the operator is started, pinned, called, and gone with the broker (P7, S5)', async () => {
  const { deps } = broker.running.broker
  const context = { caller: { role: 'admin', id: 'admin@example.com', bearer: 'brr_a' }, requestId: 'rid_pin' } as const
  await vi.waitFor(
    async () =>
      expect(unwrap(await listDefinitions(deps, context.caller, 'notes'))).toMatchObject([
        { name: 'environment', status: 'waiting' },
      ]),
    { timeout: 20_000, interval: 250 },
  )
  const agent = await MCP_CLIENTS['the official client, pinned to 2026-07-28']!(broker, 'triage-bot')
  const granted = await agent.call('request_access', { tool: 'notes', scopes: ['notes:read'], reason: 'INC-1' })
  expect(granted.body).toMatchObject({ status: 'granted', grant: { use: { resource: `${broker.url}/mcp` } } })
  expect(await agent.tools()).not.toContain('notes__environment')
  const [waiting] = unwrap(await listDefinitions(deps, context.caller, 'notes'))
  unwrap(await pinDefinition(deps, context, { tool: 'notes', name: 'environment', digest: waiting!.digest! }))
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
