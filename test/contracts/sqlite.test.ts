// The store's contract on SQLite, and what is true of this engine alone.

import { copyFileSync, mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { StoreInDoubt, StoreUnavailable } from '../../src/actions/ports.ts'
import { openIntents } from '../../src/adapters/store/intents.ts'
import { prepare } from '../../src/adapters/store/prepare.ts'
import { holdStore } from '../../src/adapters/store/sqlite/open.ts'
import { openWriter } from '../../src/adapters/store/sqlite/open-writer.ts'
import { prepareReader } from '../../src/adapters/store/sqlite/reader.ts'
import { openReserve } from '../../src/adapters/store/sqlite/reserve.ts'
import { MIGRATIONS } from '../../src/adapters/store/sqlite/schema.ts'
import { createStore, openSqliteStore } from '../../src/adapters/store/sqlite/sqlite-store.ts'
import { prepareWriter } from '../../src/adapters/store/sqlite/writer.ts'
import { startWriter, type WriterClient } from '../../src/adapters/store/sqlite/writer-client.ts'
import { LITTLE_KEPT } from '../support/test-store.ts'
import { type Opened, type OpenOptions, storeContract } from './store-contract.ts'
import { committed, member, START, sealed, testClock, tool } from './store-fixtures.ts'

async function open(options: OpenOptions = {}): Promise<Opened> {
  const folder = mkdtempSync(join(tmpdir(), 'store-'))
  const path = join(folder, 'hallpass.db')
  const clock = testClock()
  const openStore = () => openSqliteStore({ path, clock, ...LITTLE_KEPT, ...options })
  let store = await openStore()
  return {
    store,
    clock,
    child: ['sqlite', path],
    async reopen() {
      await store.close()
      store = await openStore()
      return store
    },
    second: openStore,
    breakWrites() {
      const outside = new Sqlite(path)
      outside.exec(`create trigger no_space before update on head begin select raise(abort, 'no space left'); end`)
      return () => {
        outside.exec('drop trigger no_space')
        outside.close()
      }
    },
    async close() {
      await store.close()
      rmSync(folder, { recursive: true })
    },
  }
}

storeContract('SQLite', open, { isExclusive: true })

describe('SQLite', () => {
  let folder: string
  let path: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'store-'))
    path = join(folder, 'hallpass.db')
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  test('its files are readable by their owner alone (P7)', async () => {
    const store = await openSqliteStore({ path, clock: testClock(), ...LITTLE_KEPT })
    await committed(store)
    for (const file of [path, `${path}-wal`, `${path}.lock`, `${path}.reserve`, `${path}.intents`])
      expect(statSync(file).mode & 0o777).toBe(0o600)
    await store.close()
  })

  test('a schema newer than the code is refused (STORE rule 9)', async () => {
    const store = await openSqliteStore({ path, clock: testClock(), ...LITTLE_KEPT })
    await store.close()
    const outside = new Sqlite(path)
    outside.prepare('insert into migration (number, at) values (?, ?)').run(MIGRATIONS.length + 1, 'later')
    outside.close()
    await expect(openSqliteStore({ path, clock: testClock(), ...LITTLE_KEPT })).rejects.toThrow(/newer/)
    await expect(openSqliteStore({ path, clock: testClock(), ...LITTLE_KEPT })).rejects.toThrow(/newer/)
  })

  test('a file that is no database is refused and left as it was (P10)', async () => {
    writeFileSync(path, 'not a database, and long enough to be looked at'.repeat(20))
    await expect(openSqliteStore({ path, clock: testClock(), ...LITTLE_KEPT })).rejects.toThrow()
    expect(statSync(path).size).toBe(940)
  })

  test('a log that is not what memory knows stops the store for good (STORE rule 10)', async () => {
    const store = await openSqliteStore({ path, clock: testClock(), ...LITTLE_KEPT })
    await committed(store)
    const outside = new Sqlite(path)
    outside.exec('update head set size = 0')
    outside.close()
    await expect(store.commit(member())).rejects.toThrow(/not what this process knows/)
    expect(store.fresh()).toBe(false)
    await expect(store.commit(member())).rejects.toThrow(StoreUnavailable)
    await store.close()
  })

  test('a database that is busy for a moment is waited for without blocking (STORE rule 8)', async () => {
    const store = await openSqliteStore({ path, clock: testClock(), ...LITTLE_KEPT })
    const outside = new Sqlite(path)
    outside.exec('begin immediate')
    const commit = store.commit(member())
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect((await store.read(['tool/a'])).seq).toBe(0)
    outside.exec('rollback')
    outside.close()
    expect((await commit).ok).toBe(true)
    await store.close()
  })

  test.each(['hallpass.db', 'hallpass.db-wal'])(
    'a commit into a %s that no restart finds is not one; put back, the store goes on (P1, P10)',
    async (name) => {
      const store = await openSqliteStore({ path, clock: testClock() })
      await committed(store)
      const file = join(folder, name)
      renameSync(file, `${file}.away`)
      await expect(store.commit(member())).rejects.toThrow(StoreInDoubt)
      expect(store.fresh()).toBe(false)
      await expect(store.commit(member())).rejects.toThrow(StoreUnavailable)
      copyFileSync(`${file}.away`, file)
      await expect(store.commit(member())).rejects.toThrow(StoreUnavailable)
      renameSync(`${file}.away`, file)
      await committed(store)
      expect(store.fresh()).toBe(true)
      await store.close()
    },
  )

  test('a full disk in the middle of a group leaves nothing of it (STORE 2)', () => {
    const held = holdStore(path, new Date(START))
    const db = openWriter(path)
    const writer = prepareWriter(db, 2_000)
    const pages = db.pragma('page_count', { simple: true })
    db.pragma(`max_page_count = ${pages}`)
    const members = [tool('small'), tool('x'.repeat(50_000))].map((row) => prepare(member({ put: [row] })))
    const result = writer.commitGroup({ members, now: START, size: 0 })
    expect(result).toMatchObject({ ok: false, why: 'full' })
    expect(!result.ok && result.error).toMatch(/SQLITE_FULL/)
    expect(writer.probe()).toMatch(/full/)
    expect(db.prepare('select count(*) as rows from tool').get()).toEqual({ rows: 0 })
    db.pragma('max_page_count = 100000')
    db.exec("create trigger no_space before update on head begin select raise(abort, 'no space left'); end")
    expect(writer.probe()).toMatch(/no space left/)
    db.exec('drop trigger no_space')
    expect(writer.probe()).toBeNull()
    expect(writer.commitGroup({ members, now: START, size: 0 }).ok).toBe(true)
    db.close()
    held.release()
  })

  test('a COMMIT that the disk failed is in doubt, one for which there was no room is not (STORE 5)', () => {
    const held = holdStore(path, new Date(START))
    const db = openWriter(path)
    const failingWith = (code: string) =>
      new Proxy(db, {
        get(target, name) {
          if (name !== 'prepare') return Reflect.get(target, name, target)
          const fail = () => {
            throw new Sqlite.SqliteError('the disk says no', code)
          }
          return (text: string) => (text === 'commit' ? { run: fail } : target.prepare(text))
        },
      })
    const group = () => ({ members: [prepare(member({ put: [tool('a')] }))], now: START, size: 0 })
    const commit = (code: string) => prepareWriter(failingWith(code), 2_000).commitGroup(group())
    expect(commit('SQLITE_IOERR_FSYNC')).toMatchObject({ ok: false, why: 'in doubt' })
    expect(commit('SQLITE_FULL')).toMatchObject({ ok: false, why: 'full' })
    expect(prepareWriter(db, 2_000).commitGroup(group())).toMatchObject({ ok: true, outcomes: [{ first: 0, last: 0 }] })
    db.close()
    held.release()
  })

  /** A store whose first COMMIT gives `in doubt` in place of the writer's own answer, after writing or not. */
  async function damaged(isWritten: boolean) {
    const held = holdStore(path, new Date(START))
    const real = await startWriter({ path, skewMs: 2_000, keepChanges: 100 })
    let isFirst = true
    let isWell = false
    const writer: WriterClient = {
      ...real,
      async commitGroup(group) {
        if (!isFirst) return real.commitGroup(group)
        isFirst = false
        if (isWritten) await real.commitGroup(group)
        return { ok: false, why: 'in doubt', error: 'SQLITE_IOERR' }
      },
      probe: async () => (isWell ? real.probe() : 'still broken'),
    }
    const reserve = await openReserve(`${path}.reserve`, 65_536)
    const intents = await openIntents(`${path}.intents`, 65_536)
    const close = async () => {
      held.reader.close()
      await real.close()
      held.release()
    }
    const parts = { writer, reader: prepareReader(held.reader), reserve, intents, close }
    const store = await createStore({ path, clock: testClock() }, parts)
    return { store, heal: () => (isWell = true) }
  }

  for (const isWritten of [true, false]) {
    test(`a COMMIT of unknown fate that was ${isWritten ? '' : 'not '}written is in doubt, and known once a write works (STORE 5)`, async () => {
      const { store, heal } = await damaged(isWritten)
      const doubt = member({ put: [tool('a')] })
      const stop = new AbortController()
      const feed = store.changes(0, stop.signal)[Symbol.asyncIterator]()
      const next = feed.next()
      await expect(store.commit(doubt)).rejects.toThrow(StoreInDoubt)
      expect(store.fresh()).toBe(false)
      await expect(store.outcomeOf(doubt.id)).rejects.toThrow(StoreUnavailable)
      await expect(store.commit(member())).rejects.toThrow(StoreUnavailable)
      heal()
      expect(await store.outcomeOf(doubt.id)).toEqual(isWritten ? { ok: true, first: 0, last: 0 } : 'never')
      expect(store.fresh()).toBe(true)
      expect((await store.read(['tool/a'])).versions.get('tool/a')).toBe(isWritten ? 1 : 0)
      if (isWritten) expect((await next).value).toEqual({ type: 'reload', seq: 1 })
      expect((await store.commit(member({ records: [sealed(), sealed()] }))).ok).toBe(true)
      stop.abort()
      await store.close()
    })
  }
})
