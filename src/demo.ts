// `npm run demo`: watch an AI agent get a hall pass, and lose it again. Exit 0 only if every step did what it says.
// It needs nothing but its packages, and leaves nothing behind.
import { parseArgs } from 'node:util'
import { createNarrator } from './demo/narrator.ts'
import { setStage } from './demo/stage.ts'
import { runWalk } from './demo/steps.ts'
import { tellHowToTry } from './demo/try-it.ts'
import { walk } from './demo/walk.ts'

const { values } = parseArgs({ options: { keep: { type: 'boolean', default: false } } })
const narrator = createNarrator(process.stdout, process.env)

/** So that whoever watches can read along, milliseconds; a script is not kept waiting. */
const BEAT_MS = process.stdout.isTTY ? 600 : 0

const start = performance.now()
const stage = await setStage()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.once(signal, () => void stage.close().then(() => process.exit(process.exitCode ?? 130)))

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
