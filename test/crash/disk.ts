// A small disk of its own under the data folder, which a test fills, empties, and makes read-only: mounted where that is
// permitted, as root or in `unshare -rm`, and elsewhere a preload in the broker that says the same (`bent-disk.ts`).

import { execFileSync } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Launch } from '../tools/broker-process.ts'
import type { Bent } from './bent-disk.ts'

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
  mkdirSync(data, { mode: 0o700 })
  mount('-t', 'tmpfs', '-o', `size=${megabytes}m,mode=0700`, 'tmpfs', data)
  const filler = join(data, 'filler')
  return {
    launch: {},
    fill: () => fillWith(filler),
    makeRoom: () => rmSync(filler),
    setReadOnly: (isReadOnly) => mount('-o', `remount,${isReadOnly ? 'ro' : 'rw'}`, data),
    remove: () => void execFileSync('umount', ['--lazy', data]),
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

const mount = (...args: string[]): void => void execFileSync('mount', args, { stdio: 'pipe' })

function mountAndUnmount(scratch: string): void {
  mount('-t', 'tmpfs', 'tmpfs', scratch)
  execFileSync('umount', [scratch], { stdio: 'pipe' })
}

function makeImmutable(scratch: string): void {
  const file = join(scratch, 'file')
  writeFileSync(file, '')
  for (const flag of ['+i', '-i']) execFileSync('chattr', [flag, file], { stdio: 'pipe' })
}

function fillWith(filler: string): void {
  const file = openSync(filler, 'a')
  try {
    for (const size of [65_536, 4096, 1]) while (isWritten(file, size));
  } finally {
    closeSync(file)
  }
}

function isWritten(file: number, size: number): boolean {
  try {
    return writeSync(file, Buffer.alloc(size)) > 0
  } catch (thrown) {
    if (thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOSPC') return false
    throw thrown
  }
}
