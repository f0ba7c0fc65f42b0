// What a fuzz target is: something opened once, fed inputs made from a random source, that says what it was fed.

import type { Random } from './random.ts'

/** Wrong beyond a throw: something was let in, or answered as it must never be. */
export class Verdict extends Error {
  override name = 'Verdict'
}

export function mustHold(holds: boolean, what: string, shown: unknown = ''): void {
  if (!holds) throw new Verdict(`${what} ${typeof shown === 'string' ? shown : JSON.stringify(shown)}`.trim())
}

/** One open target. `feed` answers a class of outcome, for the counts; it throws where something must not be. */
export type Opened = {
  feed(random: Random, note: (input: unknown) => void): Promise<string> | string
  close(): Promise<void>
}

export type Target = {
  readonly name: string
  open(): Promise<Opened>
  /** After this many inputs a new one is opened: what it holds grows, and some inputs end things for good. */
  readonly freshAfter: number
}
