// What is read from the database, each answer one snapshot with the size of the log that it is true of. Hot reads are
// prepared once; lists are built by Kysely, once for each shape. It only ever has the read-only handle.

import type { Database, Statement } from 'better-sqlite3'
import { type CompiledQuery, type SelectQueryBuilder, sql } from 'kysely'
import type { Change, ListQuery, RecordFilter, StoredRecord } from '../../../actions/ports.ts'
import { frontierOf, frontierRoot } from '../../../core/merkle.ts'
import type { Key, Kind, Row, Rows, Seq } from '../../../core/model.ts'
import { type Column, columnsOf, columnText, KINDS, partsOf } from '../rows.ts'
import { type Held, WHOLE } from '../view.ts'
import { builder, type Tables } from './schema.ts'
import { prepareTreeReader } from './tree.ts'
import type { Head } from './writer.ts'

const MOST_ROWS = 500
const MOST_RECORDS = 1_000

/** Columns selective enough to find the live rows of one thing; among others, expiry finds them sooner. */
const NARROW: ReadonlySet<Column> = new Set(['session', 'grant', 'hash', 'revocation'])

/** Columns whose index is in order of id, the more selective first. */
const WALKED = ['agent', 'owner', 'tool'] as const

type StoredRow = { readonly id: string; readonly version: number; readonly body: string }

export type Reader = {
  head(): Head
  /** Runs `look` on one snapshot. */
  snapshot<T>(look: (head: Head) => T): T
  row(kind: Kind, id: string): Held | undefined
  whole(): Generator<{ readonly kind: Kind; readonly held: Held }>
  list<K extends Kind>(query: ListQuery<K>): { readonly rows: readonly Rows[K][]; readonly next: string | null }
  records(from: Seq, limit: number, filter?: RecordFilter): readonly StoredRecord[]
  outcome(commitId: string): { readonly first: Seq; readonly last: Seq } | undefined
  changes(after: Seq, limit: number): readonly Change[]
  root(size: Seq): Uint8Array
  node(level: number, index: number): Uint8Array | undefined
}

export function prepareReader(db: Database): Reader {
  const begin = db.prepare('begin')
  const end = db.prepare('commit')
  const head = db.prepare<[], Head>('select size, time from head where id = 1')
  const rows = new Map(
    KINDS.map((kind) => [
      kind,
      db.prepare<[string], StoredRow>(`select id, version, body from "${kind}" where id = ?`),
    ]),
  )
  const outcome = db.prepare<[string], { first: Seq; last: Seq }>('select first, last from commit_outcome where id = ?')
  const changes = db.prepare<[Seq, number], { first: Seq; last: Seq; at: number; keys: string }>(
    'select first, last, at, keys from change where last >= ? order by last limit ?',
  )
  const opened = db.prepare<[Seq], { hash: string; salt: string; text: string }>(
    'select hash, salt, text from opened where idx = ?',
  )
  const tree = prepareTreeReader(db)
  // As many as there are shapes of questions: a few for each kind.
  const built = new Map<string, Statement<unknown[], unknown>>()
  const lists = new Map<string, Statement<unknown[], StoredRow>>()

  function listed(query: ListQuery<Kind>): StoredRow[] {
    checkLimit(query.limit, MOST_ROWS)
    const { kind, where = {}, after, limit, newestFirst = false } = query
    const { expiresAfter, ...texts } = where
    const given = Object.entries(texts).filter(([, value]) => value !== undefined) as [Column, string][]
    const columns = given.map(([column]) => column)
    const shape: ListShape = {
      kind,
      columns,
      lives: expiresAfter !== undefined,
      goesOn: after !== undefined,
      newestFirst,
    }
    const name = `${kind} ${columns} ${shape.lives} ${shape.goesOn} ${newestFirst}`
    const statement = lists.get(name) ?? db.prepare<unknown[], StoredRow>(listSql(shape))
    lists.set(name, statement)
    return statement.all(
      ...given.map(([, value]) => columnText(value)),
      ...(expiresAfter === undefined ? [] : [expiresAfter]),
      ...(after === undefined ? [] : [columnText(after)]),
      limit + 1,
    )
  }

  function run<T>(query: { compile(): CompiledQuery<T> }): T[] {
    const { sql: text, parameters } = query.compile()
    const statement = built.get(text) ?? db.prepare<unknown[], unknown>(text)
    built.set(text, statement)
    return statement.all(...parameters) as T[]
  }

  const row = (kind: Kind, id: string): Held | undefined => {
    const found = rows.get(kind)?.get(columnText(id))
    return found === undefined ? undefined : heldOf(found)
  }

  return {
    head: () => head.get()!,
    snapshot(look) {
      begin.run()
      try {
        return look(head.get()!)
      } finally {
        end.run()
      }
    },
    row,
    *whole() {
      for (const kind of WHOLE) {
        for (const found of db.prepare<[], StoredRow>(`select id, version, body from "${kind}"`).iterate()) {
          yield { kind, held: heldOf(found) }
        }
      }
    },
    list<K extends Kind>(query: ListQuery<K>) {
      const found = listed(query)
      const page = found.slice(0, query.limit).map(({ body }): Rows[K] => JSON.parse(body))
      return { rows: page, next: found.length > query.limit ? (page.at(-1)?.id ?? null) : null }
    },
    records(from, limit, filter = {}) {
      return run(recordsQuery(from, limit, filter)).map(({ idx, bytes, leaf }) => ({
        index: idx,
        bytes,
        leaf,
        opened: Object.fromEntries(opened.all(idx).map(({ hash, salt, text: words }) => [hash, { salt, text: words }])),
      }))
    },
    outcome: (commitId) => outcome.get(columnText(commitId)),
    changes: (after, limit) =>
      changes.all(after, limit).map(({ first, last, at, keys }) => ({
        first,
        last,
        at,
        put: (JSON.parse(keys) as Key[]).flatMap((key): Row[] => {
          const { kind, id } = partsOf(key)
          const held = row(kind, id)
          return held === undefined ? [] : [{ kind, row: held.row } as Row]
        }),
      })),
    root: (size) => frontierRoot(frontierOf(tree.node, size)),
    node: tree.node,
  }
}

