// Runs the demo's steps one after another, and holds each to what it says: one that does not keep its word ends the walk.
import type { z } from 'zod'
import { safeText } from '../core/safe-text.ts'
import type { Narrator, Tell } from './narrator.ts'

/** Tokens, of which an unexpected answer may be full: JWTs and the broker's bearers. */
const SECRETS = /\beyJ[\w-]+(\.[\w-]*)*|\bhp_[a-z]+_\w+/g

/** What a step expected and what came instead. */
export class StepFailed extends Error {
  override name = 'StepFailed'
  readonly expected: string
  readonly came: string

  constructor(expected: string, came: unknown) {
    super(`expected ${expected}`)
    this.expected = expected
    const text = typeof came === 'string' ? came : (JSON.stringify(came) ?? String(came))
    this.came = text.replace(SECRETS, '[secret]')
  }
}

/** @throws StepFailed unless `holds`. `expected` is a phrase; `came` is shown where it does not hold. */
export function expectThat(holds: boolean, expected: string, came: unknown): asserts holds {
  if (!holds) throw new StepFailed(expected, came)
}

/** The value as the schema reads it. @throws StepFailed for anything else. */
export function expectShape<S extends z.ZodType>(schema: S, value: unknown, expected: string): z.output<S> {
  const read = schema.safeParse(value)
  if (read.success) return read.data
  throw new StepFailed(expected, value)
}

/** Narrates a step, runs it, and hands on what it answers. */
export type RunStep = <T>(title: string, act: (tell: Tell) => Promise<T>) => Promise<T>

/** What a failed step may show of what came, characters. */
const CAME_CHARS = 600

/**
 * The walk from its first step to its last. The exit code: 0 if every step did what it says; 1 at the first that did
 * not, or that broke. `pause` is awaited before each step, for whoever reads along.
 */
export async function runWalk(
  narrator: Narrator,
  walk: (step: RunStep) => Promise<void>,
  pause: () => Promise<void> = async () => {},
): Promise<0 | 1> {
  let number = 0
  try {
    await walk(async (title, act) => {
      await pause()
      number += 1
      narrator.step(number, title)
      return act(narrator)
    })
    return 0
  } catch (thrown) {
    narrator.failed(
      thrown instanceof StepFailed
        ? [`step ${number} expected: ${thrown.expected}`, `what came:       ${safeText(thrown.came, CAME_CHARS)}`]
        : [`step ${number} broke: ${thrown instanceof Error ? thrown.message : String(thrown)}`],
    )
    return 1
  }
}

/**
 * Asks `probe` again and again until it answers something other than null, and says after how many milliseconds.
 * @throws StepFailed when `withinMs` have passed.
 */
export async function until<T>(
  probe: () => Promise<T | null>,
  {
    withinMs,
    expected,
    everyMs = 10,
  }: { readonly withinMs: number; readonly expected: string; readonly everyMs?: number },
): Promise<{ readonly value: T; readonly afterMs: number }> {
  const start = performance.now()
  for (;;) {
    const value = await probe()
    const afterMs = Math.round(performance.now() - start)
    if (value !== null) return { value, afterMs }
    if (afterMs > withinMs) throw new StepFailed(`${expected} within ${withinMs} ms`, 'nothing of the kind')
    await new Promise((resolve) => setTimeout(resolve, everyMs))
  }
}
