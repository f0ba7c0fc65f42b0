// Every call to a tool's admin API goes through here: a deadline, a few at a time, a breaker per tool, so that one dead
// tool slows nobody else; and what belongs to one account in strict order (S16). All of it is memory: losing it delays.

import { NotAsked, TargetFailure } from '../core/target.ts'
import type { CallLimits, Clock, ToolCalls } from './ports.ts'
import { calledSpan } from './tracing.ts'

type Line = {
  running: number
  readonly waiting: (() => void)[]
  failures: number
  /** By the monotonic clock; null: closed. */
  openUntil: number | null
  openMs: number
  probing: boolean
}

/** A tool that says no works; one that does not answer, or answers nonsense, does not. */
const isSick = (thrown: unknown) => !(thrown instanceof TargetFailure) || thrown.why !== 'refused'

export function createToolCalls(clock: Pick<Clock, 'monotonic'>, limits: CallLimits): ToolCalls {
  const lines = new Map<string, Line>()
  const orders = new Map<string, Promise<unknown>>()

  const lineOf = (tool: string): Line => {
    const line = lines.get(tool) ?? {
      running: 0,
      waiting: [],
      failures: 0,
      openUntil: null,
      openMs: limits.openMs,
      probing: false,
    }
    lines.set(tool, line)
    return line
  }

  const opensIn = ({ openUntil }: Line) => (openUntil === null ? 0 : Math.max(0, openUntil - clock.monotonic()))

  /** Past the breaker; true for the one call that tries an open one. */
  function pass(line: Line): boolean {
    if (line.openUntil === null) return false
    const leftMs = opensIn(line)
    if (leftMs > 0 || line.probing)
      throw new NotAsked(
        'the tool failed several times in a row and is left alone for a while',
        Math.max(1, Math.ceil(leftMs / 1000)),
      )
    line.probing = true
    return true
  }

  function settle(line: Line, probing: boolean, sick: boolean): void {
    if (probing) line.probing = false
    if (!sick) {
      line.failures = 0
      line.openUntil = null
      line.openMs = limits.openMs
      return
    }
    line.failures++
    if (!probing && line.failures < limits.failuresToOpen) return
    line.openUntil = clock.monotonic() + line.openMs
    line.openMs = Math.min(line.openMs * 2, limits.openMsMax)
  }

  async function turn(line: Line): Promise<void> {
    if (line.running < limits.atOnce) {
      line.running++
      return
    }
    if (line.waiting.length >= limits.waiting) throw new NotAsked('too much waits for the tool', 1)
    await new Promise<void>((resolve) => line.waiting.push(resolve))
  }

  /** Whoever waits longest takes the place over. */
  function leave(line: Line): void {
    const next = line.waiting.shift()
    if (next === undefined) line.running--
    else next()
  }

  return {
    limits,
    async call(tool, deadline, act) {
      const line = lineOf(tool)
      await turn(line)
      try {
        const probing = pass(line)
        try {
          const value = await calledSpan('target', { 'hallpass.tool': tool, 'hallpass.deadline': deadline }, () =>
            within(limits[deadline], act),
          )
          settle(line, probing, false)
          return value
        } catch (thrown) {
          settle(line, probing, isSick(thrown))
          throw thrown instanceof TargetFailure ? thrown : new TargetFailure('garbled', String(thrown))
        }
      } finally {
        leave(line)
      }
    },
    inOrder(name, act) {
      const before = orders.get(name) ?? Promise.resolve()
      const mine = before.then(act, act)
      const quiet = mine.then(
        () => {},
        () => {},
      )
      orders.set(name, quiet)
      void quiet.then(() => {
        if (orders.get(name) === quiet) orders.delete(name)
      })
      return mine
    },
    health(tool) {
      const line = lines.get(tool)
      if (line === undefined || line.openUntil === null)
        return { state: 'closed', failuresInARow: line?.failures ?? 0, opensInMs: 0 }
      const opensInMs = opensIn(line)
      return { state: opensInMs > 0 ? 'open' : 'half-open', failuresInARow: line.failures, opensInMs }
    },
  }
}

/** Whatever `act` does about its signal, nobody waits longer. */
async function within<T>(ms: number, act: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const stop = new AbortController()
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const failure = new TargetFailure('timeout', `no answer within ${ms} ms`)
      reject(failure)
      stop.abort(failure)
    }, ms)
  })
  try {
    return await Promise.race([act(stop.signal), late])
  } finally {
    clearTimeout(timer)
  }
}
