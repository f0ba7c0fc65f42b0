// Rivals in one run: short rounds that take turns, so that whatever else the machine does meets both alike. What counts is
// the ratio within each round, and the median of those.

import { type Aim, fire, percentile } from './load.ts'
import type { Server } from './processes.ts'

export type Contender = { readonly name: string; readonly server: Server; readonly aim: Aim }

export type Measured = {
  readonly name: string
  /** Answers a second, one entry a round. */
  readonly rates: readonly number[]
  /** Milliseconds; medians over the rounds. */
  readonly p50: number
  readonly p99: number
  /** Microseconds of the server's CPU an answer, all its threads; median over the rounds. */
  readonly cpuMicroseconds: number | null
  /** The busiest that the client was, of one core. */
  readonly clientBusy: number
}

export type Compared = { readonly concurrency: number; readonly measured: readonly Measured[] }

/** `warmUp` answers come first, so that the code is compiled; at most `warmUpMs` are spent on them. */
export type Pace = {
  readonly rounds: number
  readonly milliseconds: number
  readonly warmUp: number
  readonly warmUpMs: number
}

export const CONCURRENCIES = [1, 16, 64] as const

/** Throws where an answer was not the expected one: a fast refusal is no result. */
export async function compare(contenders: readonly Contender[], pace: Pace): Promise<readonly Compared[]> {
  for (const { name, aim } of contenders) expectGood(name, await fire(aim, 16, pace.warmUpMs, pace.warmUp))
  const compared: Compared[] = []
  for (const concurrency of CONCURRENCIES) {
    const runs = contenders.map(() => ({
      rates: [] as number[],
      p50: [] as number[],
      p99: [] as number[],
      cpu: [] as (number | null)[],
      busy: 0,
    }))
    for (let round = 0; round < pace.rounds; round++)
      for (let turn = 0; turn < contenders.length; turn++) {
        // Another one begins each round.
        const index = (turn + round) % contenders.length
        const { name, server, aim } = contenders[index]!
        const before = server.cpuSeconds()
        const fired = await fire(aim, concurrency, pace.milliseconds)
        expectGood(name, fired)
        const after = server.cpuSeconds()
        const run = runs[index]!
        run.rates.push(fired.answers / fired.seconds)
        run.p50.push(percentile(fired.latencies, 0.5))
        run.p99.push(percentile(fired.latencies, 0.99))
        run.cpu.push(before === null || after === null ? null : ((after - before) * 1e6) / fired.answers)
        run.busy = Math.max(run.busy, fired.busy)
      }
    compared.push({
      concurrency,
      measured: contenders.map(({ name }, index) => {
        const { rates, p50, p99, cpu, busy } = runs[index]!
        const known = cpu.filter((value) => value !== null)
        return {
          name,
          rates,
          p50: median(p50),
          p99: median(p99),
          cpuMicroseconds: known.length === 0 ? null : median(known),
          clientBusy: busy,
        }
      }),
    })
  }
  return compared
}

function expectGood(name: string, { odd, answers }: Awaited<ReturnType<typeof fire>>): void {
  for (const [status, { count, body }] of odd)
    throw new Error(`${name}: ${count} of ${answers} answers were not as expected (${status}): ${body}`)
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** Round by round: how many times as many answers the first gives as the second. */
export const ratios = (one: Measured, other: Measured): readonly number[] =>
  one.rates.map((rate, round) => rate / other.rates[round]!)
