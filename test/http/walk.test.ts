import { generateKeyPairSync } from 'node:crypto'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ROUTES } from '../../src/adapters/http/routes.ts'
import { parseVerifierKey } from '../../src/core/checkpoint.ts'
import { verifyInclusion } from '../../src/core/merkle.ts'
import { verifyExport } from '../../src/core/verify-export.ts'
import { type ApiServer, apiServer, type Said } from '../support/api-server.ts'
import { unwrap } from '../support/store-on-disk.ts'

let server: ApiServer
beforeEach(async () => {
  server = await apiServer()
})
afterEach(() => server.close())

/** The answer, checked against the schema that the OpenAPI page publishes. */
function good(said: Said, method: string, path: string, status = 200) {
  expect({ status: said.status, text: said.status === status ? '' : said.text }).toEqual({ status, text: '' })
  const route = ROUTES.find((one) => one.method === method && one.path === path)
  expect(route, `${method} ${path}`).toBeDefined()
  const parsed = route?.answer.safeParse(said.json)
  expect(parsed?.error?.issues ?? []).toEqual([])
  return said.json
}
const get = async (path: string, as: string, route = path.split('?')[0]!) =>
  good(await server.call('GET', `/v1${path}`, as), 'get', route)
const ask = { tool: 'tickets', scopes: ['read', 'comment'], reason: 'INC-4812', details: { queue: ['incidents'] } }

test('an agent asks over HTTP, waits, its owner approves less, and the grant is there (P2, P4)', async () => {
  const { token } = await server.session('bot')
  const alice = await server.bearer('owner', 'alice@example.com')
  const asked = good(await server.call('POST', '/v1/requests', token, ask), 'post', '/requests', 202)
  const { id } = asked.request as { id: string }
  expect(asked).toMatchObject({ status: 'pending', approveUrl: `https://hallpass.example.com/requests/${id}` })

  const shown = await get(`/requests/${id}`, alice, '/requests/{id}')
  expect(shown).toMatchObject({
    agent: 'bot',
    reason: 'INC-4812',
    owners: ['alice@example.com', 'carol@example.com'],
    scopeInfo: [
      { name: 'comment', risk: 'medium' },
      { name: 'read', risk: 'low' },
    ],
    hash: expect.stringMatching(/^[0-9a-f]{64}$/),
  })
  const waiting = server.call('GET', `/v1/requests/${id}?wait=20`, token)
  const approved = good(
    await server.call('POST', `/v1/requests/${id}/approve`, alice, {
      hash: shown.hash,
      scopes: ['read'],
      durationSeconds: 600,
    }),
    'post',
    '/requests/{id}/approve',
  )
  expect(approved).toMatchObject({
    request: { status: 'approved', decidedBy: 'alice@example.com' },
    grant: { scopes: ['read'], status: 'active' },
  })
  const seen = good(await waiting, 'get', '/requests/{id}')
  expect(seen).toMatchObject({ status: 'approved', grant: { scopes: ['read'] } })
  expect((await server.call('POST', `/v1/requests/${id}/approve`, alice, {})).json).toMatchObject({
    code: 'conflict',
    status: 409,
  })
})

test('every list and single row answers in its published shape, without a hash of a secret (P7)', async () => {
  const { harness } = server
  const admin = await server.bearer('admin', 'admin@example.com')
  const alice = await server.bearer('owner', 'alice@example.com')
  const session = await harness.session('bot')
  const grant = await harness.grant(session, 'metrics', ['read'])
  const { credential } = unwrap(await harness.credential(session, grant))
  const { token } = await server.session('bot')
  await server.call('POST', '/v1/requests', token, ask)

  expect((await get('/agents', admin)).items).toMatchObject([{ name: 'bot', status: 'active' }, { name: 'other' }])
  expect(await get('/agents/bot', alice, '/agents/{name}')).toMatchObject({
    people: ['alice@example.com', 'carol@example.com'],
  })
  expect((await get('/sessions?agent=bot', admin)).items).toHaveLength(2)
  expect((await get('/grants', alice)).items).toMatchObject([{ id: grant.id, status: 'active' }])
  expect((await get('/credentials', alice)).items).toMatchObject([{ id: credential.id, status: 'live' }])
  expect(await get(`/credentials/${credential.id}`, admin, '/credentials/{id}')).toMatchObject({
    status: 'live',
    tool: 'metrics',
  })
  expect((await get('/requests?status=pending', alice)).items).toMatchObject([{ agent: 'bot', status: 'pending' }])
  expect(await get('/can?agent=bot&tool=tickets&scope=read', alice)).toMatchObject({ answer: 'needs approval' })
  expect(await get('/whoami', token)).toMatchObject({ role: 'agent', subject: 'bot' })
  expect(await get('/status', admin)).toMatchObject({ initialized: true, waiting: { requests: 1 } })
  expect((await get('/keys', admin)).items).toHaveLength(2)
  expect((await get('/revisions', admin)).items).toHaveLength(1)
  const everything = JSON.stringify([await get('/keys', admin), await get('/audit', admin)])
  expect(everything).not.toMatch(/sealed|hp_[a-z]+_[0-9A-Za-z]{20}/)
})

