import { afterEach, beforeEach, expect, test } from 'vitest'
import { StoreUnavailable } from '../../src/actions/ports.ts'
import { problemBody } from '../../src/adapters/http/answers.ts'
import { problemResponse, STATUS_OF } from '../../src/adapters/http/problem-to-http.ts'
import { PROBLEM_CODES, problem } from '../../src/core/problem.ts'
import { type ApiServer, apiServer } from '../support/api-server.ts'

let server: ApiServer
beforeEach(async () => {
  server = await apiServer({}, { strangerPerAddress: { capacity: 5, refillPerSecond: 0.001, maxKeys: 10 } })
})
afterEach(() => server.close())

test.each(PROBLEM_CODES)(
  'the problem %s is one status and RFC 9457 problem details, without its precise reason (P8)',
  async (code) => {
    const answer = problemResponse(
      problem(code, 'Said so.', {
        detail: 'for the trail',
        hint: 'Do this.',
        retryable: true,
        retryAfterSeconds: 7,
        manifestPatch: 'a: b',
      }),
      'rid_1',
    )
    expect(answer.status).toBe(STATUS_OF[code])
    expect(answer.headers.get('content-type')).toBe('application/problem+json')
    expect(answer.headers.get('retry-after')).toBe('7')
    expect(answer.headers.has('www-authenticate')).toBe(answer.status === 401)
    const body: unknown = await answer.json()
    expect(problemBody.safeParse(body).error?.issues ?? []).toEqual([])
    expect(body).toMatchObject({
      code,
      status: answer.status,
      detail: 'Said so.',
      hint: 'Do this.',
      requestId: 'rid_1',
      retryAfterSeconds: 7,
    })
    expect(JSON.stringify(body)).not.toContain('for the trail')
  },
)

test('a doubled Authorization header is refused, whichever of the two is good (S13)', async () => {
  const good = `Bearer ${await server.bearer('admin', 'admin@example.com')}`
  for (const two of [
    ['Authorization', good, 'Authorization', good],
    ['Authorization', good, 'authorization', 'Bearer x'],
    ['Authorization', 'Basic eDp5', 'Authorization', good],
  ])
    expect((await server.raw('GET', '/v1/whoami', two)).status).toBe(401)
  expect((await server.raw('GET', '/v1/whoami', ['Authorization', good])).status).toBe(200)
})

test('a token in the query, in a cookie or in another scheme is no token (S13)', async () => {
  const token = await server.bearer('admin', 'admin@example.com')
  expect((await server.call('GET', `/v1/whoami?access_token=${token}`, null)).status).toBe(401)
  expect((await server.call('GET', '/v1/whoami', null, undefined, { cookie: `token=${token}` })).status).toBe(401)
  expect((await server.call('GET', '/v1/whoami', null, undefined, { authorization: `Basic ${token}` })).status).toBe(
    401,
  )
  const both = await server.call('GET', `/v1/whoami?access_token=${token}`, token)
  expect(both).toMatchObject({ status: 400, json: { code: 'invalid_request' } })
  expect(both.text).not.toContain(token)
})

test('a tool credential and a verifier token open nothing here (S13)', async () => {
  const { harness } = server
  const session = await harness.session('bot')
  const issued = await harness.credential(session, await harness.grant(session, 'metrics', ['read']))
  expect(issued.ok && (await server.call('GET', '/v1/whoami', issued.value.token)).status).toBe(401)
  expect((await server.call('GET', '/v1/whoami', await server.bearer('verifier', 'tickets'))).status).toBe(401)
  expect((await harness.trail()).filter(({ kind }) => kind === 'refusal')).toMatchObject([
    { actor: { type: 'verifier', id: 'tickets' }, body: { code: 'unauthenticated', detail: 'a verifier token' } },
  ])
})

test('strangers are slowed per address and counted, and cannot shut out somebody with a bearer (S17)', async () => {
  const admin = await server.bearer('admin', 'admin@example.com')
  const codes: unknown[] = []
  for (let n = 0; n < 7; n++)
    codes.push((await server.call('GET', '/v1/whoami', n % 2 === 0 ? null : 'eyJ.x.y')).json.code)
  expect(codes.slice(-2)).toEqual(['rate_limited', 'rate_limited'])
  expect(codes[0]).toBe('unauthenticated')
  expect((await server.call('GET', '/v1/whoami', admin)).status).toBe(200)
  await server.edge.refusals.flush(true)
  expect((await server.harness.trail()).filter(({ kind }) => kind === 'strangers.counted')).toMatchObject([
    { body: { count: 7, codes: { rate_limited: 2, unauthenticated: 5 } } },
  ])
})

test('an honest session costs its address nothing (S17)', async () => {
  const { token } = await server.session('bot')
  for (let n = 0; n < 12; n++) expect((await server.call('GET', '/v1/whoami', token)).status).toBe(200)
})

test('a refusal of somebody known is on the trail with its reason before it is answered (P8)', async () => {
  const bob = await server.bearer('owner', 'bob@example.com')
  const said = await server.call('GET', '/v1/agents/bot', bob)
  expect(said.json).toMatchObject({ code: 'forbidden', status: 403, requestId: said.headers.get('x-request-id') })
  expect((await server.harness.trail()).filter(({ kind }) => kind === 'refusal')).toMatchObject([
    {
      actor: { type: 'owner', id: 'bob@example.com' },
      subject: { agent: 'bot' },
      request: said.json.requestId,
      body: { code: 'forbidden', route: 'GET /v1/agents/{name}', detail: 'agent.see by owner' },
    },
  ])
})

