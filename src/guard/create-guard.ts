// The guard itself: is this request's credential good, here, now? It refuses whenever it cannot know, and never logs a token.
import { ClaimFault, type ExpectedClaims, type GuardAccess, permits } from './access.ts'
import { type AuthorizationSource, readBearer } from './bearer.ts'
import { type Fetch, reasonOf } from './bounded-fetch.ts'
import { createDenySet } from './deny-set.ts'
import { introspect } from './introspect.ts'
import { createKeys } from './keys.ts'
import type { Clocks } from './lease.ts'
import { startLiveView, type ViewStatus, type ViewTimings } from './live-view.ts'
import {
  detailsNotAllowed,
  insufficientScope,
  invalidToken,
  malformed,
  noToken,
  type Realm,
  type Refusal,
  staleView,
} from './refusal.ts'
import { createTokenCache, tokenKey } from './token-cache.ts'
import { type VerifiedToken, verifyToken } from './verify-token.ts'

export type GuardLogger = {
  info?(message: string): void
  warn?(message: string): void
}

export type GuardOptions = {
  /** The broker's issuer, exactly as its metadata and tokens spell it. https, except on loopback. */
  readonly issuer: string
  /** This tool's resource: the only audience that is accepted. */
  readonly resource: string
  /** This tool's verifier token (`hp_verify_…`). */
  readonly verifierToken: string
  /** `offline`: signatures here, revocation over the live feed. `introspect`: the broker is asked at every call. */
  readonly mode: 'offline' | 'introspect'
  /** A scope that every request needs, beside what `verify` names. */
  readonly requiredScope?: string
  /** ES256 unless the tool's manifest says RS256. */
  readonly alg?: 'ES256' | 'RS256'
  /** Tolerated difference between the broker's clock and this one. Default 5, at most 60. */
  readonly leewaySeconds?: number
  /** RFC 9728 metadata of this tool, named in challenges. */
  readonly resourceMetadata?: string
  readonly fetch?: Fetch
  readonly now?: () => number
  readonly monotonicNow?: () => number
  readonly logger?: GuardLogger
  /** How long a request waits for the first view, or for one that is being rebuilt. Default 3000. */
  readonly readyWaitMs?: number
  readonly timings?: Partial<ViewTimings>
  /** Default 100 000; a guard that is told of more refuses everything until they fit. */
  readonly maxDenials?: number
  /** Default 10 000 verified tokens. */
  readonly maxCachedTokens?: number
}

export type Need = {
  readonly scopes: readonly string[]
  /** What this request touches, by details key: each must be permitted by the credential. */
  readonly details?: Readonly<Record<string, string>>
}

export type GuardResult = GuardAccess | Refusal

export type Guard = {
  readonly resource: string
  /** Takes a Request, or the raw Authorization header (all its values, where there are several). Never throws for a bad request. */
  verify(source: AuthorizationSource, need: Need): Promise<GuardResult>
  /** The refusal for a request whose details the tool found out by itself to be outside of `access.details[key]`. */
  refuseDetails(key: string): Refusal
  /** True once the guard can answer, false when it could not within `timeoutMs` (default 10 000). */
  ready(timeoutMs?: number): Promise<boolean>
  status(): ViewStatus
  close(): Promise<void>
}

const TIMINGS: ViewTimings = {
  renewMs: 3_000,
  acknowledgeMs: 5,
  requestTimeoutMs: 3_000,
  stallMs: 6_000,
  syncMs: 15_000,
  backoffMinMs: 100,
  backoffMaxMs: 2_000,
}
const KEY_COOLDOWN_MS = 5_000
const KEY_REFRESH_MS = 5 * 60_000
const KEY_MAX_AGE_MS = 60 * 60_000

const checkOptions = (options: GuardOptions) => {
  const { protocol, hostname, search, hash, username } = new URL(options.issuer)
  const loopback = hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname)
  if (protocol !== 'https:' && !(protocol === 'http:' && loopback))
    throw new TypeError('issuer must be https off loopback')
  if (search || hash || username || options.issuer.endsWith('/')) {
    throw new TypeError('issuer must have no query, fragment, user or trailing slash')
  }
  if (!URL.canParse(options.resource)) throw new TypeError('resource must be an absolute URI')
  if (!/^[\x21-\x7e]+$/.test(options.verifierToken)) throw new TypeError('verifierToken is missing or not a token')
  if (!(options.mode === 'offline' || options.mode === 'introspect'))
    throw new TypeError('mode must be offline or introspect')
  const leeway = options.leewaySeconds ?? 5
  if (!(leeway >= 0 && leeway <= 60)) throw new TypeError('leewaySeconds must be from 0 to 60')
}

