// Waits for a condition and never for time. It needs no test runner: the bench waits too.

import { setTimeout as wait } from 'node:timers/promises'

/** Milliseconds: the longest that is waited, and the pause between two looks. */
export type Patience = { readonly timeout: number; readonly interval: number }

/** The first truthy answer; throws where none comes in time, and at once what `check` throws. */
export async function waitUntil<T>(
  check: () => T | Promise<T>,
  { timeout, interval }: Patience,
): Promise<NonNullable<T>> {
  const deadline = performance.now() + timeout
  for (;;) {
    const answer = await check()
    if (answer) return answer
    if (performance.now() > deadline) throw new Error(`not true within ${timeout} ms: ${check}`)
    await wait(interval)
  }
}
