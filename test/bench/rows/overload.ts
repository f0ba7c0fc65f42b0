// Far more at once than can be served: memory must stay bounded, and every answer must be one, be it a refusal that says when
// to come back.

import type { BenchBroker } from '../broker.ts'
import { type Aim, fire, percentile } from '../load.ts'

export type Overload = {
  readonly connections: number
  readonly answers: number
  readonly perSecond: number
  readonly refusals: readonly { readonly status: number; readonly count: number; readonly body: string }[]
  readonly p99: number
  readonly memoryBefore: number | null
  readonly memoryMost: number | null
  readonly memoryAfter: number | null
  /** Milliseconds that one mint takes right afterwards. */
  readonly afterwards: number
}

export async function overload(broker: BenchBroker, load: Aim, connections: number, ms: number): Promise<Overload> {
  const memoryBefore = broker.server.memoryMib()
  let memoryMost = memoryBefore
  const watch = setInterval(() => {
    const now = broker.server.memoryMib()
    if (now !== null && memoryMost !== null) memoryMost = Math.max(now, memoryMost)
  }, 100)
  const fired = await fire(load, connections, ms).finally(() => clearInterval(watch))
  const began = performance.now()
  await broker.mint(broker.agents[0]!, 'asks')
  const refusals = [...fired.odd].map(([status, { count, body }]) => ({ status, count, body }))
  const dishonest = refusals.find(({ status }) => status !== 429 && status !== 503)
  if (dishonest !== undefined) throw new Error(`under overload ${dishonest.status}: ${dishonest.body}`)
  return {
    connections,
    answers: fired.answers,
    perSecond: fired.answers / fired.seconds,
    refusals,
    p99: percentile(fired.latencies, 0.99),
    memoryBefore,
    memoryMost,
    memoryAfter: broker.server.memoryMib(),
    afterwards: performance.now() - began,
  }
}
