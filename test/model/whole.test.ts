// The property of the whole: random histories of joins, edits, acceptances, asks, approvals, mints, locks, revocations, crashes
// and clock steps, against a small reference model. Longer: HALLPASS_MODEL_RUNS=2000 HALLPASS_MODEL_STEPS=80, again a
// counterexample: HALLPASS_MODEL_SEED and HALLPASS_MODEL_PATH as it printed them.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { drive } from './drive.ts'
import { arbitrarySteps } from './steps.ts'
import type { Counts } from './world.ts'

const { HALLPASS_MODEL_RUNS, HALLPASS_MODEL_STEPS = '40', HALLPASS_MODEL_SEED, HALLPASS_MODEL_PATH } = process.env
const runs = Number(HALLPASS_MODEL_RUNS ?? 100)
/** By default it ends with the runs that fit; asked for more, it does them all. */
const limitMs = HALLPASS_MODEL_RUNS === undefined ? 50_000 : 3_600_000

test('nothing is alive that the current sources do not justify, and nothing that was taken comes back (P2, P3, P5, P6, P9)', {
  timeout: limitMs + 600_000,
}, async () => {
  const counts: Counts = { steps: 0, done: 0, grants: 0, credentials: 0, accepted: 0, taken: 0, crashes: 0, alive: 0 }
  await fc.assert(
    fc.asyncProperty(arbitrarySteps(Number(HALLPASS_MODEL_STEPS)), (steps) => drive(steps, counts)),
    {
      numRuns: runs,
      interruptAfterTimeLimit: limitMs,
      markInterruptAsFailure: false,
      ...(HALLPASS_MODEL_SEED === undefined ? {} : { seed: Number(HALLPASS_MODEL_SEED) }),
      ...(HALLPASS_MODEL_PATH === undefined ? {} : { path: HALLPASS_MODEL_PATH }),
    },
  )
  if (HALLPASS_MODEL_RUNS !== undefined) console.log(JSON.stringify(counts))
  // A history may be short, all of them together may not: what never happened was not looked at.
  if (counts.steps > 1000) expect(Math.min(...Object.values(counts))).toBeGreaterThan(0)
})
