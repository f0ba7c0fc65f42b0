// A folder that a tool has for itself, and the user it runs as: none of these tools is to run as root.

import { execFile } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const USER = 'www-data'
const isRoot = process.getuid?.() === 0

const run = promisify(execFile)

export const makeFolder = (name: string): string => mkdtempSync(join(tmpdir(), `hallpass-${name}-`))

/** What lies in the folder by now becomes the tool's. */
export async function giveFolder(folder: string): Promise<void> {
  if (isRoot) await run('chown', ['-R', `${USER}:`, folder])
}

/** The command that runs this one as the tool's own user. */
export const unprivileged = (command: string, args: readonly string[]): readonly [string, ...string[]] =>
  isRoot ? ['setpriv', `--reuid=${USER}`, `--regid=${USER}`, '--clear-groups', command, ...args] : [command, ...args]
