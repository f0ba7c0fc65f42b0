// A guard in this process, and what it hears: keys, leases and a feed whose bytes the fuzzer writes.

import { type CryptoKey, calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT } from 'jose'
import { createGuard } from '../../src/guard/index.ts'

export const GUARD_ISSUER = 'https://hallpass.example.com'
export const GUARD_RESOURCE = 'https://tickets.example.com'

export type GuardKey = { readonly kid: string; readonly privateKey: CryptoKey; readonly jwk: object }

export async function guardKey(): Promise<GuardKey> {
  const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true })
  const jwk = await exportJWK(publicKey)
  const kid = await calculateJwkThumbprint(jwk)
  return { kid, privateKey, jwk: { ...jwk, kid, alg: 'ES256', use: 'sig' } }
}

export async function goodCredential({ kid, privateKey }: GuardKey, more: object = {}): Promise<string> {
  const iat = Math.floor(Date.now() / 1000)
  const claims = {
    iss: GUARD_ISSUER,
    sub: 'triage-bot',
    aud: GUARD_RESOURCE,
    scope: 'ticket:read',
    iat,
    exp: iat + 3000,
    jti: 'crd_1',
    sid: 'ses_1',
    grant_id: 'grt_1',
    ...more,
  }
  return new SignJWT(claims).setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid }).sign(privateKey)
}

export const event = (body: unknown): string => `data: ${JSON.stringify(body)}\n\n`

/** `feeds`: what each connection of the feed says, one after the other; the last one is said to all that follow. */
export function guardHearing(key: GuardKey, feeds: readonly Uint8Array[], seq: number) {
  let connections = 0
  const json = (body: unknown) =>
    new Response(JSON.stringify(body), { headers: { 'content-type': 'application/json' } })
  return createGuard({
    issuer: GUARD_ISSUER,
    resource: GUARD_RESOURCE,
    verifierToken: 'hp_verify_fuzz',
    mode: 'offline',
    readyWaitMs: 40,
    timings: { renewMs: 1000, requestTimeoutMs: 500, stallMs: 500, syncMs: 500, backoffMinMs: 1, backoffMaxMs: 2 },
    fetch: async (url, init) => {
      if (url.endsWith('/.well-known/oauth-authorization-server'))
        return json({ issuer: GUARD_ISSUER, jwks_uri: `${GUARD_ISSUER}/jwks` })
      if (url.endsWith('/jwks')) return json({ keys: [key.jwk] })
      if (url.endsWith('/guard/lease')) return json({ seq, leaseSeconds: 10 })
      const bytes = feeds[Math.min(connections++, feeds.length - 1)]!
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          controller.enqueue(bytes)
          init?.signal?.addEventListener('abort', () => controller.error(new Error('aborted')), { once: true })
        },
      })
      return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
    },
  })
}