test('a revoked session, grant and credential answer with receipts, and a session says how to lock (P5, S11)', async () => {
  const { harness } = server
  const admin = await server.bearer('admin', 'admin@example.com')
  const session = await harness.session('bot')
  const grant = await harness.grant(session, 'metrics', ['read'])
  const { credential } = unwrap(await harness.credential(session, grant))
  const dead = good(
    await server.call('POST', `/v1/credentials/${credential.id}/revoke`, admin, { reason: 'leaked' }),
    'post',
    '/credentials/{id}/revoke',
  )
  expect(dead).toMatchObject({ status: 'revoked', act: 'credential revoked', reason: 'leaked' })
  expect(await get(`/credentials/${credential.id}`, admin, '/credentials/{id}')).toMatchObject({
    status: 'revoked',
    receipt: dead.id,
  })
  expect(await get(`/receipts/${String(dead.id)}?wait=1`, admin, '/receipts/{id}')).toMatchObject({ state: 'complete' })
  good(await server.call('POST', `/v1/grants/${grant.id}/revoke`, admin), 'post', '/grants/{id}/revoke')
  const ended = good(
    await server.call('POST', `/v1/sessions/${session.id}/revoke`, admin),
    'post',
    '/sessions/{id}/revoke',
  )
  expect(ended).toMatchObject({
    lockCommand: 'hallpass lock agent/bot --reason "…"',
    note: expect.stringContaining('bot'),
  })
  expect((await get('/sessions', admin)).items).toMatchObject([{ status: 'revoked' }])
})

test('locks are set and lifted, an owner locked by an admin decides nothing, and a decommission is for ever (P6, S12)', async () => {
  const admin = await server.bearer('admin', 'admin@example.com')
  const alice = await server.bearer('owner', 'alice@example.com')
  const { token } = await server.session('bot')
  const locked = good(
    await server.call('POST', '/v1/locks', alice, { kind: 'agent', name: 'bot', reason: 'odd' }),
    'post',
    '/locks',
    201,
  )
  const { id } = locked.lock as { id: string }
  expect((await server.call('GET', '/v1/whoami', token)).json).toMatchObject({ code: 'agent_locked', status: 403 })
  expect((await get('/locks', alice)).items).toMatchObject([{ id, status: 'standing' }])
  good(await server.call('DELETE', `/v1/locks/${id}`, alice), 'delete', '/locks/{id}')
  expect((await get('/locks?all=true', alice)).items).toMatchObject([{ id, status: 'lifted' }])
  expect((await get('/locks', alice)).items).toEqual([])

  good(
    await server.call('POST', '/v1/locks', admin, { kind: 'owner', name: 'Alice@example.com', reason: 'away' }),
    'post',
    '/locks',
    201,
  )
  expect((await server.call('POST', '/v1/agents/bot/decommission', alice)).status).toBe(403)
  const ended = good(
    await server.call('POST', '/v1/agents/bot/decommission', admin, { reason: 'done' }),
    'post',
    '/agents/{name}/decommission',
  )
  expect(ended).toMatchObject({ act: 'decommissioned', status: 'revoked' })
  expect(await get('/agents/bot', admin, '/agents/{name}')).toMatchObject({
    status: 'decommissioned',
    receipt: ended.id,
  })
})

