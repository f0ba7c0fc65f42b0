// A small disk of its own under the data folder, which a test fills, empties, and makes read-only. Needs the right to
// mount: as root, or all of it in `unshare -rm`.

import { execFileSync } from 'node:child_process'
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'

export function mountSmallDisk(data: string, megabytes: number): void {
  mkdirSync(data, { mode: 0o700, recursive: true })
  mount('-t', 'tmpfs', '-o', `size=${megabytes}m,mode=0700`, 'tmpfs', data)
}

export const unmount = (data: string): void => void execFileSync('umount', ['--lazy', data])
export const setReadOnly = (data: string, readOnly: boolean): void =>
  mount('-o', `remount,${readOnly ? 'ro' : 'rw'}`, data)

function mount(...args: string[]): void {
  try {
    execFileSync('mount', args, { stdio: 'pipe' })
  } catch (thrown) {
    const said = thrown instanceof Error ? thrown.message : String(thrown)
    throw new Error(
      `These tests mount a small disk: run them as root, or as \`unshare -rm npm run test:crash\`. ${said}`,
    )
  }
}

const filler = (data: string): string => join(data, 'filler')

/** To the last byte, whatever was freed since. */
export function fill(data: string): void {
  const file = openSync(filler(data), 'a')
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

export const makeRoom = (data: string): void => rmSync(filler(data))
