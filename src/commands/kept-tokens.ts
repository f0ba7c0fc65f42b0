// What `login` keeps: a token for each broker, in one file of this user's alone (0600). A file that others could have
// read or written is refused; a token of it goes to its own broker and nowhere else.

import { randomUUID } from 'node:crypto'
import { chmodSync, lstatSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { z } from 'zod'
import { Stop } from './stop.ts'

type Env = Readonly<Record<string, string | undefined>>

const MAX_BYTES = 256 * 1024

const KEPT = z.strictObject({
  /** The broker that was logged in to last: where commands go that name none. */
  current: z.url().nullable(),
  /** Origin → token. */
  tokens: z.record(z.url(), z.string().min(1)),
})

export type KeptTokens = z.infer<typeof KEPT>

const NOTHING: KeptTokens = { current: null, tokens: {} }

export const keptPathOf = (env: Env): string =>
  join((env.XDG_CONFIG_HOME ?? '').trim() || join(homedir(), '.config'), 'hallpass', 'tokens.json')

/** Empty where nothing was ever kept; a {@link Stop} where the file cannot be trusted. */
export function readKept(path: string): KeptTokens {
  const there = lstatSync(path, { throwIfNoEntry: false })
  if (there === undefined) return NOTHING
  if (!there.isFile() || there.size > MAX_BYTES)
    throw new Stop(1, `${path} is not a file that \`hallpass login\` wrote`)
  if ((there.mode & 0o077) !== 0 || (process.getuid !== undefined && there.uid !== process.getuid()))
    throw new Stop(1, `${path} holds tokens, and others can reach it`, [
      'If nobody did: chmod 600 it. Otherwise have its tokens revoked and `hallpass logout --all`.',
    ])
  try {
    return KEPT.parse(JSON.parse(readFileSync(path, 'utf8')))
  } catch {
    throw new Stop(1, `${path} cannot be read as what \`hallpass login\` wrote`, [
      '`hallpass logout --all` removes it.',
    ])
  }
}

/** All of it or nothing: a reader never sees half a file. */
export function writeKept(path: string, kept: KeptTokens): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const temporary = `${path}.${randomUUID()}`
  try {
    writeFileSync(temporary, `${JSON.stringify(kept, null, 2)}\n`, { mode: 0o600, flag: 'wx' })
    chmodSync(temporary, 0o600)
    renameSync(temporary, path)
  } catch (thrown) {
    rmSync(temporary, { force: true })
    throw new Stop(1, `${path} cannot be written: ${thrown instanceof Error ? thrown.message : 'unknown reason'}`)
  }
}

export const withoutAll = (path: string): void => rmSync(path, { force: true })
