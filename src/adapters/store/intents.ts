// What was taken away and could not be written to the database, in a file whose room was taken ahead of need (S17). The
// next start writes it first. What is torn or foreign in it is not there; what is in it twice is committed once.

import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import type { Log, Member } from '../../actions/ports.ts'
import type { Key } from '../../core/model.ts'
import { preallocate } from './preallocate.ts'

export type Intents = {
  /** In the order they were kept. */
  read(): readonly Member[]
  /** True once it is on the disk; false where it cannot be put there. */
  keep(member: Member): Promise<boolean>
  /** All of them are in the database. */
  clear(): Promise<void>
}

/** `HPINTENT`, length of the body as 4 bytes, its SHA-256, the body. */
const MAGIC = Buffer.from('HPINTENT')
const HEADER = MAGIC.length + 4 + 32

export async function openIntents(path: string, bytes: number, log?: Log): Promise<Intents> {
  if (!existsSync(path)) {
    await preallocate(path, bytes).catch((thrown: unknown) =>
      log?.warn({ error: String(thrown) }, 'there is no room to keep what cannot be committed'),
    )
  }
  const { members, end: kept } = existsSync(path) ? parse(readFileSync(path)) : { members: [], end: 0 }
  let end = kept
  let turn: Promise<unknown> = Promise.resolve()

  /** One after another: what is kept while the rest is cleared must not be cleared with it. */
  function change(work: (file: FileHandle) => Promise<unknown>): Promise<boolean> {
    const done = turn.then(() => changeNow(work))
    turn = done
    return done
  }

  async function changeNow(work: (file: FileHandle) => Promise<unknown>): Promise<boolean> {
    try {
      const file = await open(path, 'r+')
      try {
        await work(file)
        await file.sync()
      } finally {
        await file.close()
      }
      return true
    } catch (thrown) {
      log?.error({ error: String(thrown) }, 'the file of what cannot be committed failed')
      return false
    }
  }

  return {
    read: () => members,
    async keep(member) {
      const entry = encode(member)
      // Never past what was taken ahead: beyond it there may be no room.
      if (end + entry.length > bytes) return false
      const at = end
      end += entry.length
      return change((file) => file.write(entry, 0, entry.length, at))
    },
    async clear() {
      const used = end
      end = 0
      if (used > 0) await change((file) => file.write(Buffer.alloc(used), 0, used, 0))
    },
  }
}

function parse(file: Buffer): { readonly members: readonly Member[]; readonly end: number } {
  const members: Member[] = []
  let at = 0
  while (at + HEADER <= file.length && file.subarray(at, at + MAGIC.length).equals(MAGIC)) {
    const length = file.readUInt32BE(at + MAGIC.length)
    const hash = file.subarray(at + MAGIC.length + 4, at + HEADER)
    const body = file.subarray(at + HEADER, at + HEADER + length)
    if (body.length !== length || !sha256(body).equals(hash)) break
    members.push(decode(body))
    at += HEADER + length
  }
  return { members, end: at }
}

type Stored = Omit<Member, 'expect' | 'records'> & {
  readonly expect: readonly (readonly [Key, number])[]
  readonly records: readonly (Omit<Member['records'][number], 'bytes' | 'leaf'> & { bytes: string; leaf: string })[]
}

function encode(member: Member): Buffer {
  const stored: Stored = {
    ...member,
    expect: [...member.expect],
    records: member.records.map((record) => ({
      ...record,
      bytes: Buffer.from(record.bytes).toString('base64'),
      leaf: Buffer.from(record.leaf).toString('base64'),
    })),
  }
  const body = Buffer.from(JSON.stringify(stored))
  const length = Buffer.alloc(4)
  length.writeUInt32BE(body.length)
  return Buffer.concat([MAGIC, length, sha256(body), body])
}

function decode(body: Buffer): Member {
  const stored: Stored = JSON.parse(body.toString())
  const [first, ...rest] = stored.records.map((record) => ({
    ...record,
    bytes: new Uint8Array(Buffer.from(record.bytes, 'base64')),
    leaf: new Uint8Array(Buffer.from(record.leaf, 'base64')),
  }))
  if (first === undefined) throw new Error(`the intent ${stored.id} has no record`)
  return { ...stored, expect: new Map(stored.expect), records: [first, ...rest] }
}

const sha256 = (bytes: Buffer): Buffer => createHash('sha256').update(bytes).digest()
