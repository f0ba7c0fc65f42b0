// A full disk: what takes away is written all the same, and what cannot be written is in force, kept, and written first.

import { readFileSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Member, type Store, StoreUnavailable } from '../../src/actions/ports.ts'
import { recordOf, transact } from '../../src/actions/transact.ts'
import { openIntents } from '../../src/adapters/store/intents.ts'
import { openReserve } from '../../src/adapters/store/sqlite/reserve.ts'
import { openSqliteStore, type SqliteStoreOptions } from '../../src/adapters/store/sqlite/sqlite-store.ts'
import { systemIds } from '../../src/adapters/system/ids.ts'
import type { Row } from '../../src/core/model.ts'
import { ok } from '../../src/core/result.ts'
import { type SmallDisk, smallDisk } from '../support/small-disk.ts'
import { operator } from '../support/store-on-disk.ts'
import { committed, member, session, testClock, tool } from './store-fixtures.ts'

const KIB = 1_024
const clock = testClock()
const ids = systemIds(clock)

let disk: SmallDisk
let store: Store
const open = (more: Partial<SqliteStoreOptions> = {}) =>
  openSqliteStore({
    path: disk.path,
    clock,
    reserveBytes: 2_048 * KIB,
    intentBytes: 2_048 * KIB,
    ...(disk.thread === undefined ? {} : { thread: disk.thread }),
    ...more,
  })
beforeEach(async () => {
  disk = smallDisk(16)
  store = await open()
})
afterEach(async () => {
  await store.close()
  disk.remove()
})

/** A row that finds no room in what the files already have. */
const big = (id: string): Row => session(id, { key: 'k'.repeat(700 * KIB), state: 'revoked', revocation: 'rvk_1' })
const narrowing = (id: string) => store.commit(member({ lane: 'narrowing', put: [big(id)] }))
const has = async (id: string) => (await store.read([`session/${id}`])).versions.get(`session/${id}`) !== 0

/** Taking away as every action does it. */
const takeAway = (id: string) =>
  transact({ store, clock, ids }, 'narrowing', async (look) =>
    ok({
      value: id,
      put: [big(id)],
      records: [recordOf(operator, look.now, 'session.revoked', { session: id }, { because: 'asked' })],
    }),
  )

/** Not even the reserve is left. */
async function fillWholly() {
  disk.fill()
  await narrowing('ses_first')
  disk.fill()
}

test('on a full disk what takes away is written, minting is refused at once, and checks go on (S17)', async () => {
  await committed(store, { put: [tool('a')] })
  disk.fill()
  await expect(store.commit(member({ put: [big('ses_mint')] }))).rejects.toThrow(StoreUnavailable)
  expect(store.fresh()).toBe(true)
  expect((await narrowing('ses_1')).ok).toBe(true)
  await expect(store.commit(member())).rejects.toThrow(/full/)
  expect(store.fresh()).toBe(true)
  await store.close()
  store = await open()
  expect([await has('ses_1'), await has('ses_mint')]).toEqual([true, false])
  await expect(store.commit(member())).rejects.toThrow(/full/)
  disk.free()
  await expect
    .poll(
      () =>
        store.commit(member()).then(
          ({ ok }) => ok,
          () => false,
        ),
      { timeout: 5_000 },
    )
    .toBe(true)
})

test('says that there is no room while only taking away is written, and that there is once it can be minted (P10)', async () => {
  expect(await store.hasRoom()).toBe(true)
  disk.fill()
  await expect(store.commit(member({ put: [big('ses_mint')] }))).rejects.toThrow(StoreUnavailable)
  expect([await store.hasRoom(), store.fresh()]).toEqual([false, true])
  disk.free()
  await expect.poll(() => store.hasRoom(), { timeout: 10_000 }).toBe(true)
  await committed(store, { put: [tool('a')] })
})

test('a reserve that is held is no room: the disk is full until there is some beside it (P10)', async () => {
  // A disk that is only called full, where none can be mounted, has room for whoever measures it.
  const isSo = disk.thread !== undefined
  const reserve = await openReserve(`${disk.path}.other`, 1_024 * KIB)
  const measured = async () => [reserve.isHeld(), await reserve.restore(), await reserve.hasRoom()]
  expect(await measured()).toEqual([true, true, true])
  disk.fill()
  expect(await measured()).toEqual([true, isSo, isSo])
  // Nobody has tried to write yet.
  expect(await store.hasRoom()).toBe(isSo)
  disk.free()
  expect(await measured()).toEqual([true, true, true])
})

