// From what was judged to the claims that are signed. One audience, one expiry: the shortest (RFC 9068, S11, S13).

import type { Details } from './manifest.ts'
import type { Grant, Instant, Session } from './model.ts'

type Claims = Readonly<Record<string, unknown>>

const seconds = (at: Instant) => Math.floor(at / 1000)

/** RFC 9396 in our tokens: one element of our type, absent where the grant is unrestricted. */
export const DETAILS_TYPE = 'hallpass_details'

export const authorizationDetails = (
  details: Details,
): readonly { type: string; constraints: Details }[] | undefined =>
  Object.keys(details).length === 0 ? undefined : [{ type: DETAILS_TYPE, constraints: details }]

/** Where a tool is called through the broker: the audience of its proxy tokens, and of nothing else (S13). */
export const proxyUrl = (issuer: string, tool: string): string => `${issuer}/tools/${tool}`

/** A session token: for `/mcp`, the agent's own rows of `/v1`, and as the only `subject_token` of an exchange. */
export const sessionClaims = (
  session: Omit<Session, 'signedBy'>,
  jti: string,
  issuer: string,
  audience: string,
): Claims => ({
  iss: issuer,
  sub: session.agent,
  client_id: session.agent,
  aud: audience,
  iat: seconds(session.openedAt),
  exp: seconds(session.expiresAt),
  jti,
  sid: session.id,
})

/** A tool credential. `exp` is rounded down: a token never outlives what was judged. */
export const credentialClaims = (input: {
  readonly issuer: string
  readonly jti: string
  readonly grant: Grant
  readonly session: Session
  readonly audience: string
  readonly scopes: readonly string[]
  readonly details: Details
  readonly manifest: string
  readonly issuedAt: Instant
  readonly expiresAt: Instant
}): Claims => ({
  iss: input.issuer,
  sub: input.grant.agent,
  client_id: input.grant.agent,
  aud: input.audience,
  scope: input.scopes.join(' '),
  iat: seconds(input.issuedAt),
  exp: seconds(input.expiresAt),
  jti: input.jti,
  sid: input.session.id,
  grant_id: input.grant.id,
  manifest: input.manifest,
  ...(input.grant.request === null ? {} : { approval_id: input.grant.request }),
  ...(Object.keys(input.details).length === 0 ? {} : { authorization_details: authorizationDetails(input.details) }),
})
