// The tables and the steps that lead to them. Steps only go forward and are never edited once released. One instance
// takes them while the others wait, all in one transaction; a database that is ahead of this code is refused.

import { DummyDriver, Kysely, PostgresAdapter, PostgresIntrospector, PostgresQueryCompiler } from 'kysely'
import type { Column } from '../rows.ts'
import type { Query } from './connections.ts'
import { COMMIT, INTEGRATE, SETTLE } from './functions.ts'

export type Tables = {
  entity: { kind: string; id: string; version: number; body: string } & Record<Column, string | number | null>
  record: {
    idx: number
    bytes: Uint8Array
    leaf: Uint8Array
    at: number
    kind: string
    agent: string | null
    tool: string | null
    owner: string | null
    jti: string | null
  }
  opened: { idx: number; hash: string; opening: string; owner: string | null }
}

/** Builds SQL and runs none. */
export const builder = new Kysely<Tables>({
  dialect: {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => new DummyDriver(),
    createIntrospector: (db) => new PostgresIntrospector(db),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  },
})

const FOUND_BY = ['agent', 'tool', 'session', 'grant', 'owner', 'revocation', 'state', 'hash', 'slice', 'revision']
const text = 'text collate "C"'

const first: readonly string[] = [
  `create table head (id int primary key check (id = 1), size bigint not null, time bigint not null)`,
  `insert into head (id, size, time) values (1, 0, 0)`,
  // Rows of every kind in one table: a group is checked, and written, by one statement.
  `create table entity (kind ${text} not null, id ${text} not null, version bigint not null, body text not null,
    ${FOUND_BY.map((column) => `"${column}" ${text}`).join(', ')}, expires double precision, primary key (kind, id))`,
  ...FOUND_BY.map(
    (column) => `create index entity_by_${column} on entity (kind, "${column}", id) where "${column}" is not null`,
  ),
  `create index entity_by_expires on entity (kind, expires) where expires is not null`,
  `create table record (idx bigint primary key, bytes bytea not null, leaf bytea not null, at bigint not null,
    kind ${text} not null, agent ${text}, tool ${text}, owner ${text}, jti ${text})`,
  `create index record_by_at on record (at)`,
  `create index record_by_kind on record (kind, idx)`,
  ...['agent', 'tool', 'jti'].map(
    (column) => `create index record_by_${column} on record (${column}, idx) where ${column} is not null`,
  ),
  `create table opened (idx bigint not null, hash ${text} not null, opening text not null, owner ${text},
    primary key (idx, hash))`,
  `create index opened_by_owner on opened (owner, idx) where owner is not null`,
  `create table node (level int not null, idx bigint not null, hash bytea not null, primary key (level, idx))`,
  `create table single_use (space ${text} not null, value ${text} not null, until bigint not null,
    primary key (space, value))`,
  `create index single_use_by_until on single_use (until)`,
  // Without indexes: settled as never.
  `create table commit_outcome (id ${text} primary key, first bigint, last bigint, at bigint not null)`,
  // Each with the highest time as it left it.
  `create table change (last bigint primary key, first bigint not null, at bigint not null, time bigint not null,
    kinds text[] not null, ids text[] not null)`,
  // What is written and taken away again, to see whether anything can be written.
  `create table probe (filler bytea)`,
  `alter table probe alter column filler set storage external`,
  COMMIT,
  SETTLE,
  INTEGRATE,
]

export const MIGRATIONS: readonly (readonly string[])[] = [first]

/** Held while steps are taken: two 32-bit halves of nothing in particular, for this product alone. */
const LOCK = 'select pg_advisory_xact_lock(1214344560, 1634956147)'

/**
 * Brings the schema to this code's state. Runs on a connection of its own session, whose search path names `schema`.
 * Throws Error where the database is ahead of this code, QueryError where the server refuses.
 */
export async function migrate(query: Query, schema: string, now: Date): Promise<void> {
  await query({ text: 'begin' })
  try {
    await query({ text: LOCK })
    // Looked for first: who may not create schemas can still be given one.
    const [there] = await query({ text: 'select 1 from pg_namespace where nspname = $1', values: [schema] })
    if (there === undefined) await query({ text: `create schema "${schema}"` })
    await query({ text: 'create table if not exists migration (number int primary key, at text not null)' })
    const [{ at } = { at: 0 }] = await query<{ at: number }>({
      text: 'select coalesce(max(number), 0) as at from migration',
    })
    if (at > MIGRATIONS.length) {
      throw new Error(
        `The store's schema is number ${at}; this version knows ${MIGRATIONS.length}. Start the version that wrote it, or a newer one.`,
      )
    }
    for (const [index, steps] of MIGRATIONS.entries()) {
      if (index < at) continue
      for (const step of steps) await query({ text: step })
      await query({
        text: 'insert into migration (number, at) values ($1, $2)',
        values: [index + 1, now.toISOString()],
      })
    }
    await query({ text: 'commit' })
  } catch (thrown) {
    await query({ text: 'rollback' }).catch(() => 'rolled back by its end')
    throw thrown
  }
}
