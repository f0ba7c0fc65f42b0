// Every token kind at every edge, from the table in docs/token-kinds.md: what is not in it is refused (S13).

import { readFileSync } from 'node:fs'
import { importPKCS8, SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { SAMPLE_OWNERS, type SampleBroker, startSampleBroker } from '../../src/commands/sample-broker.ts'
import { createGuard, type Guard } from '../../src/guard/index.ts'
import { startWiki, type Wiki } from '../support/proxied-wiki.ts'
import { testDatabase } from '../support/test-store.ts'
import { send } from './wire.ts'

let wiki: Wiki

const KINDS = ['none', 'session', 'credential', 'proxy', 'owner', 'admin', 'auditor', 'publisher', 'verifier'] as const
type Kind = (typeof KINDS)[number]

const rows = [
  ...readFileSync('docs/token-kinds.md', 'utf8').matchAll(
    /^\| (`\/\S+`|a tool with the guard) \| (.+?) \| (.+?) \|$/gm,
  ),
].map(([, edge = '', place = '', accepts = '']) => ({
  edge: edge.replaceAll('`', ''),
  place,
  accepts: [...accepts.matchAll(/`(\w+)`/g)].map(([, kind]) => kind),
}))

let broker: SampleBroker
let guard: Guard
const tokens: Record<Kind, string> = {
  none: '',
  session: '',
  credential: '',
  proxy: '',
  owner: '',
  admin: '',
  auditor: '',
  publisher: '',
  verifier: '',
}

const form = (path: string, body: Record<string, string>, headers: Record<string, string> = {}) =>
  fetch(`${broker.url}${path}`, { method: 'POST', body: new URLSearchParams(body), headers })
const TOKEN = z.object({ access_token: z.string() })
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token'

beforeAll(async () => {
  wiki = await startWiki()
  broker = await startSampleBroker({ ...(await testDatabase()), edit: wiki.edit })
  tokens.owner = await broker.ownerToken(SAMPLE_OWNERS.agents)
  tokens.admin = broker.adminToken
  tokens.auditor = await broker.bearer('auditor', 'audit@example.com')
  tokens.publisher = await broker.bearer('publisher', 'ci@example.com')
  tokens.verifier = await broker.verifierToken('metrics')
  const key = await importPKCS8(readFileSync(broker.agents['triage-bot']!.keyPath, 'utf8'), 'ES256')
  const assertion = await new SignJWT({ jti: crypto.randomUUID() })
    .setProtectedHeader({ alg: 'ES256' })
    .setIssuer('triage-bot')
    .setSubject('triage-bot')
    .setAudience(broker.url)
    .setIssuedAt()
    .setExpirationTime('1m')
    .sign(key)
  const opened = await form('/oauth/token', {
    grant_type: 'client_credentials',
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion: assertion,
  })
  tokens.session = TOKEN.parse(await opened.json()).access_token
  await fetch(`${broker.url}/v1/requests`, {
    method: 'POST',
    headers: { ...bearer(tokens.session), 'content-type': 'application/json' },
    body: JSON.stringify({ tool: 'metrics', scopes: ['metrics:read'], reason: 'INC-1' }),
  })
  const minted = await form('/oauth/token', {
    grant_type: EXCHANGE,
    subject_token: tokens.session,
    subject_token_type: ACCESS_TOKEN,
    audience: 'metrics',
  })
  tokens.credential = TOKEN.parse(await minted.json()).access_token
  await fetch(`${broker.url}/v1/requests`, {
    method: 'POST',
    headers: { ...bearer(tokens.session), 'content-type': 'application/json' },
    body: JSON.stringify({ tool: 'wiki', scopes: ['wiki:read'], reason: 'INC-1' }),
  })
  const proxied = await form('/oauth/token', {
    grant_type: EXCHANGE,
    subject_token: tokens.session,
    subject_token_type: ACCESS_TOKEN,
    resource: `${broker.url}/tools/wiki`,
  })
  tokens.proxy = TOKEN.parse(await proxied.json()).access_token
  guard = createGuard({
    issuer: broker.url,
    resource: 'http://127.0.0.1:8432',
    verifierToken: tokens.verifier,
    mode: 'offline',
  })
  await guard.ready()
})
afterAll(async () => {
  await guard?.close()
  await broker?.close()
  wiki.close()
})

const bearer = (token: string): Record<string, string> => (token === '' ? {} : { authorization: `Bearer ${token}` })
const verifier = (token: string): Record<string, string> => (token === '' ? {} : { 'x-hallpass-verifier': token })
const basic = (token: string): Record<string, string> =>
  token === '' ? {} : { authorization: `Basic ${Buffer.from(`metrics:${token}`).toString('base64')}` }
const FORWARD = '/forward-auth?resource=http%3A%2F%2F127.0.0.1%3A8432&scope=metrics%3Aread'

/** Accepted, or refused with 401 or 403; anything else is a fault of the edge. */
async function accepted(response: Promise<Response>): Promise<boolean> {
  const { status, body } = await response
  await body?.cancel()
  expect([200, 401, 403]).toContain(status)
  return status === 200
}

/** From an address of its own, so that one edge's refusals do not slow the next one down. */
async function acceptedFromAfar(path: string, token: string): Promise<boolean> {
  const { status } = await send(`${broker.url}${path}`, {
    headers: token === '' ? [] : ['Authorization', `Bearer ${token}`],
  })
  expect([200, 401, 403]).toContain(status)
  return status === 200
}

const EDGES: Record<string, (token: string) => Promise<boolean>> = {
  '/mcp · `Authorization: Bearer`': (token) =>
    accepted(
      fetch(`${broker.url}/mcp`, {
        method: 'POST',
        headers: {
          ...bearer(token),
          'content-type': 'application/json',
          accept: 'application/json, text/event-stream',
        },
        body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list', params: {} }),
      }),
    ),
  '/oauth/token · `subject_token` of a token exchange': async (token) => {
    const response = await form('/oauth/token', {
      grant_type: EXCHANGE,
      subject_token: token,
      subject_token_type: ACCESS_TOKEN,
      audience: 'metrics',
    })
    expect([200, 400, 401]).toContain(response.status)
    return response.status === 200
  },
  '/oauth/introspect · `X-Hallpass-Verifier`': (token) =>
    accepted(form('/oauth/introspect', { token: tokens.credential }, verifier(token))),
  '/oauth/introspect · `Authorization: Bearer`': (token) =>
    accepted(form('/oauth/introspect', { token: tokens.credential }, bearer(token))),
  '/oauth/introspect · `Authorization: Basic`, as the password': (token) =>
    accepted(form('/oauth/introspect', { token: tokens.credential }, basic(token))),
  '/oauth/introspect · `token`, answered active': async (token) => {
    const response = await form('/oauth/introspect', { token }, verifier(tokens.verifier))
    return response.status === 200 && z.object({ active: z.boolean() }).parse(await response.json()).active
  },
  '/oauth/revoke · `Authorization: Bearer`': (token) =>
    accepted(form('/oauth/revoke', { token: 'eyJ.unknown.token' }, bearer(token))),
  '/forward-auth · `X-Hallpass-Verifier`': (token) =>
    accepted(fetch(`${broker.url}${FORWARD}`, { headers: { ...bearer(tokens.credential), ...verifier(token) } })),
  '/forward-auth · `Authorization: Bearer`': (token) =>
    accepted(fetch(`${broker.url}${FORWARD}`, { headers: { ...bearer(token), ...verifier(tokens.verifier) } })),
  '/guard/feed · `X-Hallpass-Verifier`': (token) =>
    accepted(fetch(`${broker.url}/guard/feed?after=0`, { headers: verifier(token) })),
  '/guard/lease · `X-Hallpass-Verifier`': (token) =>
    accepted(
      fetch(`${broker.url}/guard/lease`, {
        method: 'POST',
        headers: { ...verifier(token), 'content-type': 'application/json' },
        body: JSON.stringify({ guard: 'kinds', ackSeq: 0 }),
      }),
    ),
  '/tools/NAME · `Authorization: Bearer`': (token) => acceptedFromAfar('/tools/wiki/page', token),
  '/v1 · `Authorization: Bearer`': (token) => acceptedFromAfar('/v1/whoami', token),
  '/metrics · `Authorization: Bearer`': (token) => acceptedFromAfar('/metrics', token),
  '/console · `Authorization: Bearer`': (token) => acceptedFromAfar('/console/requests', token),
  'a tool with the guard · `Authorization: Bearer`': async (token) =>
    (await guard.verify(token === '' ? null : `Bearer ${token}`, { scopes: ['metrics:read'] })).ok,
}

test('the table names every edge that is tested, and the test every edge of the table', () => {
  expect(rows.map(({ edge, place }) => `${edge} · ${place}`)).toEqual(Object.keys(EDGES))
})

describe.each(rows)('$edge, $place', ({ edge, place, accepts }) => {
  test.each(KINDS)(`%s is ${accepts.join(', ')} or refused (S13)`, async (kind) => {
    expect(await EDGES[`${edge} · ${place}`]!(tokens[kind])).toBe(accepts.includes(kind))
  })
})

test('a token in the query is never read (S13)', async () => {
  for (const [method, path] of [
    ['GET', `/v1/whoami?access_token=${tokens.admin}`],
    ['POST', `/mcp?access_token=${tokens.session}`],
    ['GET', `/tools/wiki/page?access_token=${tokens.proxy}`],
  ] as const)
    expect((await send(`${broker.url}${path}`, { method })).status).toBe(401)
})
