// Histories made at random, against a model of a few lines.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Outcome } from '../../../src/actions/ports.ts'
import type { Key } from '../../../src/core/model.ts'
import type { Contract } from '../store-contract.ts'
import { member, nextId, START, sealed, tool, wholeLog } from '../store-fixtures.ts'

export function historyContract(on: Contract): void {
  test('any history is one that a simple model could have had (STORE 1, 2, 3)', async () => {
    const ids = ['a', 'b', 'c'] as const
    const step = fc.record({
      put: fc.uniqueArray(fc.constantFrom(...ids), { maxLength: 2 }),
      expect: fc.uniqueArray(fc.constantFrom(...ids), { maxLength: 2 }),
      isStale: fc.boolean(),
      once: fc.option(fc.constantFrom('x', 'y', 'z'), { nil: null }),
      at: fc.constantFrom(0, 1_000, 3_000),
      records: fc.integer({ min: 1, max: 3 }),
      lane: fc.constantFrom('normal' as const, 'narrowing' as const),
    })
    const batches = fc.array(fc.oneof(fc.array(step, { minLength: 1, maxLength: 6 }), fc.constant('reopen' as const)), {
      maxLength: 8,
    })
    await fc.assert(
      fc.asyncProperty(batches, async (history) => {
        await on.withOptions({})
        const versions = new Map<string, number>(ids.map((id) => [id, 0]))
        const used = new Set<string>()
        let [size, time] = [0, 0]
        const says: string[] = []
        for (const batch of history) {
          if (batch === 'reopen') {
            on.store = await on.opened.reopen()
            continue
          }
          const asked = batch.map((each) => {
            const expected = each.expect.map((id): [Key, number] => [
              `tool/${id}`,
              versions.get(id)! + (each.isStale ? 1 : 0),
            ])
            const records = Array.from({ length: each.records }, () => nextId('says'))
            const given = member({
              at: START + each.at,
              lane: each.lane,
              expect: new Map(expected),
              put: each.put.map((id) => tool(id)),
              once: each.once === null ? [] : [{ space: 's', value: each.once, until: START + 1_000_000 }],
              records: records.map((text) => sealed({ says: text })),
            })
            return { each, given, records, expected }
          })
          const outcomes: Outcome[] = await Promise.all(asked.map(({ given }) => on.store.commit(given)))
          const order = outcomes
            .flatMap((outcome, index) => (outcome.ok ? [{ ...outcome, ...asked[index]! }] : []))
            .toSorted((a, b) => a.first - b.first)
          for (const { first, last, each, records, expected } of order) {
            expect([first, last]).toEqual([size, size + each.records - 1])
            expect(expected.every(([key, at]) => versions.get(key.slice('tool/'.length)) === at)).toBe(true)
            expect(each.once === null || !used.has(each.once)).toBe(true)
            expect(START + each.at).toBeGreaterThanOrEqual(time - 2_000)
            if (each.once !== null) used.add(each.once)
            size = last + 1
            time = Math.max(time, START + each.at)
            for (const id of each.put) versions.set(id, size)
            says.push(...records)
          }
          if (batch.length === 1) {
            const { each } = asked[0]!
            const isWrong = (each.isStale && each.expect.length > 0) || START + each.at < time - 2_000
            if (outcomes[0]!.ok) expect(isWrong).toBe(false)
          }
        }
        const snapshot = await on.store.read(ids.map((id): Key => `tool/${id}`))
        expect([snapshot.seq, ...snapshot.versions.values()]).toEqual([size, ...versions.values()])
        const log = await wholeLog(on.store)
        expect(log.map(({ bytes }) => JSON.parse(Buffer.from(bytes).toString()).says)).toEqual(says)
      }),
      { numRuns: 15 },
    )
  })
}
