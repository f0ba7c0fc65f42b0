// A thread beside the fuzzer's: an input that never gives its thread back leaves nobody there to say so. It ends the process.

import { writeSync } from 'node:fs'
import { workerData } from 'node:worker_threads'

export type Watched = {
  /** The input that the fuzzer is at, one number. */
  readonly at: SharedArrayBuffer
  readonly limitMs: number
  /** What brings it back. */
  readonly again: string
}

const { at: memory, limitMs, again }: Watched = workerData
const at = new Int32Array(memory)
let seen = -1
let since = 0
setInterval(() => {
  const now = Atomics.load(at, 0)
  if (now !== seen) [seen, since] = [now, performance.now()]
  if (performance.now() - since < limitMs) return
  writeSync(2, `\nFAILED #${now}: it has held its thread for ${limitMs} ms\n  again: ${again}\n`)
  process.kill(process.pid, 'SIGKILL')
}, 500)
