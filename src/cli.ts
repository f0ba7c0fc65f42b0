// The command line's way in: runs one command, and turns whatever stops it into a sentence and an exit code. A fault that
// nobody expected is shown with its name alone, unless HALLPASS_LOG is debug.

import { CommanderError } from 'commander'
import { createCli } from './commands/command.ts'
import { createProgram } from './commands/program.ts'
import { Stop } from './commands/stop.ts'
import { createTerminal } from './commands/terminal.ts'

const interrupt = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    // The second one does not wait for anything.
    if (interrupt.signal.aborted) process.exit(130)
    interrupt.abort()
  })
}
// Whoever read the output has gone: there is nobody left to tell.
process.stdout.on('error', (error) => process.exit('code' in error && error.code === 'EPIPE' ? 0 : 1))

const terminal = createTerminal(process)
const cli = createCli(process, terminal, interrupt.signal)
const program = createProgram(cli)
if (process.argv.includes('--json')) terminal.useJson()

try {
  await program.parseAsync()
} catch (thrown) {
  if (thrown instanceof Stop) {
    terminal.fault(thrown)
    cli.exitWith(thrown.exitCode)
  } else if (thrown instanceof CommanderError) {
    process.exitCode = thrown.exitCode
  } else if (thrown instanceof Error && thrown.name === 'AbortError' && interrupt.signal.aborted) {
    process.exitCode = 130
  } else {
    const isDebug = process.env.HALLPASS_LOG === 'debug' || process.env.HALLPASS_LOG === 'trace'
    terminal.fault(
      new Stop(
        1,
        thrown instanceof Error ? ((isDebug ? thrown.stack : undefined) ?? thrown.message) : 'something broke',
      ),
    )
    cli.exitWith(1)
  }
}
