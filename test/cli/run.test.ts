// `run`: the credential lives in the command's environment, and no longer than the command.

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { SAMPLE_OWNERS, type SampleBroker, startSampleBroker } from '../../src/commands/sample-broker.ts'
import { testDatabase } from '../support/test-store.ts'
import { ended, hallpass, printed, start, temporaryFolder } from './launcher.ts'

const folder = temporaryFolder()
let broker: SampleBroker
let agent: Record<string, string>
let person: Record<string, string>
beforeAll(async () => {
  broker = await startSampleBroker(await testDatabase())
  agent = {
    HALLPASS_URL: broker.url,
    HALLPASS_AGENT: 'triage-bot',
    HALLPASS_AGENT_KEY: broker.agents['triage-bot']!.keyPath,
  }
  person = { HALLPASS_URL: broker.url, HALLPASS_TOKEN: await broker.ownerToken(SAMPLE_OWNERS.agents) }
})
afterAll(async () => {
  await broker.close()
  folder.remove()
})

const METRICS = ['run', '--tool', 'metrics', '--scope', 'metrics:read']
const node = (script: string, ...args: string[]) => [...METRICS, '--', process.execPath, '-e', script, '--', ...args]
const run = (args: readonly string[], env: Record<string, string> = {}) =>
  hallpass(folder.path, args, { ...agent, ...env })
const jtiOf = (token: string): string =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8')).jti
const credential = async (token: string) =>
  (await broker.running.broker.deps.store.read([`credential/${jtiOf(token)}`])).get('credential', jtiOf(token))

describe('hallpass run', () => {
  test('gives the command the credential in its environment, and to nobody in an argument (P7)', async () => {
    const script = `
      const fs = require('node:fs')
      const token = process.env.HALLPASS_METRICS_TOKEN
      const lines = fs.readdirSync('/proc').filter((pid) => /^\\d+$/.test(pid)).map((pid) => {
        try { return fs.readFileSync('/proc/' + pid + '/cmdline', 'utf8') } catch { return '' }
      })
      const of = (pid) => fs.readFileSync('/proc/' + pid + '/environ', 'utf8')
      console.log(JSON.stringify({ token, listed: lines.some((line) => line.includes(token)), parent: of(process.ppid).includes(token) }))`
    const done = await run(node(script))
    expect(done).toMatchObject({ code: 0, stderr: '' })
    const seen = JSON.parse(done.stdout)
    expect(seen).toEqual({ token: expect.stringMatching(/^eyJ/), listed: false, parent: false })
    // Over when the command is; the grant is there for the next one.
    const row = await credential(seen.token)
    expect(row).toMatchObject({ state: 'revoked', tool: 'metrics', agent: 'triage-bot' })
    const grant = (await broker.running.broker.deps.store.read([`grant/${row!.grant}`])).get('grant', row!.grant)
    expect(grant?.state).toBe('active')
  })

  test('ends as the command ended: its code, or 128 and the signal', async () => {
    expect(await run(node('process.exit(42)'))).toMatchObject({ code: 42 })
    expect(await run(node('process.kill(process.pid, "SIGKILL")'))).toMatchObject({ code: 137 })
  })

  test('says 127 where there is no such command, and takes the credential back all the same', async () => {
    const before = await broker.running.broker.deps.store.list({ kind: 'credential', limit: 500 })
    expect(await run([...METRICS, '--', './not-there'])).toMatchObject({ code: 127 })
    const { rows } = await broker.running.broker.deps.store.list({ kind: 'credential', limit: 500 })
    expect(rows.length).toBe(before.rows.length + 1)
    expect(rows.every((row) => row.state === 'revoked')).toBe(true)
  })

  test('hands every argument after -- on as it is', async () => {
    const done = await run(node('console.log(JSON.stringify(process.argv.slice(1)))', '--json', '-x', '--', 'a b', ''))
    expect(JSON.parse(done.stdout)).toEqual(['--json', '-x', '--', 'a b', ''])
    expect(await run([...METRICS, '--', process.execPath, 'not-there.js', '--json'])).toMatchObject({
      code: 1,
      stderr: expect.not.stringContaining('{"error"'),
    })
  })

  test('passes a signal on, waits for the command, and takes the credential back then', async () => {
    const script = `
      process.on('SIGTERM', () => { console.log('asked to end'); setTimeout(() => process.exit(7), 50) })
      setInterval(() => {}, 1000)
      console.log(process.env.HALLPASS_METRICS_TOKEN)`
    const child = start(folder.path, node(script), agent)
    const said = await printed(child, /^eyJ\S+\n/)
    const token = said.trim()
    expect(await credential(token)).toMatchObject({ state: 'issued' })
    const over = ended(child)
    child.kill('SIGTERM')
    expect(await over).toMatchObject({ code: 7, stdout: expect.stringContaining('asked to end') })
    expect(await credential(token)).toMatchObject({ state: 'revoked' })
  })

  test('gives a command that a signal ends as 128 and that signal, with the credential taken back', async () => {
    const script = 'setInterval(() => {}, 1000); console.log(process.env.HALLPASS_METRICS_TOKEN)'
    const child = start(folder.path, node(script), agent)
    const token = (await printed(child, /^eyJ\S+\n/)).trim()
    child.kill('SIGHUP')
    expect(await ended(child)).toMatchObject({ code: 129 })
    expect(await credential(token)).toMatchObject({ state: 'revoked' })
  })

  test('runs nothing while an owner has to say yes, and runs it after --wait (P4)', async () => {
    const ran = join(folder.path, 'ran')
    const args = [
      'run',
      '--tool',
      'tickets',
      '--scope',
      'ticket:read',
      '--detail',
      'queue=incidents',
      '--reason',
      'INC-1',
    ]
    const command = ['--', 'sh', '-c', `printf %s "$HALLPASS_TICKETS_TOKEN" > ${ran}`]
    const pending = await run([...args, ...command])
    expect(pending).toMatchObject({ code: 3, stdout: '' })
    expect(existsSync(ran)).toBe(false)
    const request = /hallpass approve (req_\w+)/.exec(pending.stderr)?.[1] ?? ''
    const waiting = start(folder.path, [...args, '--wait', '1m', ...command], agent)
    const over = ended(waiting)
    expect(await hallpass(folder.path, ['approve', request], person)).toMatchObject({ code: 0 })
    expect(await over).toMatchObject({ code: 0 })
    expect(await credential(readFileSync(ran, 'utf8'))).toMatchObject({ state: 'revoked', tool: 'tickets' })
  })

  test('a refusal runs nothing and exits 2 with its code (P8)', async () => {
    writeFileSync(join(folder.path, 'untouched'), 'yes')
    const args = ['run', '--tool', 'metrics', '--scope', 'metrics:admin', '--', 'rm', 'untouched']
    expect(await run(args)).toMatchObject({ code: 2, stderr: expect.stringContaining('scope_not_in_manifest') })
    expect(existsSync(join(folder.path, 'untouched'))).toBe(true)
  })
})