/** Judges what the credential allows against what the request needs. */
const judge = (access: GuardAccess, need: Need, requiredScope: string | undefined, realm: Realm): GuardResult => {
  const needed = [...new Set(requiredScope === undefined ? need.scopes : [requiredScope, ...need.scopes])]
  const missing = needed.filter((scope) => !access.scopes.includes(scope))
  if (missing.length > 0) return insufficientScope(realm, needed, missing)
  for (const [key, value] of Object.entries(need.details ?? {})) {
    if (!permits(access.details, key, value)) return detailsNotAllowed(realm, key)
  }
  return access
}

/** Starts a guard. Offline mode connects at once and keeps connections until `close`. Throws TypeError for options that cannot be. */
export const createGuard = (options: GuardOptions): Guard => {
  checkOptions(options)
  const { issuer, resource, verifierToken, requiredScope, alg = 'ES256', leewaySeconds = 5 } = options
  const fetch: Fetch = options.fetch ?? ((input, init) => globalThis.fetch(input, init))
  const clocks: Clocks = {
    now: options.now ?? Date.now,
    monotonicNow: options.monotonicNow ?? (() => performance.now()),
  }
  const realm: Realm = { resource, resourceMetadata: options.resourceMetadata }
  const timings = { ...TIMINGS, ...options.timings }
  const closing = new AbortController()
  const info = (message: string) => options.logger?.info?.(message)
  const warn = (message: string, cause: unknown) => options.logger?.warn?.(`${message}: ${reasonOf(cause)}`)
  const expected = (): ExpectedClaims => ({ issuer, resource, nowMs: clocks.now(), leewaySeconds })

  const byAsking = (): Pick<Guard, 'ready' | 'status' | 'close'> & {
    check: (token: string) => Promise<GuardResult>
  } => ({
    async check(token) {
      try {
        return await introspect(
          token,
          { issuer, verifierToken, fetch, timeoutMs: timings.requestTimeoutMs, signal: closing.signal },
          expected,
        )
      } catch (cause) {
        if (cause instanceof ClaimFault) return invalidToken(realm, cause.message)
        warn('introspection failed', cause)
        return staleView('This tool cannot reach the broker to check the credential.')
      }
    },
    ready: async () => !closing.signal.aborted,
    status: () => ({
      state: closing.signal.aborted ? 'closed' : 'live',
      position: 0,
      leaseRemainingMs: 0,
      denials: 0,
      lastFault: undefined,
    }),
    close: async () => closing.abort(),
  })

  const byFeed = (): ReturnType<typeof byAsking> => {
    const cache = createTokenCache(options.maxCachedTokens ?? 10_000)
    const denySet = createDenySet({ maxDenials: options.maxDenials ?? 100_000, slackMs: (leewaySeconds + 60) * 1000 })
    const keys = createKeys({
      issuer,
      alg,
      fetch,
      clocks,
      timeoutMs: timings.requestTimeoutMs,
      cooldownMs: KEY_COOLDOWN_MS,
      refreshMs: KEY_REFRESH_MS,
      maxAgeMs: KEY_MAX_AGE_MS,
      signal: closing.signal,
      warn,
    })
    const view = startLiveView({
      issuer,
      verifierToken,
      fetch,
      clocks,
      timings,
      keys,
      denySet,
      forgetVerified: cache.clear,
      info,
      warn,
    })
    const stale = () => staleView('This tool lost sight of the broker, and refuses everything until it is back.')

    return {
      async check(token) {
        if (!view.isLive() && !(view.building() && (await view.whenLive(options.readyWaitMs ?? 3_000)))) return stale()
        const epoch = view.epoch()
        const key = tokenKey(token)
        let verified: VerifiedToken | undefined = cache.get(key)
        if (!verified) {
          try {
            verified = await verifyToken(token, keys.resolve, alg, expected())
          } catch (cause) {
            if (cause instanceof ClaimFault) return invalidToken(realm, cause.message)
            throw cause
          }
        }
        // From here on nothing is awaited: an acknowledged denial is one that this very check has seen.
        if (!view.isLive() || view.epoch() !== epoch) return stale()
        const expired = verified.access.expiresAt + leewaySeconds * 1000 <= clocks.now()
        if (expired || denySet.blocks(verified.deniable)) {
          cache.delete(key)
          return invalidToken(realm, expired ? 'The credential has expired.' : 'The credential was taken back.')
        }
        cache.set(key, verified)
        return verified.access
      },
      ready: (timeoutMs = 10_000) => view.whenLive(timeoutMs),
      status: view.status,
      async close() {
        closing.abort()
        cache.clear()
        await view.close()
      },
    }
  }

  const { check, ...way } = options.mode === 'offline' ? byFeed() : byAsking()
  return {
    resource,
    async verify(source, need) {
      const bearer = readBearer(source)
      if (!bearer.found) return bearer.fault === undefined ? noToken(realm) : malformed(realm, bearer.fault)
      const result = await check(bearer.token)
      return result.ok ? judge(result, need, requiredScope, realm) : result
    },
    refuseDetails: (key) => detailsNotAllowed(realm, key),
    ...way,
  }
}
