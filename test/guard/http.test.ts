// The guard at the edge: headers as they come off the wire, challenges, problem bodies, middleware, introspection.
import { connect } from 'node:net'
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createGuard, type Guard, guardFetch, honoGuard, permits, refusalResponse } from '../../src/guard/index.ts'
import { bearer, type FakeBroker, RESOURCE, startBroker, VERIFIER } from './fake-broker.ts'

let broker: FakeBroker
let guard: Guard
beforeAll(async () => {
  broker = await startBroker()
  guard = broker.guard({ resourceMetadata: `${RESOURCE}/.well-known/oauth-protected-resource` })
})
afterAll(() => broker.stop())
const need = { scopes: ['ticket:read'] }

describe('the Authorization header', () => {
  test.each([
    ['absent', undefined],
    ['empty', ''],
    ['another scheme', 'Basic dXNlcjpwYXNz'],
    ['no scheme', 'a.b.c'],
  ])('%s: asked for a credential, without an error code (RFC 6750 3.1)', async (_, header) => {
    const result = await guard.verify(header, need)
    expect(result).toMatchObject({ ok: false, status: 401, code: 'unauthenticated' })
    if (result.ok) throw new Error('allowed')
    expect(result.headers['WWW-Authenticate']).toBe(
      `Bearer realm="${RESOURCE}", resource_metadata="${RESOURCE}/.well-known/oauth-protected-resource"`,
    )
    expect(result.hint).toContain('request_access')
  })

  test('doubled, joined, oversized or garbled credentials are refused (S14)', async () => {
    const good = bearer(await broker.mint())
    const bad = [
      [good, good],
      `${good}, ${good}`,
      `${good},${good}`,
      `Bearer ${'a'.repeat(9_000)}.b.c`,
      'Bearer a.b',
      'Bearer a.b.c.d',
      'Bearer',
      'Bearer a b',
      'Bearer "a.b.c"',
    ]
    for (const source of bad) {
      expect(await guard.verify(source, need)).toMatchObject({ ok: false, status: 401, code: 'invalid_request' })
    }
    const joined = await guard.verify(`${good}, ${good}`, need)
    expect(joined).toMatchObject({ message: 'There is more than one credential.' })
    expect(await guard.verify(good.replace('Bearer', 'bEARER'), need)).toMatchObject({ ok: true })
    expect(await guard.verify([good], need)).toMatchObject({ ok: true })
  })

  test('a token in the query is never read (P7)', async () => {
    const request = new Request(`${RESOURCE}/tickets?access_token=${await broker.mint()}`)
    expect(await guard.verify(request, need)).toMatchObject({ code: 'unauthenticated' })
  })
})

