import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openDataFolder } from '../../../src/adapters/system/data-folder.ts'

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'hp-'))
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

const modeOf = (path: string) => statSync(path).mode & 0o777

test('the data folder and the one of the socket are made for their owner alone (S10)', () => {
  const path = join(root, 'a', 'data')
  const opened = openDataFolder(path)
  expect(opened).toEqual({
    ok: true,
    value: {
      path,
      database: join(path, 'hallpass.db'),
      intents: join(path, 'hallpass.intents'),
      kek: join(path, 'kek'),
      run: join(path, 'run'),
      socket: join(path, 'run', 'hallpass.sock'),
    },
  })
  expect([modeOf(path), modeOf(join(path, 'run'))]).toEqual([0o700, 0o700])
  expect(openDataFolder(path)).toEqual(opened)
})

test.each([0o750, 0o701, 0o777])('a data folder with mode %o is refused and left as it is (S10)', (mode) => {
  const path = join(root, 'data')
  mkdirSync(path)
  chmodSync(path, mode)
  expect(openDataFolder(path)).toEqual({ ok: false, error: `${path} can be entered by others: chmod 700 it` })
  expect(modeOf(path)).toBe(mode)
})

test('a socket folder that others can enter is refused (S10)', () => {
  const path = join(root, 'data')
  openDataFolder(path)
  chmodSync(join(path, 'run'), 0o755)
  expect(openDataFolder(path)).toMatchObject({ ok: false })
})

test('a folder of another user is refused (S10)', () => {
  // Whoever runs this is root, who may give a folder away, or is not, and does not own the root folder.
  const path = process.geteuid?.() === 0 ? join(root, 'data') : '/'
  if (path !== '/') {
    mkdirSync(path, { mode: 0o700 })
    chownSync(path, 65_534, 65_534)
  }
  expect(openDataFolder(path)).toMatchObject({ ok: false, error: expect.stringContaining('another user') })
})

test('a link is followed before the folder is judged, and a file is no folder (S10)', () => {
  const open = join(root, 'open')
  mkdirSync(open)
  chmodSync(open, 0o755)
  symlinkSync(open, join(root, 'link'))
  expect(openDataFolder(join(root, 'link'))).toMatchObject({ ok: false })
  writeFileSync(join(root, 'file'), '', { mode: 0o600 })
  expect(openDataFolder(join(root, 'file'))).toMatchObject({
    ok: false,
    error: expect.stringContaining('not a folder'),
  })
})

test('a socket path over 100 bytes is refused, counted in bytes (S10)', () => {
  const room = 100 - Buffer.byteLength(join(root, 'run', 'hallpass.sock')) - 1
  expect(openDataFolder(join(root, 'x'.repeat(room)))).toMatchObject({ ok: true })
  expect(openDataFolder(join(root, 'x'.repeat(room + 1)))).toMatchObject({
    ok: false,
    error: expect.stringContaining('over 100 bytes'),
  })
  expect(openDataFolder(join(root, `é${'x'.repeat(room - 1)}`))).toMatchObject({ ok: false })
})
