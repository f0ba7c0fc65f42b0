// Forged, borrowed and replayed tokens against every edge of the whole broker. The attacker may even hold our signing key:
// what is not live in the store is refused, however well it is signed (S13, S14, S18).

import { createHmac, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openSession, type Proof } from '../../src/actions/open-session.ts'
import { useAssertion } from '../../src/actions/use-assertion.ts'
import { loadKek } from '../../src/adapters/keys/kek.ts'
import { openKey } from '../../src/adapters/keys/seal.ts'
import { SAMPLE_OWNERS, type SampleBroker, startSampleBroker } from '../../src/commands/sample-broker.ts'
import { createGuard, type Guard } from '../../src/guard/index.ts'
import { startBroker as startOauth, told } from '../oauth/broker.ts'
import { createHarness } from '../support/harness.ts'
import { agent, setOf, tool } from '../support/manifest-set.ts'
import { movableClock, unwrap } from '../support/store-on-disk.ts'
import { testDatabase } from '../support/test-store.ts'
import { bearer, FORM, form, send } from './wire.ts'

type Json = Readonly<Record<string, unknown>>
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token'
const ASSERTION = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
const METRICS = 'http://127.0.0.1:8432'

let broker: SampleBroker
let guard: Guard
let asking: Guard
let verifier: string
/** Ours: what a thief of the KEK and the database would have. */
let ours: { readonly key: KeyObject; readonly kid: string; readonly jwk: Json }
let tries = 0
const good = { session: '', credential: '' }
const claims: Record<'session' | 'credential', Json> = { session: {}, credential: {} }

const base64url = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
const readPart = (token: string, part: number): Json =>
  JSON.parse(Buffer.from(token.split('.')[part] ?? '', 'base64url').toString('utf8'))
const es256 = (key: KeyObject) => (input: string) =>
  sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')
const jws = (header: Json, payload: Json, signed: (input: string) => string) => {
  const input = `${base64url(header)}.${base64url(payload)}`
  return `${input}.${signed(input)}`
}
const agentKey = () => createPrivateKey(readFileSync(broker.agents['triage-bot']!.keyPath))
const now = () => Math.floor(Date.now() / 1000)
const assertion = (over: Json = {}, header: Json = {}, signed = es256(agentKey())) =>
  jws(
    { alg: 'ES256', typ: 'JWT', ...header },
    {
      iss: 'triage-bot',
      sub: 'triage-bot',
      aud: broker.url,
      iat: now(),
      exp: now() + 60,
      jti: crypto.randomUUID(),
      ...over,
    },
    signed,
  )
const post = (path: string, fields: Readonly<Record<string, string>>, headers: readonly string[] = []) =>
  send(`${broker.url}${path}`, { headers: [...FORM, ...headers], body: form(fields) })
const authenticate = (signed: string) =>
  post('/oauth/token', {
    grant_type: 'client_credentials',
    client_assertion_type: ASSERTION,
    client_assertion: signed,
  })
const exchange = (token: string) =>
  post('/oauth/token', {
    grant_type: EXCHANGE,
    subject_token: token,
    subject_token_type: ACCESS_TOKEN,
    audience: 'metrics',
  })

beforeAll(async () => {
  broker = await startSampleBroker(await testDatabase())
  verifier = await broker.verifierToken('metrics')
  good.session = String((await authenticate(assertion())).json.access_token)
  await send(`${broker.url}/v1/requests`, {
    headers: [...bearer(good.session), 'Content-Type', 'application/json'],
    body: JSON.stringify({ tool: 'metrics', scopes: ['metrics:read'], reason: 'INC-1' }),
  })
  good.credential = String((await exchange(good.session)).json.access_token)
  claims.session = readPart(good.session, 1)
  claims.credential = readPart(good.credential, 1)
  const kek = loadKek(
    { from: 'data folder', path: join(broker.dataPath, 'kek') },
    { dataPath: broker.dataPath, loopback: true, mayGenerate: false },
  )
  if (!kek.ok) throw new Error(kek.error)
  const { rows } = await broker.running.broker.deps.store.list({ kind: 'key', limit: 10 })
  const row = rows.find(({ use }) => use === 'tokens')!
  ours = { key: openKey(row.sealed, kek.value, row)!, kid: row.id, jwk: row.publicJwk }
  const options = { issuer: broker.url, resource: METRICS, verifierToken: verifier } as const
  guard = createGuard({ ...options, mode: 'offline' })
  asking = createGuard({ ...options, mode: 'introspect' })
  await guard.ready()
})
afterAll(async () => {
  await guard?.close()
  await asking?.close()
  await broker?.close()
  console.log(`tokens: ${tries} forgeries sent, none accepted`)
})

