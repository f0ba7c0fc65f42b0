// What actions need of the outside, owned by those who use it. Adapters implement these; nothing here knows them.

import type { Finding } from '../core/drift.ts'
import type { TARGET } from '../core/limits.ts'
import type { ApprovalLevel, TargetConnection, TokenAlg, ToolMcp } from '../core/manifest.ts'
import type { ToolDefinition } from '../core/mcp-definition.ts'
import type { Instant, Key, Kind, Row, Rows, Seq, SigningKey } from '../core/model.ts'
import type { Sealed } from '../core/record.ts'
import type { Secret } from '../core/secret.ts'
import type { Target } from '../core/target.ts'

/** Several rows as of one instant. Every key asked of it is remembered: a commit asserts them all (S16). */
export interface Snapshot {
  /** The log's size when this was read: the values are exactly those after `seq` records. */
  readonly seq: Seq
  get<K extends Kind>(kind: K, id: string): Rows[K] | undefined
  /** Key → version for every key that was read; 0 is absent (versions count from 1: last record's index + 1). */
  readonly versions: ReadonlyMap<Key, number>
}

/** Narrowings never wait behind mints. */
export type Lane = 'narrowing' | 'normal'

/** One action's change: all of it or none of it. Plain data: it crosses to the writer's thread. */
export type Member = {
  readonly id: string
  readonly lane: Lane
  /** The clock as the action saw it; below the store's highest time less the skew bound it is refused (S18). */
  readonly at: Instant
  /** The earliest expiry that was judged; later than this it is refused. */
  readonly notAfter: Instant | null
  readonly expect: ReadonlyMap<Key, number>
  readonly put: readonly Row[]
  readonly once: readonly { readonly space: string; readonly value: string; readonly until: Instant }[]
  /** The highest time becomes `at`, be it lower, and `at` is not measured against it: for `clock reset` alone (S18). */
  readonly setsTime?: boolean
  /** At least one: state that no record explains cannot exist (P1). */
  readonly records: readonly [Sealed, ...Sealed[]]
}

export type Outcome =
  | { readonly ok: true; readonly first: Seq; readonly last: Seq }
  | {
      readonly ok: false
      readonly why: 'stale' | 'used' | 'late' | 'clock' | 'overloaded'
      readonly keys: readonly string[]
    }

/** What a filter may name; each is an indexed column. */
export type Where = {
  readonly agent?: string
  readonly tool?: string
  readonly session?: string
  readonly grant?: string
  readonly revocation?: string
  /** E-mail: of a bearer, of a lock on an owner, of the one whose approval a grant rests on. */
  readonly owner?: string
  readonly state?: string
  readonly hash?: string
  readonly slice?: string
  readonly revision?: string
  readonly expiresAfter?: Instant
}

export type ListQuery<K extends Kind> = {
  readonly kind: K
  readonly where?: Where
  /** Exclusive id to go on from; ids are time-ordered. */
  readonly after?: string
  /** At most 500. */
  readonly limit: number
  readonly newestFirst?: boolean
}

export type Page<K extends Kind> = {
  readonly rows: readonly Rows[K][]
  readonly seq: Seq
  /** Pass as `after` for the rest; null when this is all. */
  readonly next: string | null
}

export type StoredRecord = {
  readonly index: Seq
  readonly bytes: Uint8Array
  readonly leaf: Uint8Array
  /** Salted texts by hash; what was erased is absent. */
  readonly opened: Readonly<Record<string, { readonly salt: string; readonly text: string }>>
}

export type RecordFilter = {
  readonly agent?: string
  readonly tool?: string
  readonly owner?: string
  readonly jti?: string
  readonly kind?: string
  readonly since?: Instant
  readonly until?: Instant
}

/** One commit as the view applies it, in order and without gaps. */
export type Change = { readonly first: Seq; readonly last: Seq; readonly at: Instant; readonly put: readonly Row[] }
export type Feed =
  | { readonly type: 'change'; readonly change: Change }
  | { readonly type: 'alive'; readonly seq: Seq }
  | { readonly type: 'reload'; readonly seq: Seq }

