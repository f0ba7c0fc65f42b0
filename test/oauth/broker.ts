// A whole broker as far as OAuth and the tools' verifiers see it: real store, real keys, real sockets; seeded with rows
// instead of manifests.

import { createSecretKey, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { getRequestListener } from '@hono/node-server'
import { type CryptoKey, calculateJwkThumbprint, exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose'
import { createTokenVerifier } from '../../src/actions/authenticate-session.ts'
import type { Edge } from '../../src/actions/edge.ts'
import { createExpiryWatch } from '../../src/actions/expiry-watch.ts'
import { createToolsetReader } from '../../src/actions/list-access.ts'
import { makeBearer } from '../../src/actions/make-bearer.ts'
import { createRefusals } from '../../src/actions/note-refusals.ts'
import type { Clock, Deps, Guards, Log } from '../../src/actions/ports.ts'
import { createRateLimiter } from '../../src/actions/rate-limit.ts'
import { requestAccess } from '../../src/actions/request-access.ts'
import { ensureKeys } from '../../src/actions/rotate-keys.ts'
import { recordOf, transact } from '../../src/actions/transact.ts'
import { createKeys } from '../../src/adapters/keys/create-keys.ts'
import { createSigner } from '../../src/adapters/keys/signer.ts'
import { createOauthApp } from '../../src/adapters/oauth/oauth-app.ts'
import { systemClock } from '../../src/adapters/system/clock.ts'
import { systemIds } from '../../src/adapters/system/ids.ts'
import { createVerifierApp, type VerifierApp } from '../../src/adapters/verifiers/verifier-app.ts'
import { compileSlices, valueDigest } from '../../src/core/compile-slices.ts'
import { RATE } from '../../src/core/limits.ts'
import type { Details, IdentityKey, TokenAlg } from '../../src/core/manifest.ts'
import { type BearerKind, NEW_LOCKABLE, type Row } from '../../src/core/model.ts'
import type { RevealedRecord } from '../../src/core/record.ts'
import { reveal } from '../../src/core/record.ts'
import { ok } from '../../src/core/result.ts'
import { createFrontDoor, type FrontDoor } from '../../src/wire/front-door.ts'
import { besideTheFrontDoor } from '../../src/wire/side-door.ts'
import { fakeTargets } from '../support/fake-targets.ts'
import { agent, entry, setOf, tool } from '../support/manifest-set.ts'
import { operator, silentLog, unwrap } from '../support/store-on-disk.ts'
import { testStore } from '../support/test-store.ts'

const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
export const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
export const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token'
export const TICKETS = 'https://tickets.example.com'
export const METRICS = 'https://metrics.example.com'

type AgentKey = { readonly privateKey: CryptoKey; readonly identity: IdentityKey }

export async function agentKey(alg: TokenAlg = 'ES256'): Promise<AgentKey> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true })
  const { kty = '', crv = '', x = '', y = '', n = '', e = '' } = await exportJWK(publicKey)
  const jwk: Record<string, string> = alg === 'ES256' ? { kty, crv, x, y } : { kty, n, e }
  return { privateKey, identity: { kid: await calculateJwkThumbprint(jwk), alg, jwk } }
}

type Sign = {
  readonly claims?: JWTPayload | Record<string, unknown>
  readonly header?: Record<string, unknown>
  readonly key?: CryptoKey | Uint8Array
}

export type TestBroker = Awaited<ReturnType<typeof startBroker>>

