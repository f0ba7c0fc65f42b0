// What every command has in common, and what is not there yet.

import type { Command } from 'commander'
import { afterAll, describe, expect, test } from 'vitest'
import { createCli } from '../../src/commands/command.ts'
import { createProgram } from '../../src/commands/program.ts'
import { Stop } from '../../src/commands/stop.ts'
import { createTerminal } from '../../src/commands/terminal.ts'
import { hallpass, temporaryFolder } from './launcher.ts'

const program = () =>
  createProgram(
    createCli(process, createTerminal(process), { signal: new AbortController().signal, takeOver: () => () => {} }),
  )

const paths = (command: Command, before = ''): readonly { path: string; command: Command }[] =>
  command.commands.flatMap((child) => {
    const path = `${before}${child.name()}`
    return [{ path, command: child }, ...paths(child, `${path} `)]
  })

const THERE = [
  ...[
    'init',
    'serve',
    'dev',
    'approve',
    'deny',
    'lock',
    'unlock',
    'can',
    'run',
    'proxy',
    'mcp',
    'connect',
    'login',
    'whoami',
    'logout',
    'token',
    'token-list',
    'token-revoke',
    'status',
  ],
  ...['agent new', 'agent list', 'agent show', 'agent decommission'],
  ...['scopes check', 'scopes plan', 'scopes apply', 'scopes schema'],
  ...['revision list', 'revision show', 'revision accept', 'revision decline'],
  ...['request list', 'request show', 'request watch'],
  ...['session list', 'session revoke', 'session token', 'grant list', 'grant revoke'],
  ...['credential list', 'credential show', 'credential revoke', 'receipt show', 'lock list'],
  ...['owner token', 'admin token', 'verifier token', 'key list', 'key rotate', 'clock reset'],
  ...['tool list', 'tool reconcile', 'drill', 'inspect'],
  ...['audit list', 'audit tail', 'audit key', 'audit export', 'audit verify'],
  ...['tool check', 'tool snippet'],
]

const LATER = ['backup', 'restore', 'db', 'incident', 'report']

describe('every command', () => {
  const all = paths(program())

  test('of the contract is there', () => {
    expect(all.map(({ path }) => path)).toEqual(expect.arrayContaining(THERE))
  })

  test('takes --json', () => {
    const isVerb = ({ command }: { command: Command }) => command.commands.length === 0 || command.name() === 'lock'
    const without = all
      .filter(isVerb)
      .filter(({ command }) => !command.options.some((option) => option.long === '--json'))
    expect(without.map(({ path }) => path)).toEqual([])
  })

  test('that lists can be called ls', () => {
    const lists = all.filter(({ path }) => path.endsWith(' list'))
    expect(lists.length).toBeGreaterThan(7)
    for (const { path, command } of lists) expect(command.aliases(), path).toEqual(['ls'])
  })

  test.each(LATER)('of a later version says so: %s (exit 1)', async (line) => {
    const stopped = await program()
      .parseAsync(line.split(' '), { from: 'user' })
      .catch((thrown: unknown) => thrown)
    expect(stopped).toBeInstanceOf(Stop)
    expect(stopped).toMatchObject({ exitCode: 1, message: expect.stringContaining('this version does not have') })
  })
})

describe('the launcher', () => {
  const folder = temporaryFolder()
  afterAll(() => folder.remove())

  test('exits 1 with a suggestion for a command that is not there', async () => {
    const ran = await hallpass(folder.path, ['scopse'])
    expect(ran).toMatchObject({ code: 1, stdout: '' })
    expect(ran.stderr).toContain('Did you mean scopes?')
  })

  test('says where it looked when there is neither a token nor a socket (exit 1)', async () => {
    const ran = await hallpass(folder.path, ['status'])
    expect(ran).toMatchObject({ code: 1, stdout: '' })
    for (const part of ['HALLPASS_URL', 'HALLPASS_TOKEN', `${folder.path}/data/run/hallpass.sock`, 'hallpass serve'])
      expect(ran.stderr).toContain(part)
  })

  test('answers a later command with --json as JSON on stderr, and nothing on stdout', async () => {
    const ran = await hallpass(folder.path, ['incident', '--json'])
    expect(ran).toMatchObject({ code: 1, stdout: '' })
    expect(JSON.parse(ran.stderr)).toMatchObject({
      error: { exitCode: 1, message: expect.stringContaining('incident') },
    })
  })
})
