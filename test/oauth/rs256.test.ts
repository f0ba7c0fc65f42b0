// RS256, for tools and clients that know nothing else: each with a key of its own, and no algorithm takes another's place.

import { createHmac } from 'node:crypto'
import { createLocalJWKSet, decodeProtectedHeader, type JSONWebKeySet, jwtVerify } from 'jose'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { createGuard } from '../../src/guard/index.ts'
import { agentKey, startBroker, type TestBroker, TICKETS, told } from './broker.ts'

let broker: TestBroker
beforeEach(async () => {
  broker = await startBroker()
})
afterEach(() => broker.stop())

const jwks = async (): Promise<JSONWebKeySet> =>
  (await (await fetch(`${broker.issuer}/.well-known/jwks.json`)).json()) as JSONWebKeySet

describe('a tool whose tokens are RS256', () => {
  const issue = async () => {
    await broker.enforce([broker.keys.triage.identity], {}, 'RS256')
    const session = await broker.session()
    return { session, ...(await broker.credential(session, { grant_id: await broker.grant(session) })) }
  }

  test('gets them from a key that is made on first need, published with its alg; sessions stay ES256', async () => {
    expect((await jwks()).keys.map(({ alg }) => alg)).toEqual(['ES256'])
    const { token, session } = await issue()
    const keys = await jwks()
    expect(keys.keys.map(({ alg, kty, use }) => [alg, kty, use]).toSorted()).toEqual([
      ['ES256', 'EC', 'sig'],
      ['RS256', 'RSA', 'sig'],
    ])
    expect(keys.keys.every((key) => key.d === undefined && key.p === undefined)).toBe(true)
    expect(decodeProtectedHeader(token)).toMatchObject({ alg: 'RS256', typ: 'at+jwt' })
    expect(decodeProtectedHeader(session).alg).toBe('ES256')
    const options = { issuer: broker.issuer, audience: TICKETS, typ: 'at+jwt', algorithms: ['RS256'] }
    expect((await jwtVerify(token, createLocalJWKSet(keys), options)).payload.sub).toBe('triage-bot')
    const verifier = await broker.bearer('verifier', 'tickets')
    expect((await broker.introspect(verifier.secret, token)).body).toMatchObject({ active: true, sub: 'triage-bot' })
  })

  test('is guarded by a guard told alg RS256, which takes no ES256 token and none signed with the public key (S13)', async () => {
    const { token, session } = await issue()
    const verifier = await broker.bearer('verifier', 'tickets')
    const guard = createGuard({
      issuer: broker.issuer,
      resource: TICKETS,
      verifierToken: verifier.secret,
      mode: 'offline',
      alg: 'RS256',
    })
    try {
      await vi.waitUntil(() => guard.ready(), { timeout: 10_000 })
      expect((await guard.verify(`Bearer ${token}`, { scopes: ['read'] })).ok).toBe(true)
      expect((await guard.verify(`Bearer ${session}`, { scopes: ['read'] })).ok).toBe(false)
      const [, payload] = token.split('.')
      const kid = decodeProtectedHeader(token).kid
      const key = JSON.stringify((await jwks()).keys.find((one) => one.kid === kid))
      const head = Buffer.from(JSON.stringify({ alg: 'HS256', typ: 'at+jwt', kid })).toString('base64url')
      const forged = `${head}.${payload}.${createHmac('sha256', key).update(`${head}.${payload}`).digest('base64url')}`
      expect((await guard.verify(`Bearer ${forged}`, { scopes: ['read'] })).ok).toBe(false)
      expect(await broker.edge().verify(forged)).toBeNull()
    } finally {
      await guard.close()
    }
  })

  test('is served on after a restart, by the same key (P9)', async () => {
    const first = decodeProtectedHeader((await issue()).token).kid
    await broker.reopen()
    expect(decodeProtectedHeader((await issue()).token).kid).toBe(first)
    expect((await jwks()).keys).toHaveLength(2)
  })
})

describe('an agent whose key is RS256', () => {
  test('opens a session with it, and with no other algorithm of the same key (RFC 8725 section 3.1)', async () => {
    const rsa = await agentKey('RS256')
    await broker.enforce([rsa.identity])
    const signed = (header: Record<string, unknown>) => broker.assertion({ header, key: rsa.privateKey })
    expect((await broker.ask(await signed({ alg: 'RS256', kid: rsa.identity.kid }))).status).toBe(200)
    expect((await broker.ask(await signed({ alg: 'RS256' }))).status).toBe(200)
    const wrong = await told(await broker.ask(await broker.assertion()))
    expect(wrong.description).toMatch(/^assertion is ES256, triage-bot's key is RS256: set .* to RS256/)
    const secret = Buffer.from(JSON.stringify(rsa.identity.jwk))
    const hmac = await told(await broker.ask(await broker.assertion({ header: { alg: 'HS256' }, key: secret })))
    expect(hmac).toMatchObject({ status: 401, description: expect.stringMatching(/^assertion is HS256/) })
  })

  test('beside an ES256 key: each is tried for its own algorithm alone', async () => {
    const rsa = await agentKey('RS256')
    await broker.enforce([broker.keys.triage.identity, rsa.identity])
    expect((await broker.ask(await broker.assertion())).status).toBe(200)
    const signed = await broker.assertion({ header: { alg: 'RS256' }, key: rsa.privateKey })
    expect((await broker.ask(signed)).status).toBe(200)
    const mixed = { alg: 'RS256', kid: broker.keys.triage.identity.kid }
    expect((await broker.ask(await broker.assertion({ header: mixed, key: rsa.privateKey }))).status).toBe(401)
  })

  test('is told of a name that nobody knows as of one with an ES256 key', async () => {
    const rsa = await agentKey('RS256')
    const of = async (name: string) => {
      const claims = { iss: name, sub: name }
      return told(await broker.ask(await broker.assertion({ claims, header: { alg: 'RS256' }, key: rsa.privateKey })))
    }
    const unknown = await of('nobody-at-all')
    const known = await of('other-bot')
    expect(unknown.description.replace('nobody-at-all', 'other-bot')).toBe(known.description)
    expect(unknown.status).toBe(known.status)
  })
})
