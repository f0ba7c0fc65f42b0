// The tables and the steps that lead to them. Steps only go forward and are never edited once released.
// A database that is ahead of this code is refused, never guessed at.

import type { Database } from 'better-sqlite3'
import {
  type CompiledQuery,
  type CreateTableBuilder,
  DummyDriver,
  Kysely,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
  sql,
} from 'kysely'
import type { Kind } from '../../../core/model.ts'
import type { Column } from '../rows.ts'

type RowTable = { id: string; version: number; body: string } & Record<Column, string | number | null>

export type Tables = { [K in Kind]: RowTable } & {
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
  opened: { idx: number; hash: string; salt: string; text: string; is_owner: number }
  head: { id: number; size: number; time: number }
  migration: { number: number; at: string }
}

type Step = { compile(): CompiledQuery }

/** Builds SQL and runs none: what it compiles is run on a handle, inside one snapshot. */
export const builder = new Kysely<Tables>({
  dialect: {
    createAdapter: () => new SqliteAdapter(),
    createDriver: () => new DummyDriver(),
    createIntrospector: (db) => new SqliteIntrospector(db),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  },
})

const { schema } = builder

/**
 * Columns by which rows are found and read on in order of id; each costs every write an index. `plain` ones only tell
 * apart what another column found.
 */
function rowTable(
  kind: Kind,
  texts: readonly Column[],
  options: { readonly expires?: boolean; readonly plain?: readonly Column[] } = {},
): Step[] {
  let table: CreateTableBuilder<Kind, string> = schema
    .createTable(kind)
    .addColumn('id', 'text', (column) => column.primaryKey().notNull())
    .addColumn('version', 'integer', (column) => column.notNull())
    .addColumn('body', 'text', (column) => column.notNull())
  for (const text of [...texts, ...(options.plain ?? [])]) table = table.addColumn(text, 'text')
  if (options.expires) table = table.addColumn('expires', 'integer')
  const indexes: Step[] = texts.map((text) =>
    schema.createIndex(`${kind}_by_${text}`).on(kind).columns([text, 'id']).where(text, 'is not', null),
  )
  if (options.expires) indexes.push(schema.createIndex(`${kind}_by_expires`).on(kind).columns(['expires']))
  return [table, ...indexes]
}

const recordIndex = (column: string): Step =>
  schema.createIndex(`record_by_${column}`).on('record').column(column).where(column, 'is not', null)

