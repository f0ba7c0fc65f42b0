import { request as httpRequest } from 'node:http'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { liftLock, setLock } from '../../src/actions/lock.ts'
import { revoke } from '../../src/actions/revoke.ts'
import { readAsked } from '../../src/adapters/verifiers/forward-auth.ts'
import { startBroker, type TestBroker, TICKETS } from '../oauth/broker.ts'
import { operator, unwrap } from '../support/store-on-disk.ts'

let broker: TestBroker
let verifier: string
let session: string
let grant: string
let token: string

beforeAll(async () => {
  broker = await startBroker()
  verifier = (await broker.bearer('verifier', 'tickets')).secret
})
afterAll(() => broker.stop())
beforeEach(async () => {
  session = await broker.session()
  grant = await broker.grant(session)
  token = (await broker.credential(session, { grant_id: grant })).token
})

const QUERY = `resource=${encodeURIComponent(TICKETS)}&scope=read`

type Headers = readonly (readonly [string, string])[]

/** Over a bare socket client, which can send a header twice. */
function ask(
  query: string,
  headers: Headers,
  path = '/forward-auth',
): Promise<{ status: number; headers: Record<string, unknown>; body: string }> {
  const url = new URL(`${broker.issuer}/forward-auth?${query}`)
  return new Promise((resolve, reject) => {
    const flat = [
      ...(headers.some(([name]) => name === 'host') ? [] : [['host', url.host] as const]),
      ...headers,
    ].flat()
    const where = { host: url.hostname, port: url.port, path: `${path}?${query}` }
    const request = httpRequest({ ...where, headers: flat, setHost: false }, (response) => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (chunk) => {
        body += chunk
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }))
    })
    request.on('error', reject)
    request.end()
  })
}

/** All of an answer that does not differ from one call to the next. */
function told({ status, headers, body }: Awaited<ReturnType<typeof ask>>) {
  const { 'x-request-id': id, date, 'content-length': length, 'transfer-encoding': encoding, ...others } = headers
  expect(id).toMatch(/^rid_/)
  return { status, headers: others, body: body.replace(String(id), 'ID') }
}

const by = (own = verifier): Headers => [['x-hallpass-verifier', own]]
const as = (credential = token): Headers => [...by(), ['authorization', `Bearer ${credential}`]]

