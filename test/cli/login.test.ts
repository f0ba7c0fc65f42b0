// `login`, `whoami`, `logout`: which token goes where, and who else could read what is kept.

import { once } from 'node:events'
import { chmodSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { keptPathOf, readKept, withoutAll, writeKept } from '../../src/commands/kept-tokens.ts'
import { remoteFrom } from '../../src/commands/remote.ts'
import { SAMPLE_OWNERS, type SampleBroker, startSampleBroker } from '../../src/commands/sample-broker.ts'
import { testDatabase } from '../support/test-store.ts'
import { ended, hallpass, start, temporaryFolder } from './launcher.ts'

const folder = temporaryFolder()
const path = join(folder.path, 'config', 'hallpass', 'tokens.json')
const env = { XDG_CONFIG_HOME: join(folder.path, 'config'), HALLPASS_DATA: join(folder.path, 'data') }
let broker: SampleBroker
let ownerToken: string
beforeAll(async () => {
  broker = await startSampleBroker(await testDatabase())
  ownerToken = await broker.ownerToken(SAMPLE_OWNERS.agents)
})
afterEach(() => withoutAll(path))
afterAll(async () => {
  await broker.close()
  folder.remove()
})

async function login(token: string, more: Record<string, string> = {}, args: readonly string[] = []) {
  const child = start(folder.path, ['login', '--token-stdin', ...args], { HALLPASS_URL: broker.url, ...more }, 'pipe')
  child.stdin?.end(`${token}\n`)
  if (child.stdin !== null) await once(child.stdin, 'close')
  return ended(child)
}

describe('login', () => {
  test('keeps the token for its own user alone, and later commands use it', async () => {
    const done = await login(ownerToken)
    expect(done).toMatchObject({ code: 0, stdout: expect.stringContaining(`Kept for ${broker.url}`) })
    expect(done.stdout + done.stderr).not.toContain(ownerToken)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(statSync(join(path, '..')).mode & 0o077).toBe(0)

    const who = await hallpass(folder.path, ['whoami', '--json'])
    expect(JSON.parse(who.stdout)).toMatchObject({
      role: 'owner',
      subject: SAMPLE_OWNERS.agents,
      where: broker.url,
      from: 'login',
    })
    // What is in the environment comes first.
    const other = { HALLPASS_URL: broker.url, HALLPASS_TOKEN: broker.adminToken }
    expect(JSON.parse((await hallpass(folder.path, ['whoami', '--json'], other)).stdout)).toMatchObject({
      role: 'admin',
      from: 'HALLPASS_TOKEN',
    })
    // A refusal says which token it was.
    const refused = await hallpass(folder.path, ['unlock', 'lck_0'])
    expect(refused.code).toBe(2)
    expect(await hallpass(folder.path, ['key', 'rotate'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('the token that `hallpass login` kept is something else'),
    })

    const out = await hallpass(folder.path, ['logout'])
    expect(out).toMatchObject({ code: 0, stdout: expect.stringContaining('can still use it until it expires') })
    expect(readFileSync(path, 'utf8')).not.toContain(ownerToken)
    expect(await hallpass(folder.path, ['whoami'])).toMatchObject({ code: 1, stderr: expect.stringContaining(path) })
  })

  test('keeps nothing that the broker does not know, and reads no token from anywhere but stdin (P7)', async () => {
    const unknown = ownerToken.replace(/.$/, (last) => (last === 'a' ? 'b' : 'a'))
    expect(await login(unknown)).toMatchObject({ code: 1, stderr: expect.stringContaining('not all of one') })
    expect(await login(await broker.verifierToken('metrics'))).toMatchObject({ code: 2 })
    expect(await login('')).toMatchObject({ code: 1 })
    expect(await login('x'.repeat(20_000))).toMatchObject({ code: 1 })
    expect(await hallpass(folder.path, ['login'], { HALLPASS_URL: broker.url })).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('stdin alone'),
    })
    expect(readKept(path)).toEqual({ current: null, tokens: {} })
  })

  test('a token never goes in the clear off loopback (P7)', async () => {
    const refused = await login(ownerToken, {}, ['--url', 'http://hallpass.example.com'])
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('https') })
  })
})

describe('what is kept', () => {
  const kept = { current: 'https://a.example', tokens: { 'https://a.example': 'hp_a', 'https://b.example': 'hp_b' } }

  test('goes to its own broker alone: HALLPASS_URL picks, else the last one', () => {
    writeKept(path, kept)
    const placeOf = (more: Record<string, string>) => remoteFrom({ ...env, ...more }, '/').place
    expect(placeOf({})).toMatchObject({ by: 'url', token: 'hp_a', kept: true })
    expect(placeOf({ HALLPASS_URL: 'https://b.example/mcp' })).toMatchObject({ token: 'hp_b', kept: true })
    expect(placeOf({ HALLPASS_URL: 'https://c.example' })).toMatchObject({ by: 'socket', token: null })
    expect(placeOf({ HALLPASS_URL: 'https://b.example:8443' })).toMatchObject({ by: 'socket', token: null })
    expect(placeOf({ HALLPASS_TOKEN: 'hp_c' })).toMatchObject({ by: 'socket', token: 'hp_c' })
    expect(placeOf({ HALLPASS_URL: 'https://a.example', HALLPASS_TOKEN: 'hp_c' })).toMatchObject({ token: 'hp_c' })
  })

  test('is refused where others can reach it, where it is a link, and where it is not ours (P10)', () => {
    writeKept(path, kept)
    chmodSync(path, 0o640)
    expect(() => readKept(path)).toThrow('others can reach it')
    withoutAll(path)
    writeFileSync(join(folder.path, 'elsewhere'), JSON.stringify(kept), { mode: 0o600 })
    mkdirSync(join(path, '..'), { recursive: true })
    symlinkSync(join(folder.path, 'elsewhere'), path)
    expect(() => readKept(path)).toThrow('is not a file')
    withoutAll(path)
    for (const text of ['', '{', '[]', '{"current":null}', '{"current":"x","tokens":{}}']) {
      writeFileSync(path, text, { mode: 0o600 })
      expect(() => readKept(path), text).toThrow('cannot be read')
    }
  })

  test('is in XDG_CONFIG_HOME, else in ~/.config', () => {
    expect(keptPathOf(env)).toBe(path)
    expect(keptPathOf({})).toMatch(/\/\.config\/hallpass\/tokens\.json$/)
  })

  test('logout --all removes even a file that cannot be trusted', async () => {
    writeKept(path, kept)
    chmodSync(path, 0o644)
    expect(await hallpass(folder.path, ['whoami'])).toMatchObject({ code: 1, stderr: expect.stringContaining('chmod') })
    expect(await hallpass(folder.path, ['logout', '--all'])).toMatchObject({ code: 0 })
    expect(statSync(path, { throwIfNoEntry: false })).toBeUndefined()
  })
})
