import { OAuthMetadataSchema, OAuthProtectedResourceMetadataSchema } from '@modelcontextprotocol/sdk/shared/auth.js'
import * as oauth from 'oauth4webapi'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ACCESS_TOKEN, EXCHANGE, METRICS, startBroker, type TestBroker, TICKETS, told } from './broker.ts'

let broker: TestBroker
beforeAll(async () => {
  broker = await startBroker()
})
afterAll(() => broker.stop())

const insecure = { [oauth.allowInsecureRequests]: true }

async function discover() {
  const issuer = new URL(broker.issuer)
  const answer = await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure })
  return oauth.processDiscoveryResponse(issuer, answer)
}

describe('oauth4webapi', () => {
  test('walks discovery, session, exchange, introspection and revocation (P1, P5)', async () => {
    const as = await discover()
    expect(as).toMatchObject({
      response_types_supported: [],
      token_endpoint_auth_methods_supported: ['private_key_jwt'],
    })
    const client: oauth.Client = { client_id: 'triage-bot' }
    const auth = oauth.PrivateKeyJwt(broker.keys.triage.privateKey)
    const opened = await oauth.processClientCredentialsResponse(
      as,
      client,
      await oauth.clientCredentialsGrantRequest(as, client, auth, new URLSearchParams(), insecure),
    )
    await broker.grant(opened.access_token)

    const exchange = async (how: oauth.ClientAuth) =>
      oauth.processGenericTokenEndpointResponse(
        as,
        client,
        await oauth.genericTokenEndpointRequest(
          as,
          client,
          how,
          EXCHANGE,
          { subject_token: opened.access_token, subject_token_type: ACCESS_TOKEN, resource: TICKETS, scope: 'read' },
          insecure,
        ),
      )
    const plain = await exchange(oauth.None())
    expect(plain).toMatchObject({ scope: 'read', issued_token_type: ACCESS_TOKEN, expires_in: expect.any(Number) })
    const issued = await exchange(auth)

    const request = new Request(TICKETS, { headers: { authorization: `Bearer ${issued.access_token}` } })
    const claims = await oauth.validateJwtAccessToken(as, request, TICKETS, insecure)
    expect(claims).toMatchObject({
      sub: 'triage-bot',
      client_id: 'triage-bot',
      scope: 'read',
      grant_id: issued.grant_id,
    })

    const { secret } = await broker.bearer('verifier', 'tickets')
    const toolClient: oauth.Client = { client_id: 'tickets' }
    const introspect = async () =>
      oauth.processIntrospectionResponse(
        as,
        toolClient,
        await oauth.introspectionRequest(
          as,
          toolClient,
          oauth.ClientSecretBasic(secret),
          issued.access_token,
          insecure,
        ),
      )
    expect(await introspect()).toMatchObject({
      active: true,
      sub: 'triage-bot',
      aud: TICKETS,
      scope: 'read',
      jti: claims.jti,
    })
    await oauth.processRevocationResponse(
      await oauth.revocationRequest(as, client, auth, issued.access_token, insecure),
    )
    expect(await introspect()).toEqual({ active: false })
    const kinds = (await broker.records()).map(({ kind }) => kind)
    expect(kinds).toEqual(
      expect.arrayContaining(['session.opened', 'credential.issued', 'agent.proved', 'credential.revoked']),
    )
  })
})

describe('discovery', () => {
  test('is what the official clients accept, and names no code flow (P8)', async () => {
    for (const path of ['', '/mcp']) {
      const answer = await fetch(`${broker.issuer}/.well-known/oauth-protected-resource${path}`)
      const metadata = OAuthProtectedResourceMetadataSchema.parse(await answer.json())
      expect(metadata).toMatchObject({ resource: `${broker.issuer}/mcp`, authorization_servers: [broker.issuer] })
      expect(answer.headers.get('access-control-allow-origin')).toBeNull()
    }
    const server = await (await fetch(`${broker.issuer}/.well-known/oauth-authorization-server`)).json()
    expect(OAuthMetadataSchema.parse(server).issuer).toBe(broker.issuer)
    const refused = await told(await fetch(`${broker.issuer}/oauth/authorize?response_type=code`))
    expect(refused).toMatchObject({ status: 400, error: 'unauthorized_client' })
    expect(refused.body.hint).toContain('client_credentials')
  })

  test('publishes public members alone, for as long as caches may keep them (S19)', async () => {
    const answer = await fetch(`${broker.issuer}/.well-known/jwks.json`)
    expect(answer.headers.get('cache-control')).toBe('public, max-age=300')
    const { keys } = (await answer.json()) as { keys: Record<string, string>[] }
    expect(keys).toHaveLength(1)
    expect(Object.keys(keys[0]!).sort()).toEqual(['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y'])
  })
})

