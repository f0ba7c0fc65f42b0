// The guard's verify against jose's jwtVerify, bare, with the key in hand: tokens seen before, and tokens seen for the first
// time. Both in this process; turns of equal length, the ratio within each turn.

import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from 'jose'
import { createGuard } from '../../../src/guard/index.ts'
import { type BenchBroker, TOOLS } from '../broker.ts'
import { median } from '../rounds.ts'

export type GuardTimes = {
  /** Microseconds a call, medians over the turns. */
  readonly jose: number
  readonly known: number
  readonly first: number
  /** How many times as long as bare jose; medians of the turns' own ratios. */
  readonly knownRatio: number
  readonly firstRatio: number
}

const CALLS = 256

export async function guardVerify(broker: BenchBroker, turns: number): Promise<GuardTimes> {
  const { resource, scope } = TOOLS.guarded
  const tokens: string[] = []
  for (let i = 0; i < CALLS; i++) tokens.push(await broker.mint(broker.agents[i % broker.agents.length]!, 'guarded'))
  const keys = await (await fetch(`${broker.issuer}/.well-known/jwks.json`)).json()
  const resolve = createLocalJWKSet(keys as JSONWebKeySet)
  const options = { issuer: broker.issuer, resource, verifierToken: broker.verifiers.guarded, mode: 'offline' } as const
  const remembering = createGuard(options)
  // It remembers one token at most, and none comes twice in a row.
  const forgetful = createGuard({ ...options, maxCachedTokens: 1 })
  const verifyWith = (guard: typeof remembering) => async (token: string) => {
    const result = await guard.verify(`Bearer ${token}`, { scopes: [scope] })
    if (!result.ok) throw new Error(`the guard refused: ${result.code}`)
  }
  const contenders = {
    jose: async (token: string) => {
      await jwtVerify(token, resolve, {
        algorithms: ['ES256'],
        typ: 'at+jwt',
        issuer: broker.issuer,
        audience: resource,
        requiredClaims: ['iss', 'aud', 'exp', 'iat', 'jti', 'sub'],
      })
    },
    known: verifyWith(remembering),
    first: verifyWith(forgetful),
  }
  try {
    if (!(await remembering.ready()) || !(await forgetful.ready())) throw new Error('the guard did not become ready')
    const times = { jose: [] as number[], known: [] as number[], first: [] as number[] }
    for (let turn = -2; turn < turns; turn++)
      for (const name of ['jose', 'known', 'first'] as const) {
        const began = performance.now()
        for (const token of tokens) await contenders[name](token)
        if (turn >= 0) times[name].push(((performance.now() - began) * 1000) / CALLS)
      }
    const against = (one: readonly number[]) => median(one.map((time, turn) => time / times.jose[turn]!))
    return {
      jose: median(times.jose),
      known: median(times.known),
      first: median(times.first),
      knownRatio: against(times.known),
      firstRatio: against(times.first),
    }
  } finally {
    await remembering.close()
    await forgetful.close()
  }
}
