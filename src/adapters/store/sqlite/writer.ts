// One transaction for one group of members: a function of the handle and plain data, so that it can live in a thread
// of its own. A member is refused by data, never by an exception, and a refused one leaves nothing behind.

import Sqlite, { type Database } from 'better-sqlite3'
import type { Outcome } from '../../../actions/ports.ts'
import type { Instant, Key, Kind, Seq } from '../../../core/model.ts'
import type { Prepared } from '../prepare.ts'
import { columnsOf, KINDS } from '../rows.ts'

export type Group = {
  readonly members: readonly Prepared[]
  readonly now: Instant
  /** The log's size as memory has it: a log that differs is not written to. */
  readonly size: Seq
}

export type GroupResult =
  | { readonly ok: true; readonly outcomes: readonly Outcome[] }
  /**
   * busy: nothing was tried. full: no room, nothing was written. failed: nothing was written. in doubt: the COMMIT itself
   * failed. differs: see `size`.
   */
  | { readonly ok: false; readonly why: 'busy' | 'full' | 'failed' | 'in doubt' | 'differs'; readonly error: string }

export type Head = { readonly size: Seq; readonly time: Instant }

export type Writer = {
  commitGroup(group: Group): GroupResult
  /** Writes something and takes it away again; null when that worked. */
  probe(): string | null
}

/** What a probe must be able to write. Bytes. */
const PROBE_BYTES = 65_536

