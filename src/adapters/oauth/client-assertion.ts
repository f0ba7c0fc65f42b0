// What a private_key_jwt client assertion must be (RFC 7523 section 3, rfc7523bis: `aud` is the issuer alone). The key is
// ours to know: whatever the assertion says of keys (`jku`, `jwk`, `x5u`, `x5c`) is never read.

import { createPublicKey } from 'node:crypto'
import { compactVerify, decodeJwt, decodeProtectedHeader, errors, type JWTPayload } from 'jose'
import { CLOCK_SKEW_SECONDS, LIFETIME, TOKEN_BYTES_MAX } from '../../core/limits.ts'
import type { IdentityKey } from '../../core/manifest.ts'
import type { Instant } from '../../core/model.ts'
import { type Problem, problem } from '../../core/problem.ts'
import { err, ok, type Result } from '../../core/result.ts'

export const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'

/** What an assertion says; nothing of it is true before `verifyAssertion`. */
export type Claimed = {
  readonly agent: string
  readonly jti: string
  /** The last instant at which it can be accepted, milliseconds: `exp` and the skew. */
  readonly expiresAt: Instant
  /** Of the key it was signed with, where it says so. */
  readonly kid: string | null
  /** As it says; no key was tried with it yet. */
  readonly alg: string
}

const TYPES = new Set(['jwt', 'client-authentication+jwt'])
const AGENT_NAME = /^[a-z0-9]+(-[a-z0-9]+)*$/
const MAX_AGENT_NAME = 63
const MAX_JTI = 256

const bad = (message: string, hint?: string): Result<never, Problem> =>
  err(problem('unauthenticated', message, hint === undefined ? {} : { hint }))

/**
 * Everything that can be said of the assertion without knowing any agent, so that saying it tells nobody which agents
 * there are. `clientId` is the form's parameter, where it was sent.
 */
export function readAssertion(
  assertion: string,
  expected: { readonly issuer: string; readonly now: Instant; readonly clientId: string | null },
): Result<Claimed, Problem> {
  if (assertion.length > TOKEN_BYTES_MAX) return bad('The client assertion is too long.')
  const parsed = decode(assertion)
  if (parsed === null) return bad('The client assertion is not a signed JWT.')
  const { header, claims } = parsed
  const { iss, sub, aud, exp, iat, nbf, jti } = claims

  const agent = typeof sub === 'string' && sub.length <= MAX_AGENT_NAME && AGENT_NAME.test(sub) ? sub : null
  if (agent === null || iss !== sub) return bad("The client assertion's iss and sub must both be the agent's name.")
  if (expected.clientId !== null && expected.clientId !== agent)
    return bad('client_id is not the agent that the client assertion names.')
  const type =
    header.typ === undefined
      ? 'jwt'
      : String(header.typ)
          .toLowerCase()
          .replace(/^application\//, '')
  if (!TYPES.has(type)) return bad('The client assertion has a typ that is not JWT or client-authentication+jwt.')
  if (header.crit !== undefined)
    return bad('The client assertion has critical header parameters, which are not understood.')
  if (header.kid !== undefined && typeof header.kid !== 'string') return bad("The client assertion's kid is no text.")

  if (aud !== expected.issuer) return bad(`The client assertion's aud must be ${expected.issuer} alone, as one string.`)
  const now = expected.now / 1000
  if (!isTime(exp)) return bad('The client assertion has no exp.')
  if (exp + CLOCK_SKEW_SECONDS <= now) return bad('The client assertion has expired.')
  if (exp - now > LIFETIME.assertionMax + CLOCK_SKEW_SECONDS || (isTime(iat) && exp - iat > LIFETIME.assertionMax))
    return bad(`The client assertion lives longer than ${LIFETIME.assertionMax} s.`)
  for (const [name, value] of [
    ['iat', iat],
    ['nbf', nbf],
  ] as const) {
    if (value === undefined) continue
    if (!isTime(value) || value - CLOCK_SKEW_SECONDS > now)
      return bad(`The client assertion's ${name} is not in the past.`)
  }
  if (typeof jti !== 'string' || jti === '' || jti.length > MAX_JTI)
    return bad(`The client assertion needs a jti of 1 to ${MAX_JTI} characters, a new one each time.`)
  return ok({
    agent,
    jti,
    expiresAt: Math.floor((exp + CLOCK_SKEW_SECONDS) * 1000),
    kid: header.kid ?? null,
    alg: String(header.alg),
  })
}

const isTime = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value) && value > 0

function decode(assertion: string): {
  readonly header: { alg?: unknown; typ?: unknown; crit?: unknown; kid?: unknown }
  readonly claims: JWTPayload
} | null {
  try {
    return { header: decodeProtectedHeader(assertion), claims: decodeJwt(assertion) }
  } catch (thrown) {
    if (thrown instanceof errors.JOSEError || thrown instanceof TypeError) return null
    throw thrown
  }
}

/** Nobody's: an agent that is not there takes as long to refuse as one whose signature is wrong (RFC 7515 appendix A.3). */
const NOBODYS_KEY: IdentityKey = {
  kid: '',
  alg: 'ES256',
  jwk: {
    kty: 'EC',
    crv: 'P-256',
    x: 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU',
    y: 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0',
  },
}

/**
 * The algorithm is the key's, never the assertion's. Of a name that nobody knows the same is said as of one with an ES256
 * key, so that it does not tell which there are; the name of an agent whose keys are all RS256 can be found out by it.
 */
export function wrongAlgorithm({ agent, alg }: Claimed, keys: readonly IdentityKey[]): Problem | null {
  const wanted = keys.length === 0 ? ['ES256'] : [...new Set(keys.map((key) => key.alg))].sort()
  if (wanted.includes(alg)) return null
  const said = /^[A-Za-z0-9]{1,12}$/.test(alg) ? alg : 'of another algorithm'
  const theirs = wanted.length === 1 ? 'key is' : 'keys are'
  return problem(
    'unauthenticated',
    `assertion is ${said}, ${agent}'s ${theirs} ${wanted.join(' and ')}: set your client's signing algorithm to ${wanted[0]} and sign with that key.`,
  )
}

/** Which of the agent's keys signed it: the kid, or null for none. `keys` empty: an agent nobody knows. */
export async function verifyAssertion(
  assertion: string,
  { kid, alg }: Pick<Claimed, 'kid' | 'alg'>,
  keys: readonly IdentityKey[],
): Promise<string | null> {
  const candidates = keys.filter((key) => key.alg === alg && (kid === null || key.kid === kid))
  if (candidates.length === 0) await signedBy(assertion, NOBODYS_KEY)
  for (const key of candidates) if (await signedBy(assertion, key)) return key.kid
  return null
}

async function signedBy(assertion: string, key: IdentityKey): Promise<boolean> {
  try {
    await compactVerify(assertion, createPublicKey({ key: { ...key.jwk }, format: 'jwk' }), { algorithms: [key.alg] })
    return true
  } catch (thrown) {
    if (thrown instanceof errors.JOSEError) return false
    throw thrown
  }
}
