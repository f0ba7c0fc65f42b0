// Which columns each kind of row is found by, and how texts become column values. Shared by every engine.
// A column never holds what the body does not: it can always be made again.

import { createHash } from 'node:crypto'
import type { Where } from '../../actions/ports.ts'
import { definitionState, type Key, type Kind, type Rows } from '../../core/model.ts'

export type Column = Exclude<keyof Where, 'expiresAfter'> | 'expires'
export type ColumnValue = string | number | null

type Searchable = { readonly [K in Kind]: { readonly [C in Column]?: (row: Rows[K]) => ColumnValue } }

const searchable: Searchable = {
  installation: {},
  agent: { state: (row) => row.state },
  tool: {},
  person: {},
  slice: {
    agent: (row) => sliceParts(row.id).agent,
    tool: (row) => sliceParts(row.id).tool,
  },
  revision: { state: (row) => row.state },
  widening: {
    agent: (row) => sliceParts(row.slice).agent,
    tool: (row) => sliceParts(row.slice).tool,
    slice: (row) => row.slice,
    revision: (row) => row.revision,
    state: (row) => row.state,
  },
  session: {
    agent: (row) => row.agent,
    revocation: (row) => row.revocation,
    state: (row) => row.state,
    expires: (row) => row.expiresAt,
  },
  request: {
    agent: (row) => row.agent,
    tool: (row) => row.tool,
    session: (row) => row.session,
    grant: (row) => row.grant,
    revocation: (row) => row.revocation,
    state: (row) => row.state,
    expires: (row) => row.expiresAt,
  },
  grant: {
    agent: (row) => row.agent,
    tool: (row) => row.tool,
    session: (row) => row.session,
    owner: (row) => row.approvers[0] ?? null,
    revocation: (row) => row.revocation,
    state: (row) => row.state,
    expires: (row) => row.expiresAt,
  },
  credential: {
    agent: (row) => row.agent,
    tool: (row) => row.tool,
    session: (row) => row.session,
    grant: (row) => row.grant,
    revocation: (row) => row.revocation,
    state: (row) => row.state,
    expires: (row) => row.expiresAt,
  },
  account: {
    agent: (row) => row.agent,
    tool: (row) => row.tool,
    grant: (row) => row.grant,
    revocation: (row) => row.revocation,
    state: (row) => row.state,
    // What a tool lists is looked up by the name alone.
    hash: (row) => row.name,
  },
  definition: { tool: (row) => row.tool, state: definitionState },
  lock: {
    agent: (row) => (row.kind === 'agent' ? row.name : null),
    tool: (row) => (row.kind === 'tool' ? row.name : null),
    owner: (row) => (row.kind === 'owner' ? row.name : null),
    revocation: (row) => row.revocation,
    state: (row) => row.state,
  },
  revocation: { agent: (row) => row.agent, tool: (row) => row.tool, state: (row) => row.state },
  bearer: {
    tool: (row) => (row.kind === 'verifier' ? row.subject : null),
    owner: (row) => (row.kind === 'verifier' ? null : row.subject),
    hash: (row) => row.hash,
    state: (row) => (row.revokedAt === null ? 'live' : 'revoked'),
    expires: (row) => row.expiresAt,
  },
  key: { state: (row) => row.state },
  // The key of any row, not of a slice alone: the column is there, and is indexed.
  past: { slice: (row) => row.of },
}

export const KINDS = Object.keys(searchable) as readonly Kind[]
const KIND_NAMED: ReadonlyMap<string, Kind> = new Map(KINDS.map((kind) => [kind, kind]))

/** The columns that rows of this kind are found by, in the order of {@link columnValues}. */
export const columnsOf = (kind: Kind): readonly Column[] => Object.keys(searchable[kind]) as Column[]

/** What the columns of this row hold. Throws TypeError where a field is no text, number or null. */
export function columnValues<K extends Kind>(kind: K, row: Rows[K]): ColumnValue[] {
  const extract: Searchable[K] = searchable[kind]
  return columnsOf(kind).map((column) => {
    const value = extract[column]?.(row)
    if (typeof value === 'string') return columnText(value)
    if (value === null || (typeof value === 'number' && Number.isFinite(value))) return value
    throw new TypeError(`${kind}/${row.id} has no ${column} to be found by`)
  })
}

/** The agent that this row is found by; null where there is none. */
export function agentOf<K extends Kind>(kind: K, row: Rows[K]): string | null {
  const extract: Searchable[K] = searchable[kind]
  const agent = extract.agent?.(row) ?? null
  return typeof agent === 'string' ? agent : null
}

/** Two of these, in UTF-8, fit into one index entry of any engine (PostgreSQL: 2,704 bytes). */
const LONGEST = 400

/**
 * A text as an indexed column holds it: itself, unless an engine would refuse or change it (NUL, half a surrogate
 * pair) or not index it (very long). Different texts stay different.
 */
export function columnText(text: string): string {
  if (text.length <= LONGEST && !text.startsWith('"') && !text.includes('\0') && text.isWellFormed()) return text
  const quoted = JSON.stringify(text).replaceAll('\0', '\\u0000')
  return quoted.length <= LONGEST ? quoted : `"#${createHash('sha256').update(quoted).digest('hex')}`
}

/** Kind and id of a key. Throws TypeError where there is no such kind. */
export function partsOf(key: Key): { readonly kind: Kind; readonly id: string } {
  const at = key.indexOf('/')
  const kind = KIND_NAMED.get(key.slice(0, at))
  if (kind === undefined || at === key.length - 1) throw new TypeError(`${key.slice(0, 80)} is no key of a row`)
  return { kind, id: key.slice(at + 1) }
}

function sliceParts(id: string): { readonly agent: string | null; readonly tool: string | null } {
  const [of, first = null, second = null] = id.split('/')
  if (of === 'agent') return { agent: first, tool: null }
  if (of === 'access') return { agent: first, tool: second }
  return { agent: null, tool: of === 'tool' ? first : null }
}
