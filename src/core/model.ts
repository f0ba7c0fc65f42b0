// What the store holds: one row type a noun. Rows say what happened; whether something is alive is judged at each
// use from all of them (judge.ts) and never written into one row (STORE rule 4).

import type { ApprovalLevel, Delivery, Details, TargetConnection, TokenAlg, VerifiedBy } from './manifest.ts'
import type { SliceValue } from './slice.ts'

/** Milliseconds since the Unix epoch. */
export type Instant = number

/** Position in the audit log: dense, from 0. A row's version is the last one of the commit that wrote it. */
export type Seq = number

/** Counters that only rise. What was born under a lower `epoch` (or, for grants, `grantEpoch`) is dead. */
export type Epochs = { readonly epoch: number; readonly grantEpoch: number }

/**
 * What a lock can stand on. The standing locks are kept in the row, so that setting or lifting one is a change of the
 * row that every decision asserts (STORE rule 1); one past its `until` no longer counts.
 */
export type Lockable = Epochs & {
  readonly locks: readonly {
    readonly id: string
    readonly until: Instant | null
    /** Who set it and when, for whoever is refused: a role, never a name. Absent from locks of a version before. */
    readonly by?: 'owner' | 'admin' | 'operator'
    readonly since?: Instant
  }[]
  /** When `epoch` last rose; 0 is never. Guards are told to refuse what was issued at or before it. */
  readonly epochAt: Instant
}

export type Installation = Lockable & {
  readonly id: 'self'
  readonly initializedAt: Instant | null
  /** Digest of the manifest set last applied. */
  readonly revision: string | null
  /** Our own keys that were withdrawn (S19): what they signed is dead. Absent: none. */
  readonly withdrawn?: readonly { readonly kid: string; readonly at: Instant }[]
}

export type AgentState = 'active' | 'decommissioning' | 'decommissioned'

/** Exists from the first time the name was in force, for ever (S4). */
export type Agent = Lockable & {
  readonly id: string
  readonly state: AgentState
  /** Confusable skeleton of the name; barred with it once decommissioned (S4). */
  readonly skeleton: string
  readonly decommission: string | null
}

/** A tool's name, for ever; what it is at present is the slice `tool/NAME`. */
export type Tool = Lockable & { readonly id: string }

/** A person by lower-case e-mail: exists once something (a lock, an approval) had to remember them. */
export type Person = Lockable & { readonly id: string }

/** One unit of authority in force (S1). Ids: `agent/NAME`, `access/AGENT/TOOL`, `team/NAME`, `tool/NAME`. */
export type Slice = {
  readonly id: string
  /** Null: once in force, now gone. */
  readonly value: SliceValue | null
  readonly digest: string
  /**
   * What was in force before a document that it rests on went away; resumed by identical documents until then (S3).
   * `document` is the canonical JSON of `Kind/name` → digest, of all that it rests on.
   */
  readonly resumable: { readonly document: string; readonly value: SliceValue; readonly until: Instant } | null
}

export type RevisionState = 'proposed' | 'in force' | 'replaced'

export type Revision = {
  readonly id: string
  /** Of the manifest set. */
  readonly digest: string
  /** Digest of the set it was made from. */
  readonly base: string | null
  readonly proposedBy: string
  readonly proposedAt: Instant
  readonly state: RevisionState
  readonly narrowings: readonly string[]
  readonly warnings: readonly string[]
  /** What the next revision is read against: absent in rows that nobody applies on. */
  readonly remembers?: Remembered
}

/** What outlives a document: what it said last (S3), and names that may be referred to though they are gone (P3). */
export type Remembered = {
  /** `Kind/name` → digest of the document, of this revision's set. */
  readonly documents: Readonly<Record<string, string>>
  readonly roles: readonly string[]
  /** Tool → scopes, and details keys, that it ever had in force. */
  readonly scopes: Readonly<Record<string, readonly string[]>>
  readonly details: Readonly<Record<string, readonly string[]>>
}

export type WideningState = 'waiting' | 'accepted' | 'declined' | 'void'

/** Who must accept a widening: one of the people listed, who were in force before the edit (S2). */
export type Need = {
  readonly as: 'owner of agent' | 'owner of tool' | 'member of team' | 'admin'
  /** The agent, tool or team; for an admin, the tool. */
  readonly of: string
  /** Lower-case e-mails; empty for `admin`. */
  readonly eligible: readonly string[]
}