export function prepareWriter(db: Database, skewMs: number): Writer {
  const begin = db.prepare('begin immediate')
  const commit = db.prepare('commit')
  const rollback = db.prepare('rollback')
  const lockHead = db.prepare<[], Head>('select size, time from head where id = 1')
  const moveHead = db.prepare('update head set size = ?, time = ? where id = 1 and size = ?')
  const outcome = db.prepare<[string], { first: Seq; last: Seq }>('select first, last from commit_outcome where id = ?')
  const addOutcome = db.prepare('insert into commit_outcome (id, first, last, at) values (?, ?, ?, ?)')
  const addChange = db.prepare('insert into change (last, first, at, keys) values (?, ?, ?, ?)')
  const used = db.prepare<[string, string], { until: Instant }>(
    'select until from single_use where space = ? and value = ?',
  )
  const use = db.prepare('insert or replace into single_use (space, value, until) values (?, ?, ?)')
  const addRecord = db.prepare(
    'insert into record (idx, bytes, leaf, at, kind, agent, tool, owner, jti) values (?, ?, ?, ?, ?, ?, ?, ?, ?)',
  )
  const addOpened = db.prepare('insert into opened (idx, hash, salt, text, is_owner) values (?, ?, ?, ?, ?)')
  const fill = db.prepare('insert into probe (filler) values (zeroblob(?))')
  const empty = db.prepare('delete from probe')
  const touchHead = db.prepare('update head set size = size where id = 1')
  const versions = byKind((kind) =>
    db.prepare<[string], { version: number }>(`select version from "${kind}" where id = ?`),
  )
  const puts = byKind((kind) => db.prepare(putSql(kind)))

  /** Why this member cannot be, or null. */
  function refusal(member: Prepared, time: Instant, now: Instant, known: Map<Key, number>): Outcome | null {
    const no = (why: (Outcome & { ok: false })['why'], keys: readonly string[]): Outcome => ({ ok: false, why, keys })
    if (!member.setsTime && member.at < time - skewMs) return no('clock', [])
    if (member.notAfter !== null && Math.max(now, time, member.at) > member.notAfter) return no('late', [])
    const stale: Key[] = []
    for (const expected of member.expect) {
      if (versionOf(expected, known) !== expected.version) stale.push(expected.key)
    }
    if (stale.length > 0) return no('stale', stale)
    const seen = new Set<string>()
    const taken: string[] = []
    for (const { name, space, value } of member.once) {
      const until = used.get(space, value)?.until
      const once = `${space}\0${value}`
      // Against the earlier of both clocks: one that ran ahead must not free what is still in use.
      if (seen.has(once) || (until !== undefined && until >= Math.min(now, member.at))) taken.push(name)
      seen.add(once)
    }
    return taken.length > 0 ? no('used', taken) : null
  }

  /** Members of a group rest on much the same rows: each is looked up once. */
  function versionOf({ key, kind, id }: Prepared['expect'][number], known: Map<Key, number>): number {
    const before = known.get(key)
    if (before !== undefined) return before
    const version = versions[kind].get(id)?.version ?? 0
    known.set(key, version)
    return version
  }

  function write(member: Prepared, first: Seq, known: Map<Key, number>): Seq {
    const last = first + member.records.length - 1
    member.records.forEach((record, offset) => {
      const { bytes, leaf, at, kind, agent, tool, owner, jti } = record
      addRecord.run(first + offset, bytes, leaf, at, kind, agent, tool, owner, jti)
      for (const { hash, salt, text } of record.opened) {
        addOpened.run(first + offset, hash, salt, text, hash === owner ? 1 : 0)
      }
    })
    for (const row of member.put) {
      puts[row.kind].run(row.id, last + 1, row.body, ...row.columns)
      known.clear()
    }
    for (const { space, value, until } of member.once) use.run(space, value, until)
    addOutcome.run(member.id, first, last, member.at)
    addChange.run(last, first, member.at, member.keys)
    return last
  }

  /** Undoes what is open; false when even that failed. */
  function undo(): boolean {
    try {
      if (db.inTransaction) rollback.run()
      return !db.inTransaction
    } catch (thrown) {
      if (thrown instanceof Sqlite.SqliteError) return false
      throw thrown
    }
  }

  function commitGroup({ members, now, size: expected }: Group): GroupResult {
    let isCommitting = false
    try {
      begin.run()
      const head = lockHead.get()
      if (head?.size !== expected) {
        undo()
        return { ok: false, why: 'differs', error: `the log has ${head?.size} records where memory has ${expected}` }
      }
      let { size, time } = head
      const known = new Map<Key, number>()
      const outcomes = members.map((member): Outcome => {
        const before = outcome.get(member.id)
        if (before !== undefined) return { ok: true, ...before }
        const refused = refusal(member, time, now, known)
        if (refused !== null) return refused
        const first = size
        const last = write(member, first, known)
        size = last + 1
        time = member.setsTime ? member.at : Math.max(time, member.at)
        return { ok: true, first, last }
      })
      if (size !== head.size && moveHead.run(size, time, head.size).changes !== 1) throw new Error('the head moved')
      isCommitting = true
      commit.run()
      return { ok: true, outcomes }
    } catch (thrown) {
      const isUndone = undo()
      const code = thrown instanceof Sqlite.SqliteError ? thrown.code : ''
      const error = thrown instanceof Error ? `${code} ${thrown.message}`.trim() : String(thrown)
      if (!isCommitting && isBusy(code)) return { ok: false, why: 'busy', error }
      // A failed write or sync at COMMIT may still have reached the disk.
      const isUnknown = isCommitting && (!isUndone || code.startsWith('SQLITE_IOERR') || code === '')
      return { ok: false, why: isUnknown ? 'in doubt' : isFull(code) ? 'full' : 'failed', error }
    }
  }

  function probe(): string | null {
    try {
      undo()
      begin.run()
      fill.run(PROBE_BYTES)
      empty.run()
      touchHead.run()
      commit.run()
      return null
    } catch (thrown) {
      undo()
      return thrown instanceof Error ? thrown.message : String(thrown)
    }
  }

  return { commitGroup, probe }
}

const isBusy = (code: string): boolean => code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED')

/** The second: no room for the index of the write-ahead log. */
const isFull = (code: string): boolean => code === 'SQLITE_FULL' || code === 'SQLITE_IOERR_SHMSIZE'

function byKind<T>(of: (kind: Kind) => T): Record<Kind, T> {
  return Object.fromEntries(KINDS.map((kind) => [kind, of(kind)])) as Record<Kind, T>
}

function putSql(kind: Kind): string {
  const columns = ['version', 'body', ...columnsOf(kind)].map((column) => `"${column}"`)
  return `insert into "${kind}" (id, ${columns.join(', ')}) values (?${', ?'.repeat(columns.length)})
    on conflict (id) do update set ${columns.map((column) => `${column} = excluded.${column}`).join(', ')}`
}
