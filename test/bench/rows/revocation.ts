// From the admin's 200 to the first refusal, here and at a guard that runs in this process, while the broker mints. What was
// refused already when the 200 came counts with the time that asking took.

import { decodeJwt } from 'jose'
import { createGuard } from '../../../src/guard/index.ts'
import { callApi, expectDone } from '../../tools/people-and-agents.ts'
import { type BenchBroker, TOOLS } from '../broker.ts'
import { type Aim, fire, percentile } from '../load.ts'

export type Latency = { readonly p50: number; readonly p99: number; readonly worst: number }
export type RevocationTimes = {
  readonly revocations: number
  /** Of the admin's own call, milliseconds. */
  readonly call: Latency
  readonly here: Latency
  readonly guard: Latency
  /** Mints a second that went on beside. */
  readonly beside: number
}

export async function revocationLatency(broker: BenchBroker, count: number, load: Aim): Promise<RevocationTimes> {
  const { resource, scope } = TOOLS.guarded
  const path = `/forward-auth?resource=${encodeURIComponent(resource)}&scope=${encodeURIComponent(scope)}`
  const options = { issuer: broker.issuer, resource, verifierToken: broker.verifiers.guarded, mode: 'offline' } as const
  const guard = createGuard(options)
  const times = { call: [] as number[], here: [] as number[], guard: [] as number[] }
  const isRefusedHere = async (token: string) => {
    const headers = { authorization: `Bearer ${token}`, 'x-hallpass-verifier': broker.verifiers.guarded }
    const response = await fetch(`${broker.issuer}${path}`, { headers })
    await response.arrayBuffer()
    return response.status === 401
  }
  const isRefusedByGuard = async (token: string) => !(await guard.verify(`Bearer ${token}`, { scopes: [scope] })).ok
  let isOver = false
  const loading = (async () => {
    let answers = 0
    const began = performance.now()
    while (!isOver) answers += (await fire(load, 4, 250)).answers
    return answers / ((performance.now() - began) / 1000)
  })()
  try {
    if (!(await guard.ready())) throw new Error('the guard did not become ready')
    for (let i = 0; i < count; i++) {
      const token = await broker.mint(broker.agents[i % broker.agents.length]!, 'guarded')
      if ((await isRefusedByGuard(token)) || (await isRefusedHere(token)))
        throw new Error('a fresh credential was refused')
      const asked = performance.now()
      await expectDone(revoke(broker, String(decodeJwt(token).jti)))
      const said = performance.now()
      times.call.push(said - asked)
      const until = async (isRefused: (token: string) => Promise<boolean>) => {
        while (!(await isRefused(token))) await new Promise(setImmediate)
        return performance.now() - said
      }
      const [here, atGuard] = await Promise.all([until(isRefusedHere), until(isRefusedByGuard)])
      times.here.push(here)
      times.guard.push(atGuard)
    }
  } finally {
    isOver = true
    await loading
    await guard.close()
  }
  return {
    revocations: count,
    call: latencyOf(times.call),
    here: latencyOf(times.here),
    guard: latencyOf(times.guard),
    beside: await loading,
  }
}

/** An admin's calls are limited by rate: whoever is told to wait waits. */
async function revoke(broker: BenchBroker, jti: string): ReturnType<typeof callApi> {
  for (;;) {
    const answered = await callApi(broker.issuer, broker.adminToken, `/credentials/${jti}/revoke`, {})
    if (answered.status !== 429) return answered
    await new Promise((resolve) => setTimeout(resolve, 1000))
  }
}

function latencyOf(times: readonly number[]): Latency {
  const sorted = [...times].sort((a, b) => a - b)
  return { p50: percentile(sorted, 0.5), p99: percentile(sorted, 0.99), worst: sorted.at(-1) ?? Number.NaN }
}
