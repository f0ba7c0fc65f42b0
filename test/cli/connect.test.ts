// `connect CLIENT` prints what that client reads: parsed here by parsers of its formats, and started as the client would.

import { execFile } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { CLIENT_NAMES, clientConfig } from '../../src/core/client-config.ts'
import { unwrap } from '../support/store-on-disk.ts'
import { hallpass, temporaryFolder } from './launcher.ts'

// The TOML parser that knip brings.
const { parse: parseToml } = createRequire(createRequire(import.meta.url).resolve('knip'))('smol-toml') as {
  parse(text: string): unknown
}
const parseAs = { json: (text: string): unknown => JSON.parse(text), toml: parseToml }

const folder = temporaryFolder()
afterAll(() => folder.remove())

const AWKWARD = `${folder.path}/it's "my" key \\ ü.pem`
const ENV = {
  HALLPASS_URL: 'https://hallpass.example.com/mcp',
  HALLPASS_AGENT: 'triage-bot',
  NODE_EXTRA_CA_CERTS: '',
}

const ENTRY = z.looseObject({
  type: z.literal('stdio').optional(),
  command: z.string(),
  args: z.array(z.string()),
  env: z.record(z.string(), z.string()),
})
/** Under which key each client looks. */
const ROOT: Record<string, string> = { vscode: 'servers', codex: 'mcp_servers' }
const entryIn = (client: string, parsed: unknown) => {
  const root = ROOT[client] ?? 'mcpServers'
  return ENTRY.parse(z.looseObject({ [root]: z.looseObject({ hallpass: z.unknown() }) }).parse(parsed)[root]!.hallpass)
}

describe.each(CLIENT_NAMES)('%s', (client) => {
  test('reads a command, and where the key lies, whatever is in its path', () => {
    const env = { HALLPASS_URL: 'https://hallpass.example.com', HALLPASS_AGENT_KEY: AWKWARD }
    const server = { name: 'hallpass', command: `${AWKWARD}/node`, args: [`${AWKWARD}/hallpass`, 'mcp'], env }
    const { text, format } = unwrap(clientConfig(client, server))
    const { type: _, ...read } = entryIn(client, parseAs[format](text))
    expect(read).toEqual({ command: server.command, args: server.args, env })
  })
})

describe('connect', () => {
  test.each(['cursor', 'codex'] as const)('prints it for %s, and nothing secret (P7)', async (client) => {
    writeFileSync(AWKWARD, 'SECRET-OF-THE-KEY', { mode: 0o600 })
    const ran = await hallpass(folder.path, ['connect', client], { ...ENV, HALLPASS_AGENT_KEY: AWKWARD })
    expect(ran.code).toBe(0)
    const { command, args, env } = entryIn(client, parseAs[client === 'codex' ? 'toml' : 'json'](ran.stdout))
    expect(env).toEqual({
      HALLPASS_URL: 'https://hallpass.example.com',
      HALLPASS_AGENT: 'triage-bot',
      HALLPASS_AGENT_KEY: AWKWARD,
    })
    expect([command, ...args]).toEqual([
      expect.stringMatching(/^\/.*node$/),
      expect.stringMatching(/^\/.*hallpass$/),
      'mcp',
    ])
    expect(ran.stdout + ran.stderr).not.toContain('SECRET')
    expect(ran.stderr).toMatch(/For .+: .*(\.json|\.toml)/)
  })

  test('the command starts without anything of a shell’s, and is told which authorities to trust', async () => {
    const env = { ...ENV, HALLPASS_AGENT_KEY: AWKWARD, NODE_EXTRA_CA_CERTS: 'corporate.pem' }
    const ran = await hallpass(folder.path, ['connect', 'gemini'], env)
    const given = entryIn('gemini', JSON.parse(ran.stdout))
    expect(given.env.NODE_EXTRA_CA_CERTS).toBe(join(folder.path, 'corporate.pem'))
    const { stdout } = await promisify(execFile)(given.command, [...given.args, '--help'], { env: {} })
    expect(stdout).toContain('serve an agent over stdio')
  })

  test('says the same in one command, which a shell reads as it was meant', async () => {
    for (const client of ['claude-code', 'vscode']) {
      const ran = await hallpass(folder.path, ['connect', client, '--json'], { ...ENV, HALLPASS_AGENT_KEY: AWKWARD })
      const { commandLine, server } = z
        .object({ commandLine: z.string(), server: z.looseObject({ args: z.array(z.string()) }) })
        .parse(JSON.parse(ran.stdout))
      const [program, ...rest] = commandLine.split(' ')
      const { stdout } = await promisify(execFile)('sh', ['-c', `printf '%s\\0' ${rest.join(' ')}`])
      const words = stdout.split('\0').slice(0, -1)
      expect(program).toMatch(/^(claude|codex|code)$/)
      if (client === 'vscode') expect(JSON.parse(words[1]!).env.HALLPASS_AGENT_KEY).toBe(AWKWARD)
      else {
        expect(words).toContain(`HALLPASS_AGENT_KEY=${AWKWARD}`)
        expect(words.slice(-2)).toEqual(server.args)
      }
    }
  })

  test('writes no path that a client would read as more than text', () => {
    for (const client of CLIENT_NAMES) {
      const server = (key: string) => ({ name: 'hallpass', command: '/n', args: ['/h', 'mcp'], env: { KEY: key } })
      for (const key of ['/home/a\nb', '/home/a\0', '/home/\ud800'])
        expect(clientConfig(client, server(key)).ok).toBe(false)
      const dollar = clientConfig(client, server('/home/$HOME/key'))
      if (client === 'codex' || client === 'claude-desktop') expect(dollar.ok).toBe(true)
      else expect(dollar).toMatchObject({ ok: false, error: expect.stringContaining('KEY holds a $') })
    }
  })

  test('a key pasted in place of its path is refused, and not repeated (P7)', async () => {
    const pasted = '-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\n-----END PRIVATE KEY-----'
    const ran = await hallpass(folder.path, ['connect', 'cursor'], { ...ENV, HALLPASS_AGENT_KEY: pasted })
    expect(ran).toMatchObject({ code: 1, stdout: '' })
    expect(ran.stderr).not.toContain('MIGH')
  })

  test('a client that it does not know, or an agent that is not named, gets a hint', async () => {
    const env = { ...ENV, HALLPASS_AGENT_KEY: AWKWARD }
    expect(await hallpass(folder.path, ['connect', 'cursr'], env)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('Did you mean cursor?'),
    })
    expect(await hallpass(folder.path, ['connect', 'claude'], env)).toMatchObject({ code: 0 })
    const nobody = await hallpass(folder.path, ['connect', 'codex'], { HALLPASS_URL: ENV.HALLPASS_URL })
    expect(nobody).toMatchObject({ code: 1, stderr: expect.stringContaining('HALLPASS_AGENT and HALLPASS_AGENT_KEY') })
    mkdirSync(join(folder.path, 'elsewhere'))
    const relative = await hallpass(folder.path, ['connect', 'gemini'], {
      ...ENV,
      HALLPASS_AGENT_KEY: 'elsewhere/k.pem',
    })
    expect(relative.stdout).toContain(join(folder.path, 'elsewhere/k.pem'))
    expect(relative.stderr).toContain('there is nothing at')
  })
})
