// One group as it crosses to the writer's thread: a flat list of fields and one piece of memory that is handed over.
// Cloned as it stands, a group costs the main thread five times as much. Both sides are always of the same build.

import type { Key, Kind } from '../../../core/model.ts'
import type { Prepared } from '../prepare.ts'
import { type ColumnValue, columnsOf, columnText, partsOf } from '../rows.ts'
import type { Group } from './writer.ts'

type Field = string | number | null

export type GroupMessage = { readonly fields: readonly Field[]; readonly bytes: Uint8Array<ArrayBuffer> }

const LEAF_BYTES = 32

/** The memory of `bytes` is new and may be transferred. */
export function packGroup({ members, now, size }: Group): GroupMessage {
  const keys = new Map<Key, number>()
  const fields: Field[] = [now, size, members.length]
  let total = 0
  for (const member of members) {
    fields.push(member.id, member.at, member.notAfter, member.setsTime ? 1 : 0, member.keys)
    fields.push(member.expect.length)
    for (const { key, version } of member.expect) {
      const index = keys.get(key) ?? keys.size
      keys.set(key, index)
      fields.push(index, version)
    }
    fields.push(member.put.length)
    for (const row of member.put) fields.push(row.kind, row.id, row.body, ...row.columns)
    fields.push(member.once.length)
    for (const { name, space, value, until } of member.once) fields.push(name, space, value, until)
    fields.push(member.records.length)
    for (const { bytes, at, kind, agent, tool, owner, jti, opened } of member.records) {
      fields.push(bytes.length, at, kind, agent, tool, owner, jti, opened.length)
      for (const { hash, salt, text } of opened) fields.push(hash, salt, text)
      total += bytes.length + LEAF_BYTES
    }
  }
  const bytes = new Uint8Array(total)
  let end = 0
  for (const { records } of members) {
    for (const record of records) {
      bytes.set(record.bytes, end)
      bytes.set(record.leaf, end + record.bytes.length)
      end += record.bytes.length + LEAF_BYTES
    }
  }
  return { fields: [keys.size, ...keys.keys(), ...fields], bytes }
}

export function unpackGroup({ fields, bytes }: GroupMessage): Group {
  let at = 0
  let end = 0
  const text = () => fields[at++] as string
  const number = () => fields[at++] as number
  const optional = () => fields[at++] as string | null
  const list = <T>(item: () => T): T[] => Array.from({ length: number() }, item)
  const piece = (length: number) => {
    end += length
    return bytes.subarray(end - length, end)
  }

  const keys = list(() => {
    const key = text() as Key
    const { kind, id } = partsOf(key)
    return { key, kind, id: columnText(id) }
  })
  const now = number()
  const size = number()
  const members = list(
    (): Prepared => ({
      id: text(),
      at: number(),
      notAfter: fields[at++] as number | null,
      setsTime: number() === 1,
      keys: text(),
      expect: list(() => ({ ...keys[number()]!, version: number() })),
      put: list(() => {
        const kind = text() as Kind
        return { kind, id: text(), body: text(), columns: columnsOf(kind).map(() => fields[at++] as ColumnValue) }
      }),
      once: list(() => ({ name: text(), space: text(), value: text(), until: number() })),
      records: list(() => {
        const length = number()
        return {
          bytes: piece(length),
          leaf: piece(LEAF_BYTES),
          at: number(),
          kind: text(),
          agent: optional(),
          tool: optional(),
          owner: optional(),
          jti: optional(),
          opened: list(() => ({ hash: text(), salt: text(), text: text() })),
        }
      }),
    }),
  )
  return { members, now, size }
}
