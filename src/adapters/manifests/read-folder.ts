// A folder of manifests to bytes in memory: one scan, bounded. Follows no link, opens nothing but plain files,
// and takes nothing while git writes (S3). What the bytes mean is not known here.

import { createHash } from 'node:crypto'
import type { Dirent } from 'node:fs'
import { constants } from 'node:fs'
import { lstat, open, readdir, realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { isManifestFile } from '../../core/file-beside.ts'
import type { ManifestFiles } from '../../core/manifest.ts'
import { printable } from '../../core/manifest-faults.ts'
import { MAX_FILE_BYTES, MAX_FILES, MAX_TOTAL_BYTES } from '../../core/manifest-text.ts'
import { heldGitLock } from './git-lock.ts'

const MAX_FOLDERS = 2000
const MAX_DEPTH = 16
const READ_NAMES = /\.(?:ya?ml|pem|json)$/

export type FolderRead =
  | { readonly ok: true; readonly files: ManifestFiles; readonly fingerprint: string }
  | { readonly ok: false; readonly message: string }

/** A reason not to believe the folder, in words for whoever runs the broker. */
class Unfit extends Error {}

/** Whether a read failed because git writes now: it is worth waiting for. */
export const GIT_IS_WRITING = 'git is writing here'

type Entry = { readonly path: string; readonly size: number; readonly stamp: string }

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'it is not there',
  ENOTDIR: 'it is not a folder',
  EACCES: 'this user may not',
}

const reason = (error: unknown): string => {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown reason'
  return REASONS[code] ?? code
}

const sortedEntries = async (folder: string, shown: string): Promise<Dirent[]> => {
  try {
    const entries = await readdir(folder, { withFileTypes: true })
    return entries.sort((a, b) => (a.name < b.name ? -1 : 1))
  } catch (error) {
    throw new Unfit(`${printable(shown, 300)} cannot be read (${reason(error)}): nothing changes`)
  }
}

/** Every manifest, key file and recipe under a folder, by its relative POSIX path, with what tells an edit without reading it. */
const listFiles = async (root: string, shownRoot: string): Promise<Entry[]> => {
  const found: Entry[] = []
  let folders = 0
  const walk = async (folder: string, depth: number): Promise<void> => {
    const shown = folder === '' ? shownRoot : folder
    if (depth > MAX_DEPTH || ++folders > MAX_FOLDERS) {
      throw new Unfit(`${printable(shown, 300)}: the folder is too deep or has too many folders in it`)
    }
    for (const entry of await sortedEntries(join(root, folder), shown)) {
      if (entry.name.startsWith('.')) continue
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`
      if (entry.isSymbolicLink()) {
        throw new Unfit(`${printable(path, 300)} is a symbolic link: links are not followed, put the file itself here`)
      }
      if (entry.isDirectory()) await walk(path, depth + 1)
      else if (READ_NAMES.test(entry.name)) {
        if (!entry.isFile()) throw new Unfit(`${printable(path, 300)} is not a plain file: remove it`)
        if (found.length >= MAX_FILES)
          throw new Unfit(`the folder holds more than ${MAX_FILES} manifests, key files and recipes`)
        const stat = await lstat(join(root, path), { bigint: true })
        const stamp = `${stat.size} ${stat.mtimeNs} ${stat.ctimeNs} ${stat.ino}`
        found.push({ path, size: Number(stat.size), stamp })
      }
    }
  }
  await walk('', 0)
  return found
}

/** Names, sizes and times of a folder's files as one string: equal while nobody touched it. Reads no content. */
export const folderStamp = async (path: string): Promise<string> => {
  try {
    const entries = await listFiles(path, path)
    return entries.map((entry) => `${entry.path}\0${entry.stamp}`).join('\0')
  } catch (error) {
    return `unreadable: ${error instanceof Unfit ? error.message : reason(error)}`
  }
}

/** The bytes of a plain file that no link led to. */
const readPlainFile = async (root: string, path: string): Promise<Uint8Array> => {
  const handle = await open(join(root, path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  try {
    const stat = await handle.stat()
    if (!stat.isFile()) throw new Unfit(`${printable(path, 300)} is not a plain file: remove it`)
    if (stat.size > MAX_FILE_BYTES)
      throw new Unfit(`${printable(path, 300)} is larger than ${MAX_FILE_BYTES / 1024} KiB: split it`)
    const bytes = new Uint8Array(stat.size)
    let length = 0
    while (length < bytes.length) {
      const { bytesRead } = await handle.read(bytes, length, bytes.length - length, length)
      if (bytesRead === 0) break
      length += bytesRead
    }
    return bytes.subarray(0, length)
  } finally {
    await handle.close()
  }
}

/** A folder on the way that became a link between listing and opening would lead out: its real path tells. */
const assertInside = async (root: string, entries: readonly Entry[]): Promise<void> => {
  const folders = new Set(entries.map((entry) => entry.path.split('/').slice(0, -1).join('/')))
  for (const folder of folders) {
    if ((await realpath(join(root, folder))) !== join(root, folder)) {
      throw new Unfit(`${printable(folder, 300)} is reached through a symbolic link: links are not followed`)
    }
  }
}

const readFiles = async (root: string, shownRoot: string): Promise<FolderRead> => {
  const entries = await listFiles(root, shownRoot)
  if (!entries.some((entry) => isManifestFile(entry.path))) {
    throw new Unfit(`${printable(shownRoot, 300)} holds no manifest (*.yaml): nothing changes`)
  }
  if (entries.reduce((total, entry) => total + entry.size, 0) > MAX_TOTAL_BYTES) {
    throw new Unfit(`the folder holds more than ${MAX_TOTAL_BYTES / 1024 / 1024} MiB`)
  }
  const files = new Map<string, Uint8Array>()
  const whole = createHash('sha256')
  for (const { path } of entries) {
    const bytes = await readPlainFile(root, path)
    files.set(path, bytes)
    whole.update(`${path}\0${bytes.byteLength}\0`).update(bytes)
  }
  await assertInside(root, entries)
  return { ok: true, files, fingerprint: whole.digest('hex') }
}

/**
 * Reads the manifests and recipes (`*.yaml`, `*.yml`) and key files (`*.pem`, `*.json`) under a folder, without dotfiles.
 * `fingerprint` is SHA-256 over names and contents. The message says what is wrong and what to do; expected trouble
 * (missing, empty, unreadable, links, special files, too much, git at work) never throws.
 */
export const readManifestFolder = async (path: string): Promise<FolderRead> => {
  try {
    const root = await realpath(path)
    const lock = await heldGitLock(root)
    if (lock !== null) return { ok: false, message: `${GIT_IS_WRITING}: ${printable(lock, 300)} is held` }
    const read = await readFiles(root, path)
    const lockAfter = await heldGitLock(root)
    return lockAfter === null ? read : { ok: false, message: `${GIT_IS_WRITING}: ${printable(lockAfter, 300)} is held` }
  } catch (error) {
    if (error instanceof Unfit) return { ok: false, message: error.message }
    if (error instanceof Error && 'code' in error) {
      return { ok: false, message: `${printable(path, 300)} cannot be read (${reason(error)}): nothing changes` }
    }
    throw error
  }
}
