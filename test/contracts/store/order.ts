// Order, indexes, bytes and tree: what the log promises.

import { describe, expect, test } from 'vitest'
import { inclusionProof, nodesOver, rootOf, verifyInclusion } from '../../../src/core/merkle.ts'
import type { Contract } from '../store-contract.ts'
import { committed, START, sealed, session, tool, wholeLog } from '../store-fixtures.ts'

export function orderContract(on: Contract): void {
  describe('order', () => {
    test('commits are totally ordered and their indexes dense, whoever asks at once (STORE 1)', async () => {
      const outcomes = await Promise.all(
        Array.from({ length: 100 }, (_, index) =>
          committed(on.store, { records: Array.from({ length: 1 + (index % 3) }, () => sealed()) }),
        ),
      )
      const ranges = outcomes.toSorted((a, b) => a.first - b.first)
      let next = 0
      for (const { first, last } of ranges) {
        expect(first).toBe(next)
        next = last + 1
      }
      expect((await wholeLog(on.store)).map(({ index }) => index)).toEqual(Array.from({ length: next }, (_, i) => i))
      expect((await on.store.tree()).size).toBe(next)
    })

    test('a record comes back byte for byte, with its texts beside it (STORE 1)', async () => {
      const bytes = new Uint8Array([0, 255, 34, 39, 0, 10])
      const record = sealed({
        bytes,
        agent: 'triage-bot',
        tool: 'tickets',
        jti: 'jti_1',
        ownerHash: 'owner-hash',
        opened: { 'owner-hash': { salt: 'c2FsdA', text: 'ann@example.com' }, other: { salt: 'cw', text: "it's" } },
      })
      const { first } = await committed(on.store, { records: [sealed(), record] })
      const [found] = await on.store.records(first + 1, 1)
      expect(found?.index).toBe(first + 1)
      expect(Buffer.from(found!.bytes)).toEqual(Buffer.from(bytes))
      expect(Buffer.from(found!.leaf)).toEqual(Buffer.from(record.leaf))
      expect(found?.opened).toEqual(record.opened)
    })

    test('an index is visible as soon as its commit answered, and a row with the version that it gave (STORE 1)', async () => {
      const { last } = await committed(on.store, { put: [tool('tickets', 3)], records: [sealed(), sealed()] })
      const snapshot = await on.store.read(['tool/tickets'])
      expect(snapshot.seq).toBe(last + 1)
      expect(snapshot.versions.get('tool/tickets')).toBe(last + 1)
      expect(snapshot.get('tool', 'tickets')).toEqual(tool('tickets', 3).row)
    })

    test('everything is there again after closing and opening (STORE 1)', async () => {
      await committed(on.store, { at: START + 7, put: [tool('tickets', 3), session('ses_1')] })
      const before = await on.store.tree()
      on.store = await on.opened.reopen()
      expect((await on.store.read(['tool/tickets', 'session/ses_1'])).versions).toEqual(
        new Map([
          ['tool/tickets', 1],
          ['session/ses_1', 1],
        ]),
      )
      expect(await on.store.tree()).toEqual(before)
      expect(on.store.highestTime()).toBe(START + 7)
    })
  })

  describe('the tree', () => {
    test('root and subtrees are those of RFC 9162 over the records, at every size (P1)', async () => {
      const leaves: Uint8Array[] = []
      for (const step of [1, 1, 1, 5, 250, 300, 1, 450]) {
        const records = Array.from({ length: step }, () => sealed())
        await committed(on.store, { records })
        leaves.push(...records.map(({ leaf }) => leaf))
        const { size, root } = await on.store.tree()
        expect(size).toBe(leaves.length)
        expect(Buffer.from(root)).toEqual(Buffer.from(rootOf(leaves)))
      }
      on.store = await on.opened.reopen()
      const { size, root } = await on.store.tree()
      expect(Buffer.from(root)).toEqual(Buffer.from(rootOf(leaves)))
      const inMemory = nodesOver(leaves)
      for (const index of [0, 255, 256, 511, size - 1]) {
        const nodes = new Map<string, Uint8Array>()
        const remember = (level: number, at: number) => {
          nodes.set(`${level}/${at}`, inMemory(level, at)!)
          return inMemory(level, at)
        }
        const asked = inclusionProof(remember, index, size)
        for (const [id, hash] of nodes) {
          const [level = 0, at = 0] = id.split('/').map(Number)
          expect(Buffer.from(await on.store.node(level, at))).toEqual(Buffer.from(hash))
        }
        expect(verifyInclusion({ index, size, leaf: leaves[index]!, root }, asked)).toBe(true)
      }
      await expect(on.store.node(0, size)).rejects.toThrow(RangeError)
      await expect(on.store.node(10, 0)).rejects.toThrow(RangeError)
      await expect(on.store.node(-1, 0)).rejects.toThrow(RangeError)
    })
  })
}
