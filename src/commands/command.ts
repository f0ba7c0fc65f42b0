// What every command shares: the surroundings it runs in, `--json`, and how options are read.

import { type Command, InvalidArgumentError } from 'commander'
import { type Config, readConfig } from '../config.ts'
import { parseDurationSeconds } from '../core/duration.ts'
import type { Interrupts } from './interrupts.ts'
import { operatorRemote, type Remote, remoteFrom } from './remote.ts'
import { type ExitCode, Stop } from './stop.ts'
import type { Terminal } from './terminal.ts'

export type Cli = {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
  readonly terminal: Terminal
  /** Aborts at the first SIGINT or SIGTERM. */
  readonly signal: AbortSignal
  readonly takeOver: Interrupts['takeOver']
  /** Where the environment points: a token, or the local socket. */
  remote(): Remote
  /** The local socket alone. */
  operator(): Remote
  config(overrides?: Readonly<Record<string, string>>): Config
  /** Ends well enough to go on, but not with 0. */
  exitWith(code: ExitCode): void
  /** Ends as the program ended that it ran. */
  exitAs(code: number): void
}

export function createCli(process: NodeJS.Process, terminal: Terminal, interrupts: Interrupts): Cli {
  const { env } = process
  const cwd = process.cwd()
  return {
    env,
    cwd,
    terminal,
    ...interrupts,
    remote() {
      const remote = remoteFrom(env, cwd)
      if (remote.place.by === 'socket' && remote.place.token === null && (env.HALLPASS_URL ?? '') !== '')
        terminal.note(`HALLPASS_TOKEN is not set: speaking as the operator, over ${remote.place.path}`)
      return remote
    },
    operator: () => operatorRemote(env, cwd),
    config(overrides = {}) {
      const read = readConfig({ ...env, ...overrides }, {}, cwd)
      if (!read.ok) throw new Stop(1, `the configuration has faults:\n${read.error.join('\n')}`)
      for (const warning of read.value.warnings) terminal.note(warning)
      return read.value
    },
    exitWith(code) {
      process.exitCode = code
    },
    exitAs(code) {
      process.exitCode = code
    },
  }
}

/** A noun that has verbs. */
export function noun(parent: Command, name: string, description: string): Command {
  return parent.command(name).description(description)
}

/** A command that does something; every one of them takes `--json`. `list` can also be called `ls`. */
export function verb(parent: Command, signature: string, description: string): Command {
  const command = parent.command(signature).description(description).option('--json', 'answer in JSON')
  return command.name() === 'list' ? command.alias('ls') : command
}

/** `90s`, `5m`, `2h`, `1d` → seconds. */
export function duration(text: string): number {
  const seconds = parseDurationSeconds(text)
  if (seconds === null || seconds < 1) throw new InvalidArgumentError('Write a duration such as 90s, 10m, 2h or 1d.')
  return seconds
}

/** `a,b` and repeated options together. */
export const commaList = (text: string, before: readonly string[] = []): readonly string[] => [
  ...before,
  ...text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== ''),
]

/** `queue=incidents,queue=changes` → `{queue: [incidents, changes]}`; repeated options add up. */
export function detailList(
  text: string,
  before: Readonly<Record<string, readonly string[]>> = {},
): Readonly<Record<string, readonly string[]>> {
  const details = new Map(Object.entries(before))
  for (const part of commaList(text)) {
    const [, key, value] = /^([^=]+)=(.+)$/s.exec(part) ?? []
    if (key === undefined || value === undefined)
      throw new InvalidArgumentError('Write key=value, with commas between several.')
    details.set(key, [...(details.get(key) ?? []), value])
  }
  return Object.fromEntries(details)
}

/** A path piece of the API. */
export const piece = (text: string): string => encodeURIComponent(text)

/** An RFC 3339 time; `2h` is that long ago. */
export function instant(text: string): string {
  const seconds = parseDurationSeconds(text)
  const time = seconds === null ? Date.parse(text) : Date.now() - seconds * 1000
  if (Number.isNaN(time))
    throw new InvalidArgumentError('Write a time such as 2026-11-24T03:40:00Z, or how long ago: 2h.')
  return new Date(time).toISOString()
}
