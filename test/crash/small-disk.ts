// A small disk of its own under the data folder, which a test fills, empties, and makes read-only: mounted where that is
// permitted, as root or in `unshare -rm`, and elsewhere a preload in the broker that says the same (`bent-disk.ts`).

import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Launch } from '../tools/broker-process.ts'
import type { Bent } from './bent-disk.ts'
import { fill, makeRoom, mountSmallDisk, setReadOnly, unmount } from './disk.ts'

export type Disk = {
  /** How the broker on it is started. */
  readonly launch: Launch
  /** To the last byte, whatever was freed since. */
  fill(): void
  makeRoom(): void
  setReadOnly(isReadOnly: boolean): void
  remove(): void
}

const BENT_DISK = fileURLToPath(new URL('./bent-disk.ts', import.meta.url))

/** Under the data folder, which is not there yet. */
export function smallDisk(data: string, megabytes: number): Disk {
  if (!tried('a small disk', 'mounted', mountAndUnmount)) return bentDisk(data)
  mountSmallDisk(data, megabytes)
  return {
    launch: {},
    fill: () => fill(data),
    makeRoom: () => makeRoom(data),
    setReadOnly: (isReadOnly) => setReadOnly(data, isReadOnly),
    remove: () => unmount(data),
  }
}

/** The database's files on the disk that is there, which can turn read-only under whoever has them open. */
export function databaseFiles(data: string): Pick<Disk, 'launch' | 'setReadOnly' | 'remove'> {
  if (!tried('a read-only file', 'made immutable', makeImmutable)) return bentDisk(data)
  const files = ['hallpass.db', 'hallpass.db-wal'].map((name) => join(data, name))
  const setReadOnly = (isReadOnly: boolean) =>
    void execFileSync('chattr', [isReadOnly ? '+i' : '-i', ...files.filter((file) => existsSync(file))])
  return { launch: {}, setReadOnly, remove: () => setReadOnly(false) }
}

function bentDisk(data: string): Disk {
  const state = `${data}-disk`
  const say = (how: Bent) => writeFileSync(state, how)
  const unsay = () => rmSync(state, { force: true })
  return {
    launch: { preload: [BENT_DISK], env: { CRASH_DISK: state } },
    // Once what was kept in reserve is given up, filling it again leaves nothing.
    fill: () => say(existsSync(join(data, 'hallpass.db.reserve')) ? 'full' : 'wholly full'),
    makeRoom: unsay,
    setReadOnly: (isReadOnly) => (isReadOnly ? say('read-only') : unsay()),
    remove: unsay,
  }
}

const told = new Map<string, boolean>()

/** Whether it can be had here, found out by trying once; says which one the tests then run on. */
function tried(what: string, real: string, attempt: (scratch: string) => void): boolean {
  const before = told.get(what)
  if (before !== undefined) return before
  const scratch = mkdtempSync(join(tmpdir(), 'disk-'))
  let why: string | null = null
  try {
    attempt(scratch)
  } catch (thrown) {
    why = thrown instanceof Error ? (thrown.message.split('\n')[1] ?? thrown.message) : String(thrown)
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
  console.info(`${what}: ${why === null ? real : `bent, in the broker, because the real one failed: ${why}`}`)
  told.set(what, why === null)
  return why === null
}

function mountAndUnmount(scratch: string): void {
  const data = join(scratch, 'data')
  mountSmallDisk(data, 1)
  unmount(data)
}

function makeImmutable(scratch: string): void {
  const file = join(scratch, 'file')
  writeFileSync(file, '')
  for (const flag of ['+i', '-i']) execFileSync('chattr', [flag, file], { stdio: 'pipe' })
}
