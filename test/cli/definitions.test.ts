// `tool definitions`, `tool pin` and `tool unpin`, with a whole broker and a real MCP server behind it.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { type SampleBroker, startSampleBroker } from '../../src/commands/sample-broker.ts'
import { testDatabase } from '../support/test-store.ts'
import {
  SECRET as DESK_SECRET,
  editForDesk,
  startUpstreamServer,
  type UpstreamServer,
} from '../support/upstream-server.ts'
import { hallpass, temporaryFolder } from './launcher.ts'

const folder = temporaryFolder()
let desk: UpstreamServer
let broker: SampleBroker
beforeAll(async () => {
  vi.stubEnv('HALLPASS_TOOL_DESK', DESK_SECRET)
  desk = await startUpstreamServer()
  broker = await startSampleBroker({ ...(await testDatabase()), edit: (scopesPath) => editForDesk(desk, scopesPath) })
})
afterAll(async () => {
  vi.unstubAllEnvs()
  await broker.close()
  await desk.close()
  folder.remove()
})

const run = (...args: string[]) =>
  hallpass(folder.path, args, { HALLPASS_URL: broker.url, HALLPASS_TOKEN: broker.adminToken })

test('what a server says is read, accepted by the digest that was read, and taken back (S3)', {
  timeout: 120_000,
}, async () => {
  const seen = await vi.waitFor(
    async () => {
      const ran = await run('tool', 'definitions', 'desk')
      expect(ran.stdout).toContain('waits to be accepted')
      return ran
    },
    { timeout: 60_000, interval: 500 },
  )
  expect(seen.code).toBe(3)
  expect(seen.stdout).toContain('    + description: Takes its time.')
  const digest = /digest ([0-9a-f]{64})/.exec(seen.stdout)?.[1] ?? ''
  expect((await run('status')).stdout).toContain('desk: 1 waiting (hallpass tool definitions desk)')

  const headers = { authorization: `Bearer ${broker.adminToken}` }
  const metrics = await (await fetch(`${broker.url}/metrics`, { headers })).text()
  expect(metrics).toContain('hallpass_mcp_definitions{state="waiting"} 1')
  expect(metrics).toContain('hallpass_mcp_servers_unread 0')

  // Nobody at a terminal accepts nothing (S6); a digest that is not there neither.
  expect(await run('tool', 'pin', 'desk')).toMatchObject({ code: 3, stdout: '' })
  const stale = await run('tool', 'pin', 'desk', '--digest', 'a'.repeat(64))
  expect(stale).toMatchObject({ code: 2, stdout: '' })
  expect(stale.stderr).toContain('nothing that waits has the digest')
  expect((await run('tool', 'pin', 'desk', 'hidden')).code).toBe(2)

  expect(await run('tool', 'pin', 'desk', 'slow', '--digest', digest)).toMatchObject({
    code: 0,
    stdout: `Accepted slow  ${digest}\n`,
  })
  expect((await run('tool', 'definitions', 'desk')).stdout).toContain('desk__slow (desk:use): accepted by admin@')
  expect((await run('tool', 'list')).stdout).toMatch(/desk .*1 accepted/)

  expect(await run('tool', 'unpin', 'desk', 'slow', '--reason', 'INC-1')).toMatchObject({ code: 0 })
  expect((await run('tool', 'definitions', 'desk')).code).toBe(3)
  expect((await run('tool', 'definitions', 'tickets')).code).toBe(2)
})

test('accepting which of its tools come under which scope says that its words are accepted next (S5)', {
  timeout: 120_000,
}, async () => {
  const manifest = join(broker.scopesPath, 'tools', 'desk.yaml')
  writeFileSync(
    manifest,
    readFileSync(manifest, 'utf8').replace('{ slow: desk:use }', '{ slow: desk:use, confirm: desk:use }'),
  )
  const id = await vi.waitFor(
    async () => {
      const found = /^ {2}tool\/desk {2}(wid\w+)/m.exec((await run('revision', 'list')).stdout)?.[1]
      expect(found).toBeDefined()
      return found!
    },
    { timeout: 60_000, interval: 500 },
  )
  const accepted = await run('revision', 'accept', id)
  expect(accepted.stdout).toContain('accept that: hallpass tool definitions desk')
})
