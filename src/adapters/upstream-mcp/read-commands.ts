// The operator's own list of programs that speak MCP (S5): a manifest names one of them and can say nothing else about it.
// It reads one file that nobody else can write, and opens a secret only when a program is started.

import { readFileSync, realpathSync, statSync } from 'node:fs'
import { isAbsolute, sep } from 'node:path'
import { parse } from 'yaml'
import { z } from 'zod'
import type { OpenSecret } from '../../actions/proxy-secret.ts'
import { NAME } from '../../core/manifest-schema.ts'
import { err, ok, type Result } from '../../core/result.ts'
import { isSecretReference } from '../../core/secret-reference.ts'
import type { OpenProgram } from './program.ts'

const BYTES_MAX = 256 * 1024

const COMMANDS = z.record(
  z.string().max(63).regex(NAME),
  z.strictObject({
    /** No shell, no search path: the program itself. */
    command: z.string().refine(isAbsolute, 'must be an absolute path'),
    args: z.array(z.string()).max(64).default([]),
    cwd: z.string().refine(isAbsolute, 'must be an absolute path').default('/'),
    /** All that it gets; `env:HALLPASS_TOOL_…` and `file:…` are opened when it is started. */
    env: z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/), z.string()).default({}),
  }),
)

export type Commands = z.output<typeof COMMANDS>

/**
 * `scopesPath` is the folder of the manifests, in which the file may not lie by whatever way. The error is a sentence for
 * whoever starts the broker, and repeats nothing of what the file says.
 */
export function readCommands(path: string | null, scopesPath: string): Result<Commands, string> {
  if (path === null) return ok({})
  let text: string
  try {
    if (`${realpathSync(path)}${sep}`.startsWith(`${realFolder(scopesPath)}${sep}`))
      return err(`HALLPASS_COMMANDS: ${path} leads among the manifests: keep it elsewhere`)
    const { mode, size } = statSync(path)
    if ((mode & 0o022) !== 0) return err(`HALLPASS_COMMANDS: ${path} can be written by others: chmod go-w it`)
    if (size > BYTES_MAX) return err(`HALLPASS_COMMANDS: ${path} is longer than ${BYTES_MAX} bytes`)
    text = readFileSync(path, 'utf8')
  } catch (thrown) {
    const code = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : 'unreadable'
    return err(`HALLPASS_COMMANDS: ${path} cannot be read (${code})`)
  }
  let value: unknown
  try {
    value = parse(text) ?? {}
  } catch {
    return err(`HALLPASS_COMMANDS: ${path} is no YAML`)
  }
  const read = COMMANDS.safeParse(value)
  if (read.success) return ok(read.data)
  const faults = read.error.issues.slice(0, 5).map(({ path: at, message }) => `${at.join('.')}: ${message}`)
  return err(`HALLPASS_COMMANDS: ${path}: ${faults.join('; ')}`)
}

/** One that is not there yet holds nothing. */
function realFolder(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    return path
  }
}

export const programOpener =
  (commands: Commands, openSecret: OpenSecret): OpenProgram =>
  (name) => {
    if (!Object.hasOwn(commands, name)) return err(`is the command ${name}, which HALLPASS_COMMANDS does not name`)
    const { command, args, cwd, env } = commands[name]!
    const given: Record<string, string> = {}
    const secrets: string[] = []
    for (const [variable, value] of Object.entries(env)) {
      if (!isSecretReference(value)) {
        given[variable] = value
        continue
      }
      const secret = openSecret(value)
      if (!secret.ok) return err(`is the command ${name}, and a secret of it cannot be opened: ${secret.error}`)
      given[variable] = secret.value.reveal()
      secrets.push(given[variable])
    }
    return ok({ program: { command, args, cwd, env: given }, secrets })
  }
