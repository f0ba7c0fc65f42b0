import { createHmac, KeyObject, sign } from 'node:crypto'
import { exportJWK, generateKeyPair } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startBroker, type TestBroker, told } from './broker.ts'

let broker: TestBroker
beforeAll(async () => {
  broker = await startBroker()
})
afterAll(() => broker.stop())

const now = () => Math.floor(Date.now() / 1000)
const base64url = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')

describe('a client assertion', () => {
  test('of an agent opens a session, without kid and 300 s long (S11)', async () => {
    const answer = await broker.ask(await broker.assertion())
    expect(answer.headers.get('cache-control')).toBe('no-store')
    expect(await answer.json()).toMatchObject({ token_type: 'Bearer', expires_in: expect.any(Number) })
    expect(answer.status).toBe(200)
  })

  test('is accepted with typ absent, JWT or client-authentication+jwt, and with its key thumbprint (S11)', async () => {
    const { kid } = broker.keys.triage.identity
    for (const header of [{ typ: undefined }, { typ: 'client-authentication+jwt' }, { kid }])
      expect((await broker.ask(await broker.assertion({ header }))).status).toBe(200)
  })

  const second = { aud: ['https://elsewhere.example.com'] }
  test.each<[string, Record<string, unknown>]>([
    ['aud of another issuer', { aud: 'https://elsewhere.example.com' }],
    ['aud of the token endpoint', { aud: 'TOKEN' }],
    ['aud an array with the issuer alone', { aud: ['ISSUER'] }],
    ['aud an array with the issuer and another', { aud: ['ISSUER', ...second.aud] }],
    ['aud with a slash at the end', { aud: 'ISSUER/' }],
    ['aud missing', { aud: undefined }],
    ['exp missing', { exp: undefined }],
    ['exp as text', { exp: String(now() + 60) }],
    ['exp an hour away', { exp: now() + 3600 }],
    ['exp an hour away and iat with it', { iat: now() + 3400, exp: now() + 3600 }],
    ['exp long past', { iat: now() - 400, exp: now() - 120 }],
    ['301 s of life', { iat: now() - 10, exp: now() + 291 }],
    ['iat in the future', { iat: now() + 120, exp: now() + 200 }],
    ['nbf in the future', { nbf: now() + 120 }],
    ['jti missing', { jti: undefined }],
    ['jti too long', { jti: 'x'.repeat(257) }],
    ['jti a number', { jti: 7 }],
    ['sub of another agent', { sub: 'other-bot' }],
    ['iss of another agent', { iss: 'other-bot' }],
    ['both of another agent', { iss: 'other-bot', sub: 'other-bot' }],
    ['a name that is no name', { iss: '__proto__', sub: '__proto__' }],
    ['an unknown agent', { iss: 'nobody', sub: 'nobody' }],
  ])('with %s is refused (S18)', async (_, claims) => {
    const spelled = JSON.parse(
      JSON.stringify(claims, (_key, value) => value ?? '(none)')
        .replaceAll('ISSUER', broker.issuer)
        .replaceAll('TOKEN', `${broker.issuer}/oauth/token`),
      (_key, value) => (value === '(none)' ? undefined : value),
    ) as Record<string, unknown>
    const over = Object.fromEntries(Object.keys(claims).map((name) => [name, spelled[name]]))
    expect(await told(await broker.ask(await broker.assertion({ claims: over })))).toMatchObject({
      status: 401,
      error: 'invalid_client',
      code: 'unauthenticated',
    })
  })

  test('of a known and of an unknown agent is refused in the same words (S17)', async () => {
    const stranger = await generateKeyPair('ES256')
    const of = async (name: string) =>
      told(await broker.ask(await broker.assertion({ claims: { iss: name, sub: name }, key: stranger.privateKey })))
    const [known, unknown] = [await of('triage-bot'), await of('nobody')]
    expect(known.status).toBe(401)
    expect({ ...unknown.body, request_id: '' }).toEqual({ ...known.body, request_id: '' })
  })

  test('of alg none is refused (S18)', async () => {
    const signed = await broker.assertion()
    const unsigned = `${base64url({ alg: 'none' })}.${signed.split('.')[1]}.`
    expect(await told(await broker.ask(unsigned))).toMatchObject({ status: 401, error: 'invalid_client' })
  })

  test('with the public key as HMAC secret is refused, and the right algorithm told (S18)', async () => {
    const [, payload] = (await broker.assertion()).split('.')
    const input = `${base64url({ alg: 'HS256', typ: 'JWT' })}.${payload}`
    const secret = JSON.stringify(broker.keys.triage.identity.jwk)
    const forged = `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`
    const refused = await told(await broker.ask(forged))
    expect(refused).toMatchObject({ status: 401, error: 'invalid_client' })
    expect(refused.description).toMatch(/^assertion is HS256, triage-bot's key is ES256: set /)
  })

  test('signed with RS256 is told what to set (P8)', async () => {
    const { privateKey } = await generateKeyPair('RS256')
    const refused = await told(await broker.ask(await broker.assertion({ header: { alg: 'RS256' }, key: privateKey })))
    expect(refused.description).toMatch(/^assertion is RS256, triage-bot's key is ES256: set /)
  })

  test('with a kid that is not of the agent is refused though its signature is good (S18)', async () => {
    const header = { kid: broker.keys.other.identity.kid }
    expect((await broker.ask(await broker.assertion({ header }))).status).toBe(401)
  })

  test.each(['jwk', 'jku', 'x5u', 'x5c'])('cannot bring its own key in %s (S21)', async (member) => {
    const stranger = await generateKeyPair('ES256', { extractable: true })
    const jwk = await exportJWK(stranger.publicKey)
    const values: Record<string, unknown> = {
      jwk,
      jku: `${broker.issuer}/.well-known/jwks.json`,
      x5u: `${broker.issuer}/cert`,
      x5c: ['MIIB'],
    }
    const header = { [member]: values[member] }
    expect((await broker.ask(await broker.assertion({ header, key: stranger.privateKey }))).status).toBe(401)
    expect((await broker.ask(await broker.assertion({ header }))).status).toBe(200)
  })

  test('with a typ of another kind of token is refused (S13)', async () => {
    for (const typ of ['at+jwt', 'dpop+jwt', ''])
      expect((await broker.ask(await broker.assertion({ header: { typ } }))).status).toBe(401)
  })

  test('with a critical header is refused, however well it is signed (S18)', async () => {
    const [, payload] = (await broker.assertion()).split('.')
    const input = `${base64url({ alg: 'ES256', crit: ['exp'], exp: 1 })}.${payload}`
    const key = { key: KeyObject.from(broker.keys.triage.privateKey), dsaEncoding: 'ieee-p1363' } as const
    const signed = `${input}.${sign('sha256', Buffer.from(input), key).toString('base64url')}`
    const refused = await told(await broker.ask(signed))
    expect(refused).toMatchObject({ status: 401, description: expect.stringContaining('critical') })
  })

  test('that is no JWT, or longer than 8 KiB, is refused (S17)', async () => {
    for (const text of ['x', 'a.b.c', '..', `${'a'.repeat(9000)}.b.c`])
      expect((await broker.ask(text)).status).toBe(401)
  })

  test('used 50 times at once opens one session, and none after a restart (S18)', async () => {
    const signed = await broker.assertion()
    const answers = await Promise.all(Array.from({ length: 50 }, () => broker.ask(signed)))
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
    expect(answers.filter(({ status }) => status === 401)).toHaveLength(49)
    await broker.reopen()
    expect(await told(await broker.ask(signed))).toMatchObject({ status: 401, error: 'invalid_client' })
  })

  test('used up for a revocation or an exchange opens no session (S18)', async () => {
    const token = await broker.session()
    const grant = await broker.grant(token)
    const auth = (signed: string) => ({
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: signed,
    })
    const [forRevoke, forExchange] = [await broker.assertion(), await broker.assertion()]
    expect((await broker.form('/oauth/revoke', { token: 'unknown', ...auth(forRevoke) })).status).toBe(200)
    expect((await broker.exchange(token, { grant_id: grant, ...auth(forExchange) })).status).toBe(200)
    for (const signed of [forRevoke, forExchange]) {
      expect((await broker.ask(signed)).status).toBe(401)
      expect((await broker.exchange(token, { grant_id: grant, ...auth(signed) })).status).toBe(401)
    }
  })

  test('by a key that left the manifest is refused (S11)', async () => {
    await broker.enforce([broker.keys.spare.identity])
    expect((await broker.ask(await broker.assertion())).status).toBe(401)
    expect((await broker.ask(await broker.assertion({ key: broker.keys.spare.privateKey }))).status).toBe(200)
    await broker.enforce()
  })
})

describe('the token endpoint', () => {
  test('refuses two ways of authenticating at once (S13)', async () => {
    const signed = await broker.assertion()
    expect(await told(await broker.ask(signed, { client_secret: 'x' }))).toMatchObject({
      status: 400,
      error: 'invalid_request',
    })
    const headers = { authorization: 'Basic eDp5' }
    const body = { grant_type: 'client_credentials', client_assertion_type: 'x', client_assertion: signed }
    expect(await told(await broker.form('/oauth/token', body, headers))).toMatchObject({
      status: 400,
      error: 'invalid_request',
    })
  })

  test('refuses secrets and nothing at all as authentication (S13)', async () => {
    const body = { grant_type: 'client_credentials' }
    const basic = await broker.form('/oauth/token', body, { authorization: 'Basic eDp5' })
    expect(basic.headers.get('www-authenticate')).not.toBeNull()
    expect(await told(basic)).toMatchObject({ status: 401, error: 'invalid_client' })
    const secret = await broker.form('/oauth/token', { ...body, client_id: 'triage-bot', client_secret: 'x' })
    expect(await told(secret)).toMatchObject({ status: 401, error: 'invalid_client' })
    expect(await told(await broker.form('/oauth/token', body))).toMatchObject({ status: 401, error: 'invalid_client' })
  })

  test('refuses a client_id that is not the assertion’s (S13)', async () => {
    expect((await broker.ask(await broker.assertion(), { client_id: 'other-bot' })).status).toBe(401)
    expect((await broker.ask(await broker.assertion(), { client_id: 'triage-bot' })).status).toBe(200)
  })

  test('refuses a resource that is not /mcp, and takes the one that the clients send (S13)', async () => {
    const refused = await told(await broker.ask(await broker.assertion(), { resource: 'https://tickets.example.com' }))
    expect(refused).toMatchObject({ status: 400, error: 'invalid_target' })
    expect((await broker.ask(await broker.assertion(), { resource: `${broker.issuer}/mcp` })).status).toBe(200)
  })

  test('refuses a parameter that is there twice, a body that is no form, and one that is too long (S13)', async () => {
    const twice = await broker.form('/oauth/token', 'grant_type=client_credentials&grant_type=client_credentials')
    expect(await told(twice)).toMatchObject({ status: 400, error: 'invalid_request' })
    const json = await broker.form('/oauth/token', '{}', { 'content-type': 'application/json' })
    expect(await told(json)).toMatchObject({ status: 400, error: 'invalid_request' })
    const long = await broker.form('/oauth/token', { grant_type: 'x'.repeat(70_000) })
    expect(await told(long)).toMatchObject({ status: 413, error: 'invalid_request' })
    expect((await fetch(`${broker.issuer}/oauth/token?grant_type=client_credentials`)).status).toBe(400)
  })

  test('names the grant types there are (P8)', async () => {
    const refused = await told(await broker.form('/oauth/token', { grant_type: 'password' }))
    expect(refused).toMatchObject({ status: 400, error: 'unsupported_grant_type' })
    expect(refused.body.hint).toContain('client_credentials')
  })

  test('opens no session while everything is locked, and says so to who proved itself (S12, P8)', async () => {
    const row = (await broker.deps().store.read(['installation/self'])).get('installation', 'self')!
    const locks = [{ id: 'lck_1', until: null }]
    await broker.put([{ kind: 'installation', row: { ...row, locks } }])
    expect(await told(await broker.ask(await broker.assertion()))).toMatchObject({
      status: 400,
      error: 'access_denied',
      code: 'agent_locked',
    })
    await broker.put([{ kind: 'installation', row }])
    const refusals = (await broker.records()).filter(
      ({ kind, body }) => kind === 'refusal' && body.code === 'agent_locked',
    )
    expect(refusals[0]).toMatchObject({ actor: { type: 'agent', id: 'triage-bot' }, subject: { agent: 'triage-bot' } })
  })

  test('slows an address down that keeps failing, before it looks at signatures (S17)', async () => {
    const alone = await startBroker()
    try {
      const stranger = await generateKeyPair('ES256')
      const claims = { iss: 'nobody', sub: 'nobody' }
      // Signed beforehand and sent at once: what is given back meanwhile is no matter of how fast this machine is.
      const assertions = await Promise.all(
        Array.from({ length: 120 }, () => alone.assertion({ claims, key: stranger.privateKey })),
      )
      const asked = await Promise.all(assertions.map((assertion) => alone.ask(assertion)))
      const statuses = asked.map(({ status }) => status)
      expect(statuses.filter((status) => status === 401).length).toBeGreaterThanOrEqual(40)
      expect(statuses).toContain(429)
      const limited = await alone.ask(await alone.assertion({ claims, key: stranger.privateKey }))
      expect(limited.headers.get('retry-after')).not.toBeNull()
    } finally {
      await alone.stop()
    }
  })
})
