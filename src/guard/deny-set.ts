// Which tokens are dead before their time. Pure memory: entries only ever get stricter, and leave once nothing they name can live.

export const DENY_KINDS = ['sid', 'grant_id', 'jti', 'kid', 'sub'] as const
type DenyKind = (typeof DENY_KINDS)[number]

export type Denial = {
  readonly kind: DenyKind
  readonly value: string
  /** Seconds since epoch: tokens with `iat` at or before it are dead. Infinity: all. */
  readonly before: number
  /** Milliseconds since epoch: no matching token outlives this. */
  readonly until: number
}

/** What of a token a denial can match. `issuedAt` in seconds since epoch (the claim `iat`), `expiresAt` in ms since epoch. */
export type Deniable = {
  readonly sid: string
  readonly grantId: string
  readonly jti: string
  readonly kid: string
  readonly sub: string
  readonly issuedAt: number
  readonly expiresAt: number
}

export type DenySet = {
  /** False when the set is full: the caller must then stop trusting its view. */
  add(denial: Denial): boolean
  blocks(token: Deniable): boolean
  /** Drops what ended more than `slackMs` before `nowMs`. */
  purge(nowMs: number): void
  size(): number
}

export const createDenySet = (limits: { readonly maxDenials: number; readonly slackMs: number }): DenySet => {
  type Entry = { readonly before: number; readonly until: number }
  const entries: Record<DenyKind, Map<string, Entry>> = {
    sid: new Map(),
    grant_id: new Map(),
    jti: new Map(),
    kid: new Map(),
    sub: new Map(),
  }
  // A wall clock that is set back must not revive a token whose denial was already dropped.
  let droppedUntil = 0

  const matches = (kind: DenyKind, value: string, issuedAt: number): boolean => {
    const entry = entries[kind].get(value)
    return entry !== undefined && issuedAt <= entry.before
  }
  const size = () => DENY_KINDS.reduce((sum, kind) => sum + entries[kind].size, 0)

  return {
    add({ kind, value, before, until }) {
      const known = entries[kind].get(value)
      if (!known && size() >= limits.maxDenials) return false
      entries[kind].set(
        value,
        known ? { before: Math.max(known.before, before), until: Math.max(known.until, until) } : { before, until },
      )
      return true
    },
    blocks: (token) =>
      token.expiresAt <= droppedUntil ||
      matches('jti', token.jti, token.issuedAt) ||
      matches('grant_id', token.grantId, token.issuedAt) ||
      matches('sid', token.sid, token.issuedAt) ||
      matches('sub', token.sub, token.issuedAt) ||
      matches('kid', token.kid, token.issuedAt),
    purge(nowMs) {
      for (const kind of DENY_KINDS) {
        for (const [value, entry] of entries[kind]) {
          if (entry.until + limits.slackMs >= nowMs) continue
          entries[kind].delete(value)
          droppedUntil = Math.max(droppedUntil, entry.until)
        }
      }
    },
    size,
  }
}
