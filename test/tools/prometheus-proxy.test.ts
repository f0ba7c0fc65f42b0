// Debian's Prometheus with nothing in front of it but the broker: an agent asks, its owner approves, the query is answered
// through the proxy, and everything outside the scope is refused before Prometheus hears of it.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { stopAll } from './background.ts'
import { type Initialised, initialiseBroker } from './broker-process.ts'
import { installedTools } from './installed-tools.ts'
import { answeredByPrometheus, copyExample, freePorts, type Ports, startPrometheus } from './metrics-behind-nginx.ts'
import { type AgentIdentity, createIdentity, type Held, obtainCredential } from './people-and-agents.ts'
import { type RawAnswer, rawRequest } from './raw-request.ts'

const tools = installedTools({ prometheus: 'prometheus' })
const OWNER = 'sre@example.com'

const TOOL = (port: number) => `apiVersion: hallpass/v1
kind: Tool
metadata: { name: metrics }
spec:
  owners: [${OWNER}]
  category: observability
  resource: https://metrics.example.com
  upstream: { url: "http://127.0.0.1:${port}" }
  scopes:
    "metrics:read":
      description: Query metrics
      risk: low
      allow:
        - { methods: [GET, POST], paths: ["/api/v1/query*"] }
        - { methods: [GET], paths: ["/api/v1/label/{label}/values"] }
    "metrics:admin":
      description: Delete series and stop it
      risk: high
      allow: [{ methods: [POST, PUT], paths: ["/api/v1/admin/**", "/-/*"] }]
  details: { label: { description: Name of a label, enforcedBy: proxy } }
  token: { verifiedBy: asks }
`
const AGENT = `apiVersion: hallpass/v1
kind: Agent
metadata: { name: query-bot }
spec:
  purpose: Looks at metrics
  owners: [${OWNER}]
  identity: [{ publicKeyFile: keys/query-bot.pub.pem }]
  access:
    - { tool: metrics, scopes: ["metrics:read"], delivery: proxy }
    - { tool: metrics, scopes: ["metrics:read"], details: { label: [job] }, approval: none, delivery: proxy }
`

const READ = { tool: 'metrics', scopes: ['metrics:read'] }

const folder = mkdtempSync(join(tmpdir(), 'hallpass-tools-'))
let ports: Ports
let broker: Initialised
let identity: AgentIdentity
let held: Held

beforeAll(async () => {
  ports = await freePorts()
  copyExample(folder, ports)
  rmSync(join(folder, 'scopes'), { recursive: true, force: true })
  mkdirSync(join(folder, 'scopes', 'keys'), { recursive: true })
  identity = await createIdentity('query-bot')
  writeFileSync(join(folder, 'scopes', 'keys', 'query-bot.pub.pem'), identity.publicPem)
  writeFileSync(join(folder, 'scopes', 'metrics.yaml'), TOOL(ports.prometheus))
  writeFileSync(join(folder, 'scopes', 'query-bot.yaml'), AGENT)
  const starting = startPrometheus(tools.prometheus, folder, ports)
  broker = (await Promise.all([initialiseBroker(folder, ports.broker, OWNER), starting]))[0]
  await broker.start()
  held = await obtainCredential(broker.issuer, identity, broker.ownerToken, READ)
})
afterAll(async () => {
  await stopAll()
  rmSync(folder, { recursive: true, force: true })
})

const call = (target: string, sent: { method?: string; body?: string; token?: string } = {}): Promise<RawAnswer> =>
  rawRequest(broker.issuer, `/tools/metrics${target}`, {
    method: sent.method ?? 'GET',
    headers: {
      authorization: `Bearer ${sent.token ?? held.token}`,
      ...(sent.body === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded' }),
    },
    ...(sent.body === undefined ? {} : { body: sent.body }),
  })

/** The call is refused, and Prometheus heard nothing of it. */
async function expectRefused(calling: () => Promise<RawAnswer>, code: string): Promise<void> {
  const before = await answeredByPrometheus(ports)
  const answer = await calling()
  expect(JSON.parse(answer.body), answer.body).toMatchObject({ code, hint: expect.any(String) })
  expect(answer.status).toBeGreaterThanOrEqual(400)
  expect(await answeredByPrometheus(ports)).toBe(before)
}

describe('Prometheus behind the broker', () => {
  test('answers a query by GET and by POST to whoever has the scope (P2)', async () => {
    for (const answer of [
      await call('/api/v1/query?query=vector(1)'),
      await call('/api/v1/query', { method: 'POST', body: 'query=vector(1)' }),
    ]) {
      expect(answer.status, answer.body).toBe(200)
      expect(JSON.parse(answer.body).data.result[0].value[1]).toBe('1')
    }
    expect((await call('/api/v1/query_range?query=vector(1)&start=1&end=2&step=1')).status).toBe(200)
  })

  test('is not reached outside the scope, by no spelling of the path (P2)', async () => {
    for (const [target, method] of [
      ['/api/v1/targets', 'GET'],
      ['/-/quit', 'POST'],
      ['/api/v1/admin/tsdb/delete_series?match[]=up', 'POST'],
      ['/api/v1/query', 'DELETE'],
      ['/metrics', 'GET'],
      ['/', 'GET'],
    ] as const)
      await expectRefused(() => call(target, { method }), 'scope_not_in_manifest')
    for (const target of [
      '/api/v1/query/../admin/tsdb/delete_series',
      '/api/v1/query%2f..%2fadmin/tsdb/delete_series',
      '/api/v1/query//../../-/quit',
      '/api/v1/query/%2e%2e/targets',
    ])
      await expectRefused(() => call(target), 'invalid_request')
  })

  test('is reached within the details alone, where the grant has them (S9)', async () => {
    const narrow = await obtainCredential(broker.issuer, identity, broker.ownerToken, {
      ...READ,
      details: { label: ['job'] },
    })
    const values = (label: string) => call(`/api/v1/label/${label}/values`, { token: narrow.token })
    expect((await values('job')).status).toBe(200)
    await expectRefused(() => values('instance'), 'details_not_allowed')
    await expectRefused(() => call('/api/v1/query?query=up', { token: narrow.token }), 'details_not_allowed')
  })

  test('is out of reach with the revocation, and every call is on the trail (P1, P5)', async () => {
    const { token, grant } = await obtainCredential(broker.issuer, identity, broker.ownerToken, READ)
    expect((await call('/api/v1/query?query=up', { token })).status).toBe(200)
    const taken = await fetch(`${broker.issuer}/v1/grants/${grant}/revoke`, {
      method: 'POST',
      headers: { authorization: `Bearer ${broker.ownerToken}`, 'content-type': 'application/json' },
      body: JSON.stringify({ reason: 'over' }),
    })
    expect(taken.status).toBe(200)
    await expectRefused(() => call('/api/v1/query?query=up', { token }), 'grant_revoked')
    const trail = await broker.hallpass('audit', 'list', '--kind', 'tool.called', '--json')
    expect(trail).toContain('/api/v1/query?query')
    expect(trail).not.toContain('vector(1)')
  })
})
