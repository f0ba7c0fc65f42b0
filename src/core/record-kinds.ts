// The closed list of what the trail can say: every kind of record, when it is written, and the shape of its body.
// To add a kind, add a row. E-mails and free text are always `freeText` or `person`, never a plain string.
import { z } from 'zod'
import { CALL_ENDS } from './call-end.ts'
import { DRIFTS, DRILL_OUTCOMES } from './drift.ts'
import { INSPECTED } from './inspected.ts'
import { LINK_ANSWERS } from './link-answer.ts'
import { APPROVAL_LEVELS, DELIVERIES, VERIFIED_BY } from './manifest.ts'
import { Personal } from './personal.ts'
import { PROBLEM_CODES } from './problem.ts'

/** An identifier or other short plain text: never an e-mail address, never what a person wrote. */
const word = z.string().min(1).max(256)
const url = z.string().min(1).max(2048)
const id = word.refine((text) => !text.includes('@'), 'an e-mail address must be personal')
/** SHA-256, hex or base64url. */
const sha256 = z.string().regex(/^([0-9a-f]{64}|[A-Za-z0-9_-]{43})$/)
const count = z.int().nonnegative()
const seconds = z.int().nonnegative()
/** RFC 3339 in UTC with milliseconds; `rfc3339` in record.ts writes it. */
export const time = z.string().regex(/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/)
const freeText = z.instanceof(Personal)
const person = z.instanceof(Personal)
const scopes = z.array(word).max(256)
const details = z.record(z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/), z.array(word).max(256))
const approvalLevel = z.enum(APPROVAL_LEVELS)
const delivery = z.enum(DELIVERIES)
const code = z.enum(PROBLEM_CODES)
/** Why something ended, in the words of the act that ended it: `session revoked`, `locked`, `narrowed`, … */
const because = word
const keyUse = z.enum(['tokens', 'audit'])
const bearerKind = z.enum(['owner', 'admin', 'auditor', 'publisher', 'verifier'])
/** One part of authority (S1) and its digests; null is "not there". */
const change = { slice: word, before: sha256.nullable(), after: sha256.nullable() }
const asked = { scopes, details, durationSeconds: seconds }
const ended = { because, reason: freeText.optional() }

const kind = <S extends z.ZodType>(says: string, body: S) => ({ says, body })
const none = z.strictObject({})