const status = async (answer: ReturnType<typeof send>) => {
  const { status: said, text } = await answer
  if (![200, 400, 401, 403].includes(said)) throw new Error(`an edge answered ${said}: ${text}`)
  return said === 200
}
/** Where a session's token counts, and where a credential does: true is accepted. */
const EDGES: Readonly<Record<'session' | 'credential', Readonly<Record<string, (token: string) => Promise<boolean>>>>> =
  {
    session: {
      '/mcp': (token) =>
        status(
          send(`${broker.url}/mcp`, {
            headers: [
              ...bearer(token),
              ...['Content-Type', 'application/json', 'Accept', 'application/json, text/event-stream'],
            ],
            body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list', params: {} }),
          }),
        ),
      '/v1': (token) => status(send(`${broker.url}/v1/whoami`, { headers: bearer(token) })),
      exchange: (token) => status(exchange(token)),
      '/oauth/revoke': (token) => status(post('/oauth/revoke', { token: 'x.y.z' }, bearer(token))),
    },
    credential: {
      '/oauth/introspect': async (token) => {
        const said = await post('/oauth/introspect', { token }, ['X-Hallpass-Verifier', verifier])
        expect(said.status).toBe(200)
        return said.json.active === true
      },
      '/forward-auth': (token) =>
        status(
          send(`${broker.url}/forward-auth?resource=${encodeURIComponent(METRICS)}&scope=metrics:read`, {
            headers: [...bearer(token), 'X-Hallpass-Verifier', verifier],
          }),
        ),
      'the guard, offline': async (token) => (await guard.verify(`Bearer ${token}`, { scopes: [] })).ok,
      'the guard that asks': async (token) => (await asking.verify(`Bearer ${token}`, { scopes: [] })).ok,
    },
  }

test('the real ones are accepted at each of their edges, or the rest of this file says nothing', async () => {
  for (const kind of ['session', 'credential'] as const)
    for (const [edge, accepts] of Object.entries(EDGES[kind])) expect(await accepts(good[kind]), edge).toBe(true)
})

type Forge = (kind: 'session' | 'credential') => string
const well = (over: Json, header: Json = {}): Forge => {
  return (kind) =>
    jws({ alg: 'ES256', typ: 'at+jwt', kid: ours.kid, ...header }, { ...claims[kind], ...over }, es256(ours.key))
}
const badly =
  (header: Json, signed: (input: string) => string): Forge =>
  (kind) =>
    jws({ typ: 'at+jwt', kid: ours.kid, ...header }, claims[kind], signed)
const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const hmac = (secret: () => Buffer | string) => (input: string) =>
  createHmac('sha256', secret()).update(input).digest('base64url')
const publicKey = () => createPublicKey({ key: { ...ours.jwk }, format: 'jwk' })