describe('what a credential allows', () => {
  test('a missing scope is told with all that are needed (P8)', async () => {
    const result = await guard.verify(bearer(await broker.mint()), { scopes: ['ticket:read', 'ticket:close'] })
    expect(result).toMatchObject({ ok: false, status: 403, code: 'insufficient_scope' })
    if (result.ok) throw new Error('allowed')
    expect(result.headers['WWW-Authenticate']).toContain('error="insufficient_scope"')
    expect(result.headers['WWW-Authenticate']).toContain('scope="ticket:read ticket:close"')
    expect(result.hint).toContain('ticket:close')
  })

  test('no prefix, case or part of a scope passes for it (P2)', async () => {
    const token = bearer(await broker.mint({ scope: 'ticket:reads TICKET:READ ticket' }))
    expect(await guard.verify(token, need)).toMatchObject({ code: 'insufficient_scope' })
    expect(await guard.verify(bearer(await broker.mint({ scope: undefined })), need)).toMatchObject({ status: 403 })
  })

  test('a scope that the whole tool requires is needed beside the route’s (P2)', async () => {
    const own = broker.guard({ requiredScope: 'ticket:comment' })
    expect(await own.verify(bearer(await broker.mint({ scope: 'ticket:read' })), need)).toMatchObject({ status: 403 })
    expect(await own.verify(bearer(await broker.mint()), need)).toMatchObject({ ok: true })
  })

  test('a request outside the details is refused, an absent key is unrestricted (S9)', async () => {
    const details = [{ type: 'hallpass_details', constraints: { queue: ['incidents'], none: [] } }]
    const token = bearer(await broker.mint({ authorization_details: details }))
    const asked = (given: Record<string, string>) => guard.verify(token, { ...need, details: given })
    expect(await asked({ queue: 'incidents', project: 'any' })).toMatchObject({ ok: true })
    expect(await asked({ queue: 'hr' })).toMatchObject({ ok: false, status: 403, code: 'details_not_allowed' })
    expect(await asked({ none: '' })).toMatchObject({ status: 403 })
  })

  test('permits is not fooled by inherited names (S9)', () => {
    expect(permits({}, 'toString', 'x')).toBe(true)
    expect(permits({ queue: ['a'] }, 'queue', 'A')).toBe(false)
    expect(permits(JSON.parse('{"__proto__":["a"]}'), '__proto__', 'b')).toBe(false)
  })

  test('a challenge cannot be broken out of by what it quotes (P8)', () => {
    const refusal = guard.refuseDetails('queue"\r\nSet-Cookie: x')
    expect(refusal.headers['WWW-Authenticate']).not.toMatch(/[\r\n]|queue"/)
  })
})

describe('in front of a server', () => {
  test('guardFetch runs the handler only for an allowed request; refusals are problem+json (P8)', async () => {
    let ran = 0
    const handler = guardFetch(guard, need, (_request, access) => {
      ran += 1
      return Response.json({ agent: access.agent })
    })
    const refused = await handler(new Request(`${RESOURCE}/tickets`))
    expect([refused.status, refused.headers.get('content-type'), ran]).toEqual([401, 'application/problem+json', 0])
    expect(refused.headers.get('cache-control')).toBe('no-store')
    expect(await refused.json()).toMatchObject({ status: 401, code: 'unauthenticated', hint: expect.any(String) })
    const headers = { authorization: bearer(await broker.mint()) }
    expect(await (await handler(new Request(`${RESOURCE}/t`, { headers }))).json()).toEqual({ agent: 'triage-bot' })
  })

  test('honoGuard over a real socket: allowed, refused, doubled header refused (S14)', async () => {
    const app = new Hono()
    app.get(
      '/tickets',
      honoGuard(guard, { scopes: () => ['ticket:read'], details: (c) => ({ queue: c.req.query('queue') ?? '' }) }),
      (c) => c.text(c.get('hallpass').agent),
    )
    const server = serve({ fetch: app.fetch, hostname: '127.0.0.1', port: 0 })
    await new Promise((resolve) => server.once('listening', resolve))
    const address = server.address()
    const port = typeof address === 'object' && address ? address.port : 0
    const raw = (lines: string[]) =>
      new Promise<string>((resolve, reject) => {
        const socket = connect(port, '127.0.0.1', () => {
          socket.write(
            `${['GET /tickets?queue=incidents HTTP/1.1', 'Host: x', 'Connection: close', ...lines].join('\r\n')}\r\n\r\n`,
          )
        })
        let text = ''
        socket.on('data', (data) => {
          text += data
        })
        socket.on('end', () => resolve(text))
        socket.on('error', reject)
      })
    try {
      const token = await broker.mint()
      expect(await raw([`Authorization: Bearer ${token}`])).toMatch(/^HTTP\/1\.1 200 [\s\S]*triage-bot/)
      expect(await raw([])).toMatch(/^HTTP\/1\.1 401 /)
      const doubled = await raw([`Authorization: Bearer ${token}`, 'Authorization: Bearer a.b.c'])
      expect(doubled).toMatch(/^HTTP\/1\.1 401 [\s\S]*"code":"invalid_request"/)
      const narrow = await broker.mint({
        authorization_details: [{ type: 'hallpass_details', constraints: { queue: ['hr'] } }],
      })
      expect(await raw([`Authorization: Bearer ${narrow}`])).toMatch(/^HTTP\/1\.1 403 [\s\S]*details_not_allowed/)
    } finally {
      await new Promise((resolve) => server.close(resolve))
    }
  })
})

describe('introspection', () => {
  const ask = async (introspection: unknown, status = 200) => {
    Object.assign(broker.state, { introspection, introspectStatus: status })
    const own = broker.guard({ mode: 'introspect' })
    return own.verify(bearer(await broker.mint()), need)
  }

  test('an active token of this resource is allowed, asked anew at each call, over a header of its own (S14)', async () => {
    const before = broker.seen.introspected.length
    expect(await ask({ ...broker.claims(), active: true })).toMatchObject({ ok: true, agent: 'triage-bot' })
    expect(await ask({ ...broker.claims(), active: false })).toMatchObject({ status: 401, code: 'invalid_token' })
    expect(broker.seen.introspected.length).toBe(before + 2)
    expect([...broker.seen.verifiers]).toEqual([VERIFIER])
  })

  test('one guard asks twice for one token (S14)', async () => {
    Object.assign(broker.state, { introspection: { ...broker.claims(), active: true }, introspectStatus: 200 })
    const own = broker.guard({ mode: 'introspect' })
    const token = bearer(await broker.mint())
    expect(await own.verify(token, need)).toMatchObject({ ok: true })
    broker.state.introspection = { active: false }
    expect(await own.verify(token, need)).toMatchObject({ status: 401 })
  })

  test.each([
    ['another audience', { aud: 'https://metrics.example.com' }],
    ['an array audience', { aud: [RESOURCE] }],
    ['no audience', { aud: undefined }],
    ['another issuer', { iss: 'https://evil.example' }],
    ['an exp in the past', { exp: 1 }],
    ['no exp', { exp: undefined }],
    ['no grant', { grant_id: undefined }],
  ])('an active answer with %s is refused (S13)', async (_, overrides) => {
    expect(await ask({ ...broker.claims(overrides), active: true })).toMatchObject({
      status: 401,
      code: 'invalid_token',
    })
  })

  test.each([
    ['an error', {}, 503],
    ['no answer to the question', {}, 200],
    ['text where a boolean belongs', { active: 'true' }, 200],
  ])('a broker that gives %s means no (P10)', async (_, body, status) => {
    expect(await ask(body, status)).toMatchObject({ status: 503, code: 'stale_view' })
  })

  test('a redirect is not followed, so that the token goes nowhere else (S21)', async () => {
    expect(await ask({ ...broker.claims(), active: true }, 307)).toMatchObject({ status: 503, code: 'stale_view' })
  })

  test('a broker that is not there means no (P10)', async () => {
    const gone = createGuard({
      issuer: 'http://127.0.0.1:1',
      resource: RESOURCE,
      verifierToken: VERIFIER,
      mode: 'introspect',
    })
    const result = await gone.verify(bearer(await broker.mint()), need)
    expect(result).toMatchObject({ status: 503, code: 'stale_view' })
    if (!result.ok) expect(refusalResponse(result).headers.get('retry-after')).toBe('2')
  })
})

test.each([
  ['http off loopback', { issuer: 'http://broker.example.com' }],
  ['a trailing slash', { issuer: 'https://broker.example.com/' }],
  ['a query', { issuer: 'https://broker.example.com?x=1' }],
  ['a resource that is no URI', { resource: 'tickets' }],
  ['no verifier token', { verifierToken: '' }],
  ['a verifier token that is two lines', { verifierToken: 'a\nb' }],
  ['a leeway past a minute', { leewaySeconds: 3600 }],
])('a guard is not made from %s (P10)', (_, wrong) => {
  const options = { issuer: 'https://b.example', resource: RESOURCE, verifierToken: VERIFIER, mode: 'offline' as const }
  expect(() => createGuard({ ...options, ...wrong })).toThrow(TypeError)
})