/** The only way to change what authority depends on. Throws `StoreUnavailable` when nothing can be made durable. */
export interface Store {
  /**
   * Resolves once durable and seen by this process's own reads. Where the disk is nearly full, only narrowings are
   * written, into room that was kept for them (S17).
   */
  commit(member: Member): Promise<Outcome>
  /**
   * For a narrowing that `commit` could not make durable (S17): from here this process denies everything, `fresh()` is
   * false and nothing else is committed, until it is written. `kept`: a restart writes it first, before it serves.
   * `in memory`: only this process knows of it. It is applied as it was judged, or, where that no longer fits, all the same.
   */
  insist(member: Member): Promise<'kept' | 'in memory'>
  outcomeOf(commitId: string): Promise<Outcome | 'never'>
  /**
   * A row that a narrowing puts is in doubt from when it is handed to `commit` until its outcome is known: reading it
   * waits for that, at most a second, then throws `StoreUnavailable`. So a narrowing denies while it is being written.
   */
  read(keys: readonly Key[]): Promise<Snapshot>
  list<K extends Kind>(query: ListQuery<K>): Promise<Page<K>>
  changes(after: Seq, signal: AbortSignal): AsyncIterable<Feed>
  records(from: Seq, limit: number, filter?: RecordFilter): Promise<readonly StoredRecord[]>
  /** Tree size and root over all records; `node` gives complete subtrees for proofs. */
  tree(): Promise<{ readonly size: Seq; readonly root: Uint8Array }>
  node(level: number, index: number): Promise<Uint8Array>
  /**
   * False once a write failed, the log was found to differ from memory, or something insisted on is not written yet:
   * checks refuse with `stale_view`. One slow write ends nothing.
   */
  fresh(): boolean
  /** Looks again where what is known is too old, for a second at most; `fresh` tells what came of it. */
  refresh(): Promise<void>
  /** False while there is no room on the disk for anything but narrowings (S17), be it that no write has found out yet. */
  hasRoom(): Promise<boolean>
  /** The highest time any commit carried (S18). */
  highestTime(): Instant
  close(): Promise<void>
}

export class StoreUnavailable extends Error {
  override name = 'StoreUnavailable'
}
/** The reply to COMMIT was lost: resolve by `outcomeOf(commitId)` before any retry. */
export class StoreInDoubt extends Error {
  override name = 'StoreInDoubt'
  readonly commitId: string
  constructor(commitId: string) {
    super(`commit ${commitId} is in doubt`)
    this.commitId = commitId
  }
}

export interface Clock {
  now(): Instant
  /** Milliseconds that never step back; only differences mean anything. */
  monotonic(): number
}

export interface Ids {
  /** Time-ordered and unguessable: `req_` + UUIDv7. */
  next(prefix: string): string
  random(bytes: number): Uint8Array
  /** Three short words for people to compare. */
  words(): string
}

/** Makes key pairs; the private half comes back sealed. */
export interface Keys {
  create(
    use: SigningKey['use'],
    tokenAlg?: TokenAlg,
  ): Promise<Pick<SigningKey, 'id' | 'use' | 'alg' | 'publicJwk' | 'sealed'>>
}

/** Secrets at rest: sealed for one row and purpose, opened in no other (S19). */
export interface Vault {
  seal(secret: Secret, place: { readonly id: string; readonly purpose: 'account' }): string
  /** Null: sealed for another row or purpose, under another key, or altered. */
  open(sealed: string, place: { readonly id: string; readonly purpose: 'account' }): Secret | null
}

/** Tools' own admin APIs. */
export interface Targets {
  /**
   * The tool behind an accepted connection, with its admin's secret as it is now (S5).
   * @throws TargetFailure `refused` where the secret cannot be read, or nothing here speaks to such a tool.
   */
  of(connection: TargetConnection): Target
  /** Accounts are leaving: they are taken away now rather than at the next round. */
  wake(): void
}

/** One finding, and what was done about it. */
export type Reported = Finding & {
  readonly did: 'reported' | 'removed' | 'healed' | 'failed'
  readonly detail?: string
}

