// Many at once: exactly one wins, and a mint never outlives what it rests on.

import { describe, expect, test } from 'vitest'
import type { Contract } from '../store-contract.ts'
import { committed, jittered, member, nextId, START, session, tool } from '../store-fixtures.ts'

export function raceContract(on: Contract): void {
  describe('races', () => {
    test('of a thousand commits on one version exactly one wins (S16)', async () => {
      await committed(on.store, { put: [tool('a')] })
      const outcomes = await Promise.all(
        Array.from({ length: 1_000 }, (_, index) =>
          on.store.commit(member({ expect: { 'tool/a': 1 }, put: [tool('a', index + 1)] })),
        ),
      )
      expect(outcomes.filter(({ ok }) => ok)).toHaveLength(1)
      expect((await on.store.read(['tool/a'])).get('tool', 'a')?.epoch).toBe(outcomes.findIndex(({ ok }) => ok) + 1)
    })

    test('of many uses of one value at once exactly one wins (S18)', async () => {
      const once = [{ space: 'jti', value: 'j1', until: START + 1_000 }]
      const outcomes = await Promise.all(Array.from({ length: 100 }, () => on.store.commit(member({ once }))))
      expect(outcomes.filter(({ ok }) => ok)).toHaveLength(1)
    })

    test('no mint that rests on a session is ordered after its revocation (S16)', async () => {
      await committed(on.store, { put: [session('ses_1')] })
      const mint = () => on.store.commit(member({ expect: { 'session/ses_1': 1 }, put: [tool(nextId('mint'))] }))
      const before = Array.from({ length: 60 }, mint)
      const revoked = on.store.commit(
        member({ lane: 'narrowing', expect: { 'session/ses_1': 1 }, put: [session('ses_1', { state: 'revoked' })] }),
      )
      const after = Array.from({ length: 60 }, mint)
      const revocation = await revoked
      expect(revocation.ok).toBe(true)
      for (const outcome of await Promise.all([...before, ...after])) {
        if (outcome.ok && revocation.ok) expect(outcome.last).toBeLessThan(revocation.first)
      }
    })

    test('a narrowing does not wait behind mints that came before it (STORE rule 2)', async () => {
      const mints = Array.from({ length: 200 }, () => on.store.commit(member()))
      const narrowing = await on.store.commit(member({ lane: 'narrowing' }))
      await Promise.all(mints)
      expect(narrowing.ok && narrowing.first).toBeLessThan(64)
    })

    test('read, decide, commit loses no update under random delays (STORE 6)', async () => {
      let seed = 7
      const slow = jittered(on.store, () => {
        seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
        return seed / 2_147_483_648
      })
      let won = 0
      const worker = async (name: string) => {
        for (let left = 8; left > 0; left--) {
          const seen = await slow.read([`tool/shared`, `tool/${name}`])
          const shared = seen.get('tool', 'shared')?.epoch ?? 0
          const own = seen.get('tool', name)?.epoch ?? 0
          const put = [tool('shared', shared + 1), tool(name, own + 1)]
          if ((await slow.commit(member({ expect: seen.versions, put }))).ok) won++
        }
      }
      await Promise.all(['w1', 'w2', 'w3', 'w4', 'w5'].map(worker))
      const end = await on.store.read(['tool/shared', 'tool/w1', 'tool/w2', 'tool/w3', 'tool/w4', 'tool/w5'])
      expect(won).toBeGreaterThan(0)
      expect(end.get('tool', 'shared')?.epoch).toBe(won)
      const own = ['w1', 'w2', 'w3', 'w4', 'w5'].map((name) => end.get('tool', name)?.epoch ?? 0)
      expect(own.reduce((sum, each) => sum + each, 0)).toBe(won)
      expect(end.seq).toBe(won)
    })
  })
}