test('a mint and a narrowing in one group on a full disk: the one is refused, the other written (S17)', async () => {
  disk.fill()
  const [mint, taken] = await Promise.allSettled([store.commit(member({ put: [big('ses_mint')] })), narrowing('ses_1')])
  expect([mint.status, taken.status]).toEqual(['rejected', 'fulfilled'])
  expect([await has('ses_1'), await has('ses_mint')]).toEqual([true, false])
})

test('what cannot be written is in force here, says so, and is written first by the next process (S17)', async () => {
  await fillWholly()
  const refused = await takeAway('ses_2')
  expect(refused).toMatchObject({ ok: false, error: { code: 'audit_unavailable' } })
  expect(!refused.ok && refused.error.message).toMatch(/in force here, not yet durable/)
  expect(!refused.ok && refused.error.hint).toMatch(/nothing has to be repeated/)
  expect(store.fresh()).toBe(false)
  await store.close()

  store = await open()
  expect(store.fresh()).toBe(false)
  await expect(store.commit(member())).rejects.toThrow(StoreUnavailable)
  await store.close()

  disk.free()
  store = await open()
  expect(store.fresh()).toBe(true)
  expect(await has('ses_2')).toBe(true)
  const log = await store.records(0, 100)
  expect(Buffer.from(log.at(-1)!.bytes).toString()).toContain('ses_2')
  const { size } = await store.tree()
  await store.close()
  store = await open()
  expect((await store.tree()).size).toBe(size)
})

test('once there is room again the same process writes what it insisted on, and denies no longer (S17)', async () => {
  await fillWholly()
  for (const id of ['ses_2', 'ses_3']) expect((await takeAway(id)).ok).toBe(false)
  await expect(store.read(['session/ses_2'])).rejects.toThrow(StoreUnavailable)
  disk.free()
  await expect.poll(() => store.fresh(), { timeout: 5_000 }).toBe(true)
  expect([await has('ses_2'), await has('ses_3')]).toEqual([true, true])
  expect((await openIntents(`${disk.path}.intents`, 2_048 * KIB)).read()).toEqual([])
  await expect
    .poll(
      () =>
        store.commit(member()).then(
          ({ ok }) => ok,
          () => false,
        ),
      { timeout: 5_000 },
    )
    .toBe(true)
})

test('where it cannot even be kept, everything is denied and the answer says to repeat it after a restart (S17)', async () => {
  await store.close()
  disk.remove()
  disk = smallDisk(16)
  store = await open({ intentBytes: 4 * KIB })
  await fillWholly()
  const refused = await takeAway('ses_2')
  expect(!refused.ok && refused.error.hint).toMatch(/repeat after a restart/)
  expect(store.fresh()).toBe(false)
  disk.free()
  await expect.poll(() => store.fresh(), { timeout: 5_000 }).toBe(true)
  expect(await has('ses_2')).toBe(true)
})

test('what was insisted on is written though what it rested on has moved: it only takes away (S17)', async () => {
  await committed(store, { put: [tool('a')], once: [{ space: 'jti', value: 'j', until: clock.at + 1_000 }] })
  const moved = member({
    lane: 'narrowing',
    at: clock.at - 60_000,
    expect: { 'tool/a': 9 },
    once: [{ space: 'jti', value: 'j', until: clock.at + 1_000 }],
    put: [tool('a', 1)],
  })
  expect(await store.insist(moved)).toBe('kept')
  expect(store.fresh()).toBe(false)
  // Nothing else is written before it.
  await committed(store, { put: [tool('b')] })
  expect((await store.read(['tool/a', 'tool/b'])).versions).toEqual(
    new Map([
      ['tool/a', 2],
      ['tool/b', 3],
    ]),
  )
  expect(store.fresh()).toBe(true)
})

test('of the file of intents only what is whole counts, in the order it was kept (S17)', async () => {
  const path = `${disk.path}.torn`
  const kept: Member[] = [1, 2, 3].map((epoch) => member({ lane: 'narrowing', put: [tool('a', epoch)] }))
  const intents = await openIntents(path, 64 * KIB)
  for (const each of kept) expect(await intents.keep(each)).toBe(true)
  expect((await openIntents(path, 64 * KIB)).read()).toEqual(structuredClone(kept))
  const file = readFileSync(path)
  const last = file.lastIndexOf('HPINTENT')
  file.writeUInt8(file.readUInt8(last + 60) ^ 1, last + 60)
  writeFileSync(path, file)
  expect((await openIntents(path, 64 * KIB)).read()).toEqual(structuredClone(kept.slice(0, 2)))
  await (await openIntents(path, 64 * KIB)).clear()
  expect((await openIntents(path, 64 * KIB)).read()).toEqual([])
})
