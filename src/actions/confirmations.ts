// What each tool's side must still confirm before "revoked" may be said (S15). It only counts and predicts:
// it never marks a row and never says that something is dead which a verifier could still accept.

import { KEYS, LIFETIME } from '../core/limits.ts'
import type { VerifiedBy } from '../core/manifest.ts'
import type { Confirmation, Credential, Instant } from '../core/model.ts'
import { sliceId } from '../core/slice.ts'
import type { Deps, Where } from './ports.ts'

/** Which credentials an act takes; an empty filter is everything. Several filters are united. */
export type CredentialFilter = Pick<Where, 'agent' | 'tool' | 'session' | 'grant'>

/** How a tool verifies our tokens: of the tool's slice in force, or of the one that just went away. */
export type Verifying = { readonly verifiedBy: VerifiedBy; readonly leewaySeconds: number }

/** Of a tool of which nothing is known any more: the slowest way. */
const UNKNOWN_TOOL: Verifying = { verifiedBy: 'alone', leewaySeconds: 60 }
/** A proxy token is looked up here at each call, however the tool verifies what is sent to it. */
const PROXIED: Verifying = { verifiedBy: 'asks', leewaySeconds: 0 }
/** No leeway is longer: a credential that expired before this can be accepted nowhere. */
const LONGEST_LEEWAY_MS = 3_600_000
const ASKS_MS = 5_000
const GUARD_MS = 15_000
const ALONE_MS = 5_000
const PAGE = 500

/** Is there an issued credential that `filters` name and that some verifier could still accept? */
export async function anyCredential(
  deps: Pick<Deps, 'store'>,
  at: Instant,
  filters: readonly CredentialFilter[],
): Promise<boolean> {
  for (const filter of filters) {
    const where = { ...filter, state: 'issued', expiresAfter: at - LONGEST_LEEWAY_MS }
    if ((await deps.store.list({ kind: 'credential', where, limit: 1 })).rows.length > 0) return true
  }
  return false
}

/** The issued credentials that `filters` name and that some verifier could still accept, each once. */
export async function credentialsTaken(
  deps: Pick<Deps, 'store'>,
  at: Instant,
  filters: readonly CredentialFilter[],
): Promise<readonly Credential[]> {
  const taken = new Map<string, Credential>()
  for (const filter of filters) {
    let after: string | null = null
    do {
      const page: { rows: readonly Credential[]; next: string | null } = await deps.store.list({
        kind: 'credential',
        where: { ...filter, state: 'issued', expiresAfter: at - LONGEST_LEEWAY_MS },
        limit: PAGE,
        ...(after === null ? {} : { after }),
      })
      for (const row of page.rows) taken.set(row.id, row)
      after = page.next
    } while (after !== null)
  }
  return [...taken.values()]
}

/** How each tool verifies: by its slice in force, else the one that just went away, else the slowest way. */
export async function verifyingOf(
  deps: Pick<Deps, 'store'>,
  tools: readonly string[],
): Promise<ReadonlyMap<string, Verifying>> {
  const verifying = new Map<string, Verifying>()
  if (tools.length === 0) return verifying
  const snapshot = await deps.store.read(tools.map((tool) => `slice/${sliceId.tool(tool)}` as const))
  for (const tool of tools) {
    const slice = snapshot.get('slice', sliceId.tool(tool))
    const value = slice?.value ?? slice?.resumable?.value
    verifying.set(tool, value?.of === 'tool' ? value.token : UNKNOWN_TOOL)
  }
  return verifying
}

/** Pure part: one confirmation a tool. A credential counts unless `expiresAt` + leeway is surely over. */
export function confirmationsOf(
  credentials: readonly Credential[],
  verifying: ReadonlyMap<string, Verifying>,
  at: Instant,
  /** What is surely past for something issued then: never the wall clock alone. */
  past: (issuedAt: Instant) => Instant,
  /** Tools that something unknown could still be accepted by, and until when. */
  forgeable: ReadonlyMap<string, Instant> = new Map(),
): readonly Confirmation[] {
  const byTool = new Map<string, { count: number; deadAt: Instant; livesMs: number; how: Verifying }>()
  for (const [tool, deadAt] of forgeable)
    byTool.set(tool, { count: 0, deadAt, livesMs: deadAt - at, how: verifying.get(tool) ?? UNKNOWN_TOOL })
  for (const credential of credentials) {
    const how = credential.audience === undefined ? (verifying.get(credential.tool) ?? UNKNOWN_TOOL) : PROXIED
    const deadAt = credential.expiresAt + how.leewaySeconds * 1000
    const leftMs = deadAt - past(credential.issuedAt)
    if (leftMs <= 0) continue
    // By a wall clock that is not believed it may seem to have more; none was ever given more.
    const livesMs = Math.min(leftMs, (LIFETIME.tokenMax + how.leewaySeconds) * 1000)
    const before = byTool.get(credential.tool)
    byTool.set(credential.tool, {
      count: (before?.count ?? 0) + 1,
      deadAt: Math.max(before?.deadAt ?? 0, deadAt),
      livesMs: Math.max(before?.livesMs ?? 0, livesMs),
      how: before === undefined || before.how === PROXIED ? how : before.how,
    })
  }
  return [...byTool]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([tool, { count, deadAt, livesMs, how }]) => ({
      tool,
      verifiedBy: how.verifiedBy,
      credentials: count,
      deadAt,
      livesMs,
      deadline: how.verifiedBy === 'alone' ? deadAt + ALONE_MS : at + (how.verifiedBy === 'guard' ? GUARD_MS : ASKS_MS),
      confirmedAt: how.verifiedBy === 'asks' ? at : null,
      how: how.verifiedBy === 'asks' ? 'every check asks the broker' : null,
    }))
}

/**
 * Until when whoever holds a withdrawn key could forge a token that a verifier which asks nobody accepts, whatever its
 * `exp`: until each cache of the key set is renewed.
 */
export const forgeableUntil = (withdrawnAt: Instant): Instant => withdrawnAt + KEYS.jwksMaxAge * 1000

/** Is there nothing left to wait for? */
export const allConfirmed = (confirmations: readonly Confirmation[]): boolean =>
  confirmations.every((confirmation) => confirmation.confirmedAt !== null)