export type Widening = {
  readonly id: string
  readonly revision: string
  /** Slice id. */
  readonly slice: string
  /** Digests of the slice's value before (in force) and after (proposed): the acceptance binds them (S3). */
  readonly before: string
  readonly after: string
  readonly to: SliceValue
  /** Readable lines, one a change: `+ scope ticket:close`. */
  readonly diff: readonly string[]
  readonly needs: readonly Need[]
  /** Index of the need → who met it. */
  readonly given: readonly { readonly need: number; readonly by: string; readonly at: Instant }[]
  readonly state: WideningState
  readonly decidedBy: string | null
  readonly decidedAt: Instant | null
  readonly createdAt: Instant
}

export type SessionState = 'open' | 'revoked'

export type Session = {
  readonly id: string
  readonly agent: string
  /** RFC 7638 thumbprint of the identity key that opened it. */
  readonly key: string
  /** Our key that its token is signed with. */
  readonly signedBy: string
  readonly openedAt: Instant
  readonly expiresAt: Instant
  readonly state: SessionState
  readonly revocation: string | null
  readonly born: { readonly agent: number; readonly installation: number }
}

export type RequestState = 'pending' | 'approved' | 'denied' | 'withdrawn'

/** What was asked, immutable: approving less makes another hash, not another request (S8). */
export type AccessRequest = {
  readonly id: string
  readonly agent: string
  readonly session: string
  readonly tool: string
  readonly scopes: readonly string[]
  readonly details: Details
  readonly durationSeconds: number
  readonly delivery: Delivery
  readonly entitlement: string
  readonly reason: string
  readonly words: string
  readonly hash: string
  /**
   * Its link was to be shown once at the agent's client: SHA-256, hex, of the state that the answer has to bring back, and
   * of what was asked. Absent: it was not.
   */
  readonly showing?: { readonly state: string; readonly ask: string }
  readonly createdAt: Instant
  readonly expiresAt: Instant
  readonly state: RequestState
  readonly decidedBy: string | null
  readonly decidedAt: Instant | null
  readonly decidedReason: string | null
  readonly grant: string | null
  readonly revocation: string | null
}

export type GrantState = 'active' | 'superseded' | 'revoked'

export type Grant = {
  readonly id: string
  readonly agent: string
  /** The session it was asked for in; revoking that session takes it (S11). */
  readonly session: string
  /** Of that session (RFC 7638 thumbprint): the grant goes with it (S11). Absent: made before this was kept. */
  readonly key?: string
  readonly request: string | null
  readonly tool: string
  readonly scopes: readonly string[]
  readonly details: Details
  readonly delivery: Delivery
  readonly entitlement: string
  /** What the agent asked for, seconds; an owner may have given less. */
  readonly askedSeconds: number
  /** How strictly it was approved, and by whom (e-mails). */
  readonly approval: ApprovalLevel
  readonly approvers: readonly string[]
  /** The hash that the approval bound (S8). */
  readonly approvedHash: string | null
  readonly createdAt: Instant
  readonly expiresAt: Instant
  readonly state: GrantState
  readonly revocation: string | null
  /** Grant epochs it was born under; `approvers` in their order. */
  readonly born: {
    readonly agent: number
    readonly tool: number
    readonly installation: number
    readonly approvers: readonly number[]
  }
}

export type CredentialState = 'issued' | 'revoked'

/** A minted token, by jti, or an account's secret as one mint handed it out; it is kept nowhere in the clear (P1, P7). */
export type Credential = {
  readonly id: string
  /** The account whose secret it is; absent: it is a token of ours. Then `kid` is empty and `claimsHash` the secret's. */
  readonly account?: string
  readonly agent: string
  readonly session: string
  readonly grant: string
  readonly tool: string
  readonly resource: string
  /** Of a proxy token: where it is good, and nowhere else (S13). Absent: at the tool's resource. */
  readonly audience?: string
  readonly scopes: readonly string[]
  readonly details: Details
  readonly kid: string
  readonly claimsHash: string
  readonly issuedAt: Instant
  readonly expiresAt: Instant
  readonly state: CredentialState
  readonly revocation: string | null
  /** Epochs it was born under; `approvers` in the order of the grant's. */
  readonly born: {
    readonly agent: number
    readonly tool: number
    readonly installation: number
    readonly approvers: readonly number[]
  }
}

export type AccountState = 'planned' | 'present' | 'leaving' | 'gone'

/**
 * One account in a tool, of one agent and grant: written before the tool is asked for it, and `gone` only once it was
 * read back, so that no crash forgets one (P9). Its next generation is planned only when the last is gone.
 */
