// Work that comes round by itself: revocations that wait, keys whose time has come, counts of refusals. One round at a
// time; a round that fails is logged and tried again, for nothing here may stop for good (P10).

import type { Log } from '../actions/ports.ts'

export function startRounds(
  log: Log,
  rounds: readonly { readonly name: string; readonly everyMs: number; readonly run: () => Promise<unknown> }[],
): { stop(): Promise<void> } {
  let stopped = false
  const running = rounds.map(async ({ name, everyMs, run }) => {
    while (!stopped) {
      await run().catch((error: unknown) =>
        log.error({ round: name, error: String(error) }, 'a round failed; it is tried again'),
      )
      await pause(everyMs)
    }
  })
  const wakers = new Set<() => void>()
  function pause(ms: number): Promise<void> {
    if (stopped) return Promise.resolve()
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer)
        wakers.delete(wake)
        resolve()
      }
      const timer = setTimeout(wake, ms)
      wakers.add(wake)
    })
  }
  return {
    async stop() {
      stopped = true
      for (const wake of [...wakers]) wake()
      await Promise.all(running)
    },
  }
}
