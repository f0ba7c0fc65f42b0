// `clock reset`: mends the highest time seen after the broker's clock once ran ahead (S18). For whoever holds the data
// folder alone, and never without saying first what it ends.

import type { Command } from 'commander'
import { type Cli, duration, verb } from './command.ts'
import { confirm } from './confirm.ts'
import { answerReceipt, awaitReceipt, SHORT_WAIT_SECONDS } from './receipts.ts'
import { at, objectOf, show } from './show.ts'

const ABOUT_RESET = `
Nothing is issued while the clock is behind the highest time that it ever showed: what was used once could be used again.
Where it ran ahead and was set right, this lowers that mark to now. It ends every session and every credential, and the
grants too where one was given at a time still to come. What works once and was used (assertions) stays used.`

export function addClock(clock: Command, cli: Cli): void {
  verb(clock, 'reset', 'after a clock that ran ahead was set right: issue again (on the broker’s host)')
    .option('--yes', 'without asking, for scripts')
    .option('--wait <duration>', `how long to wait for confirmation; default ${SHORT_WAIT_SECONDS}s`, duration)
    .addHelpText('after', ABOUT_RESET)
    .action(async ({ yes, wait = SHORT_WAIT_SECONDS }: { yes?: boolean; wait?: number }) => {
      const remote = cli.operator()
      if (yes !== true) {
        const status = await remote.call({ path: '/v1/status', act: 'status.read' })
        cli.terminal.note(
          `The clock says ${at(status, 'clock.now')}; the highest time seen is ${at(status, 'clock.highest')}.`,
        )
        cli.terminal.note('A reset lowers that to the clock, and ends every session and every credential for good.')
        await confirm(cli, 'Is the clock right now, and is this to be done?', 'nothing was changed')
      }
      const done = objectOf(await remote.call({ path: '/v1/operator/clock/reset', body: {}, act: 'clock.reset' }))
      const receipt = await awaitReceipt(cli, remote, done.receipt, wait)
      answerReceipt(cli, { ...done, receipt }, receipt, [
        `The highest time seen is ${show(done.mark)} now; it was ${show(done.before)}.`,
        `Every session and every credential has ended${done.grantsToo === true ? ', and every grant: one was given at a time still to come' : '; grants stay'}. What was used once stays used.`,
        'Agents open new sessions with their keys.',
      ])
    })
}
