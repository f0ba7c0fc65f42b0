// A broker of the guard's protocol over real sockets, as small as the tests allow, and able to misbehave on command.
import type { AddressInfo } from 'node:net'
import { type ServerType, serve } from '@hono/node-server'
import { Hono } from 'hono'
import { type CryptoKey, calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT } from 'jose'
import { createGuard, type Guard, type GuardOptions } from '../../src/guard/index.ts'

export const RESOURCE = 'https://tickets.example.com'
export const VERIFIER = 'hp_verify_test'

export type Key = { readonly kid: string; readonly privateKey: CryptoKey; readonly jwk: Record<string, unknown> }

export const makeKey = async (): Promise<Key> => {
  const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true })
  const jwk = await exportJWK(publicKey)
  const kid = await calculateJwkThumbprint(jwk)
  return { kid, privateKey, jwk: { ...jwk, kid, alg: 'ES256', use: 'sig' } }
}

type Denied = { deny: Record<string, string>; until: string; before?: number | string }

export const startBroker = async () => {
  const first = await makeKey()
  const encoder = new TextEncoder()
  const streams = new Set<ReadableStreamDefaultController<Uint8Array>>()
  const state = {
    key: first,
    published: [first],
    seq: 0,
    denied: [] as Array<Denied & { seq: number }>,
    leaseSeconds: 10,
    leaseAhead: 0,
    leaseStatus: 200,
    feedStatus: 200,
    feedType: 'text/event-stream',
    feedRedirect: false,
    issuerInMetadata: undefined as string | undefined,
    jwksUri: undefined as string | undefined,
    forceReset: false,
    holdSync: false,
    introspection: undefined as unknown,
    introspectStatus: 200,
    heartbeat: true,
  }
  const seen = {
    acks: [] as Array<{ guard: string; ackSeq: number; at: number }>,
    connects: [] as number[],
    keyFetches: 0,
    verifiers: new Set<string | undefined>(),
    introspected: [] as string[],
  }
  const until = () => new Date(Date.now() + 600_000).toISOString()
  const line = (body: unknown) => `data: ${JSON.stringify(body)}\n\n`
  const rawBytes = (bytes: Uint8Array) => {
    for (const stream of streams) stream.enqueue(bytes)
  }
  const raw = (text: string) => rawBytes(encoder.encode(text))
  const fullSet = () => state.denied.map((denied) => line(denied)).join('')
  const synced = () => line({ seq: state.seq, synced: true })

  const app = new Hono()
  let issuer = ''
  app.get('/.well-known/oauth-authorization-server', (c) =>
    c.json({
      issuer: state.issuerInMetadata ?? issuer,
      jwks_uri: state.jwksUri ?? `${issuer}/.well-known/jwks.json`,
    }),
  )
  app.get('/.well-known/jwks.json', (c) => {
    seen.keyFetches += 1
    return c.json({ keys: state.published.map((key) => key.jwk) })
  })
  app.on('GET', ['/guard/feed', '/guard/elsewhere'], (c) => {
    seen.verifiers.add(c.req.header('x-hallpass-verifier'))
    const after = Number(c.req.query('after'))
    seen.connects.push(after)
    if (state.feedRedirect && c.req.path === '/guard/feed') return c.redirect('/guard/elsewhere?after=0')
    if (state.feedStatus !== 200) return c.body(null, 503)
    let own: ReadableStreamDefaultController<Uint8Array> | undefined
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        own = controller
        const replay =
          state.forceReset || after > state.seq
            ? `event: reset\n${line({ reset: true, seq: state.seq })}${fullSet()}`
            : state.denied
                .filter(({ seq }) => seq > after)
                .map((denied) => line(denied))
                .join('')
        controller.enqueue(encoder.encode(replay + (state.holdSync ? '' : synced())))
        streams.add(controller)
      },
      cancel() {
        if (own) streams.delete(own)
      },
    })
    return new Response(body, { headers: { 'content-type': state.feedType } })
  })
  app.post('/guard/lease', async (c) => {
    seen.verifiers.add(c.req.header('x-hallpass-verifier'))
    const { guard, ackSeq } = await c.req.json<{ guard: string; ackSeq: number }>()
    seen.acks.push({ guard, ackSeq, at: performance.now() })
    if (state.leaseStatus !== 200) return c.body(null, state.leaseStatus as 503)
    return c.json({ seq: state.seq + state.leaseAhead, leaseSeconds: state.leaseSeconds })
  })
  app.post('/oauth/elsewhere', (c) => c.json(state.introspection as Record<string, unknown>))
  app.post('/oauth/introspect', async (c) => {
    seen.verifiers.add(c.req.header('x-hallpass-verifier'))
    const form = await c.req.parseBody()
    seen.introspected.push(String(form.token))
    if (state.introspectStatus === 307) return c.redirect('/oauth/elsewhere', 307)
    if (state.introspectStatus !== 200) return c.body(null, 503)
    return c.json(state.introspection as Record<string, unknown>)
  })
  let server: ServerType | undefined
  await new Promise<void>((resolve) => {
    server = serve({ fetch: app.fetch, hostname: '127.0.0.1', port: 0 }, (info: AddressInfo) => {
      issuer = `http://127.0.0.1:${info.port}`
      resolve()
    })
  })
  const heart = setInterval(() => {
    if (state.heartbeat) raw(line({ seq: state.seq }))
  }, 50)
  const guards: Guard[] = []

  return {
    issuer,
    state,
    seen,
    raw,
    rawBytes,
    openFeeds: () => streams.size,
    line,
    /** Claims of a good credential, with overrides; undefined removes a claim. */
    claims: (overrides: Record<string, unknown> = {}): Record<string, unknown> => {
      const iat = Math.floor(Date.now() / 1000)
      return {
        iss: issuer,
        sub: 'triage-bot',
        client_id: 'triage-bot',
        aud: RESOURCE,
        scope: 'ticket:read ticket:comment',
        iat,
        exp: iat + 300,
        jti: crypto.randomUUID(),
        sid: 'session-1',
        grant_id: 'grant-1',
        manifest: 'sha256:00',
        ...overrides,
      }
    },
    mint(overrides: Record<string, unknown> = {}, header: Record<string, unknown> = {}, key = state.key.privateKey) {
      return new SignJWT(this.claims(overrides))
        .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid: state.key.kid, ...header })
        .sign(key)
    },
    deny(deny: Record<string, string>, more: Partial<Denied> = {}) {
      state.seq += 1
      const denied = { seq: state.seq, deny, until: until(), ...more }
      state.denied.push(denied)
      raw(line(denied))
      return state.seq
    },
    sendSynced: () => raw(synced()),
    sendReset: (full = fullSet()) => raw(`event: reset\n${line({ reset: true, seq: state.seq })}${full}`),
    /** Ends every feed connection; `feedStatus` says whether new ones are let in. */
    cutFeeds() {
      for (const stream of streams) stream.close()
      streams.clear()
    },
    guard(options: Partial<GuardOptions> = {}): Guard {
      const guard = createGuard({
        issuer,
        resource: RESOURCE,
        verifierToken: VERIFIER,
        mode: 'offline',
        readyWaitMs: 2_000,
        ...options,
        timings: { renewMs: 100, stallMs: 400, syncMs: 500, backoffMinMs: 10, backoffMaxMs: 50, ...options.timings },
      })
      guards.push(guard)
      return guard
    },
    async stop() {
      clearInterval(heart)
      await Promise.all(guards.map((guard) => guard.close()))
      if (server && 'closeAllConnections' in server) server.closeAllConnections()
      await new Promise((resolve) => server?.close(resolve))
    },
  }
}

export type FakeBroker = Awaited<ReturnType<typeof startBroker>>
export const bearer = (token: string) => `Bearer ${token}`