test('an export carries its checkpoint, verifies with the key alone, and is on the trail itself (P1)', async () => {
  const auditor = await server.bearer('auditor', 'audit@example.com')
  const key = unwrap(parseVerifierKey((await server.call('GET', '/v1/audit/key', auditor)).text))
  const exported = await server.call('GET', '/v1/audit/export', auditor)
  expect(exported.headers.get('content-type')).toBe('application/jsonl')
  const verified = unwrap(await verifyExport(exported.text.trimEnd().split('\n'), key))
  const page = await get('/audit?kind=audit.exported', auditor)
  expect(page.items).toMatchObject([{ actor: { type: 'auditor' }, body: { records: verified.records } }])
  const proof = await get(`/audit/proof?index=1&size=${verified.records}`, auditor)
  const bytes = (text: unknown) => Buffer.from(String(text), 'base64')
  expect(
    verifyInclusion(
      { index: 1, size: verified.records, leaf: bytes(proof.leaf), root: Buffer.from(verified.root, 'hex') },
      (proof.proof as string[]).map(bytes),
    ),
  ).toBe(true)
  expect((await server.call('GET', '/v1/audit/proof?index=9999999', auditor)).status).toBe(400)
})

test('a filtered export proves each of its records in the log, and only what the filter names leaves (P1)', async () => {
  const auditor = await server.bearer('auditor', 'audit@example.com')
  const key = unwrap(parseVerifierKey((await server.call('GET', '/v1/audit/key', auditor)).text))
  const part = async (query: string) => {
    const { status, text } = await server.call('GET', `/v1/audit/export?${query}`, auditor)
    expect(status).toBe(200)
    const lines = text.trimEnd().split('\n')
    const records = lines.slice(1, -1).map((line) => JSON.parse(line))
    return { verified: unwrap(await verifyExport(lines, key)), records }
  }
  for (const of of ['bot', 'other', 'bot', 'bot']) await server.session(of)
  const { items } = (await get('/audit?agent=bot&limit=500', auditor)) as { items: { index: number }[] }
  expect(items.length).toBeGreaterThan(2)
  const { verified, records } = await part('agent=bot')
  expect(records.map(({ index }) => index)).toEqual(items.map(({ index }) => index))
  expect(records.every(({ record }) => record.subject.agent === 'bot')).toBe(true)
  expect(verified).toMatchObject({ records: items.length })
  expect(verified.of).toBeGreaterThan(verified.records)
  const issued = await part('agent=bot&kind=session.opened')
  expect(issued.records.every(({ record }) => record.kind === 'session.opened')).toBe(true)
  expect((await part('agent=nobody')).verified.records).toBe(0)
  expect((await part('owner=alice@example.com')).verified.of).toBeGreaterThan(0)

  const trail = await get('/audit?kind=audit.exported', auditor)
  expect(trail.items).toContainEqual(
    expect.objectContaining({ body: expect.objectContaining({ filter: { agent: 'bot' } }) }),
  )
  for (const bad of ['agent=A', 'kind=nothing', 'since=x', 'what=1', 'agent=a&agent=b'])
    expect((await server.call('GET', `/v1/audit/export?${bad}`, auditor)).status, bad).toBe(400)
  const owner = await server.bearer('owner', 'alice@example.com')
  expect((await server.call('GET', '/v1/audit/export?agent=bot', owner)).status).toBe(403)
})

test('can answers for a time that is past, and refuses one to come or that is no time', async () => {
  const auditor = await server.bearer('auditor', 'audit@example.com')
  const at = (time: number) => encodeURIComponent(new Date(time).toISOString())
  const now = server.harness.disk.clock.now()
  const ask = 'agent=bot&tool=metrics&scope=read'
  expect(await get(`/can?${ask}&at=${at(now)}`, auditor, '/can')).toMatchObject({ answer: 'may ask' })
  expect(await get(`/can?${ask}&at=${at(now - 3_600_000)}`, auditor, '/can')).toMatchObject({ code: 'not_initialized' })
  for (const bad of [at(now + 1000), 'yesterday', ''])
    expect((await server.call('GET', `/v1/can?${ask}&at=${bad}`, auditor)).status, bad).toBe(400)
})

test('lists go on by their cursor until nothing is left (S7)', async () => {
  const auditor = await server.bearer('auditor', 'audit@example.com')
  const all = (await get('/audit?limit=500', auditor)).items as unknown[]
  const paged: unknown[] = []
  for (let path = '/audit?limit=2'; ; ) {
    const { items, next } = await get(path, auditor)
    paged.push(...(items as unknown[]))
    if (next === null) break
    path = `/audit?limit=2&after=${String(next)}`
  }
  expect(paged).toEqual(all)
  const first = await get('/agents?limit=1', auditor)
  expect(first).toMatchObject({ items: [{ name: 'bot' }], next: 'bot' })
  expect(await get('/agents?limit=1&after=bot', auditor)).toMatchObject({ items: [{ name: 'other' }], next: null })
})