test.each<[string, string, string, unknown, number]>([
  ['an unknown key', 'POST', '/v1/locks', { kind: 'everything', reason: 'x', sudo: true }, 400],
  ['a key of the prototype', 'POST', '/v1/locks', '{"kind":"everything","reason":"x","__proto__":{"a":1}}', 400],
  [
    'a limit named like the prototype',
    'POST',
    '/v1/requests',
    '{"tool":"t","scopes":["read"],"reason":"x","details":{"__proto__":["a"]}}',
    400,
  ],
  ['a wrong type', 'POST', '/v1/locks', { kind: 'everything', reason: 7 }, 400],
  ['no JSON', 'POST', '/v1/locks', 'kind=everything', 400],
  ['an array', 'POST', '/v1/locks', [], 400],
  ['a body over its limit', 'POST', '/v1/locks', JSON.stringify({ reason: 'x'.repeat(1_100_000) }), 413],
  ['a limit over 500', 'GET', '/v1/agents?limit=501', undefined, 400],
  ['a limit that is no number', 'GET', '/v1/agents?limit=1e2', undefined, 400],
  ['a doubled parameter', 'GET', '/v1/agents?limit=1&limit=2', undefined, 400],
  ['an unknown parameter', 'GET', '/v1/agents?sort=name', undefined, 400],
  ['a cursor that is no id', 'GET', "/v1/agents?after='--", undefined, 400],
  ['an id that is none', 'GET', '/v1/receipts/..%2f..%2fetc', undefined, 400],
  ['an unknown route', 'GET', '/v1/nothing', undefined, 404],
  ['an unknown method', 'DELETE', '/v1/agents', undefined, 404],
  ['a receipt that is not there', 'GET', '/v1/receipts/rvk_none', undefined, 404],
  ['an agent that never was', 'GET', '/v1/agents/nobody', undefined, 404],
  ['a grant that is not there', 'POST', '/v1/grants/grt_none/revoke', {}, 404],
])('%s is refused as a problem and changes nothing (P8)', async (_, method, path, body, status) => {
  const admin = await server.bearer('admin', 'admin@example.com')
  const said = await server.call(method, path, admin, body)
  expect({ status: said.status, type: said.headers.get('content-type') }).toEqual({
    status,
    type: 'application/problem+json',
  })
  expect(problemBody.safeParse(said.json).error?.issues ?? []).toEqual([])
  expect(await server.harness.rows('lock')).toEqual([])
})

test('a body that is not said to be JSON is refused (S20)', async () => {
  const admin = await server.bearer('admin', 'admin@example.com')
  const said = await server.call('POST', '/v1/locks', admin, '{"kind":"everything","reason":"x"}', {
    'content-type': 'text/plain',
  })
  expect(said.status).toBe(415)
  expect(await server.harness.rows('lock')).toEqual([])
})

test('what breaks is answered once, with the request id and nothing of the fault (P8, P10)', async () => {
  const admin = await server.bearer('admin', 'admin@example.com')
  const { store } = server.edge.deps
  const tree = store.tree
  store.tree = () => Promise.reject(new TypeError(`boom ${admin}`))
  const broken = await server.call('GET', '/v1/status', admin)
  expect(broken.json).toMatchObject({ code: 'internal', status: 500, requestId: broken.headers.get('x-request-id') })
  expect(broken.text).not.toContain('boom')
  store.tree = () => Promise.reject(new StoreUnavailable('disk'))
  const down = await server.call('GET', '/v1/status', admin)
  expect(down.json).toMatchObject({ code: 'audit_unavailable', status: 503, retryable: true })
  expect(down.headers.get('retry-after')).toBe('5')
  store.tree = tree
})

test('where nothing can be written nothing is changed, and the caller is told so (P1)', async () => {
  const admin = await server.bearer('admin', 'admin@example.com')
  const { store } = server.edge.deps
  const commit = store.commit
  store.commit = () => Promise.reject(new StoreUnavailable('full'))
  const said = await server.call('POST', '/v1/locks', admin, { kind: 'everything', reason: 'x' })
  expect(said.json).toMatchObject({ code: 'audit_unavailable', status: 503 })
  store.commit = commit
  expect(await server.harness.rows('lock')).toEqual([])
})

test('probes need no token and say nothing; metrics need a reader and name nobody (S7)', async () => {
  expect(await server.call('GET', '/healthz', null)).toMatchObject({ status: 200, text: 'ok\n' })
  expect(await server.call('GET', '/readyz', null)).toMatchObject({ status: 200, text: 'ok\n' })
  const { store } = server.edge.deps
  const fresh = store.fresh
  store.fresh = () => false
  expect(await server.call('GET', '/readyz', null)).toMatchObject({ status: 503, text: 'not ok\n' })
  store.fresh = fresh

  expect((await server.call('GET', '/metrics', null)).status).toBe(401)
  expect((await server.call('GET', '/metrics', await server.bearer('owner', 'alice@example.com'))).status).toBe(403)
  const auditor = await server.bearer('auditor', 'audit@example.com')
  const session = await server.harness.session('bot')
  await server.harness.credential(session, await server.harness.grant(session, 'metrics', ['read']))
  await server.call('GET', '/v1/whoami', auditor)
  const metrics = (await server.call('GET', '/metrics', auditor)).text
  expect(metrics).toContain('hallpass_http_requests_total{route="GET /v1/whoami",status="200"} 1')
  expect(metrics).toContain('hallpass_credentials_minted_total 1')
  expect(metrics).toContain('hallpass_requests_waiting 0')
  expect(metrics).not.toMatch(/bot|example\.com/)
})
