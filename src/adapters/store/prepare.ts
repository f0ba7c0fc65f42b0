// A member made ready for a writer: every text encoded, every value checked, so that nothing can throw for one
// member's sake while others share its transaction. Plain data; it touches no database.

import type { Member } from '../../actions/ports.ts'
import type { Instant, Key, Kind } from '../../core/model.ts'
import { type ColumnValue, columnText, columnValues, KINDS, partsOf } from './rows.ts'

type PreparedRow = {
  readonly kind: Kind
  readonly id: string
  readonly body: string
  readonly columns: readonly ColumnValue[]
}

type PreparedRecord = {
  readonly bytes: Uint8Array
  readonly leaf: Uint8Array
  readonly at: Instant
  readonly kind: string
  readonly agent: string | null
  readonly tool: string | null
  readonly owner: string | null
  readonly jti: string | null
  readonly opened: readonly { readonly hash: string; readonly salt: string; readonly text: string }[]
}

export type Prepared = {
  readonly id: string
  readonly at: Instant
  readonly notAfter: Instant | null
  readonly setsTime: boolean
  readonly expect: readonly { readonly key: Key; readonly kind: Kind; readonly id: string; readonly version: number }[]
  readonly put: readonly PreparedRow[]
  readonly once: readonly {
    readonly name: string
    readonly space: string
    readonly value: string
    readonly until: Instant
  }[]
  readonly records: readonly PreparedRecord[]
  /** Keys of `put` as JSON: what the change feed is told again. */
  readonly keys: string
}

/** Throws TypeError or RangeError for a member that no store can hold: a fault of the program, not a refusal. */
export function prepare(member: Member): Prepared {
  if (member.id === '') throw new TypeError('a commit needs an id')
  if (member.records.length === 0) throw new TypeError(`commit ${member.id} has no record`)
  return {
    id: columnText(member.id),
    at: instant(member.at),
    notAfter: member.notAfter === null ? null : instant(member.notAfter),
    setsTime: member.setsTime === true,
    expect: [...member.expect].map(([key, version]) => {
      const { kind, id } = partsOf(key)
      return { key, kind, id: columnText(id), version: instant(version) }
    }),
    put: member.put.map(({ kind, row }) => {
      if (!KINDS.includes(kind)) throw new TypeError(`there is no kind ${kind}`)
      if (typeof row.id !== 'string' || row.id === '') throw new TypeError(`a ${kind} needs an id`)
      return { kind, id: columnText(row.id), body: JSON.stringify(row), columns: columnValues<Kind>(kind, row) }
    }),
    once: member.once.map(({ space, value, until }) => ({
      name: onceName(space, value),
      space: columnText(space),
      value: columnText(value),
      until: instant(until),
    })),
    records: member.records.map((record) => {
      if (!(record.leaf instanceof Uint8Array) || record.leaf.length !== 32)
        throw new TypeError('a leaf hash is 32 bytes')
      if (!(record.bytes instanceof Uint8Array)) throw new TypeError('a record is bytes')
      return {
        bytes: record.bytes,
        leaf: record.leaf,
        at: instant(Date.parse(record.at)),
        kind: record.kind,
        agent: optionalText(record.agent),
        tool: optionalText(record.tool),
        owner: record.ownerHash,
        jti: optionalText(record.jti),
        opened: Object.entries(record.opened).map(([hash, { salt, text }]) => ({ hash, salt, text })),
      }
    }),
    keys: JSON.stringify(member.put.map(({ kind, row }) => `${kind}/${row.id}`)),
  }
}

/** How a refusal names a single-use value. */
export const onceName = (space: string, value: string): string => `${space}/${value}`

const optionalText = (text: string | null): string | null => (text === null ? null : columnText(text))

function instant(value: number): number {
  if (!Number.isSafeInteger(value)) throw new RangeError(`${value} is no instant or version`)
  return value
}