describe('an exchange', () => {
  test('by grant_id, by audience and by resource gives a credential for that tool alone (S9, S13)', async () => {
    const session = await broker.session()
    const grant = await broker.grant(session)
    for (const target of [
      { grant_id: grant },
      { audience: 'tickets' },
      { resource: TICKETS },
      { resource: `${TICKETS}/` },
      { resource: TICKETS, audience: 'tickets', grant_id: grant },
    ] as Record<string, string>[]) {
      const answer = await broker.exchange(session, target)
      expect(answer.headers.get('cache-control')).toBe('no-store')
      expect(await answer.json()).toMatchObject({ grant_id: grant, scope: 'comment read', token_type: 'Bearer' })
    }
  })

  test('of what names no tool, an unknown one, or two is refused (S13)', async () => {
    const session = await broker.session()
    const grant = await broker.grant(session)
    for (const target of [
      {},
      { audience: 'nothing' },
      { resource: 'https://nothing.example.com' },
      { resource: 'tickets' },
      { resource: `${broker.issuer}/mcp` },
      { resource: TICKETS, audience: 'metrics' },
      { resource: METRICS, grant_id: grant },
    ] as Record<string, string>[])
      expect(await told(await broker.exchange(session, target))).toMatchObject({ status: 400, error: 'invalid_target' })
  })

  test('of a tool that nobody granted is refused, and says to ask (P8)', async () => {
    const session = await broker.session({
      claims: { iss: 'other-bot', sub: 'other-bot' },
      key: broker.keys.other.privateKey,
    })
    expect(await told(await broker.exchange(session, { audience: 'tickets' }))).toMatchObject({
      status: 400,
      error: 'access_denied',
      code: 'approval_required',
    })
  })

  test("of another agent's grant is refused, as one that is not there is (S7)", async () => {
    const grant = await broker.grant(await broker.session())
    const other = await broker.session({
      claims: { iss: 'other-bot', sub: 'other-bot' },
      key: broker.keys.other.privateKey,
    })
    const [foreign, unknown] = [
      await told(await broker.exchange(other, { grant_id: grant })),
      await told(await broker.exchange(other, { grant_id: 'grt_nothing' })),
    ]
    expect(foreign).toMatchObject({ status: 400, error: 'invalid_grant' })
    expect({ ...unknown.body, request_id: '' }).toEqual({ ...foreign.body, request_id: '' })
  })

  test('of a scope that the grant does not hold is refused (P2)', async () => {
    const session = await broker.session()
    const grant = await broker.grant(session, 'tickets', ['read'])
    const refused = await told(await broker.exchange(session, { grant_id: grant, scope: 'read close' }))
    expect(refused).toMatchObject({ status: 400, error: 'invalid_scope' })
    for (const scope of ['read  close', 'a"b', 'read\tclose'])
      expect((await told(await broker.exchange(session, { grant_id: grant, scope }))).error).toBe('invalid_scope')
  })

  test('narrows by authorization_details, and echoes what was granted (S9)', async () => {
    const session = await broker.session()
    const grant = await broker.grant(session)
    const wanted = [{ type: 'hallpass_details', constraints: { queue: ['incidents'] } }]
    const answer = await broker.exchange(session, { grant_id: grant, authorization_details: JSON.stringify(wanted) })
    expect(await answer.json()).toMatchObject({ authorization_details: wanted })
  })

  test.each([
    ['no JSON', '{'],
    ['no array', '{}'],
    ['another type', '[{"type":"payment","constraints":{}}]'],
    ['another field', '[{"type":"hallpass_details","constraints":{},"locations":[]}]'],
    ['two', '[{"type":"hallpass_details","constraints":{}},{"type":"hallpass_details","constraints":{}}]'],
    ['a value that is no list', '[{"type":"hallpass_details","constraints":{"queue":"incidents"}}]'],
    ['an empty list', '[{"type":"hallpass_details","constraints":{"queue":[]}}]'],
    ['__proto__', '[{"type":"hallpass_details","constraints":{"__proto__":["x"]}}]'],
    ['an undeclared key', '[{"type":"hallpass_details","constraints":{"colour":["red"]}}]'],
  ])('with authorization_details of %s is refused (S9)', async (_, details) => {
    const session = await broker.session()
    const grant = await broker.grant(session)
    const refused = await told(await broker.exchange(session, { grant_id: grant, authorization_details: details }))
    expect(refused).toMatchObject({ status: 400, error: 'invalid_authorization_details' })
  })

  test('takes only a session token as its subject, and that is on the trail (S13, P8)', async () => {
    const session = await broker.session()
    const grant = await broker.grant(session)
    const { token } = await broker.credential(session, { grant_id: grant })
    const owner = await broker.bearer('owner', 'alice@example.com')
    for (const subject of [token, owner.secret, 'nothing', await broker.assertion()]) {
      const refused = await told(await broker.exchange(subject, { grant_id: grant }))
      expect(refused).toMatchObject({ status: 400, error: 'invalid_request' })
    }
    const refusals = (await broker.records()).filter(
      ({ kind, actor }) => kind === 'refusal' && actor.id === 'triage-bot',
    )
    expect(refusals.some(({ body }) => body.code === 'unauthenticated')).toBe(true)
  })

  test('with an actor, another token type, or a client that is not its subject is refused (S13)', async () => {
    const session = await broker.session()
    const grant_id = await broker.grant(session)
    for (const more of [
      { actor_token: session, actor_token_type: ACCESS_TOKEN },
      { requested_token_type: 'urn:ietf:params:oauth:token-type:refresh_token' },
      { subject_token_type: 'urn:ietf:params:oauth:token-type:id_token' },
      { client_id: 'other-bot' },
    ] as Record<string, string>[])
      expect(await told(await broker.exchange(session, { grant_id, ...more }))).toMatchObject({
        status: 400,
        error: 'invalid_request',
      })
    const claims = { iss: 'other-bot', sub: 'other-bot' }
    const auth = {
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: await broker.assertion({ claims, key: broker.keys.other.privateKey }),
    }
    expect(await told(await broker.exchange(session, { grant_id, ...auth }))).toMatchObject({
      status: 400,
      error: 'invalid_request',
    })
  })
})

