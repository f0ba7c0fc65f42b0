// Failed writes, second openers and sudden death.

import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { describe, expect, test } from 'vitest'
import { StoreUnavailable } from '../../../src/actions/ports.ts'
import { rootOf } from '../../../src/core/merkle.ts'
import type { Contract } from '../store-contract.ts'
import { committed, member, START, tool, wholeLog } from '../store-fixtures.ts'

export function brokenWorldContract(on: Contract): void {
  describe('a broken world', () => {
    test('a failed write refuses the whole group, ends freshness, and mends by itself (P10)', async () => {
      await committed(on.store, { put: [tool('a')] })
      const heal = await on.opened.breakWrites()
      const results = await Promise.allSettled(
        [1, 2, 3].map((epoch) => on.store.commit(member({ id: `cmt_b${epoch}`, put: [tool(`b${epoch}`)] }))),
      )
      for (const result of results)
        expect(result.status === 'rejected' && result.reason).toBeInstanceOf(StoreUnavailable)
      expect(on.store.fresh()).toBe(false)
      await expect(on.store.commit(member())).rejects.toThrow(StoreUnavailable)
      expect((await on.store.read(['tool/a', 'tool/b1'])).versions).toEqual(
        new Map([
          ['tool/a', 1],
          ['tool/b1', 0],
        ]),
      )
      await heal()
      await expect.poll(() => on.store.fresh(), { timeout: 5_000, interval: 20 }).toBe(true)
      expect(await on.store.outcomeOf('cmt_b1')).toBe('never')
      expect(await committed(on.store, { put: [tool('b1')] })).toMatchObject({ first: 1, last: 1 })
    })

    test('the next commit after the disk is well again finds out by itself (P10)', async () => {
      const heal = await on.opened.breakWrites()
      await expect(on.store.commit(member())).rejects.toThrow(StoreUnavailable)
      await heal()
      expect((await on.store.commit(member())).ok).toBe(true)
      expect(on.store.fresh()).toBe(true)
    })

    test('what is insisted on denies everything until it is written, though what it rested on moved (S17)', async () => {
      await committed(on.store, { put: [tool('a'), tool('b')], once: [{ space: 'jti', value: 'j', until: START + 9 }] })
      const heal = await on.opened.breakWrites()
      const fits = member({ lane: 'narrowing', put: [tool('a', 1)], expect: { 'tool/a': 1 } })
      const moved = member({
        lane: 'narrowing',
        at: START - 60_000,
        put: [tool('b', 1)],
        expect: { 'tool/b': 9 },
        once: [{ space: 'jti', value: 'j', until: START + 9 }],
      })
      for (const each of [fits, moved]) {
        await expect(on.store.commit(each)).rejects.toThrow(StoreUnavailable)
        expect(await on.store.insist(each)).toMatch(/^(kept|in memory)$/)
        expect(on.store.fresh()).toBe(false)
      }
      await expect(on.store.commit(member())).rejects.toThrow(StoreUnavailable)
      await expect(on.store.read(['tool/a'])).rejects.toThrow(StoreUnavailable)
      const waiting = on.store.read(['tool/a', 'tool/b']).catch(() => null)
      await heal()
      await expect.poll(() => on.store.fresh(), { timeout: 5_000, interval: 20 }).toBe(true)
      await waiting
      expect((await on.store.read(['tool/a', 'tool/b'])).versions).toEqual(
        new Map([
          ['tool/a', 2],
          ['tool/b', 3],
        ]),
      )
      expect(on.store.highestTime()).toBe(START)
      expect(await committed(on.store)).toMatchObject({ first: 3, last: 3 })
    })

    if (on.traits.isExclusive) {
      test('a second opener is refused while the first holds it, and may have it afterwards (STORE rule 8)', async () => {
        await expect(on.opened.second()).rejects.toThrow(/another process/)
        expect((await on.store.commit(member())).ok).toBe(true)
        on.store = await on.opened.reopen()
        expect((await on.store.tree()).size).toBe(1)
      })
    }

    test('after a kill -9 every acknowledged commit is there, nothing else stands, and the tree verifies (P1)', async () => {
      await on.store.close()
      const acknowledged: { id: string; first: number; last: number }[] = []
      for (let round = 0; round < 2; round++) {
        const child = spawn(
          process.execPath,
          [new URL('../committing-child.ts', import.meta.url).pathname, ...on.opened.child],
          {
            stdio: ['ignore', 'pipe', 'inherit'],
          },
        )
        const lines = createInterface({ input: child.stdout })
        const enough = acknowledged.length + 150
        for await (const line of lines) {
          acknowledged.push(JSON.parse(line))
          if (acknowledged.length === enough) child.kill('SIGKILL')
        }
      }
      on.store = await on.opened.reopen()
      expect(acknowledged.length).toBeGreaterThanOrEqual(300)
      for (const { id, first, last } of acknowledged) {
        expect(await on.store.outcomeOf(id)).toEqual({ ok: true, first, last })
        expect((await on.store.read([`tool/${id}`])).versions.get(`tool/${id}`)).toBe(last + 1)
      }
      const log = await wholeLog(on.store)
      expect(log.map(({ index }) => index)).toEqual(log.map((_, index) => index))
      const tree = await on.store.tree()
      expect(tree.size).toBe(log.length)
      expect(Buffer.from(tree.root)).toEqual(Buffer.from(rootOf(log.map(({ leaf }) => leaf))))
      for (const { index, bytes } of log) {
        const { id } = JSON.parse(Buffer.from(bytes).toString())
        const outcome = await on.store.outcomeOf(id)
        expect(outcome !== 'never' && outcome.ok && outcome.first <= index && index <= outcome.last).toBe(true)
      }
      expect((await on.store.commit(member({ at: START + 1 }))).ok).toBe(true)
    })
  })
}
