// Keeps one connection going: again after each end, with backoff and jitter, until it is closed. Never two at a time.

export type Backoff = { readonly minMs: number; readonly maxMs: number; readonly steadyMs: number }

const pause = (ms: number, signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    const done = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    if (signal.aborted) done()
    signal.addEventListener('abort', done, { once: true })
  })

/** Calls `connect` until `signal` aborts; resolves then. A connection that lived longer than `steadyMs` starts the backoff anew. */
export const keepConnected = async (
  connect: () => Promise<void>,
  backoff: Backoff,
  monotonicNow: () => number,
  signal: AbortSignal,
): Promise<void> => {
  let failures = 0
  while (!signal.aborted) {
    const startedAt = monotonicNow()
    await connect()
    failures = monotonicNow() - startedAt > backoff.steadyMs ? 0 : failures + 1
    const ceiling = Math.min(backoff.maxMs, backoff.minMs * 2 ** Math.min(failures, 16))
    await pause(ceiling * (0.5 + Math.random() / 2), signal)
  }
}