describe('/forward-auth', () => {
  test('lets a live credential with the scope pass, and says whose it is (S14)', async () => {
    const answer = await ask(QUERY, as())
    expect(answer.status).toBe(200)
    expect(answer.headers).toMatchObject({
      'cache-control': 'no-store',
      'x-hallpass-agent': 'triage-bot',
      'x-hallpass-grant': grant,
      'x-hallpass-session': broker.callerOf(session).session,
      'x-hallpass-scope': 'comment read',
      'x-hallpass-details': '{}',
    })
    expect((await ask(`resource=${encodeURIComponent(TICKETS)}&scope=read+comment`, as())).status).toBe(200)
  })

  test('says the same beside the front door and through it (S14, P8)', async () => {
    const scope = 'scope=read'
    const asked: [string, Headers][] = [
      [QUERY, as()],
      [`${QUERY}%20close`, as()],
      [QUERY, as(`${token.slice(0, -4)}AAAA`)],
      [QUERY, by()],
      [QUERY, [...as(), ['authorization', `Bearer ${token}`]]],
      [QUERY, [['authorization', `Bearer ${token}`]]],
      [scope, as()],
      [`${QUERY}&scope=close`, as()],
      [`resource=${encodeURIComponent('https://metrics.example.com')}&${scope}`, as()],
    ]
    for (const [query, headers] of asked) {
      const beside = await ask(query, headers)
      // Spelled so, which no proxy does, the path is the front door's to read.
      const through = await ask(query, headers, '/forward%2Dauth')
      expect(beside.headers['content-length']).toBe(String(Buffer.byteLength(beside.body)))
      expect(told(beside)).toEqual(told(through))
    }
    expect((await ask(QUERY, as(), '/forward%2Dauth')).headers['content-length']).toBeUndefined()
    expect((await ask(QUERY, [['host', 'evil.example.com'], ...as()])).status).toBe(421)
  })

  test('refuses a scope that the credential lacks, naming all that are needed (P2, P8)', async () => {
    const answer = await ask(`resource=${encodeURIComponent(TICKETS)}&scope=read%20close`, as())
    expect(answer.status).toBe(403)
    expect(answer.headers['www-authenticate']).toBe(
      'Bearer realm="hallpass", error="insufficient_scope", scope="read close"',
    )
    expect(JSON.parse(answer.body)).toMatchObject({
      code: 'scope_not_in_manifest',
      hint: expect.any(String),
      requestId: expect.any(String),
    })
  })

  test('refuses details that the route does not enforce (S9)', async () => {
    const details = JSON.stringify([{ type: 'hallpass_details', constraints: { queue: ['zürich', 'a"b'] } }])
    const narrowed = await broker.credential(session, { grant_id: grant, authorization_details: details })
    expect((await ask(QUERY, as(narrowed.token))).status).toBe(403)
    expect((await ask(`${QUERY}&enforces=colour`, as(narrowed.token))).status).toBe(403)
    const passed = await ask(`${QUERY}&enforces=colour,queue`, as(narrowed.token))
    expect(passed.status).toBe(200)
    const header = String(passed.headers['x-hallpass-details'])
    expect(header).toMatch(/^[\x20-\x7e]+$/)
    expect(JSON.parse(header)).toEqual({ queue: ['a"b', 'zürich'] })
  })

  test.each([
    ['resource missing', 'scope=read'],
    ['scope missing', `resource=${TICKETS}`],
    ['scope empty', `resource=${TICKETS}&scope=`],
    ['resource doubled', `resource=${TICKETS}&resource=${TICKETS}&scope=read`],
    ['scope doubled', `resource=${TICKETS}&scope=read&scope=read`],
    ['scope doubled by another spelling', `resource=${TICKETS}&scope=read&%73cope=close`],
    ['enforces doubled', `${QUERY}&enforces=queue&enforces=queue`],
    ['an unknown parameter', `${QUERY}&tool=tickets`],
    ['a parameter in capitals', `${QUERY}&Scope=close`],
    ['resource[] as some parsers read it', `resource[]=${TICKETS}&scope=read`],
    ['a resource that is no URL', 'resource=tickets&scope=read'],
    ['a scope with a quote', `resource=${TICKETS}&scope=re"ad`],
    ['no parameter', ''],
  ])('refuses %s (S14)', async (_, query) => {
    expect((await ask(encodeURI(query), as())).status).toBe(400)
  })

  test('refuses the resource of another tool, and another tool’s verifier (S14)', async () => {
    expect((await ask('resource=https://metrics.example.com&scope=read', as())).status).toBe(403)
    const metrics = (await broker.bearer('verifier', 'metrics')).secret
    const mine: Headers = [...by(metrics), ['authorization', `Bearer ${token}`]]
    expect((await ask(QUERY, mine)).status).toBe(403)
    expect((await ask('resource=https://metrics.example.com&scope=read', mine)).status).toBe(401)
  })

  test('refuses doubled headers, whatever their order and case (S14)', async () => {
    const other = 'Bearer nothing'
    const doubled: Headers = [...as(), ['Authorization', other]]
    expect((await ask(QUERY, doubled)).status).toBe(401)
    expect((await ask(QUERY, [...by(), ['AUTHORIZATION', other], ['authorization', `Bearer ${token}`]])).status).toBe(
      401,
    )
    expect((await ask(QUERY, [...as(), ['authorization', `Bearer ${token}`]])).status).toBe(401)
    expect((await ask(QUERY, [...as(), ['X-Hallpass-Verifier', verifier]])).status).toBe(401)
  })

  test('is not moved by what a client sends (S14)', async () => {
    const spoofed: Headers = [
      ...by(),
      ['x-forwarded-uri', '/?scope=read'],
      ['x-forwarded-for', '127.0.0.1'],
      ['x-forwarded-user', 'triage-bot'],
      ['x-hallpass-agent', 'triage-bot'],
      ['x-original-url', `/forward-auth?${QUERY}`],
      ['cookie', `authorization=Bearer ${token}`],
    ]
    expect((await ask(QUERY, spoofed)).status).toBe(401)
    expect((await ask(`resource=${TICKETS}&scope=close`, [...as(), ['x-forwarded-uri', '/?scope=read']])).status).toBe(
      403,
    )
  })

  test('needs the verifier token in its own header, and no other kind (S13, S14)', async () => {
    const agent = ['authorization', `Bearer ${token}`] as const
    expect((await ask(QUERY, [agent])).status).toBe(401)
    expect((await ask(QUERY, [['authorization', `Bearer ${verifier}`]])).status).toBe(401)
    for (const wrong of [session, token]) expect((await ask(QUERY, [...by(wrong), agent])).status).toBe(401)
    for (const kind of ['owner', 'admin', 'auditor', 'publisher'] as const) {
      const { secret } = await broker.bearer(kind, `${kind}@example.com`)
      expect((await ask(QUERY, [...by(secret), agent])).status).toBe(403)
    }
    for (const wrong of [session, verifier, 'nothing']) {
      const answer = await ask(QUERY, as(wrong))
      expect(answer.status).toBe(401)
      expect(answer.headers['www-authenticate']).toContain('error="invalid_token"')
    }
  })

  test('refuses the very next call after a session, a grant or a credential was revoked (P5)', async () => {
    for (const kind of ['credential', 'grant', 'session'] as const) {
      const own = await broker.session()
      const issued = await broker.credential(own, { grant_id: await broker.grant(own) })
      expect((await ask(QUERY, as(issued.token))).status).toBe(200)
      const claims = await broker.edge().verify(issued.token)
      const id = { session: claims?.sid, grant: claims?.grant_id, credential: claims?.jti }[kind]
      unwrap(await revoke(broker.deps(), operator, { kind, id: String(id), reason: null }))
      expect((await ask(QUERY, as(issued.token))).status).toBe(401)
    }
  })

  test('refuses at once where the disk stands still, and the refusal is on the trail once it moves (P5, P8)', async () => {
    const { store } = broker.deps()
    unwrap(
      await revoke(broker.deps(), operator, {
        kind: 'session',
        id: String(broker.callerOf(session).session),
        reason: null,
      }),
    )
    const noted = async () =>
      (await broker.records())
        .filter(({ kind, body }) => kind === 'refusal' && body.code === 'session_revoked')
        .map(({ body }) => body.route)
    const before = await noted()
    const disk = Promise.withResolvers<void>()
    const { commit } = store
    const held = vi.spyOn(store, 'commit').mockImplementation(async (member) => {
      await disk.promise
      return commit(member)
    })
    try {
      expect((await ask(QUERY, as())).status).toBe(401)
      expect((await broker.introspect(verifier, token)).body).toEqual({ active: false })
      expect(held).toHaveBeenCalledTimes(2)
      disk.resolve()
      expect(await noted()).toEqual([...before, 'GET /forward-auth', 'POST /oauth/introspect'])
    } finally {
      disk.resolve()
      held.mockRestore()
    }
  })

  test('refuses the very next call after a lock and after a narrowing, on the trail with its reason (S12, P3, P8)', async () => {
    const lock = { kind: 'agent', name: 'triage-bot', reason: 'odd', forSeconds: null, revokeGrants: false } as const
    const { lock: set } = unwrap(await setLock(broker.deps(), operator, lock))
    const refused = await ask(QUERY, as())
    expect(refused.status).toBe(401)
    expect(JSON.parse(refused.body).code).toBe('agent_locked')
    const noted = (await broker.records()).filter(({ kind, actor }) => kind === 'refusal' && actor.type === 'verifier')
    expect(noted.some(({ body, subject }) => body.code === 'agent_locked' && subject.agent === 'triage-bot')).toBe(true)

    unwrap(await liftLock(broker.deps(), operator, { lock: set.id, reason: null }))

    const other = { iss: 'other-bot', sub: 'other-bot' }
    const theirs = await broker.session({ claims: other, key: broker.keys.other.privateKey })
    const issued = await broker.credential(theirs, { grant_id: await broker.grant(theirs) })
    expect((await ask(QUERY, as(issued.token))).status).toBe(200)
    const { row } = {
      row: (await broker.deps().store.read(['slice/access/other-bot/tickets'])).get(
        'slice',
        'access/other-bot/tickets',
      )!,
    }
    await broker.put([{ kind: 'slice', row: { ...row, value: null } }])
    expect((await ask(QUERY, as(issued.token))).status).toBe(401)
    await broker.enforce()
  })
})

test('what a route asks for is read in one spelling (S13)', () => {
  expect(readAsked('resource=HTTPS%3A%2F%2FTickets.example.com%3A443%2F&scope=b%20a&enforces=queue')).toEqual({
    ok: true,
    value: { resource: TICKETS, scopes: ['b', 'a'], enforces: ['queue'] },
  })
})
