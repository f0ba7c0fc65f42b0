// Random histories with a hostile tool and a broker that is killed at any moment; then everything settles, and the tool
// itself is asked: no orphan, no double, no false "revoked" (P5, P9, S16).

import { describe, expect, test } from 'vitest'
import { presentRevocation, revoke } from '../../src/actions/revoke.ts'
import type { Fault, Op } from '../support/fake-tool.ts'
import { as } from '../support/harness.ts'
import { unwrap } from '../support/store-on-disk.ts'
import { createStage, type Stage } from './stage.ts'

const ROUNDS = Number(process.env.HALLPASS_ACCOUNT_ROUNDS ?? 30)

/** Mulberry32: small, seeded, the same everywhere. */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

const FAULTS: readonly (Fault | null)[] = [null, null, null, 'down', 'error', 'lost', 'late', 'half', 'busy', 'lie']

/** Whatever was said to be revoked is dead in the tool at that moment. */
async function noFalseRevoked(s: Stage, issued: ReadonlyMap<string, string>) {
  const credentials = await s.h.rows('credential')
  for (const receipt of await s.h.rows('revocation')) {
    if (presentRevocation(receipt, s.h.deps.clock.now()).status !== 'revoked') continue
    for (const { id, revocation } of credentials) {
      const secret = issued.get(id)
      if (revocation === receipt.id && secret !== undefined)
        expect([receipt.id, s.tool.works(secret)]).toEqual([receipt.id, false])
    }
  }
}

/** Nothing is active that no live row explains, nothing was made twice, and what is alive is on the trail. */
async function settled(s: Stage, issued: ReadonlyMap<string, string>) {
  s.tool.fault = () => null
  s.tool.deliver()
  await s.rounds(14, 30)
  const rows = await s.h.rows('account')
  const explained = rows.filter(({ state }) => state === 'present').map(({ name }) => name)
  expect(s.tool.active()).toEqual(explained.toSorted())
  expect(rows.filter(({ state }) => state === 'planned' || state === 'leaving')).toEqual([])
  expect(s.tool.mostMade()).toBeLessThanOrEqual(1)
  for (const receipt of await s.h.rows('revocation')) expect(receipt.state).toBe('complete')
  await noFalseRevoked(s, issued)
}

/** A stage over which several seeds pass, each under a grant of its own; a fresh one where the agent's session is old. */
async function eachSeed(of: (s: Stage, random: () => number, issued: Map<string, string>) => Promise<void>) {
  const s = await createStage()
  const issued = new Map<string, string>()
  try {
    for (let seed = 1; seed <= ROUNDS; seed++) {
      s.session = await s.h.session('bot')
      s.grant = await s.h.grant(s.session, 'desk', ['read'])
      try {
        await of(s, randomFrom(seed), issued)
        await settled(s, issued)
      } catch (thrown) {
        throw new Error(`seed ${seed}: ${thrown instanceof Error ? thrown.message : String(thrown)}`, { cause: thrown })
      }
    }
  } finally {
    await s.close()
  }
}

async function mint(s: Stage, issued: Map<string, string>) {
  const minted = await s.mint()
  if (minted.ok) issued.set(minted.value.credential.id, minted.value.token)
}

const take = async (s: Stage) =>
  unwrap(await revoke(s.h.deps, as.admin, { kind: 'grant', id: s.grant.id, reason: null }))

describe(`${ROUNDS} seeded rounds`, { timeout: 600_000 }, () => {
  test('killed between the intent and the answer of a create, before or after the tool acted (P9, S16)', async () => {
    await eachSeed(async (s, random) => {
      const create = s.tool.create
      const asked = Promise.withResolvers<void>()
      const acts = random() < 0.5
      s.tool.create = (wanted, signal) => {
        const done = acts ? create(wanted, signal) : Promise.resolve()
        return done.then(() => {
          asked.resolve()
          // The process is gone: its answer reaches nobody.
          return new Promise(() => {})
        })
      }
      const lost = s.mint()
      await asked.promise
      await s.crash()
      s.tool.create = create
      if (random() < 0.5) await take(s)
      await s.rounds(1 + Math.floor(random() * 3), Math.floor(random() * 5))
      expect((await lost).ok).toBe(false)
    })
  })

  test('killed between a removal and its confirmation, and the tool asked again (P5, P9)', async () => {
    await eachSeed(async (s, random, issued) => {
      await mint(s, issued)
      const step: Op = (['remove', 'look', 'probe'] as const)[Math.floor(random() * 3)]!
      let isDown = false
      // From that step on nothing more gets through, as after kill -9.
      s.tool.fault = (op) => {
        const before = isDown
        if (op === step) isDown = true
        return before ? 'down' : op === step ? (random() < 0.5 ? 'lost' : 'error') : null
      }
      await take(s)
      await s.rounds(1)
      await noFalseRevoked(s, issued)
      await s.crash()
      await noFalseRevoked(s, issued)
    })
  })

  test('with a tool that fails and lies at random, and kills in between (P5, P9, S15, S16)', async () => {
    await eachSeed(async (s, random, issued) => {
      s.tool.fault = (op) => {
        const fault = FAULTS[Math.floor(random() * FAULTS.length)] ?? null
        // Whoever lies about a probe too has no side to be asked: nobody could know.
        return fault === 'lie' && (op === 'probe' || op === 'create') ? null : fault
      }
      for (let step = 0; step < 6; step++) {
        const what = random()
        if (what < 0.45) await mint(s, issued)
        else if (what < 0.6) await take(s)
        else if (what < 0.7) await s.crash()
        else if (what < 0.8) s.tool.deliver()
        else await s.rounds(1, Math.floor(random() * 8))
        await noFalseRevoked(s, issued)
      }
      await take(s)
    })
  })
})