const FORGERIES: Readonly<Record<string, Forge>> = {
  'alg none': badly({ alg: 'none' }, () => ''),
  'alg None': badly({ alg: 'None' }, () => ''),
  'alg NONE with the real signature': (kind) =>
    `${base64url({ alg: 'NONE', typ: 'at+jwt', kid: ours.kid })}.${good[kind].split('.').slice(1).join('.')}`,
  'no signature at all': (kind) => `${good[kind].split('.').slice(0, 2).join('.')}.`,
  'HS256 with the public key as PEM': badly(
    { alg: 'HS256' },
    hmac(() => publicKey().export({ type: 'spki', format: 'pem' })),
  ),
  'HS256 with the public key as DER': badly(
    { alg: 'HS256' },
    hmac(() => publicKey().export({ type: 'spki', format: 'der' })),
  ),
  'HS256 with the public key as JWK': badly(
    { alg: 'HS256' },
    hmac(() => JSON.stringify(ours.jwk)),
  ),
  'HS256 with an empty secret': badly(
    { alg: 'HS256' },
    hmac(() => ''),
  ),
  'a signature of zeros': badly({ alg: 'ES256' }, () => Buffer.alloc(64).toString('base64url')),
  'another key under our kid': badly({ alg: 'ES256' }, es256(stranger.privateKey)),
  'another key, brought along': badly(
    { alg: 'ES256', jwk: stranger.publicKey.export({ format: 'jwk' }) },
    es256(stranger.privateKey),
  ),
  'a kid that walks to a file': badly({ alg: 'ES256', kid: '../../../../dev/null' }, es256(stranger.privateKey)),
  'a kid of __proto__': badly({ alg: 'ES256', kid: '__proto__' }, es256(stranger.privateKey)),
  'no kid': badly({ alg: 'ES256', kid: undefined }, es256(stranger.privateKey)),
  'the real signature over other claims': (kind) =>
    [good[kind].split('.')[0], base64url({ ...claims[kind], sub: 'report-bot' }), good[kind].split('.')[2]].join('.'),
  'typ JWT, well signed': well({}, { typ: 'JWT' }),
  'no typ, well signed': well({}, { typ: undefined }),
  'typ logout+jwt, well signed': well({}, { typ: 'logout+jwt' }),
  'a critical header, well signed': well({}, { crit: ['b64'], b64: false }),
  'another iss, well signed': well({ iss: 'https://hallpass.example.org' }),
  'our iss with a slash, well signed': (kind) => well({ iss: `${broker.url}/` })(kind),
  'no iss, well signed': well({ iss: undefined }),
  'the aud of nobody, well signed': well({ aud: 'https://elsewhere.example.com' }),
  'no aud, well signed': well({ aud: undefined }),
  'expired, well signed': well({ exp: 1 }),
  'no exp, well signed': well({ exp: undefined }),
  'exp as text, well signed': well({ exp: '9999999999' }),
  'a session that is not there, well signed': well({ sid: 'ses_0' }),
  'the session of another sub, well signed': well({ sub: 'report-bot', client_id: 'report-bot' }),
}
/** An offline guard asks nobody which rows there are: who holds our key is accepted by it, and S19 says so. */
const ONLY_THE_STORE_KNOWS = new Set([
  'a session that is not there, well signed',
  'the session of another sub, well signed',
])

describe.each(Object.entries(FORGERIES))('%s', (name, forge) => {
  test.each(['session', 'credential'] as const)('is no %s, at any edge (S13, S14)', async (kind) => {
    const token = forge(kind)
    for (const [edge, accepts] of Object.entries(EDGES[kind])) {
      if (edge === 'the guard, offline' && ONLY_THE_STORE_KNOWS.has(name)) continue
      tries++
      expect(await accepts(token), edge).toBe(false)
    }
  })
})

describe('a credential that is', () => {
  test.each([
    ['not live in the store', { jti: 'crd_0' }],
    ['under another grant', { grant_id: 'grt_0' }],
    ['for several audiences, ours among them', { aud: [METRICS, 'https://elsewhere.example.com'] }],
  ] as const)('%s is inactive, however well it is signed (S13, S14)', async (_, over) => {
    const token = well(over)('credential')
    for (const [edge, accepts] of Object.entries(EDGES.credential)) {
      if (edge === 'the guard, offline' && !('aud' in over)) continue
      tries++
      expect(await accepts(token), edge).toBe(false)
    }
  })

  test('good for one tool is nothing to another’s verifier (S14)', async () => {
    const other = await broker.verifierToken('tickets')
    const said = await post('/oauth/introspect', { token: good.credential }, ['X-Hallpass-Verifier', other])
    expect(said.json).toEqual({ active: false })
  })
})

