// The writer's thread: what a slow or a dying one means for everybody else.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Store, StoreInDoubt, StoreUnavailable } from '../../src/actions/ports.ts'
import { prepare } from '../../src/adapters/store/prepare.ts'
import { packGroup, unpackGroup } from '../../src/adapters/store/sqlite/group-message.ts'
import { openSqliteStore } from '../../src/adapters/store/sqlite/sqlite-store.ts'
import { LITTLE_KEPT } from '../support/test-store.ts'
import { committed, member, START, sealed, session, testClock, tool, type Wanted } from './store-fixtures.ts'

let folder: string
let store: Store
const thread = new URL('./mortal-writer-thread.ts', import.meta.url)
const open = () => openSqliteStore({ path: join(folder, 'hallpass.db'), clock: testClock(), thread, ...LITTLE_KEPT })
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'store-'))
  store = await open()
})
afterEach(async () => {
  await store.close()
  rmSync(folder, { recursive: true })
})

const narrowing = (wanted: Wanted) => store.commit(member({ ...wanted, lane: 'narrowing' }))

test('a group crosses to the thread and arrives as it was (STORE rule 8)', () => {
  const members: Wanted[] = [
    { put: [tool('a'), session('nul\0', { agent: '\ud800' })], expect: { 'tool/a': 3, 'tool/b': 0 }, notAfter: START },
    {
      expect: { 'tool/b': 0, [`session/${'x'.repeat(600)}`]: 9 },
      once: [{ space: 'jti', value: '"j"', until: START + 1 }],
      records: [
        sealed({
          bytes: new Uint8Array([0, 255]),
          agent: 'bot',
          ownerHash: 'h',
          opened: { h: { salt: 's', text: 'ü' } },
        }),
        sealed({ bytes: new Uint8Array(0), jti: 'j' }),
      ],
    },
  ]
  const group = {
    members: [...members.map((each) => prepare(member(each))), prepare({ ...member(), setsTime: true })],
    now: START,
    size: 7,
  }
  expect(unpackGroup(structuredClone(packGroup(group)))).toEqual(structuredClone(group))
  expect(unpackGroup(packGroup({ members: [], now: 0, size: 0 }))).toEqual({ members: [], now: 0, size: 0 })
})

for (const isWritten of [true, false]) {
  test(`a writer that dies ${isWritten ? 'after' : 'before'} a commit leaves what flew in doubt, and is replaced (STORE 5)`, async () => {
    await committed(store, { put: [tool('a')] })
    const id = isWritten ? 'cmt_dies-after' : 'cmt_dies-before'
    const flown = await Promise.allSettled([
      store.commit(member({ id, put: [tool('b')] })),
      store.commit(member({ id: 'cmt_beside', put: [tool('c')] })),
    ])
    for (const each of flown) expect(each.status === 'rejected' && each.reason).toBeInstanceOf(StoreInDoubt)
    expect(store.fresh()).toBe(false)
    expect(await store.outcomeOf('cmt_beside')).toEqual(isWritten ? { ok: true, first: 2, last: 2 } : 'never')
    expect(store.fresh()).toBe(true)
    expect((await store.read(['tool/b'])).versions.get('tool/b')).toBe(isWritten ? 2 : 0)
    expect((await store.tree()).size).toBe(isWritten ? 3 : 1)
    expect((await store.commit(member())).ok).toBe(true)
    await expect(openSqliteStore({ path: join(folder, 'hallpass.db'), clock: testClock() })).rejects.toThrow(/another/)
  })
}

test('while the disk is slow the loop is free, and what is not being changed is read and fresh (STORE rules 6, 8)', async () => {
  await committed(store, { put: [tool('a')] })
  let turns = 0
  const count = setInterval(() => turns++, 5)
  let isDone = false
  const slow = store.commit(member({ id: 'cmt_slow', put: [tool('b')] })).then(() => (isDone = true))
  await expect.poll(() => turns, { interval: 5 }).toBeGreaterThan(10)
  expect((await store.read(['tool/a'])).versions.get('tool/a')).toBe(1)
  expect((await store.read(['tool/b'])).versions.get('tool/b')).toBe(0)
  expect([store.fresh(), isDone]).toEqual([true, false])
  await slow
  clearInterval(count)
})

test('a narrowing denies while it is being written: who judges by its rows waits for it (STORE rule 6)', async () => {
  await committed(store, { put: [tool('a')] })
  const locked = narrowing({ id: 'cmt_slow', put: [tool('a', 1)] })
  const snapshot = await store.read(['tool/a', 'tool/b'])
  expect(snapshot.get('tool', 'a')?.epoch).toBe(1)
  expect((await locked).ok).toBe(true)
})

test('a narrowing that stays unwritten refuses who judges by its rows after a second, and nobody else (STORE rule 6)', async () => {
  await committed(store, { put: [tool('a'), tool('b')] })
  const locked = narrowing({ id: 'cmt_stalls', put: [tool('a', 1)] })
  await expect(store.read(['tool/a'])).rejects.toThrow(StoreUnavailable)
  expect((await store.read(['tool/b'])).versions.get('tool/b')).toBe(1)
  expect(store.fresh()).toBe(true)
  expect((await locked).ok).toBe(true)
  expect((await store.read(['tool/a'])).get('tool', 'a')?.epoch).toBe(1)
})

test('a narrowing that was refused leaves its rows as they were, and readable (STORE rule 6)', async () => {
  await committed(store, { put: [tool('a')] })
  expect(await narrowing({ put: [tool('a', 1)], expect: { 'tool/a': 9 } })).toMatchObject({ why: 'stale' })
  expect((await store.read(['tool/a'])).get('tool', 'a')?.epoch).toBe(0)
})

test('a bearer token that is being revoked is not found as it was (STORE rule 6)', async () => {
  const bearer = (revokedAt: number | null) => ({
    kind: 'bearer' as const,
    row: {
      id: 'own_1',
      kind: 'owner' as const,
      hash: 'h1',
      subject: 'ann@example.com',
      madeBy: 'operator',
      createdAt: START,
      expiresAt: START + 1,
      revokedAt,
    },
  })
  await committed(store, { put: [bearer(null)] })
  const revoked = narrowing({ id: 'cmt_slow', put: [bearer(START)] })
  const { rows } = await store.list({ kind: 'bearer', where: { hash: 'h1' }, limit: 1 })
  expect(rows[0]?.revokedAt).toBe(START)
  await revoked
})

test('under load a narrowing is in the next group, however many mints wait (STORE rule 2)', async () => {
  const order: string[] = []
  const mints = Array.from({ length: 400 }, (_, index) =>
    store.commit(member({ put: [tool(`t${index}`)] })).then(() => order.push('mint')),
  )
  await mints[0]
  await narrowing({ put: [tool('a')] }).then(() => order.push('narrowing'))
  await Promise.all(mints)
  // At most what flew already, and what is in its own group.
  expect(order.indexOf('narrowing')).toBeLessThanOrEqual(3 * 32)
})

test('closing waits for what was taken on, and the next process has the store (STORE rule 8)', async () => {
  const last = store.commit(member({ id: 'cmt_slow', put: [tool('a')] }))
  await store.close()
  expect((await last).ok).toBe(true)
  store = await open()
  expect((await store.read(['tool/a'])).versions.get('tool/a')).toBe(1)
})
