// Asks the person at the terminal before something that is not undone. Without a terminal nothing happens.

import type { Cli } from './command.ts'
import { Stop } from './stop.ts'

/** Returns after a yes. Exit 3 where nobody is there to ask, 1 with `declined` after anything but a yes. */
export async function confirm(
  { terminal, signal }: Pick<Cli, 'terminal' | 'signal'>,
  question: string,
  declined: string,
  hints: readonly string[] = [],
): Promise<void> {
  if (!terminal.interactive())
    throw new Stop(3, 'nobody is there to accept this', [
      'Read what is shown above, then run it again with --yes, or on a terminal.',
    ])
  const answer = await terminal.ask(`${question} [y/N] `, signal)
  if (answer?.toLowerCase() !== 'y' && answer?.toLowerCase() !== 'yes') throw new Stop(1, declined, hints)
}