export const RECORD_KINDS = {
  'installation.initialized': kind(
    'A store was made and its first manifest set accepted (S6).',
    z.strictObject({ owner: person, revision: word, issuer: url }),
  ),
  'revision.proposed': kind(
    'A manifest set was put forward; nothing it widens is in force.',
    z.strictObject({
      revision: word,
      digest: sha256,
      base: sha256.nullable(),
      source: z.enum(['init', 'watch', 'push']),
      narrowings: count,
      widenings: count,
    }),
  ),
  'revision.in_force': kind(
    'A revision is in force, what it widens left out. `diff` is its first 200 lines, `narrowings` counts all.',
    z.strictObject({
      revision: word,
      digest: sha256,
      replaced: word.nullable(),
      narrowings: count,
      waiting: count,
      diff: z.array(freeText).max(200).optional(),
    }),
  ),
  'widening.accepted': kind(
    'One widening was accepted by one who may (S1, S2), for exactly these digests (S3).',
    z.strictObject({ revision: word, widening: word, ...change, reason: freeText.optional() }),
  ),
  'widening.declined': kind(
    'One widening was declined.',
    z.strictObject({ revision: word, widening: word, ...change, reason: freeText.optional() }),
  ),
  'widening.voided': kind(
    'A widening can no longer be accepted, because its slice moved (S3).',
    z.strictObject({ revision: word, widening: word, slice: word, because }),
  ),
  'agent.proved': kind(
    'An agent proved its key without opening a session: for a revocation, or beside the session of an exchange.',
    z.strictObject({ kid: word }),
  ),
  'session.opened': kind('An agent proved itself.', z.strictObject({ kid: word, expiresAt: time })),
  'session.revoked': kind('A session ended before its time, and what rests on it (S11).', z.strictObject(ended)),
  'request.made': kind(
    'An agent asked. `binds` is the hash that an approval must name (S8).',
    z.strictObject({
      ...asked,
      reason: freeText,
      delivery,
      approval: approvalLevel,
      entitlement: sha256,
      revision: word,
      binds: sha256,
      expiresAt: time,
    }),
  ),
  'request.shown': kind(
    "The agent's client showed a request's link to whoever sits there. Whatever they answered approves nothing (P4).",
    z.strictObject({ answer: z.enum(LINK_ANSWERS) }),
  ),
  'request.approved': kind(
    'An owner said yes to exactly this, which may be less than was asked (S8).',
    z.strictObject({
      ...asked,
      approvalId: word,
      approver: person,
      level: approvalLevel,
      binds: sha256,
      reason: freeText.optional(),
    }),
  ),
  'request.denied': kind('An owner said no.', z.strictObject({ approver: person, reason: freeText.optional() })),
  'request.withdrawn': kind('A request was taken back before it was settled.', z.strictObject({ because })),
  'grant.made': kind(
    'An agent may mint under this until it ends. `approvalId` is null where the manifest asks for no approval.',
    z.strictObject({
      scopes,
      details,
      delivery,
      entitlement: sha256,
      revision: word,
      approvalId: word.nullable(),
      expiresAt: time,
    }),
  ),
  'grant.superseded': kind(
    'No single entitlement in force covers the grant any more (S9).',
    z.strictObject({ because, revision: word }),
  ),
  'grant.revoked': kind('A grant was taken away.', z.strictObject(ended)),
  'grant.released': kind('An agent gave its grant back.', none),
  'credential.issued': kind(
    'A credential was minted; written before it left (P1). `subject.credential` is its jti, and never the token.',
    z.strictObject({
      claimsHash: sha256,
      resource: url,
      scopes,
      details,
      expiresAt: time,
      delivery,
      approvalId: word.nullable(),
      manifest: word,
    }),
  ),
  'credential.revoked': kind('A credential was taken away.', z.strictObject(ended)),
  'account.planned': kind(
    'A tool is about to be asked for an account: written before the call (P9).',
    z.strictObject({ name: word, rights: z.array(word).max(256), url, until: time }),
  ),
  'account.created': kind(
    'The account is there with exactly its rights, as the tool was asked again. `secretHash` is that of its secret.',
    z.strictObject({ name: word, secretHash: sha256, afterMilliseconds: count }),
  ),
  'account.leaving': kind(
    'An account must go; the tool is asked until it has.',
    z.strictObject({ name: word, because }),
  ),
  'account.removed': kind(
    'An account is gone: removed, read back, and its secret tried in vain. Null: it had none that was known here.',
    z.strictObject({
      name: word,
      attempts: count,
      removedAfterMilliseconds: count,
      readBackAfterMilliseconds: count,
      probedAfterMilliseconds: count.nullable(),
    }),
  ),
  'account.failed': kind(
    'A call to a tool about an account failed. Of one that is leaving: written at the 1st, 2nd, 4th, 8th … failure.',
    z.strictObject({
      name: word,
      doing: z.enum(['create', 'remove', 'look', 'probe']),
      why: word,
      attempts: count,
      detail: freeText.optional(),
    }),
  ),
  'tool.called': kind(
    'An agent calls a tool through the broker: written before the tool sees it (P1). `target` is the path, and the names of the query alone; of method `tools/call` (MCP), the name of the tool there.',
    z.strictObject({ method: word, target: freeText, scope: word }),
  ),
  'tool.answered': kind(
    'What became of a call, by the `request` that both records carry. Null: the tool said nothing.',
    z.strictObject({
      status: count.nullable(),
      ended: z.enum(CALL_ENDS),
      sentBytes: count,
      receivedBytes: count,
      afterMilliseconds: count,
    }),
  ),
  'definition.offered': kind(
    'An upstream MCP server says of a tool what nobody accepted yet: agents neither see nor call it. Null: it was never accepted.',
    z.strictObject({
      name: word,
      digest: sha256,
      pinned: sha256.nullable(),
      because: z.enum(['new', 'changed', 'another server', 'not fit to be shown']),
    }),
  ),
  'definition.pinned': kind(
    'Somebody accepted what an upstream MCP server says of a tool: agents are shown this and nothing else.',
    z.strictObject({ name: word, digest: sha256, before: sha256.nullable() }),
  ),
  'definition.withdrawn': kind(
    'Somebody took back what was accepted of a tool of an upstream MCP server: agents see and call it no longer.',
    z.strictObject({ name: word, before: sha256, reason: freeText.optional() }),
  ),
  'tool.drift': kind(
    'A tool holds something else than it should, first seen now. `name` and `rights` are in its own words.',
    z.strictObject({
      finding: z.enum(DRIFTS),
      name: freeText,
      account: word.optional(),
      rights: z.array(freeText).max(256).optional(),
      did: z.enum(['reported', 'removed', 'healed', 'failed']),
      detail: freeText.optional(),
    }),
  ),
  'tool.drilled': kind(
    'A canary account was made in a tool, used, taken away and tried until it was dead. Null: it did not come to that.',
    z.strictObject({
      name: word,
      scope: word,
      outcome: z.enum(DRILL_OUTCOMES),
      provisionMilliseconds: count.nullable(),
      firstUseMilliseconds: count.nullable(),
      deadAfterMilliseconds: count.nullable(),
    }),
  ),
  refusal: kind(
    'An authenticated caller was refused; `detail` is the precise reason (P8).',
    z.strictObject({ code, detail: freeText.optional(), route: word.optional(), scopes: scopes.optional() }),
  ),
  'refusals.counted': kind(
    'One caller was refused for one reason this many more times.',
    z.strictObject({ code, count, from: time, until: time, route: word.optional() }),
  ),
  'strangers.counted': kind(
    'Callers who proved nothing were refused this often, by problem code (S17).',
    z.strictObject({ count, from: time, until: time, codes: z.partialRecord(code, count).optional() }),
  ),
  'lock.set': kind(
    'Nothing is decided, minted or accepted for the target while this stands (S12).',
    z.strictObject({
      target: z.enum(['agent', 'tool', 'owner', 'everything']),
      reason: freeText,
      until: time.nullable(),
      revokeGrants: z.boolean(),
    }),
  ),
  'lock.lifted': kind(
    'A lock was taken off; it revives no credential.',
    z.strictObject({ reason: freeText.optional() }),
  ),
  'agent.decommissioning': kind(
    'From here every decision for the agent refuses (P6).',
    z.strictObject({ reason: freeText.optional() }),
  ),
  'agent.decommissioned': kind('Every taking-away of the agent is confirmed.', z.strictObject({ revocation: word })),
  'revocation.confirmed': kind(
    'One tool, or one account in it, is known to be dead to the credential (S15).',
    z.strictObject({
      by: z.enum([...VERIFIED_BY, 'target']),
      how: word,
      account: word.optional(),
      credentials: count.optional(),
      afterMilliseconds: count,
    }),
  ),
  'revocation.complete': kind(
    'All that one act took away is confirmed; its receipt is whole.',
    z.strictObject({ confirmed: count, afterMilliseconds: count }),
  ),
  'revocation.outstanding': kind(
    'A confirmation is late, and is still being tried for (P5).',
    z.strictObject({ since: time, deadline: time, account: word.optional(), detail: freeText.optional() }),
  ),
  'rows.followed': kind(
    'Rows that were dead by judgement were brought up to date, in one chunk.',
    z.strictObject({ rows: word, count, because: word.optional() }),
  ),
  'bearer.made': kind(
    'A bearer token was made (S10); shown once, kept as a hash.',
    z.strictObject({ bearer: word, kind: bearerKind, holder: z.union([person, id]), expiresAt: time }),
  ),
  'bearer.revoked': kind('A bearer token was taken away.', z.strictObject({ bearer: word, ...ended })),
  'token.inspected': kind(
    'Somebody asked what a found token is; never the token. `nothing`: it is none that is known here.',
    z.strictObject({ found: z.enum(INSPECTED), bearer: word.optional() }),
  ),
  'key.created': kind(
    'A key exists and is published; it does not sign yet.',
    z.strictObject({ kid: word, alg: word, use: keyUse }),
  ),
  'key.rotated': kind(
    'A key signs from here on; the one before it only verifies.',
    z.strictObject({ kid: word, alg: word, use: keyUse, replaces: word.nullable() }),
  ),
  'key.retired': kind(
    'A key verifies nothing any more.',
    z.strictObject({ kid: word, use: keyUse, because, reason: freeText.optional() }),
  ),
  'clock.reset': kind(
    "The highest time seen was lowered to this record's; all sessions and credentials ended, grants too where one was made later than that (S18).",
    z.strictObject({ highest: time, grantsToo: z.boolean() }),
  ),
  'audit.exported': kind(
    'Records left the house: of the log of `records`, all of them or those that `filter` names.',
    z.strictObject({
      from: count,
      records: count,
      filter: z
        .strictObject({
          agent: id.optional(),
          tool: id.optional(),
          owner: person.optional(),
          jti: id.optional(),
          kind: word.optional(),
          since: time.optional(),
          until: time.optional(),
        })
        .optional(),
    }),
  ),
  'server.started': kind(
    'A broker started on this store.',
    z.strictObject({ version: word, node: word, records: count }),
  ),
  'manifest.rejected': kind(
    'A manifest set did not parse, so nothing changed. `faults` lists the first 20, `count` counts all.',
    z.strictObject({
      count,
      faults: z.array(z.strictObject({ file: freeText, line: count, column: count, message: freeText })).max(20),
    }),
  ),
  'authority.orphaned': kind(
    'Nobody is left who may decide for this; `fallback` says who may now (S2).',
    z.strictObject({ of: z.enum(['agent', 'tool', 'team']), name: word, fallback: word }),
  ),
} as const

export type RecordKind = keyof typeof RECORD_KINDS

/** What a record of this kind says beside who did it to what. */
export type RecordBody<K extends RecordKind> = z.input<(typeof RECORD_KINDS)[K]['body']>

export const actor = z.strictObject({
  type: z.enum(['agent', 'owner', 'admin', 'auditor', 'publisher', 'verifier', 'operator', 'system', 'stranger']),
  /** An e-mail address becomes personal by itself. */
  id: z.union([word, person]),
})

/** What the record is about; `credential` is a jti, `request` an access request. */
export const subject = z.strictObject({
  agent: id.optional(),
  tool: id.optional(),
  session: id.optional(),
  request: id.optional(),
  grant: id.optional(),
  credential: id.optional(),
  account: id.optional(),
  /** Always personal, however it is written. */
  owner: z.union([word, person]).optional(),
  lock: id.optional(),
  revision: id.optional(),
  revocation: id.optional(),
})

/** The HTTP request, MCP call or command that the act came in with. */
export const requestId = id.nullable()
