// Credentials in files that nobody but this user can read: in a folder of this process alone, replaced whole, never through
// a link, and gone when it goes. What a killed one left is removed by the next; its tokens live for minutes anyway.

import {
  closeSync,
  constants,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { LIFETIME } from '../../core/limits.ts'
import { Stop } from '../stop.ts'

export type CredentialFiles = {
  /** Where the file is from now on. `name` is one path segment. */
  write(name: string, text: string): string
  remove(name: string): void
  /** Removes them all, at once. */
  close(): void
}

const PREFIX = 'hallpass-mcp-'
const FOLDER = /^hallpass-mcp-(\d+)-[A-Za-z0-9]{6}$/
const STICKY = 0o1000

type Env = Readonly<Record<string, string | undefined>>

/** Throws a {@link Stop} where no place is safe enough. Nothing is made before there is something to write. */
export function createCredentialFiles(env: Env): CredentialFiles {
  const uid = process.getuid?.()
  if (uid === undefined) throw new Stop(1, 'this system has no files that are one user’s alone: it cannot be used here')
  const base = safeBase(env, uid)
  removeStale(base, uid)
  let folder: { readonly path: string; readonly id: string } | null = null

  /** The folder as it was made; made anew where something tidied it away. */
  const inFolder = (): string => {
    if (folder === null) {
      const path = mkdtempSync(join(base, `${PREFIX}${process.pid}-`))
      folder = { path, id: identityOf(lstatSync(path)) }
    }
    const there = lstatSync(folder.path, { throwIfNoEntry: false })
    if (there === undefined) {
      mkdirSync(folder.path, { mode: 0o700 })
      folder = { path: folder.path, id: identityOf(lstatSync(folder.path)) }
    } else if (identityOf(there) !== folder.id || !isOursAlone(there, uid))
      throw new Error(`${folder.path} is not the folder that was made: nothing is written there`)
    return folder.path
  }

  return {
    write(name, text) {
      const path = join(inFolder(), name)
      const coming = `${path}.new`
      rmSync(coming, { force: true })
      const file = openSync(
        coming,
        constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
        0o600,
      )
      try {
        writeSync(file, text)
      } finally {
        closeSync(file)
      }
      renameSync(coming, path)
      return path
    },
    remove(name) {
      if (folder !== null) rmSync(join(folder.path, name), { force: true })
    },
    close() {
      if (folder === null) return
      const there = lstatSync(folder.path, { throwIfNoEntry: false })
      if (there !== undefined && identityOf(there) === folder.id) rmSync(folder.path, { recursive: true, force: true })
      folder = null
    },
  }
}

const identityOf = ({ dev, ino }: Stats): string => `${dev}:${ino}`

const isOursAlone = (there: Stats, uid: number): boolean =>
  there.isDirectory() && there.uid === uid && (there.mode & 0o077) === 0

/** XDG_RUNTIME_DIR where it is this user's alone; else the temporary folder, in which nobody can move what is ours. */
function safeBase(env: Env, uid: number): string {
  const runtime = env.XDG_RUNTIME_DIR ?? ''
  if (isAbsolute(runtime) && isOursAlone(statOf(runtime) ?? NOTHING, uid)) return realpathSync(runtime)
  const temporary = tmpdir()
  const there = statOf(temporary)
  const isHeld = there !== null && (there.uid === uid || there.uid === 0)
  const isShared = there !== null && (there.mode & 0o022) !== 0
  if (there === null || !there.isDirectory() || !isHeld || (isShared && (there.mode & STICKY) === 0))
    throw new Stop(1, `${temporary} is no safe place for credentials: others can change what is in it`, [
      'Set XDG_RUNTIME_DIR (or TMPDIR) to a folder of mode 0700 that is yours.',
    ])
  return realpathSync(temporary)
}

const NOTHING = { isDirectory: () => false, uid: -1, mode: 0 } as Stats

function statOf(path: string): Stats | null {
  try {
    return statSync(path)
  } catch {
    return null
  }
}

/** Of processes that are no more; and whatever is older than any token could live. */
function removeStale(base: string, uid: number): void {
  for (const name of readdirSync(base)) {
    const pid = Number(FOLDER.exec(name)?.[1])
    const path = join(base, name)
    const there = pid > 0 ? lstatSync(path, { throwIfNoEntry: false }) : undefined
    if (there === undefined || !there.isDirectory() || there.uid !== uid) continue
    if (isRunning(pid) && Date.now() - there.mtimeMs < LIFETIME.tokenMax * 1000) continue
    try {
      rmSync(path, { recursive: true, force: true })
    } catch {
      // Somebody else is at it.
    }
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (thrown) {
    return thrown instanceof Error && 'code' in thrown && thrown.code === 'EPERM'
  }
}