const heldOf = ({ version, body }: StoredRow): Held => ({ row: JSON.parse(body), version })

/** A list but for the values in it. */
type ListShape = {
  readonly kind: Kind
  readonly columns: readonly Column[]
  /** Only what expires after an instant. */
  readonly lives: boolean
  readonly goesOn: boolean
  readonly newestFirst: boolean
}

/**
 * Its values, in this order: one for each column, the instant, the id to go on from, the limit.
 * Throws TypeError for a column that this kind is not found by.
 */
function listSql({ kind, columns, lives, goesOn, newestFirst }: ListShape): string {
  const has: ReadonlySet<string> = new Set(columnsOf(kind))
  const unknown = [...columns, ...(lives ? ['expires'] : [])].find((column) => !has.has(column))
  if (unknown !== undefined) throw new TypeError(`a ${kind} is not found by ${unknown}`)

  const isNarrow = columns.some((column) => NARROW.has(column))
  const hasOther = columns.length > 1 || lives
  // What comes after a row that lived just now lives too, but for a few: from there on it is walked in order, so that going through
  // all pages reads each row once.
  const isWalked = lives && goesOn && !isNarrow && !newestFirst
  const walked = isWalked ? WALKED.find((column) => columns.includes(column)) : undefined
  let query: SelectQueryBuilder<Tables, Kind, StoredRow> = builder.selectFrom(kind).select(['id', 'version', 'body'])
  for (const column of columns) {
    // `+` keeps an index out of it: by state, or by agent where expiry says more, it would walk the whole past.
    const isRest = (column === 'state' && hasOther) || (lives && !NARROW.has(column))
    const isShy = isRest && column !== walked
    query = query.where(isShy ? sql`+${sql.ref(column)}` : sql.ref(column), '=', '')
  }
  if (lives)
    query = query.where(isNarrow || walked !== undefined ? sql`+${sql.ref('expires')}` : sql.ref('expires'), '>', 0)
  // By expiry only what still lives is sorted; read in order of id, it would be found by walking the whole past.
  const isSorted = lives && !isNarrow && walked === undefined
  const id = isSorted ? sql<string>`+${sql.ref('id')}` : sql.ref<string>('id')
  if (goesOn) query = query.where(id, newestFirst ? '<' : '>', '')
  return query
    .orderBy(id, newestFirst ? 'desc' : 'asc')
    .limit(1)
    .compile().sql
}

function recordsQuery(from: Seq, limit: number, { owner, since, until, kind, ...texts }: RecordFilter) {
  checkLimit(limit, MOST_RECORDS)
  let query = builder.selectFrom('record').select(['idx', 'bytes', 'leaf']).where('idx', '>=', from)
  for (const column of ['agent', 'tool', 'jti'] as const) {
    const value = texts[column]
    if (value !== undefined) query = query.where(column, '=', columnText(value))
  }
  if (kind !== undefined) query = query.where('kind', '=', kind)
  if (since !== undefined) query = query.where('at', '>=', since)
  if (until !== undefined) query = query.where('at', '<', until)
  if (owner !== undefined) {
    const about = builder
      .selectFrom('opened')
      .select('idx')
      .where('is_owner', '=', sql<number>`1`)
      .where('text', '=', owner)
    query = query.where('idx', 'in', about)
  }
  return query.orderBy('idx').limit(limit)
}

function checkLimit(limit: number, most: number): void {
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > most) throw new RangeError(`a page has 1 to ${most} entries`)
}
