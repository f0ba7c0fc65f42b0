// What one agent asks for again and again: its slices, and its requests and grants that live. A list is kept until a row that
// could belong in it changes, and time alone only ever takes rows out of it.

import { LRUCache } from 'lru-cache'
import type { ListQuery } from '../../actions/ports.ts'
import type { Instant, Kind, Row, Rows } from '../../core/model.ts'
import { agentOf } from './rows.ts'

export type AgentLists = {
  /** Undefined: not known here. */
  find<K extends Kind>(query: ListQuery<K>): readonly Rows[K][] | undefined
  /** Remembers all that the query found. */
  keep<K extends Kind>(query: ListQuery<K>, rows: readonly Rows[K][]): void
  /** This row was put. */
  changed(put: Row): void
  clear(): void
}

type Kept = {
  readonly state: string | undefined
  readonly since: Instant | undefined
  readonly rows: readonly Row['row'][]
}

/** Lists, how many rows each may have, and the most that may be asked for. */
const LISTS = { max: 20_000, rows: 50, limit: 500 } as const

export function createAgentLists(ttl: number): AgentLists {
  const lists = new LRUCache<string, Kept>({ max: LISTS.max, ttl })
  return {
    find<K extends Kind>(query: ListQuery<K>) {
      const name = nameOf(query)
      const kept = name === null ? undefined : lists.get(name)
      const { state, expiresAfter } = query.where ?? {}
      if (kept === undefined || kept.state !== state || !isWhole(kept.rows.length, query.limit)) return undefined
      const rows = kept.rows as readonly Rows[K][]
      if (expiresAfter === kept.since) return rows
      // What had ended when it was read was not kept.
      if (expiresAfter === undefined || kept.since === undefined || expiresAfter < kept.since) return undefined
      return rows.filter((row) => 'expiresAt' in row && row.expiresAt > expiresAfter)
    },
    keep(query, rows) {
      const name = nameOf(query)
      if (name === null || rows.length > LISTS.rows) return
      lists.set(name, { state: query.where?.state, since: query.where?.expiresAfter, rows })
    },
    changed({ kind, row }) {
      if (!KINDS.has(kind)) return
      const agent = agentOf(kind, row)
      if (agent !== null) lists.delete(named(kind, agent))
    },
    clear: () => lists.clear(),
  }
}

/** Whether a page of this limit holds as many; a limit that no page has is the reader's to refuse. */
const isWhole = (rows: number, limit: number): boolean => limit >= 1 && limit <= LISTS.limit && rows <= limit

const KINDS: ReadonlySet<Kind> = new Set<Kind>(['slice', 'request', 'grant'])

const named = (kind: Kind, agent: string): string => `${kind}\0${agent}`

/** Null where it is no list of this kind: whatever takes away reads the disk. */
function nameOf({ kind, where = {}, after, newestFirst }: ListQuery<Kind>): string | null {
  const { agent, state: _state, expiresAfter, ...others } = where
  if (agent === undefined || !KINDS.has(kind) || (kind === 'slice') !== (expiresAfter === undefined)) return null
  if (after !== undefined || newestFirst === true) return null
  return Object.values(others).every((value) => value === undefined) ? named(kind, agent) : null
}