export type Account = {
  /** `acc_` + the grant's id and the generation: a second intent for the same finds the first. */
  readonly id: string
  readonly agent: string
  readonly tool: string
  readonly grant: string
  readonly generation: number
  /** What the tool knows it by: deterministic, so that it is found after any crash. */
  readonly name: string
  /** Where it was made, whatever the tool's manifest says by now. */
  readonly target: TargetConnection
  readonly rights: readonly string[]
  /** The latest end of its credentials; past it the account goes. */
  readonly until: Instant
  readonly state: AccountState
  /** SHA-256 of its secret, hex, kept when it is gone: whose a secret is that is found somewhere. Absent: never known. */
  readonly secretHash?: string
  /** Its secret under the KEK, bound to this row (S19); null before it is known and once it is gone. */
  readonly sealed: string | null
  readonly external: string | null
  /** A create may still be carried out until then, so nothing that is read back counts before (S16). Null: its outcome is known. */
  readonly unsettledUntil: Instant | null
  readonly createdAt: Instant
  readonly leavingSince: Instant | null
  readonly because: string | null
  readonly revocation: string | null
  /** Of taking it away: how often it was tried in vain, and why last. */
  readonly attempts: number
  readonly lastFailure: string | null
  readonly removedAt: Instant | null
  readonly readBackAt: Instant | null
  /** Null: there was no secret to try, or the tool cannot be probed. */
  readonly probedAt: Instant | null
}

/** A definition as it was read, with what it was read from. */
export type SeenDefinition = {
  readonly digest: string
  /** Canonical JSON of it; null where it is not fit to be shown to a model, and `fault` says why. */
  readonly text: string | null
  readonly fault: string | null
  /** The server that said it: another one's words are another definition. */
  readonly place: string
  readonly at: Instant
}

/**
 * What an upstream MCP server says of one of its tools. Agents see `pinned`, and call it, while nothing else is offered:
 * whatever else the server says suspends it until somebody accepts that, be it that the server takes it back.
 */
export type Definition = {
  /** `TOOL/NAME`. */
  readonly id: string
  readonly tool: string
  /** The server's own name for it. */
  readonly name: string
  readonly pinned: (SeenDefinition & { readonly by: string; readonly pinnedAt: Instant }) | null
  readonly offered: SeenDefinition | null
}

export type DefinitionState = 'waiting' | 'pinned' | 'suspended'

/** Never written into the row: it follows from it. */
export const definitionState = ({ pinned, offered }: Definition): DefinitionState =>
  pinned === null ? 'waiting' : offered === null ? 'pinned' : 'suspended'

export type LockKind = 'agent' | 'tool' | 'owner' | 'everything'
export type LockState = 'standing' | 'lifted'

export type Lock = {
  readonly id: string
  readonly kind: LockKind
  /** Agent, tool or e-mail; `everything` for everything. */
  readonly name: string
  readonly reason: string
  /** `admin` locks are lifted by an admin alone (S7). */
  readonly by: { readonly role: 'admin' | 'operator' | 'owner'; readonly id: string }
  readonly setAt: Instant
  readonly until: Instant | null
  readonly state: LockState
  readonly liftedBy: string | null
  readonly liftedAt: Instant | null
  readonly revocation: string
}

export type RevocationState = 'open' | 'complete'
export type ActOfTakingAway =
  | 'session revoked'
  | 'grant revoked'
  | 'grant released'
  | 'credential revoked'
  | 'locked'
  | 'narrowed'
  | 'decommissioned'
  | 'request withdrawn'
  | 'key compromised'
  | 'clock reset'

/** What is known of one account's end; instants are null until then. */
export type AccountProof = Pick<Account, 'id' | 'name' | 'removedAt' | 'readBackAt' | 'probedAt'> & {
  readonly gone: boolean
  readonly lastFailure: string | null
}

/** What one tool's side must still confirm. */
export type Confirmation = {
  readonly tool: string
  /** `target`: accounts in the tool itself, which are read back and probed. */
  readonly verifiedBy: VerifiedBy | 'target'
  /** Of `target`: every account that the act took, or that was still leaving within its reach. */
  readonly accounts?: readonly AccountProof[]
  /** Credentials of this tool that it took and that were not yet expired. */
  readonly credentials: number
  /** The last instant at which one of them could still be accepted by a verifier that asks nobody: exp + leeway. */
  readonly deadAt: Instant
  /** How long one of them could live on from when this was written, counted in milliseconds that pass, not by a wall clock. */
  readonly livesMs?: number
  /** After this it is outstanding. */
  readonly deadline: Instant
  readonly confirmedAt: Instant | null
  /** In words: `introspection refuses`, `2 guards acknowledged 4812`, `expired`. */
  readonly how: string | null
}

