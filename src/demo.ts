// `npm run demo`: watch an AI agent get a hall pass, and lose it again. Exit 0 only if every step did what it says.
// It needs nothing but its packages, and leaves nothing behind.
import { parseArgs } from 'node:util'
import { createNarrator } from './demo/narrator.ts'
import { setStage } from './demo/stage.ts'
import { runWalk } from './demo/steps.ts'
import { tellHowToTry } from './demo/try-it.ts'
import { walk } from './demo/walk.ts'

const { values } = parseArgs({ options: { keep: { type: 'boolean', default: false } } })
let interrupted = false
const narrator = createNarrator(
  { isTTY: process.stdout.isTTY, write: (text) => interrupted || process.stdout.write(text) },
  process.env,
)

/** So that whoever watches can read along, milliseconds; a script is not kept waiting. */
const BEAT_MS = process.stdout.isTTY ? 600 : 0

const start = performance.now()
const stage = await setStage()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => {
    // A terminal and npm may both say it.
    if (interrupted) return
    interrupted = true
    const code = process.exitCode ?? 130
    void stage.close().then(() => process.exit(code))
  })

narrator.opening('Hallpass: an AI agent gets a hall pass, and loses it again.', [
  `A broker at ${stage.broker.url} on embedded SQLite, two sample tools, and an agent: all on this machine.`,
  'Its manifests, keys and data are in a temporary folder.',
])
process.exitCode = await runWalk(
  narrator,
  (step) => walk(stage, step),
  () => new Promise((resolve) => setTimeout(resolve, BEAT_MS)),
)
const seconds = ((performance.now() - start) / 1000).toFixed(1)
narrator.closing(
  process.exitCode === 0 ? `Every step did what it says (${seconds} s).` : 'A step did not do what it says.',
)
if (values.keep) tellHowToTry(stage, narrator)
else await stage.close()
