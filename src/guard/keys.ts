// The issuer's public keys: fetched from its own origin alone, bounded, at most one fetch at a time. Never a key from a token.
import { type CryptoKey, createLocalJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose'
import { type Fetch, fetchJson, isRecord } from './bounded-fetch.ts'
import type { Clocks } from './lease.ts'

const MAX_BYTES = 256 * 1024
const MAX_KEYS = 64
const MAX_KID_CHARS = 256

export type Keys = {
  /** Fetches metadata and keys. Throws, and keeps the keys it had, when either is not what it must be. */
  load(): Promise<void>
  /** Loads when the keys are older than a refresh interval; a failure leaves the old ones. */
  refreshIfDue(): void
  /** False when there are no keys, or they are too old to be believed. */
  fresh(): boolean
  /** For jose. An unknown `kid` makes it look again, at most once per cool-down. */
  readonly resolve: JWTVerifyGetKey<CryptoKey>
}

/** RFC 8414 section 3: the well-known part goes between the host and the path of the issuer. */
const metadataUrl = (issuer: string): string => {
  const { origin, pathname } = new URL(issuer)
  return `${origin}/.well-known/oauth-authorization-server${pathname === '/' ? '' : pathname}`
}

const readKeySet = (body: unknown, alg: string): { set: JSONWebKeySet; kids: Set<string> } => {
  const listed = isRecord(body) && Array.isArray(body.keys) ? body.keys.filter(isRecord) : []
  const usable = listed.filter(
    (key) =>
      typeof key.kid === 'string' &&
      key.kid.length <= MAX_KID_CHARS &&
      key.kty === (alg === 'ES256' ? 'EC' : 'RSA') &&
      key.d === undefined &&
      (key.alg === undefined || key.alg === alg),
  )
  if (usable.length === 0 || listed.length > MAX_KEYS) throw new Error(`issuer's key set holds no usable ${alg} keys`)
  return { set: { keys: usable } as JSONWebKeySet, kids: new Set(usable.map((key) => String(key.kid))) }
}

export const createKeys = (options: {
  readonly issuer: string
  readonly alg: 'ES256' | 'RS256'
  readonly fetch: Fetch
  readonly clocks: Clocks
  readonly timeoutMs: number
  readonly cooldownMs: number
  readonly refreshMs: number
  readonly maxAgeMs: number
  readonly signal: AbortSignal
  readonly warn: (message: string, cause: unknown) => void
}): Keys => {
  const { issuer, alg, fetch, clocks, signal } = options
  const limits = { timeoutMs: options.timeoutMs, maxBytes: MAX_BYTES, signal }
  let current:
    | { readonly local: JWTVerifyGetKey<CryptoKey>; readonly kids: Set<string>; readonly loadedAt: number }
    | undefined
  let running: Promise<void> | undefined
  let triedAt = Number.NEGATIVE_INFINITY

  const fetchKeys = async () => {
    const metadata = await fetchJson(fetch, metadataUrl(issuer), { headers: { accept: 'application/json' } }, limits)
    if (!isRecord(metadata.body)) throw new Error(`issuer's metadata answered ${metadata.status}`)
    if (metadata.body.issuer !== issuer) throw new Error("issuer's metadata names another issuer")
    const jwksUri = String(metadata.body.jwks_uri)
    if (!URL.canParse(jwksUri) || new URL(jwksUri).origin !== new URL(issuer).origin) {
      throw new Error("issuer's jwks_uri is not on its own origin")
    }
    const answer = await fetchJson(fetch, jwksUri, { headers: { accept: 'application/json' } }, limits)
    if (answer.status !== 200) throw new Error(`issuer's key set answered ${answer.status}`)
    const { set, kids } = readKeySet(answer.body, alg)
    current = { local: createLocalJWKSet(set), kids, loadedAt: clocks.monotonicNow() }
  }
  const start = (): Promise<void> => {
    triedAt = clocks.monotonicNow()
    running = fetchKeys().finally(() => {
      running = undefined
    })
    return running
  }
  const age = () => (current ? clocks.monotonicNow() - current.loadedAt : Number.POSITIVE_INFINITY)
  const cooledDown = () => clocks.monotonicNow() - triedAt >= options.cooldownMs

  return {
    async load() {
      // A fetch that began earlier may have read the set that is to be replaced.
      await running?.catch((cause: unknown) => options.warn('fetching keys failed', cause))
      await start()
    },
    refreshIfDue() {
      if (running || age() < options.refreshMs || !cooledDown()) return
      start().catch((cause: unknown) => options.warn('refreshing keys failed', cause))
    },
    fresh: () => age() < options.maxAgeMs,
    async resolve(header, token) {
      const { kid } = header
      if (typeof kid !== 'string') throw new errors.JWKSNoMatchingKey()
      if (!current?.kids.has(kid) && (running || cooledDown())) {
        await (running ?? start()).catch((cause: unknown) => options.warn('fetching keys failed', cause))
      }
      if (!current?.kids.has(kid)) throw new errors.JWKSNoMatchingKey()
      return current.local(header, token)
    },
  }
}