describe('introspection', () => {
  test('says what a credential is to its own tool, and nothing of it to another (S14)', async () => {
    const session = await broker.session()
    const grant = await broker.grant(session)
    const { token } = await broker.credential(session, { grant_id: grant })
    const tickets = (await broker.bearer('verifier', 'tickets')).secret
    const metrics = (await broker.bearer('verifier', 'metrics')).secret
    const { body } = await broker.introspect(tickets, token)
    expect(body).toMatchObject({
      active: true,
      iss: broker.issuer,
      client_id: 'triage-bot',
      grant_id: grant,
      token_type: 'Bearer',
    })
    expect(Object.keys(body).sort()).toEqual(
      [
        'active',
        'aud',
        'client_id',
        'exp',
        'grant_id',
        'iat',
        'iss',
        'jti',
        'manifest',
        'scope',
        'sid',
        'sub',
        'token_type',
      ].sort(),
    )
    expect(await broker.introspect(metrics, token)).toEqual({ status: 200, body: { active: false } })
    for (const other of [session, 'nothing', tickets])
      expect(await broker.introspect(tickets, other)).toEqual({ status: 200, body: { active: false } })
  })

  test('takes the verifier token in one place, and no other kind of token (S13, S14)', async () => {
    const session = await broker.session()
    const { token } = await broker.credential(session, { grant_id: await broker.grant(session) })
    const [first] = (await broker.deps().store.list({ kind: 'bearer', where: { tool: 'tickets' }, limit: 1 })).rows
    await broker.put([{ kind: 'bearer', row: { ...first!, revokedAt: Date.now() } }])
    const { secret } = await broker.bearer('verifier', 'tickets')
    const basic = `Basic ${Buffer.from(`tickets:${secret}`).toString('base64')}`
    const by = async (headers: Record<string, string>) =>
      (await broker.form('/oauth/introspect', { token }, headers)).status
    expect(await by({ authorization: basic })).toBe(200)
    expect(await by({ authorization: `Bearer ${secret}` })).toBe(200)
    expect(await by({ authorization: basic, 'x-hallpass-verifier': secret })).toBe(400)
    expect(await by({})).toBe(401)
    expect(await by({ 'x-hallpass-verifier': `${secret}, ${secret}` })).toBe(401)
    expect(await by({ authorization: `Bearer ${session}` })).toBe(401)
    expect(await by({ authorization: `Bearer ${token}` })).toBe(401)
    for (const kind of ['owner', 'admin', 'auditor', 'publisher'] as const)
      expect(await by({ 'x-hallpass-verifier': (await broker.bearer(kind, `${kind}@example.com`)).secret })).toBe(403)
  })

  test('fails rather than answers while the store cannot be trusted (P10)', async () => {
    const session = await broker.session()
    const { token } = await broker.credential(session, { grant_id: await broker.grant(session) })
    const bearers = (await broker.deps().store.list({ kind: 'bearer', where: { tool: 'metrics' }, limit: 2 })).rows
    expect(bearers.length).toBeGreaterThan(0)
    const { secret } = await broker.bearer('verifier', 'metrics')
    const { store } = broker.deps()
    const fresh = store.fresh
    try {
      store.fresh = () => false
      const answer = await broker.introspect(secret, token)
      expect(answer).toMatchObject({ status: 503, body: { error: 'temporarily_unavailable', code: 'stale_view' } })
      const minted = await broker.exchange(session, { resource: 'http://127.0.0.1:8432' })
      expect(minted.status).toBe(503)
      expect(await minted.json()).toMatchObject({ error: 'temporarily_unavailable', code: 'audit_unavailable' })
    } finally {
      store.fresh = fresh
    }
  })
})