/** One act of taking away; its id is the receipt's. */
export type Revocation = {
  readonly id: string
  readonly act: ActOfTakingAway
  /** What was taken: `agent/triage-bot`, `session/ses_…`, `everything`. */
  readonly target: string
  readonly agent: string | null
  readonly tool: string | null
  readonly by: string
  readonly reason: string | null
  /** Of an edit: the revision that it is. */
  readonly revision?: string
  readonly at: Instant
  /** Of the commit that took it: what guards must acknowledge. */
  readonly seq: Seq | null
  readonly state: RevocationState
  /** Where the rows lie that this act may have made dead; each is judged before it is marked. `{}` is everything. */
  readonly takes: readonly {
    readonly agent?: string
    readonly tool?: string
    readonly session?: string
    readonly grant?: string
    /** Grants that rest on this person's approval. */
    readonly approver?: string
  }[]
  /** Rows that this act made dead have all been marked, and `confirmations` is final in its list of tools. */
  readonly rowsFollowed: boolean
  readonly counts: {
    readonly sessions: number
    readonly requests: number
    readonly grants: number
    readonly credentials: number
  }
  readonly confirmations: readonly Confirmation[]
  readonly completedAt: Instant | null
}

export type BearerKind = 'owner' | 'admin' | 'auditor' | 'publisher' | 'verifier'

/** A bearer secret, by the hash of it; shown once, never stored (S10). */
export type Bearer = {
  readonly id: string
  readonly kind: BearerKind
  readonly hash: string
  /** E-mail of an owner or admin, or the verifier's tool. */
  readonly subject: string
  readonly madeBy: string
  readonly createdAt: Instant
  readonly expiresAt: Instant
  readonly revokedAt: Instant | null
}

export type KeyState = 'published' | 'signing' | 'retiring' | 'retired'

export type SigningKey = {
  /** RFC 7638 thumbprint. */
  readonly id: string
  readonly use: 'tokens' | 'audit'
  readonly alg: TokenAlg | 'Ed25519'
  readonly publicJwk: Readonly<Record<string, string>>
  /** AES-256-GCM under the KEK, bound to this row's id and use (S19); base64. */
  readonly sealed: string
  readonly createdAt: Instant
  readonly signsFrom: Instant
  /** Set when a newer key took over: no token of it lives past this. */
  readonly retiresAt: Instant | null
  readonly state: KeyState
}

/** What decides what an agent may do, kept as it was (see actions/history.ts). */
export const PAST_KINDS = ['installation', 'agent', 'tool', 'person', 'slice'] as const
export type PastKind = (typeof PAST_KINDS)[number]

/** One version of a row that is written over; never itself written over. */
export type Past = {
  /** Sorts by `at`. */
  readonly id: string
  /** The key of the row. */
  readonly of: string
  readonly at: Instant
  /** There was no such row before. */
  readonly isFirst: boolean
  readonly kept: { [K in PastKind]: { readonly kind: K; readonly row: Rows[K] } }[PastKind]
}

export type Rows = {
  installation: Installation
  agent: Agent
  tool: Tool
  person: Person
  slice: Slice
  revision: Revision
  widening: Widening
  session: Session
  request: AccessRequest
  grant: Grant
  credential: Credential
  account: Account
  definition: Definition
  lock: Lock
  revocation: Revocation
  bearer: Bearer
  key: SigningKey
  past: Past
}

export type Kind = keyof Rows
export type Key = `${Kind}/${string}`
export type Row = { [K in Kind]: { readonly kind: K; readonly row: Rows[K] } }[Kind]

export const NEW_LOCKABLE: Lockable = { epoch: 1, grantEpoch: 1, locks: [], epochAt: 0 }

/** The row with all credentials (and an agent's sessions) born so far dead, and its grants too where asked. */
export const raised = <R extends Lockable>(row: R, at: Instant, grantsToo: boolean): R => ({
  ...row,
  epoch: row.epoch + 1,
  epochAt: at,
  grantEpoch: row.grantEpoch + (grantsToo ? 1 : 0),
})

export const keyOf = (kind: Kind, id: string): Key => `${kind}/${id}`
