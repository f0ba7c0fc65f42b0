// One group of members as one call, and what came of it. A member is refused by data, never by an exception; only a
// whole group fails.

import type { Outcome } from '../../../actions/ports.ts'
import type { Instant, Seq } from '../../../core/model.ts'
import type { Prepared } from '../prepare.ts'
import { columnsOf, columnText } from '../rows.ts'
import { type Line, QueryError } from './connections.ts'

export type Group = {
  readonly members: readonly Prepared[]
  readonly now: Instant
  /** The log's size and the leaf of its last record as memory has them: a log that differs is not written to. */
  readonly known: Seq
  readonly tail: Uint8Array | null
}

export type GroupResult =
  | {
      readonly ok: true
      readonly outcomes: readonly Outcome[]
      /** The log's size after the group. */
      readonly size: Seq
    }
  /** busy, failed: nothing of it stands. in doubt: it may stand, or come to stand, until it is settled. */
  | { readonly ok: false; readonly why: 'busy' | 'failed' | 'in doubt' | 'differs'; readonly error: string }

export type Writer = {
  commitGroup(group: Group): Promise<GroupResult>
  /** Proves that something can be written, and fixes what became of these commits. Throws QueryError. */
  settle(ids: readonly string[], now: Instant): Promise<void>
}

type Told =
  | Seq
  | readonly [Seq, Seq]
  | readonly [null, null]
  | { readonly why: (Outcome & { ok: false })['why']; readonly keys: readonly number[] }
type Answer = { readonly differs: Seq } | { readonly size: Seq; readonly outcomes: readonly Told[] }

/** lock_not_available, deadlock_detected, serialization_failure: others were at it. */
const BUSY = new Set(['55P03', '40P01', '40001'])

export function createWriter(line: Line, channel: string, skewMs: number): Writer {
  return {
    async commitGroup({ members, now, known, tail }) {
      const { group, bytes, leaves } = encode(members)
      try {
        const [row] = await line.query<{ answer: string }>({
          name: 'commit',
          text: 'select hallpass_commit($1, $2, $3, $4, $5, $6, $7, $8) as answer',
          values: [channel, known, tail, now, skewMs, group, bytes, leaves],
        })
        const answer: Answer = JSON.parse(row?.answer ?? 'null')
        if ('differs' in answer) {
          const error = `the log has ${answer.differs} records where memory has ${known}, or others in their place`
          return { ok: false, why: 'differs', error }
        }
        return {
          ok: true,
          size: answer.size,
          outcomes: members.map((member, index) => outcomeOf(member, answer.outcomes[index])),
        }
      } catch (thrown) {
        if (!(thrown instanceof QueryError)) throw thrown
        const error = `${thrown.code} ${thrown.message}`.trim()
        if (thrown.why === 'lost') return { ok: false, why: 'in doubt', error }
        return { ok: false, why: BUSY.has(thrown.code) ? 'busy' : 'failed', error }
      }
    },
    async settle(ids, now) {
      await line.query({ text: 'select hallpass_settle($1, $2)', values: [ids.map(columnText), now] })
    },
  }
}

function outcomeOf(member: Prepared, answer: Told | undefined): Outcome {
  if (typeof answer === 'number') return { ok: true, first: answer, last: answer + member.records.length - 1 }
  if (answer === undefined) throw new Error(`the database says nothing of commit ${member.id}`)
  if (!('why' in answer)) {
    const [first, last] = answer
    // It was settled as never while it was in doubt: whoever asks again looks again.
    return first === null ? { ok: false, why: 'stale', keys: [] } : { ok: true, first, last }
  }
  const names = answer.why === 'stale' ? member.expect.map(({ key }) => key) : member.once.map(({ name }) => name)
  return { ok: false, why: answer.why, keys: answer.keys.map((index) => names[index] ?? '') }
}

/** All text goes as JSON, in which no member's text can fail; what the log holds goes as bytes. */
function encode(members: readonly Prepared[]): { group: string; bytes: Buffer; leaves: Buffer } {
  const records: object[] = []
  const opened: object[] = []
  const chunks: Uint8Array[] = []
  const leaves: Uint8Array[] = []
  let start = 1
  members.forEach((member, n) => {
    member.records.forEach((record, k) => {
      const { kind, at, agent, tool, owner, jti, bytes } = record
      const texts = { kind: columnText(kind), agent, tool, jti, owner: owner === null ? null : columnText(owner) }
      records.push({ n, k, i: chunks.length, start, length: bytes.length, at, ...texts })
      for (const { hash, salt, text } of record.opened) {
        const about = hash === owner ? columnText(text) : null
        opened.push({ n, k, hash: columnText(hash), opening: JSON.stringify([hash, salt, text]), owner: about })
      }
      chunks.push(bytes)
      leaves.push(record.leaf)
      start += bytes.length
    })
  })
  const group = JSON.stringify({
    members: members.map(({ id, at, notAfter, setsTime, records: { length: count }, put }, n) => ({
      n,
      id,
      at,
      not_after: notAfter,
      sets_time: setsTime,
      count,
      kinds: put.map(({ kind }) => kind),
      ids: put.map((row) => row.id),
    })),
    expect: members.flatMap((member, n) =>
      member.expect.map(({ kind, id, version }, i) => ({ n, i, kind, id, version })),
    ),
    once: members.flatMap((member, n) => {
      const seen = new Set<string>()
      return member.once.map(({ space, value, until }, i) => {
        const name = `${space}\0${value}`
        const again = seen.has(name)
        seen.add(name)
        return { n, i, space, value, until, again, at: member.at }
      })
    }),
    put: members.flatMap((member, n) => {
      // Written twice by one member, the later counts: one statement writes a row once.
      const rows = new Map(member.put.map((row) => [`${row.kind}/${row.id}`, row]))
      return Array.from(rows.values(), ({ kind, id, body, columns }) => {
        const row: Record<string, unknown> = { n, count: member.records.length, kind, id, body }
        columnsOf(kind).forEach((column, index) => {
          row[column] = columns[index]
        })
        return row
      })
    }),
    records,
    opened,
  })
  return { group, bytes: Buffer.concat(chunks), leaves: Buffer.concat(leaves) }
}
