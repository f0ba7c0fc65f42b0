// What authority is judged from, in memory. Only `apply` and `load` write it, in the order of the log; a value read
// elsewhere enters the bounded caches only if nothing was applied since it was read.

import { LRUCache } from 'lru-cache'
import type { Change, ListQuery } from '../../actions/ports.ts'
import { type Bearer, type Grant, type Key, type Kind, keyOf, type Rows, type Seq } from '../../core/model.ts'
import { createAgentLists } from './agent-lists.ts'

export type Held<K extends Kind = Kind> = { readonly row: Rows[K]; readonly version: number }

/** Kinds held whole: what is not here does not exist. Agents and slices are not among them: there are as many as manifests say. */
export const WHOLE = ['installation', 'tool', 'person', 'revision', 'lock', 'bearer', 'key'] as const

/** Bounded caches of the other kinds: entries. */
const CACHED: Partial<Record<Kind, number>> = {
  agent: 50_000,
  slice: 50_000,
  widening: 2_000,
  session: 20_000,
  request: 10_000,
  grant: 50_000,
  credential: 50_000,
  account: 10_000,
  revocation: 2_000,
}
const CACHE_TTL_MS = 15 * 60_000

/** Pairs of agent and tool whose active grants are known, and how many of them each may have. */
const PAIRS = { max: 20_000, grants: 50 } as const

export type View = {
  /** The log's size that this view shows. */
  readonly seq: Seq
  /** Undefined: not known here. Null: does not exist. */
  find(kind: Kind, id: string): Held | null | undefined
  /** The same by key; undefined also for what is no key. */
  at(key: Key): Held | null | undefined
  bearerByHash(hash: string): Bearer | undefined
  /** The active grants of an agent on a tool, newest first. Undefined: not known here. */
  activeGrants(agent: string, tool: string): readonly Grant[] | undefined
  /** What a list of one agent's holds. Undefined: not known here. */
  listed<K extends Kind>(query: ListQuery<K>): readonly Rows[K][] | undefined
  apply(change: Change): void
  /** Remembers a row read at `readAt`; dropped where the view has moved since. */
  fill(kind: Kind, held: Held, readAt: Seq): void
  /** The same of all active grants of an agent on a tool. */
  fillGrants(agent: string, tool: string, grants: readonly Grant[], readAt: Seq): void
  /** The same of all rows that this query finds. */
  fillList<K extends Kind>(query: ListQuery<K>, rows: readonly Rows[K][], readAt: Seq): void
  /** Starts over from the whole kinds' rows as of `seq`. */
  load(rows: Iterable<{ readonly kind: Kind; readonly held: Held }>, seq: Seq): void
}

export function createView(): View {
  const whole = new Map<Key, Held>()
  const byHash = new Map<string, Bearer>()
  const caches = new Map(
    Object.entries(CACHED).map(([kind, max]) => [kind, new LRUCache<string, Held>({ max, ttl: CACHE_TTL_MS })]),
  )
  const pairs = new LRUCache<string, readonly Grant[]>({ max: PAIRS.max, ttl: CACHE_TTL_MS })
  const lists = createAgentLists(CACHE_TTL_MS)
  const wholeKinds: ReadonlySet<string> = new Set(WHOLE)
  let seq: Seq = 0

  function set(kind: Kind, held: Held): void {
    if (!wholeKinds.has(kind)) caches.get(kind)?.set(held.row.id, held)
    else whole.set(keyOf(kind, held.row.id), held)
  }

  function index(bearer: Bearer): void {
    byHash.set(bearer.hash, bearer)
  }

  function indexGrant(grant: Grant): void {
    const pair = pairOf(grant.agent, grant.tool)
    const known = pairs.peek(pair)
    if (known === undefined) return
    const others = known.filter(({ id }) => id !== grant.id)
    const next = grant.state === 'active' ? [...others, grant].sort(newestFirst) : others
    if (next.length > PAIRS.grants) pairs.delete(pair)
    else pairs.set(pair, next)
  }

  return {
    get seq() {
      return seq
    },
    find: (kind, id) => (wholeKinds.has(kind) ? (whole.get(keyOf(kind, id)) ?? null) : caches.get(kind)?.get(id)),
    at(key) {
      const held = whole.get(key)
      if (held !== undefined) return held
      const slash = key.indexOf('/')
      const kind = key.slice(0, slash)
      return wholeKinds.has(kind) ? null : caches.get(kind)?.get(key.slice(slash + 1))
    },
    bearerByHash: (hash) => byHash.get(hash),
    activeGrants: (agent, tool) => pairs.get(pairOf(agent, tool)),
    listed: (query) => lists.find(query),
    apply(change) {
      if (change.first !== seq) throw new Error(`change ${change.first} does not follow ${seq}`)
      for (const put of change.put) {
        set(put.kind, { row: put.row, version: change.last + 1 })
        if (put.kind === 'bearer') index(put.row)
        if (put.kind === 'grant') indexGrant(put.row)
        lists.changed(put)
      }
      seq = change.last + 1
    },
    fill(kind, held, readAt) {
      if (readAt === seq && !wholeKinds.has(kind)) set(kind, held)
    },
    fillGrants(agent, tool, grants, readAt) {
      if (readAt === seq && grants.length <= PAIRS.grants) pairs.set(pairOf(agent, tool), grants)
    },
    fillList(query, rows, readAt) {
      if (readAt === seq) lists.keep(query, rows)
    },
    load(rows, at) {
      whole.clear()
      byHash.clear()
      for (const cache of caches.values()) cache.clear()
      pairs.clear()
      lists.clear()
      for (const { kind, held } of rows) {
        set(kind, held)
        if (kind === 'bearer') index(held.row as Bearer)
      }
      seq = at
    },
  }
}

const pairOf = (agent: string, tool: string): string => `${agent}\0${tool}`

const newestFirst = (a: Grant, b: Grant): number => (a.id < b.id ? 1 : -1)
