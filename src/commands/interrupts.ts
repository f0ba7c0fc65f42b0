// Signals to this process: the first one aborts whatever runs, a second waits for nothing. A command that stands in
// front of another program takes them over and passes them on instead.

export type Received = 'SIGINT' | 'SIGTERM' | 'SIGHUP'

export type Interrupts = {
  /** Aborts at the first SIGINT or SIGTERM that nobody took over. */
  readonly signal: AbortSignal
  /** Until the answer is called, every signal (a hang-up too) goes to `receive` and aborts nothing. */
  takeOver(receive: (signal: Received) => void): () => void
}

export function createInterrupts(process: NodeJS.Process): Interrupts {
  const controller = new AbortController()
  const abort = () => {
    if (controller.signal.aborted) process.exit(130)
    controller.abort()
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, abort)
  return {
    signal: controller.signal,
    takeOver(receive) {
      const taken = (['SIGINT', 'SIGTERM', 'SIGHUP'] as const).map((signal) => {
        const before = process.listeners(signal)
        const listener = () => receive(signal)
        process.on(signal, listener)
        for (const each of before) process.off(signal, each)
        return { signal, before, listener }
      })
      return () => {
        for (const { signal, before, listener } of taken) {
          for (const each of before) process.on(signal, each)
          process.off(signal, listener)
        }
      }
    },
  }
}