test('tokens are made by the operator alone and shown once (S10)', async () => {
  const made = good(
    await server.asOperator('POST', '/v1/operator/tokens', { kind: 'owner', subject: 'alice@example.com' }),
    'post',
    '/operator/tokens',
    201,
  )
  expect(made.token).toMatch(/^hp_owner_/)
  expect(good(await server.call('GET', '/v1/whoami', String(made.token)), 'get', '/whoami')).toMatchObject({
    role: 'owner',
    subject: 'alice@example.com',
  })
  const listed = await server.asOperator('GET', '/v1/operator/tokens')
  expect(good(listed, 'get', '/operator/tokens').items).toMatchObject([{ id: made.id, status: 'valid' }])
  expect(listed.text).not.toContain(String(made.token).slice(9))
  good(
    await server.asOperator('POST', `/v1/operator/tokens/${String(made.id)}/revoke`),
    'post',
    '/operator/tokens/{id}/revoke',
  )
  expect((await server.call('GET', '/v1/whoami', String(made.token))).status).toBe(401)
})

test('a pushed set is refused where the folder is watched, and planned without changing anything (S3)', async () => {
  const publisher = await server.bearer('publisher', 'ci@example.com')
  const files = {
    'a.yaml':
      'apiVersion: hallpass/v1\nkind: Team\nmetadata: { name: helpers }\nspec: { members: [carol@example.com] }\n',
  }
  const refused = await server.call('POST', '/v1/revisions', publisher, { files, base: null })
  expect(refused.json).toMatchObject({ code: 'conflict', detail: expect.stringContaining('HALLPASS_SCOPES_MODE') })
  const before = (await server.harness.trail()).filter(({ kind }) => kind.startsWith('revision')).length
  const planned = good(await server.call('POST', '/v1/revisions/plan', publisher, { files }), 'post', '/revisions/plan')
  expect((planned.narrowings as unknown[]).length).toBeGreaterThan(0)
  expect((await server.harness.trail()).filter(({ kind }) => kind.startsWith('revision'))).toHaveLength(before)
  const broken = await server.call('POST', '/v1/revisions/plan', publisher, { files: { 'a.yaml': 'kind: Nonsense' } })
  expect(broken.json).toMatchObject({
    code: 'manifest_invalid',
    status: 422,
    detail: expect.stringMatching(/^a\.yaml:1:/),
  })
})

test('a pushed set narrows at once and waits where it widens, until its owner accepts over HTTP (P3, S1)', async () => {
  await server.close()
  server = await apiServer({ scopesMode: 'push' })
  const publisher = await server.bearer('publisher', 'ci@example.com')
  const admin = await server.bearer('admin', 'admin@example.com')
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const document = (kind: string, name: string, spec: string) =>
    `apiVersion: hallpass/v1\nkind: ${kind}\nmetadata: { name: ${name} }\nspec: ${spec}\n`
  const files = {
    'tools/mail.yaml': document(
      'Tool',
      'mail',
      '{ owners: [mia@example.com], category: ticketing, resource: "https://mail.example.com", scopes: { read: { description: Read, risk: low } } }',
    ),
    'keys/a.pem': { base64: Buffer.from(publicKey.export({ type: 'spki', format: 'pem' })).toString('base64') },
  }
  const { inForce } = good(
    await server.call('POST', '/v1/revisions/plan', publisher, { files }),
    'post',
    '/revisions/plan',
  )
  const stale = await server.call('POST', '/v1/revisions', publisher, { files, base: '0'.repeat(64) })
  expect(stale.json).toMatchObject({ code: 'conflict' })
  const applied = good(
    await server.call('POST', '/v1/revisions', publisher, { files, base: inForce }),
    'post',
    '/revisions',
  )
  expect(applied).toMatchObject({ changed: true, revision: { status: 'in force', waiting: 1 } })
  expect((await get('/agents', admin)).items).toMatchObject([
    { name: 'bot', status: 'absent' },
    { name: 'other', status: 'absent' },
  ])
  const { id } = applied.revision as { id: string }
  expect(await get(`/revisions/${id}`, admin, '/revisions/{id}')).toMatchObject({
    widenings: [{ slice: 'tool/mail', mayAccept: true }],
  })
  expect((await server.call('POST', `/v1/revisions/${id}/accept`, publisher)).json).toMatchObject({ code: 'forbidden' })
  const accepted = good(
    await server.call('POST', `/v1/revisions/${id}/accept`, admin, {}),
    'post',
    '/revisions/{id}/accept',
  )
  expect(accepted.settled).toMatchObject([{ status: 'accepted', decidedBy: 'admin@example.com' }])
})