export async function startBroker(options: { readonly clock?: Clock; readonly log?: Log } = {}) {
  const clock = options.clock ?? systemClock
  const log = options.log ?? silentLog
  const folder = mkdtempSync(join(tmpdir(), 'hallpass-'))
  const path = join(folder, 'hallpass.db')
  const kek = createSecretKey(randomBytes(32))
  const keys = { triage: await agentKey(), other: await agentKey(), spare: await agentKey() }

  let listener: RequestListener = (_, outgoing) => outgoing.writeHead(503).end()
  const server = createServer((incoming, outgoing) => listener(incoming, outgoing))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

  const kept = testStore(path, clock)
  const brokerKeys = createKeys(kek)
  const open = async () => {
    const store = await kept.open()
    const ids = systemIds(clock)
    unwrap(await ensureKeys({ store, clock, ids }, brokerKeys))
    const signer = await createSigner({ store, kek, clock, settings: { issuer }, log })
    let guards: Guards = { lease: () => ({ leaseSeconds: 0 }), acknowledged: () => ({ all: false, guards: 0 }) }
    const deps: Deps = {
      store,
      signer,
      keys: brokerKeys,
      ...fakeTargets(kek, clock),
      clock,
      ids,
      guards: {
        lease: (...asked) => guards.lease(...asked),
        acknowledged: (...asked) => guards.acknowledged(...asked),
      },
      expiry: createExpiryWatch(clock, store.highestTime()),
      notifier: { notify: () => {} },
      log,
      settings: {
        issuer,
        mcpUrl: `${issuer}/mcp`,
        sessionMaxSeconds: 3600,
        scopesMode: 'watch',
        requestTtlSeconds: 3600,
        supportedApprovals: ['none', 'owner'],
      },
    }
    const limiter = (rate: (typeof RATE)[keyof typeof RATE], capacity: number = rate.capacity) =>
      createRateLimiter({ ...rate, capacity }, clock)
    const edge: Edge = {
      deps,
      verify: createTokenVerifier(deps),
      toolsetOf: createToolsetReader(deps),
      refusals: createRefusals(deps),
      limiters: {
        ask: limiter(RATE.askPerAgent),
        token: limiter(RATE.tokenPerClient, 200),
        mint: limiter(RATE.mintPerAgent),
        call: limiter(RATE.callPerAgent),
        stranger: limiter(RATE.strangerPerAddress),
        api: limiter(RATE.apiPerBearer),
        check: limiter(RATE.checkPerTool),
      },
      allowedHosts: ['127.0.0.1'],
    }
    const verifiers: VerifierApp = createVerifierApp(edge)
    guards = verifiers.guards
    const front: FrontDoor = { log, ids, allowedHosts: ['127.0.0.1'], operator: false }
    const door = createFrontDoor(front, (app) => {
      app.route('/', createOauthApp(edge))
      app.route('/', verifiers.app)
    })
    listener = besideTheFrontDoor(front, verifiers.forwardAuth, getRequestListener(door.fetch))
    return { deps, edge, verifiers, signer }
  }
  let now = await open()

  const put = async (rows: readonly Row[]) =>
    unwrap(
      await transact(now.deps, 'normal', async (look) =>
        ok({
          value: null,
          put: rows,
          records: [recordOf(operator, look.now, 'server.started', {}, { version: '0', node: '0', records: 0 })],
        }),
      ),
    ).seq
  const access = (details: Details = {}) => [
    entry('tickets', ['comment', 'read'], { approval: 'none', details }),
    entry('metrics', ['read'], { approval: 'none' }),
  ]
  const slices = (withKeys: readonly IdentityKey[], details: Details, alg: TokenAlg) =>
    compileSlices(
      setOf(
        tool('tickets', { token: { alg, maxTtlSeconds: 600, verifiedBy: 'guard', leewaySeconds: 60 } }),
        tool('metrics', { details: {} }),
        agent('triage-bot', { keys: withKeys, access: access(details) }),
        agent('other-bot', { keys: [keys.other.identity], access: access() }),
      ),
    )
  /** The authority in force, as an applied manifest set leaves it. */
  const enforce = (
    withKeys: readonly IdentityKey[] = [keys.triage.identity],
    details: Details = {},
    alg: TokenAlg = 'ES256',
  ) =>
    put(
      [...slices(withKeys, details, alg)].map(([id, value]) => ({
        kind: 'slice',
        row: { id, value, digest: valueDigest(value), resumable: null },
      })),
    )
  await put([
    { kind: 'installation', row: { ...NEW_LOCKABLE, id: 'self', initializedAt: clock.now(), revision: 'rev_1' } },
    ...['triage-bot', 'other-bot'].map(
      (id): Row => ({
        kind: 'agent',
        row: { ...NEW_LOCKABLE, id, state: 'active', skeleton: id.replaceAll('-', ''), decommission: null },
      }),
    ),
    ...['tickets', 'metrics'].map((id): Row => ({ kind: 'tool', row: { ...NEW_LOCKABLE, id } })),
  ])
  await enforce()

  const seconds = () => Math.floor(clock.now() / 1000)
  const assertion = (over: Sign = {}) =>
    new SignJWT({
      iss: 'triage-bot',
      sub: 'triage-bot',
      aud: issuer,
      iat: seconds(),
      exp: seconds() + 300,
      jti: crypto.randomUUID(),
      ...over.claims,
    })
      .setProtectedHeader({ alg: 'ES256', typ: 'JWT', ...over.header })
      .sign(over.key ?? keys.triage.privateKey)
  const form = (at: string, parameters: Record<string, string> | string, headers: Record<string, string> = {}) =>
    fetch(`${issuer}${at}`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
      body: typeof parameters === 'string' ? parameters : new URLSearchParams(parameters).toString(),
    })
  const ask = async (signed: string, more: Record<string, string> = {}) =>
    form('/oauth/token', {
      grant_type: 'client_credentials',
      client_assertion_type: ASSERTION_TYPE,
      client_assertion: signed,
      ...more,
    })
  const session = async (over: Sign = {}): Promise<string> => {
    const answer = await ask(await assertion(over))
    const body = (await answer.json()) as { access_token?: string }
    if (body.access_token === undefined) throw new Error(`no session: ${JSON.stringify(body)}`)
    return body.access_token
  }
  const exchange = (subject: string, more: Record<string, string>) =>
    form('/oauth/token', { grant_type: EXCHANGE, subject_token: subject, subject_token_type: ACCESS_TOKEN, ...more })
  const callerOf = (token: string) => {
    const { sub, sid } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'))
    return { role: 'agent', agent: String(sub), session: String(sid) } as const
  }
  /** A grant without anybody's approval, as `request_access` gives it. */
  const grant = async (token: string, name = 'tickets', scopes = ['comment', 'read'], details: Details = {}) => {
    const input = { tool: name, scopes, reason: 'INC-1', durationSeconds: null, details }
    const outcome = unwrap(await requestAccess(now.deps, callerOf(token), input, 'req_test'))
    if (outcome.status !== 'granted') throw new Error(outcome.status)
    return outcome.grant.id
  }
  const credential = async (token: string, more: Record<string, string>) => {
    const answer = await exchange(token, more)
    const body = (await answer.json()) as { access_token?: string; grant_id?: string }
    if (body.access_token === undefined) throw new Error(`no credential: ${JSON.stringify(body)}`)
    return { token: body.access_token, grant: String(body.grant_id) }
  }
  const bearer = async (kind: BearerKind, subject: string) => {
    const made = unwrap(await makeBearer(now.deps, operator, { kind, subject }))
    return { id: made.id, secret: made.secret.reveal() }
  }

  return {
    issuer,
    keys,
    brokerKeys,
    clock,
    deps: () => now.deps,
    edge: () => now.edge,
    guards: () => now.verifiers.guards,
    put,
    enforce,
    assertion,
    form,
    ask,
    session,
    exchange,
    grant,
    credential,
    bearer,
    callerOf,
    introspect: async (verifier: string, token: string) => {
      const answer = await form('/oauth/introspect', { token }, { 'x-hallpass-verifier': verifier })
      return { status: answer.status, body: (await answer.json()) as Record<string, unknown> }
    },
    async records(): Promise<readonly RevealedRecord[]> {
      await now.edge.refusals.flush(true)
      return (await now.deps.store.records(0, 500)).map(({ bytes, opened }) => reveal(bytes, opened))
    },
    /** Everything but the files and the port is made anew. */
    async reopen() {
      await now.verifiers.close()
      await now.signer.close()
      await now.deps.store.close()
      now = await open()
    },
    async stop() {
      await now.verifiers.close()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      await now.signer.close()
      await now.deps.store.close()
      await kept.forget()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** The answer's status, its OAuth error and our code. */
export async function told(answer: Response) {
  const body = (await answer.json()) as Record<string, unknown>
  return {
    status: answer.status,
    error: body.error,
    code: body.code,
    description: String(body.error_description),
    body,
  }
}