export type Reconciled = {
  readonly at: Instant
  readonly managed: number
  readonly findings: readonly Reported[]
  /** Why the tool could not be looked through; then the findings are those of the last time. */
  readonly failure: string | null
}

/** Calls to tools: a deadline, a few at a time, a breaker per tool, and one after the other for one account (S16). */
export type CallLimits = { readonly [K in keyof typeof TARGET]: number }
export type ToolHealth = {
  readonly state: 'closed' | 'open' | 'half-open'
  readonly failuresInARow: number
  /** Milliseconds until the tool is tried again; 0 where it may be now. */
  readonly opensInMs: number
}

export interface ToolCalls {
  readonly limits: CallLimits
  /** @throws TargetFailure: what `act` threw, `timeout` past the deadline, or `busy` where the tool is not even asked. */
  call<T>(
    tool: string,
    deadline: 'createMs' | 'changeMs' | 'lookMs' | 'listMs',
    act: (signal: AbortSignal) => Promise<T>,
  ): Promise<T>
  /** One after the other for one name, however each ends. */
  inOrder<T>(name: string, act: () => Promise<T>): Promise<T>
  health(tool: string): ToolHealth
}

/** How the last look at a tool's MCP server went. */
export type Looked = {
  readonly at: Instant
  /** Why the server could not be asked; null where it answered. */
  readonly failure: string | null
  /** Tools of the manifest that it does not have. */
  readonly missing: readonly string[]
}

/** Why a tool's MCP server gave no answer that could be passed on. */
export class UpstreamFailure extends Error {
  override name = 'UpstreamFailure'
  readonly why: 'unreachable' | 'late' | 'broken' | 'refused' | 'too long'
  /** @param message the end of a sentence about the server; no secret. */
  constructor(why: UpstreamFailure['why'], message: string) {
    super(message)
    this.why = why
  }
}

/** What an MCP server asks the person behind the agent, and what came back (`elicitation/create`). */
export type McpAsk = { readonly mode: 'form' | 'url'; readonly params: { readonly [key: string]: unknown } }
export type McpAnswer = {
  readonly action: 'accept' | 'decline' | 'cancel'
  readonly content?: { readonly [key: string]: unknown }
}

export type McpProgress = { readonly progress: number; readonly total?: number; readonly message?: string }

export type UpstreamCall = {
  /** Connections are shared by the calls of one agent alone. */
  readonly agent: string
  readonly definition: ToolDefinition
  readonly given: { readonly [name: string]: unknown }
  readonly signal: AbortSignal
  /** Of the span that the call is (SEP-414); null without one. */
  readonly traceparent: string | null
  readonly onProgress: (progress: McpProgress) => void
  /** The modes that the agent's client declared, and how it is asked; null: the server cannot ask. */
  readonly ask: {
    readonly modes: readonly McpAsk['mode'][]
    readonly put: (ask: McpAsk, signal: AbortSignal) => Promise<McpAnswer>
  } | null
}

/** What the server answered, without our secrets: `CallToolResult`, or its error as one. */
export type UpstreamResult = {
  readonly content: readonly unknown[]
  readonly structuredContent?: { readonly [key: string]: unknown }
  readonly isError?: boolean
}

/** Tools' own MCP servers, spoken to as a client. */
export interface UpstreamMcp {
  /** What it says of these of its tools, by name. @throws UpstreamFailure */
  list(tool: string, mcp: ToolMcp, signal: AbortSignal): Promise<ReadonlyMap<string, unknown>>
  /** @throws UpstreamFailure, or what the signal was aborted with. */
  call(tool: string, mcp: ToolMcp, call: UpstreamCall): Promise<UpstreamResult>
  /** A server says that its tools changed. */
  onChanged(listener: (tool: string) => void): void
  /** Connections to what is not at this place any more are closed. */
  keepOnly(places: ReadonlyMap<string, ToolMcp>): void
  close(): Promise<void>
}

