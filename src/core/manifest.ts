// What a manifest set says once it is read: the four kinds, validated, with every default filled in.
// Reading and faults live in manifest-parse.ts. Nothing here resolves, fetches or calls anything (S5).

import type { PathRule } from './path-rule.ts'

/** How strictly an access must be approved; later is stricter (S8). */
export const APPROVAL_LEVELS = ['none', 'owner', 'passkey', 'two-person'] as const
export type ApprovalLevel = (typeof APPROVAL_LEVELS)[number]

/** How a credential reaches its use; later is narrower (S1). */
export const DELIVERIES = ['inline', 'exchange', 'proxy'] as const
export type Delivery = (typeof DELIVERIES)[number]

export const RISKS = ['low', 'medium', 'high'] as const
export type Risk = (typeof RISKS)[number]

/** How a tool verifies our tokens, and so when a revocation counts as confirmed (S15). */
export const VERIFIED_BY = ['asks', 'guard', 'alone'] as const
export type VerifiedBy = (typeof VERIFIED_BY)[number]

/** How a token, or an agent's assertion, can be signed (RFC 7518 sections 3.3 and 3.4). */
export const TOKEN_ALGS = ['ES256', 'RS256'] as const
export type TokenAlg = (typeof TOKEN_ALGS)[number]

/** What a tool's own admin API is, if Hallpass makes accounts there; `none`: it verifies our tokens. */
export const TARGET_TYPES = ['none', 'redmine', 'rt', 'influxdb', 'http'] as const
export type TargetType = (typeof TARGET_TYPES)[number]

/** RFC 9396 constraints within a scope: keys AND, values OR; an absent key is unrestricted. Values sorted, unique. */
export type Details = Readonly<Record<string, readonly string[]>>

/** A public key an agent proves itself with: the algorithm is pinned to it, `kid` is its RFC 7638 thumbprint. */
export type IdentityKey = {
  readonly kid: string
  readonly alg: TokenAlg
  /** Public members only: kty, crv, x, y or n, e. */
  readonly jwk: Readonly<Record<string, string>>
}

/** Where in the manifest set something was written; line and column count from 1. */
export type Source = { readonly file: string; readonly line: number; readonly column: number }

export type AccessEntry = {
  readonly tool: string
  /** Sorted, unique, never empty. */
  readonly scopes: readonly string[]
  readonly details: Details
  readonly approval: ApprovalLevel
  readonly grantForSeconds: number
  readonly tokenTtlSeconds: number
  readonly delivery: Delivery
  readonly source: Source
}

export type AgentManifest = {
  readonly kind: 'Agent'
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly purpose: string
  /** Lower-case e-mail addresses and `team/NAME`, sorted, unique. */
  readonly owners: readonly string[]
  readonly keys: readonly IdentityKey[]
  readonly roles: readonly string[]
  readonly access: readonly AccessEntry[]
  /** `YYYY-MM-DD`; access ends after that UTC day. Null is never. */
  readonly reviewBy: string | null
  readonly state: 'active' | 'decommissioned'
  readonly source: Source
}

export type ToolScope = {
  readonly description: string
  readonly risk: Risk
  /** The stricter of this and the access entry's wins (S8); `none` where the tool says nothing. */
  readonly approval: ApprovalLevel
  /** What it allows through the proxy, sorted, unique. Absent: nothing. */
  readonly allow?: readonly PathRule[]
}

/** Where proxy delivery takes calls to, and what it puts in: an admin accepts them together (S5). */
export type ToolUpstream = {
  /** Normalized: the origin, and the path that calls are put under. */
  readonly url: string
  /** `env:HALLPASS_TOOL_…` or `file:…`. Null: nothing is put in, or what the grant's own account presents itself with. */
  readonly secret: string | null
  /** Of that secret: the header that carries it, and what stands before it. */
  readonly header: string
  readonly prefix: string
  /** Request headers, in lower case, that go on besides the usual ones. Sorted, unique. */
  readonly pass: readonly string[]
  /** The longest body of one request. */
  readonly bodyBytes: number
}

/** What a tool of an upstream MCP server is here: the scope that covers it, and which argument carries which detail. */
export type McpMapping = {
  readonly scope: string
  /** Detail → the argument that carries it. */
  readonly details: Readonly<Record<string, string>>
}

/** The tool's own MCP server, which the broker speaks to for agents: an admin accepts all of it together (S5). */
export type ToolMcp = {
  /** Normalized, of Streamable HTTP; or null, and `command` names a program of the operator's configuration. */
  readonly url: string | null
  readonly command: string | null
  /** `env:HALLPASS_TOOL_…` or `file:…`, for `url` alone. Null: nothing is put in. */
  readonly secret: string | null
  readonly header: string
  readonly prefix: string
  /** Its tools, by their own names, that agents may be shown; no other is looked at. */
  readonly tools: Readonly<Record<string, McpMapping>>
}

