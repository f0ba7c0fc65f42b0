// What every act of taking away ends with: its receipt, waited for a while, and exit 2 while anything is not yet dead.

import { type Cli, piece } from './command.ts'
import type { Remote } from './remote.ts'
import { objectOf, receiptLines, show, textOf } from './show.ts'

/** One held call; a confirmation that comes ends it early. */
const POLL_SECONDS = 10
/** A guard acknowledges within its lease of 10 s. */
export const SHORT_WAIT_SECONDS = 15

/** The receipt once it is complete, outstanding, or `seconds` are over. */
export async function awaitReceipt(cli: Cli, remote: Remote, receipt: unknown, seconds: number): Promise<unknown> {
  const until = performance.now() + seconds * 1000
  let current = receipt
  let told = ''
  for (
    let left = seconds;
    objectOf(current).status === 'revoking' && left > 0;
    left = (until - performance.now()) / 1000
  ) {
    const waiting = `revoking: ${waitingTools(current).join(', ') || 'following its rows'}`
    if (waiting !== told) cli.terminal.note(waiting)
    told = waiting
    const poll = Math.max(1, Math.min(POLL_SECONDS, Math.ceil(left)))
    try {
      current = await remote.call({
        path: `/v1/receipts/${piece(textOf(objectOf(receipt).id))}`,
        query: { wait: poll },
        waitSeconds: poll,
        act: 'receipt.see',
        signal: cli.signal,
      })
    } catch (thrown) {
      // The act is done: whoever did it must still see its receipt and how to undo it.
      cli.terminal.note(`stopped waiting: ${thrown instanceof Error ? thrown.message : 'unknown reason'}`)
      return current
    }
  }
  return current
}

const waitingTools = (receipt: unknown): string[] => {
  const confirmations = objectOf(receipt).confirmations
  return (Array.isArray(confirmations) ? confirmations : [])
    .map(objectOf)
    .filter(({ status }) => status !== 'revoked')
    .map(({ tool, deadBy, accounts }) =>
      // Nothing about an account is dead by itself.
      accounts === undefined ? `${show(tool)} (dead by ${show(deadBy)} at the latest)` : `${show(tool)} (its accounts)`,
    )
}

/** Prints it, with what else there is to say; exit 2 unless it is revoked. */
export function answerReceipt(cli: Cli, answer: unknown, receipt: unknown, more: readonly string[] = []): void {
  const { status, id } = objectOf(receipt)
  const isDone = status === 'revoked'
  const open = isDone
    ? []
    : [
        `Not all of it is confirmed dead yet (${show(status)}). It is refused wherever the broker is asked, and retried until it is.`,
        `Look again: hallpass receipt show ${show(id)}`,
      ]
  cli.terminal.answer(answer, () => [...receiptLines(receipt), ...open, ...more])
  if (!isDone) cli.exitWith(2)
}