test('keys that a token points to are never fetched (S21)', async () => {
  let fetched = 0
  const trap = createServer((_, answer) => {
    fetched++
    answer.end(JSON.stringify({ keys: [{ ...stranger.publicKey.export({ format: 'jwk' }), kid: 'k', alg: 'ES256' }] }))
  })
  await new Promise<void>((resolve) => trap.listen(0, '127.0.0.1', () => resolve()))
  const url = `http://127.0.0.1:${(trap.address() as AddressInfo).port}/jwks`
  for (const header of [{ jku: url }, { x5u: url }, { jku: url, kid: 'k' }, { iss: url }])
    for (const kind of ['session', 'credential'] as const) {
      const token = badly({ alg: 'ES256', ...header }, es256(stranger.privateKey))(kind)
      for (const accepts of Object.values(EDGES[kind])) expect(await accepts(token)).toBe(false)
      tries += Object.keys(EDGES[kind]).length
    }
  expect((await authenticate(assertion({}, { jku: url }, es256(stranger.privateKey)))).status).toBe(401)
  expect(fetched).toBe(0)
  await new Promise((resolve) => trap.close(resolve))
})

const BAD_ASSERTIONS: Readonly<Record<string, () => string>> = {
  expired: () => assertion({ iat: now() - 400, exp: now() - 61 }),
  'from the future': () => assertion({ iat: now() + 120, exp: now() + 180 }),
  'not valid yet': () => assertion({ nbf: now() + 120 }),
  'over-long': () => assertion({ exp: now() + 301 }),
  'over-long without saying since when': () => assertion({ iat: undefined, exp: now() + 3600 }),
  'without an end': () => assertion({ exp: undefined }),
  'with an end that is no number': () => assertion({ exp: '9999999999' }),
  'with an endless end': () => assertion({ exp: 1e308 }),
  'without a jti': () => assertion({ jti: undefined }),
  'with a jti that is no text': () => assertion({ jti: 7 }),
  'for the token endpoint': () => assertion({ aud: `${broker.url}/oauth/token` }),
  'for us and somebody else': () => assertion({ aud: [broker.url, 'https://elsewhere.example.com'] }),
  'for us, as a list': () => assertion({ aud: [broker.url] }),
  'for somebody else': () => assertion({ aud: 'https://elsewhere.example.com' }),
  'by another agent': () => assertion({ iss: 'report-bot', sub: 'report-bot' }),
  'by one for another': () => assertion({ sub: 'report-bot' }),
  'of alg none': () => assertion({}, { alg: 'none' }, () => ''),
  'as HS256 with the agent’s public key': () =>
    assertion(
      {},
      { alg: 'HS256' },
      hmac(() => createPublicKey(agentKey()).export({ type: 'spki', format: 'pem' })),
    ),
  'as an access token': () => assertion({}, { typ: 'at+jwt' }),
  'signed by the broker itself': () => assertion({}, { kid: ours.kid }, es256(ours.key)),
  'that is a session’s token': () => good.session,
}

test.each(Object.entries(BAD_ASSERTIONS))('an assertion %s opens no session (S11, S18)', async (_, make) => {
  tries++
  const before = (await broker.running.broker.deps.store.tree()).size
  expect(await authenticate(make())).toMatchObject({ status: 401, json: { error: 'invalid_client' } })
  expect((await broker.running.broker.deps.store.tree()).size).toBe(before)
})

test('an assertion that was used is used up: in 40 at once one works, and none at another purpose (S18)', async () => {
  const signed = assertion()
  const said = await Promise.all(Array.from({ length: 40 }, () => authenticate(signed)))
  expect(said.filter(({ status: one }) => one === 200)).toHaveLength(1)
  expect(said.filter(({ status: one }) => one === 401)).toHaveLength(39)
  const fields = { client_assertion_type: ASSERTION, client_assertion: signed }
  expect((await post('/oauth/revoke', { ...fields, token: good.credential })).status).toBe(401)
  tries += 40
})