describe('revocation', () => {
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

  test('by its own session token takes that session and what rests on it (S11)', async () => {
    const session = await broker.session()
    expect((await broker.form('/oauth/revoke', { token: session }, bearer(session))).status).toBe(200)
    expect(await told(await broker.exchange(session, { audience: 'tickets' }))).toMatchObject({
      status: 400,
      code: 'session_revoked',
    })
    expect((await broker.form('/oauth/revoke', { token: session }, bearer(session))).status).toBe(401)
  })

  test("of an unknown token, or of another agent's, changes nothing and answers 200; the latter is on the trail (S7, P8)", async () => {
    const mine = await broker.session()
    const other = await broker.session({
      claims: { iss: 'other-bot', sub: 'other-bot' },
      key: broker.keys.other.privateKey,
    })
    const theirs = await broker.credential(other, { grant_id: await broker.grant(other) })
    for (const token of [other, theirs.token, 'nothing'])
      expect((await broker.form('/oauth/revoke', { token, token_type_hint: 'nonsense' }, bearer(mine))).status).toBe(
        200,
      )
    expect((await broker.exchange(other, { grant_id: theirs.grant })).status).toBe(200)
    const refusals = (await broker.records()).filter(
      ({ kind, body }) => kind === 'refusal' && body.code === 'forbidden',
    )
    expect(refusals.some(({ actor, body }) => actor.id === 'triage-bot' && body.route === 'POST /oauth/revoke')).toBe(
      true,
    )
  })

  test('without authentication, or with two kinds of it, is refused (S13)', async () => {
    const session = await broker.session()
    expect((await broker.form('/oauth/revoke', { token: session })).status).toBe(401)
    const both = { token: session, client_assertion_type: 'x', client_assertion: await broker.assertion() }
    expect((await broker.form('/oauth/revoke', both, bearer(session))).status).toBe(400)
  })
})
