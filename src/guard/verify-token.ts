// A compact JWT → access, offline (RFC 9068 section 4). Algorithm and type are pinned; keys come from the issuer, never the token.
import { type CryptoKey, errors, type JWTVerifyGetKey, jwtVerify } from 'jose'
import { ClaimFault, type ExpectedClaims, type GuardAccess, readAccess } from './access.ts'
import type { Deniable } from './deny-set.ts'

export type VerifiedToken = { readonly access: GuardAccess; readonly deniable: Deniable }

const REQUIRED = ['iss', 'aud', 'exp', 'iat', 'jti', 'sub', 'sid', 'grant_id']

const faultOf = (cause: unknown): ClaimFault => {
  if (cause instanceof ClaimFault) return cause
  if (cause instanceof errors.JWTExpired) return new ClaimFault('The credential has expired.')
  if (cause instanceof errors.JWTClaimValidationFailed) {
    return new ClaimFault(`The credential's ${cause.claim} is not what it must be.`)
  }
  if (cause instanceof errors.JWKSNoMatchingKey)
    return new ClaimFault("The credential's key is not one of the issuer's.")
  if (cause instanceof errors.JOSEError) return new ClaimFault('The credential is not validly signed.')
  throw cause
}

/** Throws ClaimFault for whatever is wrong with the token. */
export const verifyToken = async (
  token: string,
  resolve: JWTVerifyGetKey<CryptoKey>,
  alg: 'ES256' | 'RS256',
  expected: ExpectedClaims,
): Promise<VerifiedToken> => {
  try {
    const { payload, protectedHeader } = await jwtVerify(token, resolve, {
      algorithms: [alg],
      typ: 'at+jwt',
      issuer: expected.issuer,
      audience: expected.resource,
      requiredClaims: REQUIRED,
      clockTolerance: expected.leewaySeconds,
      currentDate: new Date(expected.nowMs),
    })
    const access = readAccess(payload, expected)
    const deniable = {
      sid: access.sessionId,
      grantId: access.grantId,
      jti: access.jti,
      kid: String(protectedHeader.kid),
      sub: access.agent,
      issuedAt: Number(payload.iat),
      expiresAt: access.expiresAt,
    }
    return { access, deniable }
  } catch (cause) {
    throw faultOf(cause)
  }
}