/** Signs tokens with the key that signs now (JWS compact, RFC 7515) and checkpoints with the audit key. */
export interface Signer {
  signToken(
    claims: Readonly<Record<string, unknown>>,
    alg?: TokenAlg,
  ): Promise<{ readonly token: string; readonly kid: string }>
  /** The key the next token is signed with: asserted by the mint, so a withdrawn key signs nothing. */
  signingKid(): string
  /** Public keys to verify our own tokens with, by kid: published, signing and retiring ones. */
  jwks(): { readonly keys: readonly Readonly<Record<string, string>>[] }
  /** Is there a key that signs with this algorithm? */
  canSign(alg: TokenAlg): boolean
  /** Reads the keys again now, instead of when the log tells of them. */
  refresh(): Promise<void>
  verifyToken(token: string): Promise<Readonly<Record<string, unknown>> | null>
  signCheckpoint(size: number, root: Uint8Array, at: Instant): string
  /** C2SP verifier key text: the content of `hallpass.pub`. */
  auditVerifierKey(): string
}

/** Guards' leases and what they acknowledged: losing this only delays a "revoked" (S15). */
export interface Guards {
  lease(tool: string, guard: string, ackSeq: Seq): { readonly leaseSeconds: number }
  /** Have all guards of the tool whose lease has not lapsed acknowledged `seq`, with one lease of uptime behind us? */
  acknowledged(tool: string, seq: Seq): { readonly all: boolean; readonly guards: number }
}

/** What has surely expired, by a clock that never steps (S15). */
export interface ExpiryWatch {
  /** Called when an act is first seen by this process: time is counted from here. */
  saw(revocation: string): void
  /** Its confirmations are made now: time is counted from here instead. */
  counts(revocation: string): void
  /** The latest instant that is surely past for what was issued at `issuedAt`, however the wall clock is set. */
  past(issuedAt: Instant): Instant
  /** The same for anything that may still be accepted somewhere: what expired before it, leeway included, is dead. */
  pastForAll(): Instant
  /** Has as much monotonic time passed since it is counted? */
  passed(revocation: string, livesMs: number): boolean
  /** The highest time seen was lowered to this: what is surely past begins anew. */
  restart(mark: Instant): void
}

/** Told after the commit; losing a notice loses nothing that is owed. What an agent sees is followed from the log itself. */
export interface Notifier {
  notify(event: {
    readonly type: 'request.pending' | 'agent.cut' | 'widening.waiting'
    readonly agent?: string
    readonly request?: string
  }): void
}

export interface Log {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

export type Settings = {
  readonly issuer: string
  /** `${issuer}/mcp`: the audience of session tokens. */
  readonly mcpUrl: string
  readonly sessionMaxSeconds: number
  readonly scopesMode: 'watch' | 'push'
  /** How long a request waits for its owner. */
  readonly requestTtlSeconds: number
  readonly supportedApprovals: readonly ApprovalLevel[]
}

export type Deps = {
  readonly store: Store
  readonly signer: Signer
  readonly keys: Keys
  readonly vault: Vault
  readonly targets: Targets
  readonly toolCalls: ToolCalls
  /** What was last found in each tool with accounts, since this process started. */
  readonly drifts: Map<string, Reconciled>
  /** By tool: how the last look of this process at its MCP server went; absent before the first. */
  readonly looks: Map<string, Looked>
  readonly clock: Clock
  readonly ids: Ids
  readonly guards: Guards
  readonly expiry: ExpiryWatch
  readonly notifier: Notifier
  readonly log: Log
  readonly settings: Settings
}

/** Who is calling, established by an edge; rights are looked up at each use (S10). */
export type Caller =
  | { readonly role: 'agent'; readonly agent: string; readonly session: string }
  | { readonly role: 'owner'; readonly email: string; readonly bearer: string }
  | { readonly role: 'admin' | 'auditor' | 'publisher'; readonly id: string; readonly bearer: string }
  | { readonly role: 'verifier'; readonly tool: string; readonly bearer: string }
  | { readonly role: 'operator' }

/** One call: who makes it, and the id that its answer, its records and the log share. */
export type Context = {
  readonly caller: Caller | { readonly role: 'system'; readonly part: 'watcher' | 'reconciler' | 'keeper' | 'server' }
  readonly requestId: string
}
