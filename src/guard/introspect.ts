// A token → access by asking the broker at every call (RFC 7662). Nothing is cached: the answer is true at that instant only.
import { ClaimFault, type ExpectedClaims, type GuardAccess, readAccess } from './access.ts'
import { type Fetch, fetchJson, isRecord } from './bounded-fetch.ts'

const MAX_BYTES = 64 * 1024

/** Throws ClaimFault when the token is not active here, and any other error when the broker could not be asked. */
export const introspect = async (
  token: string,
  broker: {
    readonly issuer: string
    readonly verifierToken: string
    readonly fetch: Fetch
    readonly timeoutMs: number
    readonly signal: AbortSignal
  },
  expected: () => ExpectedClaims,
): Promise<GuardAccess> => {
  const { status, body } = await fetchJson(
    broker.fetch,
    `${broker.issuer}/oauth/introspect`,
    {
      method: 'POST',
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        accept: 'application/json',
        'x-hallpass-verifier': broker.verifierToken,
      },
      body: new URLSearchParams({ token, token_type_hint: 'access_token' }).toString(),
    },
    { timeoutMs: broker.timeoutMs, maxBytes: MAX_BYTES, signal: broker.signal },
  )
  if (status !== 200 || !isRecord(body) || typeof body.active !== 'boolean') {
    throw new Error(`introspection answered ${status}${status === 200 ? ' in a form that is not known' : ''}`)
  }
  if (!body.active) throw new ClaimFault('The credential is not active.')
  return readAccess(body, expected())
}