/** Where accounts are made, and the one reference to a secret that goes there: an admin accepts them together (S5). */
export type TargetConnection = {
  readonly type: Exclude<TargetType, 'none'>
  /** Normalized: the origin, and the path of its API, that the secret goes to and no other. */
  readonly url: string
  /** `env:HALLPASS_TOOL_…` or `file:…`; never the secret itself. */
  readonly secret: string
  /** Of type `http` alone: the name of a recipe that is shipped, and what fills its templates. */
  readonly recipe: string | null
  /** In place of a shipped one, the operator's own as it was accepted: what its file says, as JSON in the order of the file. */
  readonly ownRecipe?: string
  readonly values: Readonly<Record<string, string>>
}

/** What is done about what somebody else did in the tool. */
export type ReconcilePolicy = {
  /** Accounts of ours that no row explains, or that should be gone. */
  readonly ghosts: 'remove' | 'report'
  /** Accounts that are not ours. */
  readonly others: 'report' | 'ignore'
  readonly overScoped: 'heal' | 'report'
  /** Names of others that are expected, `*` for any run of characters. */
  readonly exempt: readonly string[]
}

export type DrillSchedule = {
  readonly everySeconds: number
  /** Null: the one of the lowest risk. */
  readonly scope: string | null
  readonly details: Details
}

export type AccountTarget = TargetConnection & {
  /** Scope → the tool's own words for it; `{detail}` in a word is filled from the grant's details. */
  readonly rights: Readonly<Record<string, readonly string[]>>
  readonly reconcile: ReconcilePolicy
  /** Absent: never on a schedule. */
  readonly drill?: DrillSchedule
}

export type ToolTarget = { readonly type: 'none' } | AccountTarget

export type ToolManifest = {
  readonly kind: 'Tool'
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly owners: readonly string[]
  readonly category: 'ticketing' | 'observability'
  /** The token's audience: an absolute URL, normalized, unique in the set, never on the issuer's own origin (S13). */
  readonly resource: string
  readonly scopes: Readonly<Record<string, ToolScope>>
  readonly details: Readonly<
    Record<string, { readonly description: string; readonly enforcedBy: 'tool' | 'guard' | 'proxy' }>
  >
  readonly token: {
    readonly alg: TokenAlg
    readonly maxTtlSeconds: number
    readonly verifiedBy: VerifiedBy
    readonly leewaySeconds: number
  }
  readonly target: ToolTarget
  /** Absent: it has no proxy delivery. */
  readonly upstream?: ToolUpstream
  /** Absent: it has no MCP server that is reached through the broker. */
  readonly mcp?: ToolMcp
  readonly source: Source
}

export type RoleManifest = {
  readonly kind: 'Role'
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly access: readonly AccessEntry[]
  readonly source: Source
}

export type TeamManifest = {
  readonly kind: 'Team'
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  /** Lower-case e-mail addresses, sorted, unique. */
  readonly members: readonly string[]
  readonly source: Source
}

export type Manifest = AgentManifest | ToolManifest | RoleManifest | TeamManifest
export type ManifestKind = Manifest['kind']

/** A whole manifest set that parsed without a fault. */
export type ManifestSet = {
  /** SHA-256 over the canonical form of all documents (keys included, sources and file names not), hex. */
  readonly digest: string
  readonly agents: ReadonlyMap<string, AgentManifest>
  readonly tools: ReadonlyMap<string, ToolManifest>
  readonly roles: ReadonlyMap<string, RoleManifest>
  readonly teams: ReadonlyMap<string, TeamManifest>
  /** Per document, `Kind/name` → SHA-256 of its canonical form, hex. */
  readonly documentDigests: ReadonlyMap<string, string>
  readonly warnings: readonly Fault[]
}

/** One thing wrong with a manifest set, where, and what to do about it. */
export type Fault = Source & { readonly message: string }

/** The files of a manifest set as they were read: relative POSIX path → bytes. Includes key files and recipes. */
export type ManifestFiles = ReadonlyMap<string, Uint8Array>

/** Names once in force and now gone: they grant nothing and warn; one never known is a fault (P3). */
export type KnownNames = Readonly<Record<'agents' | 'tools' | 'roles' | 'teams', ReadonlySet<string>>> & {
  /** Tool → scopes, and details keys, that it once had in force. */
  readonly scopes?: ReadonlyMap<string, ReadonlySet<string>>
  readonly details?: ReadonlyMap<string, ReadonlySet<string>>
}
