// The commands, one after another, as a stranger types them: from an empty folder to a verified trail.

import type { ChildProcess } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { testDatabase } from '../support/test-store.ts'
import { ended, freePort, hallpass, printed, start, temporaryFolder } from './launcher.ts'

const OWNER = 'ana@example.com'
const folder = temporaryFolder()
let serving: ChildProcess | null = null
afterAll(async () => {
  if (serving !== null && serving.exitCode === null) {
    serving.kill('SIGKILL')
    await ended(serving)
  }
  folder.remove()
})

test('init, serve, agent new, accept, token, approve, lock, decommission, export, verify', {
  timeout: 240_000,
}, async () => {
  const port = String(await freePort())
  const url = `http://127.0.0.1:${port}`
  const { database } = await testDatabase()
  const host = { HALLPASS_PORT: port, ...(database === undefined ? {} : { HALLPASS_DATABASE: database }) }
  const run = (line: string, env: Record<string, string> = {}) =>
    hallpass(folder.path, line.split(' '), { ...host, ...env })

  // Nobody at a terminal accepts nothing (S6); what would be accepted is shown.
  const asked = await run(`init --owner ${OWNER}`)
  expect(asked).toMatchObject({ code: 3, stdout: '' })
  expect(asked.stderr).toContain('tool tickets at http://127.0.0.1:8430')
  const tool = join(folder.path, 'scopes', 'tools', 'tickets.yaml')
  expect(readFileSync(tool, 'utf8')).toMatch(/^# yaml-language-server: \$schema=\.\.\/\.schema\/tool\.json/)
  // A verifier that asks nobody: what it holds is dead only once it has expired (S15).
  writeFileSync(tool, readFileSync(tool, 'utf8').replace('verifiedBy: guard', 'verifiedBy: alone'))

  const made = await run(`init --owner ${OWNER} --yes`)
  expect(made.code).toBe(0)
  const ownerToken = /export HALLPASS_TOKEN=(hp_owner_\w+)/.exec(made.stdout)?.[1] ?? ''
  const adminToken = /export HALLPASS_TOKEN=(hp_admin_\w+)/.exec(made.stdout)?.[1] ?? ''
  expect([ownerToken, adminToken]).not.toContain('')
  const owner = { HALLPASS_URL: url, HALLPASS_TOKEN: ownerToken }
  const admin = { HALLPASS_URL: url, HALLPASS_TOKEN: adminToken }

  serving = start(folder.path, ['serve'], host)
  const said = await printed(serving, /waiting +0 requests, 0 widenings/)
  for (const line of [`${url}/mcp`, `${url}/`, join(folder.path, 'data')]) expect(said).toContain(line)
  expect(await run(`init --owner ${OWNER} --yes`)).toMatchObject({ code: 1, stdout: '' })

  expect(await run(`agent new bot --owner ${OWNER} --access tickets=ticket:read`)).toMatchObject({ code: 0 })
  const agent = {
    HALLPASS_URL: url,
    HALLPASS_AGENT: 'bot',
    HALLPASS_AGENT_KEY: join(folder.path, 'config/hallpass/keys/bot.pem'),
  }
  const revision = await waitingRevision()
  // The operator is an admin: an agent's widening is its tool's owner's to accept (S7).
  const refused = await run(`revision accept ${revision}`)
  expect(refused).toMatchObject({ code: 2, stdout: '' })
  expect(refused.stderr).toContain('This takes an owner of the agent, or an owner of the tool')
  expect(await run(`revision accept ${revision}`, owner)).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('+ scope ticket:read'),
  })
  expect(await run('can bot tickets ticket:read')).toMatchObject({
    code: 3,
    stdout: expect.stringContaining('agents/bot.yaml:'),
  })
  expect(await run('can bot tickets ticket:close')).toMatchObject({ code: 2, stdout: expect.stringMatching(/^no: /) })

  const ask = 'token tickets --scope ticket:read --reason INC-1'
  const pending = await run(ask, agent)
  expect(pending).toMatchObject({ code: 3, stdout: '' })
  const request = /hallpass approve (req_\w+)/.exec(pending.stderr)?.[1] ?? ''
  const waiting = start(folder.path, [...ask.split(' '), '--wait', '2m'], agent)
  const credential = ended(waiting)
  expect(await run('request ls --json', owner)).toMatchObject({ code: 0, stdout: expect.stringContaining(request) })
  expect(await run(`approve ${request} --for 1h`, owner)).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('Approved'),
  })
  // The credential alone, so that a script can take it.
  expect(await credential).toMatchObject({ code: 0, stdout: expect.stringMatching(/^eyJ[\w-]+\.[\w-]+\.[\w-]+\n$/) })
  const outside = await run('token tickets --scope ticket:close --reason INC-1', agent)
  expect(outside).toMatchObject({ code: 2, stdout: '' })
  expect(outside.stderr).toContain('scope_not_in_manifest')
  expect(outside.stderr).toContain('scopes: [ticket:close, ticket:read]')

  // Refused everywhere that asks, and not yet dead where nobody is asked: never called revoked (P5).
  const locked = await run('lock agent/bot --reason leak --wait 1s', admin)
  expect(locked.code).toBe(2)
  expect(locked.stdout).toMatch(/status +revoking/)
  const lock = /Undo: hallpass unlock (lck_\w+)/.exec(locked.stdout)?.[1] ?? ''
  expect(await run(ask, agent)).toMatchObject({ code: 2, stderr: expect.stringContaining('agent_locked') })
  expect(await run(`unlock ${lock}`, owner)).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('This takes an admin'),
  })
  expect(await run(`unlock ${lock}`, admin)).toMatchObject({ code: 0 })
  const ending = await run('agent decommission bot --reason retired --no-wait', admin)
  expect(ending.stdout).toMatch(/receipt +rvk_\w+/)

  const auditor = await run('admin token --role auditor')
  expect(auditor).toMatchObject({ code: 0, stdout: expect.stringMatching(/^hp_audit_\w+\n$/) })
  const reader = { HALLPASS_URL: url, HALLPASS_TOKEN: auditor.stdout.trim() }
  writeFileSync(join(folder.path, 'hallpass.pub'), (await run('audit key', reader)).stdout)
  expect(await run('audit export -o log.jsonl', reader)).toMatchObject({ code: 0 })
  serving.kill('SIGTERM')
  expect(await ended(serving)).toMatchObject({ code: 0 })
  const verified = await run('audit verify log.jsonl --key hallpass.pub')
  expect(verified).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^OK \d+ records, no gap, root [0-9a-f]{4}…, signed \d\d:\d\d:\d\dZ\n$/),
  })
  const log = readFileSync(join(folder.path, 'log.jsonl'), 'utf8')
  for (const secret of [ownerToken, adminToken, (await credential).stdout.trim()]) expect(log).not.toContain(secret)
  writeFileSync(join(folder.path, 'log.jsonl'), log.replace('"reason"', '"raeson"'))
  expect(await run('audit verify log.jsonl --key hallpass.pub')).toMatchObject({ code: 2, stdout: '' })

  /** The watcher proposes the new agent by itself. */
  async function waitingRevision(): Promise<string> {
    for (;;) {
      const listed: readonly { id: string; waiting: number }[] = JSON.parse(
        (await run('revision list --json', owner)).stdout,
      )
      const found = listed.find((one) => one.waiting > 0)
      if (found !== undefined) return found.id
    }
  }
})
