// What a good credential says, read strictly from claims that were already authenticated. Unreadable means refused.
import { isRecord } from './bounded-fetch.ts'

/** Constraints per key: keys AND, values OR, an absent key is unrestricted. */
export type Details = Readonly<Record<string, readonly string[]>>

/** Who calls, and what the credential allows. Deeply frozen: it is shared between requests. */
export type GuardAccess = {
  readonly ok: true
  /** The agent's name (`sub`). */
  readonly agent: string
  readonly sessionId: string
  readonly grantId: string
  readonly jti: string
  readonly scopes: readonly string[]
  /** The tool must hold each request to these: see `permits`. */
  readonly details: Details
  readonly approvalId: string | undefined
  /** Milliseconds since epoch. */
  readonly expiresAt: number
  readonly claims: Readonly<Record<string, unknown>>
}

/** A claim that is missing or wrong. The message is for the caller, and names the claim, never its value. */
export class ClaimFault extends Error {
  override readonly name = 'ClaimFault'
}

const MAX_NAME_CHARS = 512

const text = (claims: Record<string, unknown>, claim: string): string => {
  const value = claims[claim]
  if (typeof value !== 'string' || value === '' || value.length > MAX_NAME_CHARS) {
    throw new ClaimFault(`The credential has no usable ${claim}.`)
  }
  return value
}

const seconds = (claims: Record<string, unknown>, claim: string): number => {
  const value = claims[claim]
  if (typeof value !== 'number' || !Number.isFinite(value))
    throw new ClaimFault(`The credential has no usable ${claim}.`)
  return value
}

/** RFC 9396, the one type that Hallpass mints. A type or shape that is not known is a limit that nobody would hold: refused. */
const readDetails = (value: unknown): Details => {
  if (value === undefined) return Object.freeze(Object.create(null) as Details)
  const fault = new ClaimFault('The credential has authorization_details that this tool cannot read.')
  const [only] = Array.isArray(value) ? value : []
  if (!Array.isArray(value) || value.length !== 1 || !isRecord(only)) throw fault
  const { type, constraints, ...others } = only
  if (type !== 'hallpass_details' || !isRecord(constraints) || Object.keys(others).length > 0) throw fault
  const details = Object.create(null) as Record<string, readonly string[]>
  for (const [key, allowed] of Object.entries(constraints)) {
    if (!Array.isArray(allowed) || !allowed.every((one) => typeof one === 'string')) throw fault
    details[key] = [...allowed]
  }
  return details
}

const freeze = <T>(value: T): T => {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const inner of Object.values(value)) freeze(inner)
  }
  return value
}

export type ExpectedClaims = {
  readonly issuer: string
  readonly resource: string
  /** Milliseconds since epoch. */
  readonly nowMs: number
  readonly leewaySeconds: number
}

/** Claims → access. Throws ClaimFault. Whoever calls it has authenticated the claims. `iss` and `iat` are checked where present. */
export const readAccess = (claims: Record<string, unknown>, expected: ExpectedClaims): GuardAccess => {
  const nowSeconds = expected.nowMs / 1000
  if (claims.aud !== expected.resource) throw new ClaimFault('The credential is not for this tool.')
  if (claims.iss !== undefined && claims.iss !== expected.issuer)
    throw new ClaimFault('The credential is from another issuer.')
  const exp = seconds(claims, 'exp')
  if (exp + expected.leewaySeconds <= nowSeconds) throw new ClaimFault('The credential has expired.')
  for (const claim of ['iat', 'nbf']) {
    if (claims[claim] !== undefined && seconds(claims, claim) > nowSeconds + expected.leewaySeconds) {
      throw new ClaimFault('The credential is not valid yet.')
    }
  }
  // A bound token that is taken as a plain bearer has lost its binding.
  if (claims.cnf !== undefined)
    throw new ClaimFault('The credential is bound to a key, and this tool takes plain bearers only.')
  const scope = claims.scope ?? ''
  if (typeof scope !== 'string') throw new ClaimFault('The credential has no usable scope.')
  return freeze({
    ok: true,
    agent: text(claims, 'sub'),
    sessionId: text(claims, 'sid'),
    grantId: text(claims, 'grant_id'),
    jti: text(claims, 'jti'),
    scopes: scope.split(' ').filter((one) => one !== ''),
    details: readDetails(claims.authorization_details),
    approvalId: claims.approval_id === undefined ? undefined : text(claims, 'approval_id'),
    expiresAt: exp * 1000,
    claims,
  })
}

/** True when `details` allow `value` for `key`. An absent key is unrestricted; a present one allows only what it lists. */
export const permits = (details: Details, key: string, value: string): boolean => {
  const allowed = Object.hasOwn(details, key) ? details[key] : undefined
  return allowed === undefined || allowed.includes(value)
}
