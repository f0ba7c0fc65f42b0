// `run -- CMD`: another program with a tool's credential in its environment, taken back when it ends. The credential is
// in that environment alone: never in an argument, never in this one's, never printed.

import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { basename } from 'node:path'
import type { Command } from 'commander'
import { type AgentIdentity, agentIdentity } from './agent-identity.ts'
import { type Cli, verb } from './command.ts'
import type { Received } from './interrupts.ts'
import { type Asked, obtainGrant, withAsking } from './obtain-grant.ts'
import { textOf } from './show.ts'
import { Stop } from './stop.ts'

type Options = Omit<Asked, 'reason'> & { readonly reason?: string; readonly tool: string }

/** How env(1) and shells say that a program is not there, or cannot be run. */
const NOT_FOUND = 127
const NOT_RUNNABLE = 126

const ABOUT = `
TOOL's credential is in HALLPASS_TOOL_TOKEN (upper case, - as _) of the command alone, and is revoked when the command
ends; the grant stays. It is not refreshed: a command that outlives it is refused by the tool from then on, so let the
manifest's tokenTtl be as long as the work takes. If this process is killed with SIGKILL, the credential lives until
it expires. Exits as the command did, 128 + the signal where one ended it, 127 where there is no such command.`

export function addRun(program: Command, cli: Cli): void {
  withAsking(
    verb(program, 'run <command...>', 'run a command with a tool’s credential in its environment')
      .usage('--tool TOOL --scope SCOPES [options] -- COMMAND [ARGUMENT…]')
      .requiredOption('--tool <tool>', 'which tool'),
  )
    .option('--reason <text>', 'why, for the owner; default: names the command')
    .addHelpText('after', ABOUT)
    .action(async ([file = '', ...args]: string[], { tool, ...options }: Options) => {
      const identity = agentIdentity(cli)
      const reason = options.reason ?? `To run ${basename(file).slice(0, 200)}`
      const grant = await obtainGrant(cli, identity, tool, { ...options, reason })
      cli.exitAs(await runWith(cli, identity, { tool, grant: textOf(grant.id) }, file, args))
    })
}

export const variableOf = (tool: string): string => `HALLPASS_${tool.toUpperCase().replaceAll('-', '_')}_TOKEN`

/** From here on signals are the command's: the credential is taken back whatever comes. */
async function runWith(
  cli: Cli,
  identity: AgentIdentity,
  { tool, grant }: { readonly tool: string; readonly grant: string },
  file: string,
  args: readonly string[],
): Promise<number> {
  let early: Received | null = null
  let pass = (signal: Received) => {
    early = signal
  }
  const giveBack = cli.takeOver((signal) => pass(signal))
  try {
    const { token, expiresInSeconds } = await identity.exchange(grant)
    const takeBack = async () => {
      try {
        await identity.revoke(token)
      } catch (thrown) {
        const why = thrown instanceof Error ? thrown.message : 'something broke'
        cli.terminal.note(`hallpass: the credential could not be revoked (${why})`)
        cli.terminal.note(`  it was good for ${expiresInSeconds}s from its making; the trail has it under this agent`)
      }
    }
    try {
      if (early !== null) return signalled(early)
      const env = { ...cli.env, [variableOf(tool)]: token }
      return await ended(file, args, env, (forward) => {
        pass = forward
      })
    } finally {
      await takeBack()
    }
  } finally {
    giveBack()
  }
}

const signalled = (signal: NodeJS.Signals): number => 128 + constants.signals[signal]

function ended(
  file: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  whileRunning: (forward: (signal: Received) => void) => void,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { env, stdio: 'inherit' })
    whileRunning((signal) => {
      // A terminal sends Ctrl-C to the command itself: twice would be a second Ctrl-C.
      if (signal !== 'SIGINT' || process.stdin.isTTY !== true) child.kill(signal)
    })
    child.once('error', (error) => {
      const code = 'code' in error ? error.code : undefined
      if (child.pid !== undefined) return
      if (code === 'ENOENT') resolve(NOT_FOUND)
      else if (code === 'EACCES') resolve(NOT_RUNNABLE)
      else reject(new Stop(1, `${file} cannot be started (${String(code)})`))
    })
    child.once('exit', (code, signal) => resolve(signal === null ? (code ?? 1) : signalled(signal)))
  })
}
