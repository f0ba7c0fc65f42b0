// The broker's own folder: for its owner alone, or not used at all (S10).

import { chmodSync, mkdirSync, realpathSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { err, ok, type Result } from '../../core/result.ts'

export type DataFolder = {
  /** Absolute, links followed. */
  readonly path: string
  readonly database: string
  /** Where a database elsewhere cannot be reached, what is taken away is kept here. */
  readonly intents: string
  readonly kek: string
  /** 0700, for the socket. */
  readonly run: string
  readonly socket: string
}

/** The address of a Unix socket holds about 107 bytes; a longer path would be cut, and then be another one. */
const SOCKET_PATH_BYTES_MAX = 100

/**
 * Makes the folder (0700) where there is none, refuses one that another user owns or can enter, and says where things
 * are in it. The error is a sentence. Throws where the system does not let it make the folder.
 */
export function openDataFolder(path: string): Result<DataFolder, string> {
  const made = openPrivateFolder(path)
  if (!made.ok) return made
  const run = openPrivateFolder(join(made.value, 'run'))
  if (!run.ok) return run
  const socket = join(run.value, 'hallpass.sock')
  if (Buffer.byteLength(socket) > SOCKET_PATH_BYTES_MAX) {
    return err(
      `${socket} is over ${SOCKET_PATH_BYTES_MAX} bytes, too long for a socket: choose a shorter HALLPASS_DATA`,
    )
  }
  return ok({
    path: made.value,
    database: join(made.value, 'hallpass.db'),
    intents: join(made.value, 'hallpass.intents'),
    kek: join(made.value, 'kek'),
    run: run.value,
    socket,
  })
}

function openPrivateFolder(path: string): Result<string, string> {
  const there = statSync(path, { throwIfNoEntry: false })
  if (there === undefined) {
    mkdirSync(path, { recursive: true, mode: 0o700 })
    chmodSync(path, 0o700)
  }
  const real = realpathSync(path)
  const folder = statSync(real)
  if (!folder.isDirectory()) return err(`${real} is not a folder`)
  if (folder.uid !== process.geteuid?.()) return err(`${real} belongs to another user: the broker uses only its own`)
  if ((folder.mode & 0o077) !== 0) return err(`${real} can be entered by others: chmod 700 it`)
  return ok(real)
}
