// The operator's list of programs: where it may lie, who may write it, and what it may say.

import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { programOpener, readCommands } from '../../../src/adapters/upstream-mcp/read-commands.ts'
import { err, ok } from '../../../src/core/result.ts'
import { Secret } from '../../../src/core/secret.ts'
import { unwrap } from '../../support/store-on-disk.ts'

let folder: string
let scopes: string
let path: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hallpass-commands-'))
  scopes = join(folder, 'scopes')
  mkdirSync(scopes)
  path = join(folder, 'commands.yaml')
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const write = (text: string, at = path) => writeFileSync(at, text, { mode: 0o600 })
const faultOf = (at: string | null = path) => {
  const read = readCommands(at, scopes)
  return read.ok ? null : read.error
}
const NOTES = 'notes: { command: /usr/bin/notes, env: { TOKEN: "env:HALLPASS_TOOL_NOTES" } }'

test('without a file no program is named, and with one those that it names', () => {
  expect(unwrap(readCommands(null, scopes))).toEqual({})
  write(NOTES)
  expect(unwrap(readCommands(path, scopes))).toEqual({
    notes: { command: '/usr/bin/notes', args: [], cwd: '/', env: { TOKEN: 'env:HALLPASS_TOOL_NOTES' } },
  })
})

test('a file among the manifests is refused, by whatever way it leads there (S5)', () => {
  const among = join(scopes, 'commands.yaml')
  write(NOTES, among)
  symlinkSync(among, path)
  for (const at of [among, path]) expect(faultOf(at)).toContain('among the manifests')
  const way = join(folder, 'way')
  symlinkSync(scopes, way)
  expect(faultOf(join(way, 'commands.yaml'))).toContain('among the manifests')
})

test.each([0o622, 0o602, 0o620])('a file that others can write (%o) is refused (S5)', (mode) => {
  write(NOTES)
  chmodSync(path, mode)
  expect(faultOf()).toContain('chmod go-w')
})

test.each([
  ['a program that is looked for', 'notes: { command: notes }'],
  ['a field that is none', 'notes: { command: /bin/notes, shell: true }'],
  ['a name that is none', 'No Name: { command: /bin/notes }'],
  ['a text', 'topsecret'],
  ['no YAML', '{ topsecret'],
])('%s is refused, and nothing of it is repeated (S5)', (_what, text) => {
  write(text)
  expect(faultOf()).toMatch(/^HALLPASS_COMMANDS: /)
  expect(faultOf()).not.toContain('topsecret')
})

test('a file that is not there is refused', () => {
  expect(faultOf()).toContain('ENOENT')
})

test('a secret is opened when a program is started, and only what is named can be (S5)', () => {
  write(NOTES)
  const commands = unwrap(readCommands(path, scopes))
  const open = programOpener(commands, () => ok(new Secret('opened just now')))
  expect(unwrap(open('notes'))).toMatchObject({
    program: { command: '/usr/bin/notes', env: { TOKEN: 'opened just now' } },
    secrets: ['opened just now'],
  })
  for (const name of ['other', '__proto__', 'constructor', 'toString']) expect(open(name).ok).toBe(false)
  expect(programOpener(commands, () => err('not set'))('notes').ok).toBe(false)
})
