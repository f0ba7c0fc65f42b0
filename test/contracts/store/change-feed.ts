// The change feed: in order, without a gap, or an honest reload.

import { describe, expect, test } from 'vitest'
import { type Feed, StoreUnavailable } from '../../../src/actions/ports.ts'
import type { Contract } from '../store-contract.ts'
import { committed, member, START, tool } from '../store-fixtures.ts'

export function feedContract(on: Contract): void {
  describe('the change feed', () => {
    /** Reads the feed until `enough`, then lets go of it. */
    async function listen(after: number, enough: (seen: readonly Feed[]) => boolean): Promise<Feed[]> {
      const stop = new AbortController()
      const seen: Feed[] = []
      for await (const each of on.store.changes(after, stop.signal)) {
        seen.push(each)
        if (enough(seen)) stop.abort()
      }
      return seen
    }

    const rangesOf = (feed: readonly Feed[]) =>
      feed.flatMap((each) => (each.type === 'change' ? [[each.change.first, each.change.last]] : []))

    test('gives what was missed and then what comes, in order and without a gap (STORE 9)', async () => {
      for (let index = 0; index < 5; index++) await committed(on.store, { put: [tool(`t${index}`)] })
      on.store = await on.opened.reopen()
      for (let index = 5; index < 8; index++) await committed(on.store, { put: [tool(`t${index}`)] })
      const listening = listen(2, (seen) => rangesOf(seen).length === 26)
      for (let index = 8; index < 28; index++) await committed(on.store, { put: [tool(`t${index}`)] })
      const seen = (await listening).filter(({ type }) => type === 'change')
      expect(rangesOf(seen)).toEqual(Array.from({ length: 26 }, (_, index) => [index + 2, index + 2]))
      const rows = seen.flatMap((each) => (each.type === 'change' ? each.change.put : []))
      expect(rows.map(({ row }) => row.id)).toEqual(Array.from({ length: 26 }, (_, index) => `t${index + 2}`))
    })

    test('has every commit by the time that its commit answers (STORE rule 5)', async () => {
      const stop = new AbortController()
      const feed = on.store.changes(0, stop.signal)[Symbol.asyncIterator]()
      const next = feed.next()
      const { first, last } = await committed(on.store, { at: START + 5, put: [tool('a', 4)] })
      expect((await next).value).toEqual({
        type: 'change',
        change: { first, last, at: START + 5, put: [tool('a', 4)] },
      })
      stop.abort()
      expect((await feed.next()).done).toBe(true)
    })

    test('says that it is alive when nothing happens (STORE rule 5)', async () => {
      await committed(on.store)
      expect(await listen(1, (seen) => seen.length === 1)).toEqual([{ type: 'alive', seq: 1 }])
    })

    test('a refused commit is not in it (STORE 2)', async () => {
      await committed(on.store, { put: [tool('a')] })
      await on.store.commit(member({ expect: { 'tool/a': 9 }, put: [tool('b')] }))
      await committed(on.store, { put: [tool('c')] })
      const seen = await listen(0, (all) => rangesOf(all).length === 2)
      expect(seen.flatMap((each) => (each.type === 'change' ? each.change.put : [])).map(({ row }) => row.id)).toEqual([
        'a',
        'c',
      ])
    })

    test('who is behind what is kept, or ahead of the log, is told to reload (STORE rule 5)', async () => {
      await on.withOptions({ keepChanges: 10 })
      for (let index = 0; index < 60; index++) await committed(on.store, { put: [tool('a', index)] })
      on.store = await on.opened.reopen()
      expect((await listen(0, (seen) => seen.length === 1))[0]).toEqual({ type: 'reload', seq: 60 })
      expect((await listen(61, (seen) => seen.length === 1))[0]).toEqual({ type: 'reload', seq: 60 })
      expect(rangesOf(await listen(58, (seen) => seen.length === 2))).toEqual([
        [58, 58],
        [59, 59],
      ])
    })

    test('a listener that is slow misses nothing or is told to reload, and holds nobody up (STORE rule 5)', async () => {
      const stop = new AbortController()
      const feed = on.store.changes(0, stop.signal)[Symbol.asyncIterator]()
      const first = feed.next()
      for (let round = 0; round < 30; round++) {
        await Promise.all(Array.from({ length: 100 }, () => committed(on.store)))
      }
      expect(await first).toMatchObject({ value: { type: 'change', change: { first: 0 } } })
      let at = 1
      while (at < 3_000) {
        const { value } = await feed.next()
        if (value?.type === 'reload') at = value.seq
        else if (value?.type === 'change') {
          expect(value.change.first).toBe(at)
          at = value.change.last + 1
        }
      }
      stop.abort()
      expect((await feed.next()).done).toBe(true)
    })

    test('ends when the store closes (STORE 9)', async () => {
      const listening = listen(0, () => false)
      await on.store.close()
      expect(await listening).toEqual([])
      await expect(on.store.commit(member())).rejects.toThrow(StoreUnavailable)
      await expect(on.store.read(['tool/a'])).rejects.toThrow(StoreUnavailable)
      expect(on.store.fresh()).toBe(false)
    })
  })
}
