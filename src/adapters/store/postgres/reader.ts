// What is read from the database. Each answer is one statement, and so one snapshot, with the size of the log that it
// is true of. It only ever has read-only connections.

import { type CompiledQuery, type SelectQueryBuilder, sql } from 'kysely'
import type { Change, ListQuery, RecordFilter, StoredRecord } from '../../../actions/ports.ts'
import type { Instant, Key, Kind, Row, Rows, Seq } from '../../../core/model.ts'
import { type Column, columnsOf, columnText, partsOf } from '../rows.ts'
import { type Held, WHOLE } from '../view.ts'
import type { Query, Readers, Statement } from './connections.ts'
import type { LoadedState, Past } from './memory.ts'
import { builder, type Tables } from './schema.ts'
import { readNode, readRoot } from './tree.ts'

const MOST_ROWS = 500
const MOST_RECORDS = 1_000
const ROWS_AT_ONCE = 2_000

/** Columns selective enough to find the live rows of one thing; among others, expiry finds them sooner. */
const NARROW: ReadonlySet<Column> = new Set(['session', 'grant', 'hash', 'revocation'])

export type Head = { readonly size: Seq; readonly time: Instant }

/** With the leaf of the record at `$1`, by which a log is known to be the same one. */
export const HEAD: Statement = {
  name: 'head',
  text: 'select size, time, (select leaf from record where idx = $1) as leaf from head where id = 1',
}

type StoredRow = { readonly kind: Kind; readonly id: string; readonly version: number; readonly body: string }

export type Reader = {
  rows(keys: readonly Key[]): Promise<{ readonly found: ReadonlyMap<Key, Held | null>; readonly size: Seq }>
  /** All rows of the kinds that memory holds whole. */
  whole(): Promise<LoadedState>
  list<K extends Kind>(query: ListQuery<K>): Promise<{ rows: readonly Rows[K][]; next: string | null; size: Seq }>
  records(from: Seq, limit: number, filter?: RecordFilter): Promise<readonly StoredRecord[]>
  outcome(commitId: string): Promise<{ readonly first: Seq; readonly last: Seq } | undefined>
  missed(after: Seq, limit: number): Promise<readonly Change[]>
  tree(): Promise<{ readonly size: Seq; readonly root: Uint8Array }>
  node(level: number, index: number): Promise<Uint8Array | undefined>
}

export function createReader(readers: Readers): Reader {
  const { query } = readers
  // As many as there are shapes of questions: a few for each kind.
  const names = new Map<string, string>()

  function run<T extends object>({ sql: text, parameters }: CompiledQuery<T>): Promise<T[]> {
    const name = names.get(text) ?? `q${names.size}`
    names.set(text, name)
    return query<T>({ name, text, values: parameters })
  }

  return {
    async rows(keys) {
      const parts = keys.map((key) => ({ key, ...partsOf(key) }))
      const answer = await query<{ size: Seq } & (StoredRow | { kind: null })>({
        name: 'rows',
        text: `select h.size, r.kind, r.id, r.version, r.body from head h left join (
            select e.* from unnest($1::text[], $2::text[]) as k(kind, id) join entity e on e.kind = k.kind and e.id = k.id
          ) r on true where h.id = 1`,
        values: [parts.map(({ kind }) => kind), parts.map(({ id }) => columnText(id))],
      })
      const byName = new Map<string, Held>()
      for (const row of answer) if (row.kind !== null) byName.set(`${row.kind}/${row.id}`, heldOf(row))
      const found = new Map(
        parts.map(({ key, kind, id }) => [key, byName.get(`${kind}/${columnText(id)}`) ?? null] as const),
      )
      return { found, size: answer[0]!.size }
    },
    whole: () =>
      readers.snapshot(async (look) => {
        const [head] = await look<Head & { leaf: Buffer | null }>({
          text: `select size, time, (select leaf from record where idx = size - 1) as leaf from head where id = 1`,
        })
        const rows: { kind: Kind; held: Held }[] = []
        for (const kind of WHOLE) {
          for (let after = ''; ; ) {
            const page = await look<StoredRow>({
              text: 'select kind, id, version, body from entity where kind = $1 and id > $2 order by id limit $3',
              values: [kind, after, ROWS_AT_ONCE],
            })
            for (const row of page) rows.push({ kind, held: heldOf(row) })
            if (page.length < ROWS_AT_ONCE) break
            after = page.at(-1)!.id
          }
        }
        return { rows, size: head!.size, time: head!.time, tail: head!.leaf }
      }),
    async list<K extends Kind>(asked: ListQuery<K>) {
      const answer = await run(listQuery(asked))
      const bodies = answer.flatMap(({ body }) => (body === null ? [] : [body]))
      const rows = bodies.slice(0, asked.limit).map((body): Rows[K] => JSON.parse(body))
      return { rows, next: bodies.length > asked.limit ? (rows.at(-1)?.id ?? null) : null, size: answer[0]!.size }
    },
    async records(from, limit, filter = {}) {
      const found = await run(recordsQuery(from, limit, filter))
      return found.map(({ idx, bytes, leaf, openings }) => ({
        index: idx,
        bytes,
        leaf,
        opened: Object.fromEntries(
          (openings ?? []).map((opening) => {
            const [hash, salt, text]: [string, string, string] = JSON.parse(opening)
            return [hash, { salt, text }]
          }),
        ),
      }))
    },
    async outcome(commitId) {
      const [found] = await query<{ first: Seq | null; last: Seq | null }>({
        name: 'outcome',
        text: 'select first, last from commit_outcome where id = $1',
        values: [columnText(commitId)],
      })
      return found === undefined || found.first === null || found.last === null
        ? undefined
        : { first: found.first, last: found.last }
    },
    missed: async (after, limit) => (await readMissed(query, after, limit)).changes.map(({ change }) => change),
    tree: () => readRoot(query),
    node: (level, index) => readNode(query, level, index),
  }
}

