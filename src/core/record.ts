// One audit record: from what an action says to the bytes that enter the log, and back to what a reader sees.
// A record that does not fit its kind is a fault of the program and throws. No secret belongs in a record.
import { z } from 'zod'
import { canonicalJson, type Json } from './canonical.ts'
import { leafHash } from './merkle.ts'
import { conceal, concealedKey, mapConcealed, type Opened, opens, personal } from './personal.ts'
import { actor, RECORD_KINDS, type RecordBody, type RecordKind, requestId, subject, time } from './record-kinds.ts'

export { type Opened, personal } from './personal.ts'
export { RECORD_KINDS, type RecordKind } from './record-kinds.ts'

/** What tlog-tiles can carry as one entry (its 16-bit length). Bytes. */
const MAX_RECORD_BYTES = 65_535

export type Actor = z.input<typeof actor>
export type Subject = z.input<typeof subject>

/**
 * A record as an action writes it. `at` is {@link rfc3339}; `request` is the id of the call it came in with. An e-mail
 * as `actor.id` and whatever is `subject.owner` become personal; in a body the action says so itself.
 */
export type AuditRecord = {
  [K in RecordKind]: {
    readonly v: 1
    readonly kind: K
    readonly at: string
    readonly actor: Actor
    readonly subject: Subject
    readonly request: string | null
    readonly body: RecordBody<K>
  }
}[RecordKind]

/** A record ready to be committed. The fields beside the bytes are for finding it and can be made from them again. */
export type Sealed = {
  /** RFC 8785 bytes: what the log holds. */
  readonly bytes: Uint8Array
  readonly leaf: Uint8Array
  readonly kind: RecordKind
  readonly at: string
  readonly agent: string | null
  readonly tool: string | null
  readonly jti: string | null
  /** Key into `opened` of the owner it is about, else of the person who acted. */
  readonly ownerHash: string | null
  /** Personal texts, kept beside the log. Deleting one leaves the log whole. */
  readonly opened: Opened
}

/** A record as a reader sees it: personal texts back in place, `[erased]` where one is gone. */
export type RevealedRecord = {
  readonly v: number
  readonly kind: string
  readonly at: string
  readonly actor: { readonly type: string; readonly id: string }
  readonly subject: Readonly<Record<string, string>>
  readonly request: string | null
  readonly body: { readonly [key: string]: Json }
}

/** An instant in milliseconds since the epoch, as records write it: RFC 3339, UTC, milliseconds. */
export const rfc3339 = (epochMilliseconds: number): string => new Date(epochMilliseconds).toISOString()

const envelopes: ReadonlyMap<RecordKind, z.ZodType> = new Map(
  (Object.keys(RECORD_KINDS) as RecordKind[]).map((kind) => [
    kind,
    z.strictObject({
      v: z.literal(1),
      kind: z.literal(kind),
      at: time,
      actor,
      subject,
      request: requestId,
      body: RECORD_KINDS[kind].body,
    }),
  ]),
)

const encoder = new TextEncoder()

/**
 * Checks a record against its kind, replaces personal texts by salted hashes, and fixes its bytes and leaf hash.
 * `newSalt` gives 16 random bytes, asked for once a text.
 * @throws Error where the record does not fit its kind, or is longer than 65,535 bytes.
 */
export function seal(record: AuditRecord, newSalt: () => Uint8Array): Sealed {
  const envelope = envelopes.get(record.kind)
  if (envelope === undefined) throw new Error(`there is no record kind ${record.kind}`)
  const checked = envelope.safeParse(record)
  if (!checked.success) throw new Error(`not a ${record.kind} record: ${z.prettifyError(checked.error)}`)
  const { value, opened } = conceal({ ...record, ...withPersons(record) }, newSalt)
  // Its own memory, not Buffer's shared pool: the bytes are sent to the writer's thread.
  const bytes = encoder.encode(canonicalJson(value))
  if (bytes.length > MAX_RECORD_BYTES) throw new Error(`a ${record.kind} record of ${bytes.length} bytes is too long`)
  const stored = value as { readonly actor: { readonly id: Json }; readonly subject: { readonly owner?: Json } }
  return {
    bytes,
    leaf: leafHash(bytes),
    kind: record.kind,
    at: record.at,
    agent: record.subject.agent ?? null,
    tool: record.subject.tool ?? null,
    jti: record.subject.credential ?? null,
    ownerHash: concealedKey(stored.subject.owner) ?? concealedKey(stored.actor.id),
    opened,
  }
}

/**
 * What the bytes say, with the texts that are still there. A text that is gone shows as `[erased]`; one that is not
 * what the log holds the hash of shows as `[altered]`. The bytes are the log's own: throws where they are not JSON.
 */
export function reveal(bytes: Uint8Array, opened: Opened): RevealedRecord {
  const stored: Json = JSON.parse(Buffer.from(bytes).toString('utf8'))
  return mapConcealed(stored, (key) => {
    const opening = Object.hasOwn(opened, key) ? opened[key] : undefined
    if (opening === undefined) return '[erased]'
    return opens(key, opening) ? opening.text : '[altered]'
  }) as RevealedRecord
}

function withPersons({ actor: { type, id }, subject: { owner, ...rest } }: AuditRecord) {
  return {
    actor: { type, id: typeof id === 'string' && id.includes('@') ? personal(id) : id },
    subject: { ...rest, owner: typeof owner === 'string' ? personal(owner) : owner },
  }
}
