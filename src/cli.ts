// The command line's way in: runs one command, and turns whatever stops it into a sentence and an exit code. A fault that
// nobody expected is shown with its name alone, unless HALLPASS_LOG is debug.

import { CommanderError } from 'commander'
import { createCli } from './commands/command.ts'
import { createInterrupts } from './commands/interrupts.ts'
import { createProgram } from './commands/program.ts'
import { Stop } from './commands/stop.ts'
import { createTerminal } from './commands/terminal.ts'

const interrupts = createInterrupts(process)
// Whoever read the output has gone: there is nobody left to tell.
process.stdout.on('error', (error) => process.exit('code' in error && error.code === 'EPIPE' ? 0 : 1))

const terminal = createTerminal(process)
const cli = createCli(process, terminal, interrupts)
const program = createProgram(cli)
// What follows `--` is another program's.
if (process.argv.join('\0').split('\0--\0')[0]!.split('\0').includes('--json')) terminal.useJson()

try {
  await program.parseAsync()
} catch (thrown) {
  if (thrown instanceof Stop) {
    terminal.fault(thrown)
    cli.exitWith(thrown.exitCode)
  } else if (thrown instanceof CommanderError) {
    process.exitCode = thrown.exitCode
  } else if (thrown instanceof Error && thrown.name === 'AbortError' && interrupts.signal.aborted) {
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