const first: readonly Step[] = [
  ...rowTable('installation', []),
  ...rowTable('agent', ['state']),
  ...rowTable('tool', []),
  ...rowTable('person', []),
  ...rowTable('slice', ['agent', 'tool']),
  ...rowTable('revision', ['state']),
  ...rowTable('widening', ['agent', 'tool', 'slice', 'revision', 'state']),
  ...rowTable('session', ['agent', 'revocation'], { expires: true, plain: ['state'] }),
  ...rowTable('request', ['agent', 'tool', 'session', 'grant', 'revocation', 'state'], { expires: true }),
  ...rowTable('grant', ['agent', 'tool', 'session', 'owner', 'revocation'], { expires: true, plain: ['state'] }),
  ...rowTable('credential', ['agent', 'tool', 'session', 'grant', 'revocation'], { expires: true, plain: ['state'] }),
  ...rowTable('lock', ['agent', 'tool', 'owner', 'revocation', 'state']),
  ...rowTable('revocation', ['agent', 'tool', 'state']),
  ...rowTable('bearer', ['tool', 'owner', 'hash', 'state'], { expires: true }),
  ...rowTable('key', ['state']),
  schema
    .createTable('record')
    .addColumn('idx', 'integer', (column) => column.primaryKey().notNull())
    .addColumn('bytes', 'blob', (column) => column.notNull())
    .addColumn('leaf', 'blob', (column) => column.notNull())
    .addColumn('at', 'integer', (column) => column.notNull())
    .addColumn('kind', 'text', (column) => column.notNull())
    .addColumn('agent', 'text')
    .addColumn('tool', 'text')
    .addColumn('owner', 'text')
    .addColumn('jti', 'text'),
  ...['at', 'kind', 'agent', 'tool', 'jti'].map(recordIndex),
  schema
    .createTable('opened')
    .addColumn('idx', 'integer', (column) => column.notNull())
    .addColumn('hash', 'text', (column) => column.notNull())
    .addColumn('salt', 'text', (column) => column.notNull())
    .addColumn('text', 'text', (column) => column.notNull())
    .addColumn('is_owner', 'integer', (column) => column.notNull())
    .addPrimaryKeyConstraint('opened_key', ['idx', 'hash'])
    .modifyEnd(sql`without rowid`),
  schema
    .createIndex('opened_by_owner')
    .on('opened')
    .columns(['text', 'idx'])
    .where(sql.ref('is_owner'), '=', sql.lit(1)),
  schema
    .createTable('node')
    .addColumn('level', 'integer', (column) => column.notNull())
    .addColumn('idx', 'integer', (column) => column.notNull())
    .addColumn('hash', 'blob', (column) => column.notNull())
    .addPrimaryKeyConstraint('node_key', ['level', 'idx'])
    .modifyEnd(sql`without rowid`),
  schema
    .createTable('single_use')
    .addColumn('space', 'text', (column) => column.notNull())
    .addColumn('value', 'text', (column) => column.notNull())
    .addColumn('until', 'integer', (column) => column.notNull())
    .addPrimaryKeyConstraint('single_use_key', ['space', 'value'])
    .modifyEnd(sql`without rowid`),
  schema.createIndex('single_use_by_until').on('single_use').column('until'),
  schema
    .createTable('commit_outcome')
    .addColumn('id', 'text', (column) => column.primaryKey().notNull())
    .addColumn('first', 'integer', (column) => column.notNull())
    .addColumn('last', 'integer', (column) => column.notNull())
    .addColumn('at', 'integer', (column) => column.notNull())
    .modifyEnd(sql`without rowid`),
  schema
    .createTable('change')
    .addColumn('last', 'integer', (column) => column.primaryKey().notNull())
    .addColumn('first', 'integer', (column) => column.notNull())
    .addColumn('at', 'integer', (column) => column.notNull())
    .addColumn('keys', 'text', (column) => column.notNull()),
  schema
    .createTable('head')
    .addColumn('id', 'integer', (column) => column.primaryKey().notNull())
    .addColumn('size', 'integer', (column) => column.notNull())
    .addColumn('time', 'integer', (column) => column.notNull()),
  // What a probe writes and takes away again, to see whether anything can be written.
  schema.createTable('probe').addColumn('filler', 'blob'),
  builder.insertInto('head').values({ id: 1, size: 0, time: 0 }),
]

const versions: readonly Step[] = rowTable('past', ['slice'])

const accounts: readonly Step[] = rowTable('account', ['agent', 'tool', 'grant', 'revocation', 'state', 'hash'])

const definitions: readonly Step[] = rowTable('definition', ['tool', 'state'])

export const MIGRATIONS: readonly (readonly Step[])[] = [first, versions, accounts, definitions]

/**
 * Brings the database to this code's schema, each step in a transaction of its own.
 * Throws Error where the database is ahead of this code.
 */
export function migrate(db: Database, now: Date): void {
  const table = schema
    .createTable('migration')
    .ifNotExists()
    .addColumn('number', 'integer', (column) => column.primaryKey().notNull())
    .addColumn('at', 'text', (column) => column.notNull())
  db.exec(table.compile().sql)
  const { at } = db.prepare<[], { at: number }>('select coalesce(max(number), 0) as at from migration').get() ?? {
    at: 0,
  }
  if (at > MIGRATIONS.length) {
    throw new Error(
      `The store's schema is number ${at}; this version knows ${MIGRATIONS.length}. Start the version that wrote it, or a newer one.`,
    )
  }
  for (const [index, steps] of MIGRATIONS.entries()) {
    if (index < at) continue
    db.transaction(() => {
      for (const step of steps) {
        const { sql: text, parameters } = step.compile()
        db.prepare(text).run(...parameters)
      }
      db.prepare('insert into migration (number, at) values (?, ?)').run(index + 1, now.toISOString())
    })()
  }
}
