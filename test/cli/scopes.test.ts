// The manifests on the command line: faults where they are, schemas, and a new agent that is right before it is written.

import { cpSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { hallpass, temporaryFolder } from './launcher.ts'

const SAMPLE = fileURLToPath(new URL('../../scopes', import.meta.url))

let folder: ReturnType<typeof temporaryFolder>
let scopes: string
beforeEach(() => {
  folder = temporaryFolder()
  scopes = join(folder.path, 'scopes')
  cpSync(SAMPLE, scopes, { recursive: true })
})
afterEach(() => folder.remove())

describe('scopes check', () => {
  test('finds nothing in the sample (exit 0)', async () => {
    expect(await hallpass(folder.path, ['scopes', 'check'])).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^OK 2 agents/),
    })
  })

  test('prints each fault as file:line:col message, and exits 1', async () => {
    writeFileSync(
      join(scopes, 'teams', 'broken.yaml'),
      'apiVersion: hallpass/v1\nkind: Team\nmetadata: { name: x }\nspec:\n  memberz: [a@b.example]\n',
    )
    const { code, stdout } = await hallpass(folder.path, ['scopes', 'check', 'scopes'])
    expect(code).toBe(1)
    expect(stdout).toMatch(/^teams\/broken\.yaml:5:3 .*memberz.*members/m)
    for (const line of stdout.trim().split('\n')) expect(line).toMatch(/^\S+:\d+:\d+ \S/)
  })

  test('says that a folder is missing instead of taking it for an empty one (exit 1)', async () => {
    expect(await hallpass(folder.path, ['scopes', 'check', 'nowhere'])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('it is not there'),
    })
  })
})

test('scopes schema prints the JSON Schema of a kind', async () => {
  const { code, stdout } = await hallpass(folder.path, ['scopes', 'schema', 'agent'])
  expect(code).toBe(0)
  expect(JSON.parse(stdout).properties.kind).toMatchObject({ const: 'Agent' })
})

describe('agent new', () => {
  const make = (...more: string[]) =>
    hallpass(folder.path, [
      'agent',
      'new',
      'night-bot',
      '--owner',
      'team/platform',
      '--access',
      'tickets=ticket:read',
      ...more,
    ])

  test('writes a manifest that is right, with the private key elsewhere and for its owner alone (P7)', async () => {
    const ran = await make('--details', 'queue=incidents')
    expect(ran.code).toBe(0)
    const key = join(folder.path, 'config', 'hallpass', 'keys', 'night-bot.pem')
    expect(statSync(key).mode & 0o777).toBe(0o600)
    expect(readFileSync(key, 'utf8')).toMatch(/^-----BEGIN PRIVATE KEY-----/)
    expect(readFileSync(join(scopes, 'agents', 'night-bot.yaml'), 'utf8')).toContain('incidents')
    expect(ran.stdout).toContain('an owner of tool tickets: desk-lead@example.com or omar@example.com')
    expect(ran.stdout + ran.stderr).not.toContain('BEGIN')
    expect(await hallpass(folder.path, ['scopes', 'check'])).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('3 agents'),
    })
  })

  test('writes nothing where the set would have a fault (exit 1)', async () => {
    const ran = await hallpass(folder.path, [
      'agent',
      'new',
      'night-bot',
      '--owner',
      'a@b.example',
      '--access',
      'tickets=ticket:raed',
    ])
    expect(ran).toMatchObject({ code: 1, stderr: expect.stringContaining('ticket:read') })
    expect(existsSync(join(scopes, 'agents', 'night-bot.yaml'))).toBe(false)
    expect(existsSync(join(folder.path, 'config'))).toBe(false)
  })

  test('never writes over a key, and never puts one among the manifests or into a git work tree (P7)', async () => {
    const taken = join(folder.path, 'taken.pem')
    writeFileSync(taken, 'mine')
    mkdirSync(join(folder.path, 'repository', '.git'), { recursive: true })
    const [over, among, inside] = await Promise.all([
      make('--out', taken),
      make('--out', join(scopes, 'agents', 'night-bot.pem')),
      make('--out', join(folder.path, 'repository', 'keys', 'night-bot.pem')),
    ])
    expect([over.code, among.code, inside.code]).toEqual([1, 1, 1])
    expect(readFileSync(taken, 'utf8')).toBe('mine')
    expect(among.stderr).toContain('among the manifests')
    expect(inside.stderr).toContain('git work tree')
    expect(existsSync(join(scopes, 'agents', 'night-bot.yaml'))).toBe(false)
  })
})
