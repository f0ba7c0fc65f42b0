// npm run fuzz [-- --seconds N] [--target NAME] [--seed S]: feeds each target mutated input for N seconds (6, a minute in
// all). It fails on a crash, a hang, an undocumented 5xx and on anything let in; it prints what brings the input back.

import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'
import { randomOf } from './random.ts'
import type { Opened, Target } from './target.ts'
import { TARGETS } from './targets/index.ts'
import type { Watched } from './watch-thread.ts'

/** No input may take longer, milliseconds: far above what any takes on a loaded machine. */
const HANG_MS = 10_000

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '6' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
    target: { type: 'string' },
  },
})

const seconds = Number(values.seconds)
const chosen = TARGETS.filter(({ name }) => values.target === undefined || name === values.target)
if (!(seconds > 0) || chosen.length === 0) {
  console.error(
    `Usage: npm run fuzz -- [--seconds N] [--seed S] [--target ${TARGETS.map(({ name }) => name).join('|')}]`,
  )
  process.exit(2)
}

let input: unknown
let at = ''
const again = (target: string) => `npm run fuzz -- --seed ${values.seed} --target ${target} --seconds ${seconds}`
const broke = (thrown: unknown): never => {
  console.error(`\nFAILED ${at}\n  again: ${again(at.split('#')[0]!)}`)
  console.error('  input:', JSON.stringify(input)?.slice(0, 4000))
  console.error(thrown)
  process.exit(1)
}
process.on('uncaughtException', broke)
process.on('unhandledRejection', broke)

async function within(work: Promise<string> | string): Promise<string> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no end within ${HANG_MS} ms`)), HANG_MS)
  })
  return Promise.race([work, late]).finally(() => clearTimeout(timer))
}

/** Says so where an input never gives the thread back. */
function watch(target: Target): { at(count: number): void; end(): Promise<unknown> } {
  const count = new Int32Array(new SharedArrayBuffer(4))
  const workerData: Watched = { at: count.buffer, limitMs: 6 * HANG_MS, again: again(target.name) }
  const thread = new Worker(new URL('./watch-thread.ts', import.meta.url), { workerData })
  return { at: (now) => Atomics.store(count, 0, now), end: () => thread.terminate() }
}

async function fuzz(target: Target): Promise<void> {
  let until = performance.now() + seconds * 1000
  const outcomes = new Map<string, number>()
  let opened: Opened | undefined
  let count = 0
  let slowest = 0
  const watched = watch(target)
  for (; performance.now() < until; count++) {
    at = `${target.name}#${count}`
    watched.at(count)
    if (count % target.freshAfter === 0) {
      const since = performance.now()
      await opened?.close()
      opened = await target.open()
      // Its seconds are of input: a busy machine takes as long to open it.
      until += performance.now() - since
    }
    const since = performance.now()
    const outcome = await within(
      opened!.feed(randomOf(values.seed, target.name, count), (noted) => {
        input = noted
      }),
    ).catch(broke)
    const took = performance.now() - since
    if (took > HANG_MS) broke(new Error(`it took ${Math.round(took)} ms`))
    slowest = Math.max(slowest, took)
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
  }
  await opened?.close()
  await watched.end()
  const kinds = [...outcomes].sort(([, a], [, b]) => b - a).map(([kind, times]) => `${kind} ${times}`)
  console.log(`${target.name}: ${count} inputs, slowest ${Math.round(slowest)} ms (${kinds.slice(0, 12).join(', ')})`)
}

console.log(`seed ${values.seed}, ${seconds} s each`)
for (const target of chosen) await fuzz(target)
process.exit(0)