const heldOf = ({ version, body }: Omit<StoredRow, 'kind' | 'id'>): Held => ({ row: JSON.parse(body), version })

/**
 * The changes from a size on, oldest first, and the size of the log in the same snapshot. Rows are as of that snapshot, which may be later than the change that is told of.
 */
export async function readMissed(
  query: Query,
  after: Seq,
  limit: number,
): Promise<{ readonly size: Seq; readonly changes: readonly Past[] }> {
  type Told = {
    first: Seq
    last: Seq
    at: Instant
    time: Instant
    leaf: Buffer
    kind: Kind | null
    body: string | null
  }
  const told = await query<{ size: Seq } & (Told | { first: null })>({
    name: 'missed',
    text: `select h.size, c.first, c.last, c.at, c.time, c.leaf, p.kind, p.body from head h
      left join (
        select x.*, r.leaf from change x join record r on r.idx = x.last where x.last >= $1 order by x.last limit $2
      ) c on true
      left join lateral (
        select k.kind, e.body, k.place from unnest(c.kinds, c.ids) with ordinality as k(kind, id, place)
          join entity e on e.kind = k.kind and e.id = k.id
      ) p on true
      where h.id = 1 order by c.last, p.place`,
    values: [after, limit],
  })
  const changes: (Past & { change: { put: Row[] } })[] = []
  for (const row of told) {
    if (row.first === null) continue
    const { first, last, at, time, leaf, kind, body } = row
    if (changes.at(-1)?.change.last !== last) changes.push({ change: { first, last, at, put: [] }, leaf, time })
    if (kind !== null && body !== null) changes.at(-1)?.change.put.push({ kind, row: JSON.parse(body) } as Row)
  }
  return { size: told[0]!.size, changes }
}

/** Throws RangeError for a limit out of bounds, and TypeError for a column that this kind is not found by. */
function listQuery({ kind, where = {}, after, limit, newestFirst = false }: ListQuery<Kind>) {
  checkLimit(limit, MOST_ROWS)
  const has: ReadonlySet<string> = new Set(columnsOf(kind))
  const { expiresAfter, ...texts } = where
  const given = Object.entries(texts).filter(([, value]) => value !== undefined) as [Column, string][]
  const unknown = [...given.map(([column]) => column), ...(expiresAfter === undefined ? [] : ['expires'])].find(
    (column) => !has.has(column),
  )
  if (unknown !== undefined) throw new TypeError(`a ${kind} is not found by ${unknown}`)

  const isNarrow = given.some(([column]) => NARROW.has(column))
  const hasOther = given.length > 1 || expiresAfter !== undefined
  let query: SelectQueryBuilder<Tables, 'entity', { id: string; body: string }> = builder
    .selectFrom('entity')
    .select(['id', 'body'])
    .where('kind', '=', sql.lit(kind))
  for (const [column, value] of given) {
    // An expression keeps an index out of it: by state, or by agent where expiry says more, it would walk the past.
    const isShy = (column === 'state' && hasOther) || (expiresAfter !== undefined && !NARROW.has(column))
    query = query.where(isShy ? sql`${sql.ref(column)} || ''` : sql.ref(column), '=', columnText(value))
  }
  if (expiresAfter !== undefined) {
    query = query.where(isNarrow ? sql<number>`expires + 0` : sql.ref<number>('expires'), '>', expiresAfter)
  }
  // By expiry only what still lives is sorted; read in order of id, it would be found by walking the whole past.
  const id = expiresAfter !== undefined && !isNarrow ? sql<string>`id || ''` : sql.ref<string>('id')
  if (after !== undefined) query = query.where(id, newestFirst ? '<' : '>', columnText(after))
  const page = query.orderBy(id, newestFirst ? 'desc' : 'asc').limit(limit + 1)
  return sql<{ size: Seq; body: string | null }>`select h.size, r.body from head h left join ${page} r on true
    where h.id = 1 order by r.id ${sql.raw(newestFirst ? 'desc' : 'asc')}`.compile(builder)
}

function recordsQuery(from: Seq, limit: number, { owner, since, until, kind, ...texts }: RecordFilter) {
  checkLimit(limit, MOST_RECORDS)
  let query = builder
    .selectFrom('record')
    .select(['idx', 'bytes', 'leaf'])
    .select(sql<string[] | null>`(select array_agg(opening) from opened o where o.idx = record.idx)`.as('openings'))
    .where('idx', '>=', from)
  for (const column of ['agent', 'tool', 'jti'] as const) {
    const value = texts[column]
    if (value !== undefined) query = query.where(column, '=', columnText(value))
  }
  if (kind !== undefined) query = query.where('kind', '=', columnText(kind))
  if (since !== undefined) query = query.where('at', '>=', since)
  if (until !== undefined) query = query.where('at', '<', until)
  if (owner !== undefined) {
    query = query.where('idx', 'in', builder.selectFrom('opened').select('idx').where('owner', '=', columnText(owner)))
  }
  return query.orderBy('idx').limit(limit).compile()
}

function checkLimit(limit: number, most: number): void {
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > most) throw new RangeError(`a page has 1 to ${most} entries`)
}