describe('a jti that was used', () => {
  test('works no more after ten thousand others and a restart of everything but the disk (S18)', async () => {
    const h = await createHarness()
    await h.start(setOf(tool('tickets'), agent('bot')))
    const proof = (jti: string): Proof => ({
      agent: 'bot',
      key: 'bot-key',
      jti,
      expiresAt: h.disk.clock.now() + 300_000,
    })
    unwrap(await openSession(h.deps, proof('the-first'), 'req'))
    for (let wave = 0; wave < 20; wave++)
      await Promise.all(Array.from({ length: 500 }, (_, i) => useAssertion(h.deps, proof(`${wave}-${i}`), 'req')))
    const { rows } = await h.deps.store.list({ kind: 'session', limit: 1, newestFirst: true })
    expect(rows).toHaveLength(1)
    expect(await openSession(h.deps, proof('the-first'), 'req')).toMatchObject({ error: { code: 'conflict' } })
    await h.close()
  }, 60_000)

  test('works no more with the clock set back, however long ago it was used (S18)', async () => {
    let at = 0
    const steady = movableClock(Date.UTC(2026, 0, 15, 9))
    const oauth = await startOauth({ clock: { ...steady, now: () => steady.now() + at } })
    try {
      const signed = await oauth.assertion()
      expect((await oauth.ask(signed)).status).toBe(200)
      for (const days of [1, 8, 40]) {
        // Time goes on, and everybody forgets; then the clock is where it was.
        at = days * 86_400_000
        expect((await oauth.ask(await oauth.assertion())).status).toBe(200)
        at = 0
        expect((await told(await oauth.ask(signed))).status).not.toBe(200)
        await oauth.reopen()
        expect((await told(await oauth.ask(signed))).status).not.toBe(200)
        // Below the highest time seen nothing is issued at all, to the honest neither.
        expect((await told(await oauth.ask(await oauth.assertion()))).status).not.toBe(200)
      }
    } finally {
      await oauth.stop()
    }
  })
})

test('a session and a credential of a clock set back are not alive again (S18)', async () => {
  let at = 0
  const steady = movableClock(Date.UTC(2026, 0, 15, 9))
  const oauth = await startOauth({ clock: { ...steady, now: () => steady.now() + at } })
  try {
    const verifies = (await oauth.bearer('verifier', 'tickets')).secret
    const token = await oauth.session()
    await oauth.grant(token)
    const { token: credential } = await oauth.credential(token, { audience: 'tickets' })
    expect((await oauth.introspect(verifies, credential)).body.active).toBe(true)
    at = 7_200_000
    await oauth.session()
    at = 0
    expect((await oauth.introspect(verifies, credential)).body.active).not.toBe(true)
    expect((await told(await oauth.exchange(token, { audience: 'tickets' }))).status).not.toBe(200)
  } finally {
    await oauth.stop()
  }
})

test('an owner’s token opens nothing for the one that it is sent as by an agent in a body, a query or a cookie (S13)', async () => {
  const owner = await broker.ownerToken(SAMPLE_OWNERS.agents)
  for (const headers of [
    ['Cookie', `token=${owner}; authorization=Bearer ${owner}`],
    ['Proxy-Authorization', `Bearer ${owner}`],
    ['X-Authorization', `Bearer ${owner}`],
    ['Authorization', `Basic ${Buffer.from(`${owner}:`).toString('base64')}`],
    ['Authorization', owner],
    [...bearer(owner), ...bearer(owner)],
    ['X-Hallpass-Verifier', owner],
  ])
    expect((await send(`${broker.url}/v1/whoami`, { headers })).status, headers.join(' ')).toBe(401)
  for (const query of [`access_token=${owner}`, `token=${owner}`, `authorization=Bearer%20${owner}`])
    expect((await send(`${broker.url}/v1/whoami?${query}`)).status).toBe(401)
})
