// Debian's Prometheus behind Debian's nginx, which puts every call to the real broker: the files of
// examples/prometheus-nginx, an agent that proves itself with its key, an owner who approves, and everything that must
// not get through.

import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { type Background, freePort, stopAll } from './background.ts'
import { bearerIn, type Initialised, initialiseBroker } from './broker-process.ts'
import { installedTools } from './installed-tools.ts'
import {
  answeredByPrometheus,
  copyExample,
  freePorts,
  type Ports,
  startNginx,
  startPrometheus,
  writeVerifier,
} from './metrics-behind-nginx.ts'
import {
  type AgentIdentity,
  type Ask,
  callApi,
  createIdentity,
  exchange,
  expectDone,
  type Held,
  idOf,
  type Json,
  obtainCredential,
  openSession,
} from './people-and-agents.ts'
import { type RawAnswer, type RawRequest, rawRequest } from './raw-request.ts'

const tools = installedTools({ nginx: 'nginx', prometheus: 'prometheus' })

const OWNER = 'sre@example.com'
const READ: Ask = { tool: 'metrics', scopes: ['metrics:read'] }
const TARGETS: Ask = { tool: 'metrics', scopes: ['metrics:targets'] }

/** Each agent's access, as YAML. */
const ACCESS = {
  'query-bot': '{ tool: metrics, scopes: [metrics:read] }',
  'target-bot': '{ tool: metrics, scopes: [metrics:targets], approval: none }',
  'log-bot':
    '{ tool: logs, scopes: [metrics:read], approval: none }, { tool: metrics, scopes: [metrics:read], approval: none }',
  'job-bot': '{ tool: metrics, scopes: [metrics:read], details: { job: [prometheus] }, approval: none }',
  'edited-bot': '{ tool: metrics, scopes: [metrics:read, metrics:targets] }',
  'removed-bot': '{ tool: metrics, scopes: [metrics:read] }',
  'locked-bot': '{ tool: metrics, scopes: [metrics:read] }',
  'leaving-bot': '{ tool: metrics, scopes: [metrics:read] }',
} as const
type AgentName = keyof typeof ACCESS

/** A second tool with a scope of the same name, so that only the resource tells its tokens apart. */
const LOGS = `apiVersion: hallpass/v1
kind: Tool
metadata: { name: logs }
spec:
  owners: [${OWNER}]
  category: observability
  resource: https://logs.example.com
  scopes: { "metrics:read": { description: Query logs, risk: low } }
  token: { verifiedBy: asks }
`
/** A detail that the example's routes do not enforce. */
const JOB_DETAIL = '  details: { job: { description: Scrape job, enforcedBy: proxy } }\n'

const manifestOf = (name: AgentName, access: string) => `apiVersion: hallpass/v1
kind: Agent
metadata: { name: ${name} }
spec:
  purpose: Looks at metrics
  owners: [${OWNER}]
  identity: [{ publicKeyFile: keys/${name}.pub.pem }]
  access: [${access}]
`

const folder = mkdtempSync(join(tmpdir(), 'hallpass-tools-'))
const manifestPath = (name: AgentName) => join(folder, 'scopes', 'agents', `${name}.yaml`)
const agents = new Map<AgentName, AgentIdentity>()
const latencies: { taken: string; ms: number; status: number }[] = []

let ports: Ports
let broker: Initialised
let nginx: Background
let verifier: string
let logsVerifier: string

beforeAll(async () => {
  ports = await freePorts()
  copyExample(folder, ports)
  const metrics = join(folder, 'scopes', 'tools', 'metrics.yaml')
  writeFileSync(metrics, readFileSync(metrics, 'utf8') + JOB_DETAIL)
  writeFileSync(join(folder, 'scopes', 'tools', 'logs.yaml'), LOGS)
  mkdirSync(join(folder, 'scopes', 'agents', 'keys'), { recursive: true })
  for (const [name, access] of Object.entries(ACCESS) as [AgentName, string][]) {
    const identity = await createIdentity(name)
    agents.set(name, identity)
    writeFileSync(join(folder, 'scopes', 'agents', 'keys', `${name}.pub.pem`), identity.publicPem)
    writeFileSync(manifestPath(name), manifestOf(name, access))
  }

  const starting = startPrometheus(tools.prometheus, folder, ports)
  broker = (await Promise.all([initialiseBroker(folder, ports.broker, OWNER), starting]))[0]
  await broker.start()
  verifier = bearerIn(await broker.hallpass('verifier', 'token', 'metrics'), 'verify')
  logsVerifier = bearerIn(await broker.hallpass('verifier', 'token', 'logs'), 'verify')
  writeVerifier(folder, verifier)
  nginx = await startNginx(tools.nginx, folder, ports)
})

afterAll(async () => {
  await stopAll()
  rmSync(folder, { recursive: true, force: true })
  if (latencies.length > 0) process.stdout.write(tableOf(latencies))
})

const tableOf = (rows: typeof latencies) =>
  [
    '\n  taken away                 first refusal after',
    ...rows.map(({ taken, ms, status }) => `  ${taken.padEnd(26)} ${ms.toFixed(1).padStart(7)} ms  ${status}`),
    '  (from the answer to whoever took it away; of manifests, from the write of the file)\n\n',
  ].join('\n')

const agent = (name: AgentName): AgentIdentity => {
  const found = agents.get(name)
  if (found === undefined) throw new Error(`no agent ${name}`)
  return found
}
const obtain = (name: AgentName, ask: Ask): Promise<Held> =>
  obtainCredential(broker.issuer, agent(name), broker.ownerToken, ask)

const QUERY = '/api/v1/query?query=vector(1)'
const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
const throughNginx = (target: string, sent: RawRequest = {}): Promise<RawAnswer> =>
  rawRequest(`http://127.0.0.1:${ports.nginx}`, target, sent)
const query = (token: string) => throughNginx(QUERY, { headers: bearer(token) })

/** The call is refused, and Prometheus heard nothing of it. */
async function expectRefused(call: () => Promise<RawAnswer>, statuses: readonly number[]): Promise<RawAnswer> {
  const before = await answeredByPrometheus(ports)
  const answer = await call()
  expect(statuses, answer.body).toContain(answer.status)
  expect(await answeredByPrometheus(ports)).toBe(before)
  return answer
}

describe('an agent with metrics:read', () => {
  test("gets Prometheus's own answer through nginx, by GET and by POST (P2)", async () => {
    const { token } = await obtain('query-bot', READ)
    const vector = {
      status: 'success',
      data: { resultType: 'vector', result: [{ metric: {}, value: [expect.any(Number), '1'] }] },
    }
    const got = await query(token)
    expect(got.status).toBe(200)
    expect(JSON.parse(got.body)).toEqual(vector)
    const posted = await throughNginx('/api/v1/query', {
      method: 'POST',
      headers: { ...bearer(token), 'content-type': 'application/x-www-form-urlencoded' },
      body: 'query=vector(1)',
    })
    expect(JSON.parse(posted.body)).toEqual(vector)

    const up = await vi.waitUntil(
      async () => {
        const answer = await throughNginx('/api/v1/query?query=up', { headers: bearer(token) })
        return JSON.parse(answer.body).data.result[0]
      },
      { timeout: 30_000, interval: 250 },
    )
    expect(up).toMatchObject({ metric: { job: 'prometheus' }, value: [expect.any(Number), '1'] })
  })

  test('is named to Prometheus, which never sees the credential or a spoofed header (P7, S14)', async () => {
    const heard: string[][] = []
    const echo = createServer((request, response) => {
      heard.push(request.rawHeaders)
      response.end('{}')
    }).listen(0, '127.0.0.1')
    onTestFinished(() => void echo.close())
    const echoPort = await vi.waitUntil(() => {
      const address = echo.address()
      return typeof address === 'object' ? address?.port : null
    })
    const beside = join(folder, 'beside')
    const besidePort = await freePort()
    mkdirSync(beside)
    cpSync(join(folder, 'verifier.conf'), join(beside, 'verifier.conf'))
    writeFileSync(
      join(beside, 'nginx.conf'),
      readFileSync(join(folder, 'nginx.conf'), 'utf8')
        .replace(`listen 127.0.0.1:${ports.nginx}`, `listen 127.0.0.1:${besidePort}`)
        .replace(`server 127.0.0.1:${ports.prometheus}`, `server 127.0.0.1:${echoPort}`),
    )
    const second = await startNginx(tools.nginx, beside, { ...ports, nginx: besidePort })
    onTestFinished(() => second.stop())

    const { token } = await obtain('query-bot', READ)
    const answer = await rawRequest(`http://127.0.0.1:${besidePort}`, QUERY, {
      headers: { ...bearer(token), ...SPOOFED, cookie: 'a=b', 'x-prometheus-anything': '1' },
    })
    expect(answer.status, answer.body).toBe(200)
    expect(heard).toHaveLength(1)
    const headers = Object.fromEntries(pairs(heard[0] ?? []))
    expect(headers).toMatchObject({
      'x-hallpass-agent': 'query-bot',
      'x-forwarded-for': '127.0.0.1',
      'x-forwarded-proto': 'http',
    })
    expect(Object.keys(headers).sort()).toEqual([
      'connection',
      'host',
      'x-forwarded-for',
      'x-forwarded-host',
      'x-forwarded-proto',
      'x-hallpass-agent',
    ])
    expect(JSON.stringify(heard)).not.toContain(token)
  })

  test('leaves no credential and no verifier token in the logs of nginx (P7)', async () => {
    const { token } = await obtain('query-bot', READ)
    expect((await query(token)).status).toBe(200)
    const logs = await vi.waitUntil(() => {
      const text = readFileSync(join(folder, 'access.log'), 'utf8')
      return text.includes('200 agent=query-bot grant=grt_') ? text + nginx.output() : null
    })
    expect(logs).not.toContain(token)
    expect(logs).not.toContain(verifier)
  })
})

const SPOOFED = {
  'x-forwarded-for': '10.0.0.1',
  'x-forwarded-host': 'logs.example.com',
  'x-forwarded-proto': 'https',
  'x-forwarded-method': 'GET',
  'x-forwarded-uri': '/api/v1/targets',
  'x-original-uri': '/api/v1/targets',
  'x-original-url': '/api/v1/targets',
  'x-original-method': 'GET',
  'x-hallpass-agent': 'target-bot',
  'x-hallpass-scope': 'metrics:read metrics:targets',
  'x-hallpass-resource': 'https://logs.example.com',
  'x-hallpass-verifier': 'hp_verify_spoofed',
}

const pairs = (raw: readonly string[]): [string, string][] =>
  raw.flatMap((name, index) => (index % 2 === 0 ? [[name.toLowerCase(), raw[index + 1] ?? '']] : []))

describe('refused', () => {
  test('a call without a credential is 401, with the challenge of Hallpass (P8)', async () => {
    const answer = await expectRefused(() => throughNginx(QUERY), [401])
    expect(answer.headers['www-authenticate']).toMatch(/^Bearer /)
  })

  test('a credential with another scope of the same tool is 403, and the challenge names the scope (P2, P8)', async () => {
    const { token } = await obtain('target-bot', TARGETS)
    expect((await throughNginx('/api/v1/targets', { headers: bearer(token) })).status).toBe(200)
    const answer = await expectRefused(() => query(token), [403])
    expect(answer.headers['www-authenticate']).toMatch(/error="insufficient_scope".*metrics:read/)

    const reader = await obtain('query-bot', READ)
    await expectRefused(() => throughNginx('/api/v1/targets', { headers: bearer(reader.token) }), [403])
  })

  test('a credential for another resource is 401, though its agent holds one for this too (S13)', async () => {
    const ofMetrics = await obtain('log-bot', READ)
    const ofLogs = await obtain('log-bot', { tool: 'logs', scopes: ['metrics:read'] })
    expect((await query(ofMetrics.token)).status).toBe(200)
    await expectRefused(() => query(ofLogs.token), [401])
  })

  test("every other kind of token is 401: the session's, an owner's, an admin's, a verifier's, an invented one (S13)", async () => {
    const { token, sessionToken } = await obtain('query-bot', READ)
    const [head, claims] = token.split('.')
    for (const other of [sessionToken, broker.ownerToken, broker.adminToken, verifier, `${head}.${claims}.AAAA`, 'x'])
      await expectRefused(() => query(other), [401])
  })

  test('another path is 403, however it is spelled, and no such call reaches Prometheus (S14)', async () => {
    const { token } = await obtain('query-bot', READ)
    const targets = [
      '/',
      '/metrics',
      '/graph',
      '/-/reload',
      '/-/quit',
      '/api/v1/admin/tsdb/snapshot',
      '/api/v1/admin/tsdb/delete_series?match[]=up',
      '/api/v1/status/config',
      '/api/v1/query/',
      '/api/v1/query/..%2fadmin/tsdb/snapshot',
      '/api/v1/query/../admin/tsdb/snapshot',
      '/api/v1/query%2f..%2fadmin%2ftsdb%2fsnapshot',
      '/api/v1/query/..;/admin/tsdb/snapshot',
      '/api/v1/query;/../../../metrics',
      '/api/v1/query;x',
      '/api/v1/query%3fx',
      '/api/v1/query%00',
      '/api/v1/query.',
      '/api/v1/QUERY',
      '/api/v1/quer%79?query=up',
      '/api/v1//query?query=up',
      '//api/v1/query?query=up',
      '/./api/v1/query?query=up',
      '/metrics/../api/v1/query?query=up',
      '/_hallpass/metrics:read',
      'http://127.0.0.1/metrics',
    ]
    for (const target of targets) {
      for (const method of ['GET', 'POST']) {
        const answer = await expectRefused(() => throughNginx(target, { method, headers: bearer(token) }), [400, 403])
        if (target !== '/api/v1/query%00') expect(answer.status, target).toBe(403)
      }
    }
  })

  test('another method is 403 (S14)', async () => {
    const { token } = await obtain('query-bot', READ)
    for (const method of ['DELETE', 'PUT', 'PATCH', 'HEAD', 'OPTIONS'])
      await expectRefused(() => throughNginx(QUERY, { method, headers: bearer(token) }), [403])
  })

  test('spoofed X-Forwarded-*, X-Original-* and X-Hallpass-* headers change nothing (S14)', async () => {
    const reader = await obtain('query-bot', READ)
    const other = await obtain('target-bot', TARGETS)
    expect((await throughNginx(QUERY, { headers: { ...SPOOFED, ...bearer(reader.token) } })).status).toBe(200)
    await expectRefused(() => throughNginx(QUERY, { headers: { ...SPOOFED, ...bearer(other.token) } }), [403])
    await expectRefused(
      () => throughNginx('/api/v1/targets', { headers: { ...SPOOFED, ...bearer(reader.token) } }),
      [403],
    )
    await expectRefused(() => throughNginx(QUERY, { headers: SPOOFED }), [401])
    await expectRefused(() => throughNginx(QUERY, { headers: { ...SPOOFED, 'x-hallpass-verifier': verifier } }), [401])
  })

  test('a doubled Authorization is refused, in two lines or in one (S14)', async () => {
    const { token } = await obtain('query-bot', READ)
    const good = `Bearer ${token}`
    for (const authorization of [
      [good, good],
      [good, 'Bearer x'],
      ['Bearer x', good],
      ['Basic eDp5', good],
    ])
      await expectRefused(() => throughNginx(QUERY, { headers: { authorization } }), [400])
    for (const authorization of [`${good}, ${good}`, `${good},Bearer x`, `Bearer x, ${good}`, `${good} ${token}`])
      await expectRefused(() => throughNginx(QUERY, { headers: { authorization } }), [400, 401])
  })

  test('resource and scope in the query of the caller are not heard (S14)', async () => {
    const reader = await obtain('query-bot', READ)
    const other = await obtain('target-bot', TARGETS)
    const foreign = `${QUERY}&resource=https://logs.example.com&scope=metrics:targets&resource=x&enforces=job`
    expect((await throughNginx(foreign, { headers: bearer(reader.token) })).status).toBe(200)
    await expectRefused(() => throughNginx(foreign, { headers: bearer(other.token) }), [403])
  })

  test('a credential limited to details that the route does not enforce is 403 (S9)', async () => {
    const { token } = await obtain('job-bot', { ...READ, details: { job: ['prometheus'] } })
    const answer = await expectRefused(() => query(token), [403])
    expect(answer.headers['www-authenticate']).toMatch(/^Bearer /)
    await expectRefused(() => throughNginx(`${QUERY}&enforces=job`, { headers: bearer(token) }), [403])
  })
})

describe('/forward-auth itself', () => {
  const resource = () => `resource=http://127.0.0.1:${ports.nginx}`
  const ask = (parameters: string, headers: Readonly<Record<string, string | string[]>>) =>
    rawRequest(broker.issuer, `/forward-auth?${parameters}`, { headers })

  test("answers 200 and who calls to the tool's own verifier alone (S14)", async () => {
    const { token, grant, session } = await obtain('query-bot', READ)
    const asked = `${resource()}&scope=metrics:read`
    const yes = await ask(asked, { ...bearer(token), 'x-hallpass-verifier': verifier })
    expect(yes.status).toBe(200)
    expect(yes.headers).toMatchObject({
      'x-hallpass-agent': 'query-bot',
      'x-hallpass-session': session,
      'x-hallpass-grant': grant,
      'x-hallpass-scope': 'metrics:read',
    })
    const strangers: Readonly<Record<string, string | string[]>>[] = [
      {},
      { 'x-hallpass-verifier': logsVerifier },
      { 'x-hallpass-verifier': 'hp_verify_invented' },
      { 'x-hallpass-verifier': broker.adminToken },
      { 'x-hallpass-verifier': [verifier, verifier] },
      { 'x-hallpass-verifier': [logsVerifier, verifier] },
    ]
    for (const headers of strangers)
      expect([400, 401, 403]).toContain((await ask(asked, { ...bearer(token), ...headers })).status)
  })

  test('refuses a missing, doubled, unknown or foreign parameter, and a doubled Authorization (S14)', async () => {
    const { token } = await obtain('query-bot', READ)
    const own = resource()
    const logs = 'resource=https://logs.example.com'
    const wrong = [
      '',
      own,
      'scope=metrics:read',
      `${own}&${own}&scope=metrics:read`,
      `${own}&${logs}&scope=metrics:read`,
      `${logs}&${own}&scope=metrics:read`,
      `${own}&scope=metrics:read&scope=metrics:read`,
      `${own}&scope=metrics:targets&scope=metrics:read`,
      `${logs}&scope=metrics:read`,
      `${own}&scope=metrics:nothing`,
      `${own}&scope=`,
      `${own}&scope=metrics:read&agent=query-bot`,
    ]
    for (const parameters of wrong) {
      const answer = await ask(parameters, { ...bearer(token), 'x-hallpass-verifier': verifier })
      expect([400, 401, 403], parameters).toContain(answer.status)
    }
    const asked = `${own}&scope=metrics:read`
    const good = `Bearer ${token}`
    for (const authorization of [
      [good, good],
      [good, 'Bearer x'],
      ['Bearer x', good],
    ])
      expect([400, 401]).toContain((await ask(asked, { authorization, 'x-hallpass-verifier': verifier })).status)
  })

  test('stays open to a good credential while nginx passes on a flood of bad ones (S17)', async () => {
    const { token } = await obtain('query-bot', READ)
    for (let round = 0; round < 15; round++)
      await Promise.all(Array.from({ length: 10 }, (_, call) => query(`x${round}-${call}`)))
    expect((await query(token)).status).toBe(200)
  })
})

describe('taken away', () => {
  const asAdmin = (path: string, body: Readonly<Record<string, unknown>> = {}) =>
    expectDone(callApi(broker.issuer, broker.adminToken, path, body))
  const lock = (kind: string, name: string) => asAdmin('/locks', { kind, name, reason: 'INC-4711' })
  const lift = async ({ lock: set }: Json) => {
    await expectDone(callApi(broker.issuer, broker.adminToken, `/locks/${idOf(set)}`, undefined, 'DELETE'))
  }

  const acts: readonly {
    taken: string
    name: AgentName
    act: (held: Held) => Promise<Json>
    undo?: (done: Json) => Promise<void>
  }[] = [
    {
      taken: 'credential revoked',
      name: 'query-bot',
      act: (held) => asAdmin(`/credentials/${held.credential}/revoke`),
    },
    { taken: 'grant revoked', name: 'query-bot', act: (held) => asAdmin(`/grants/${held.grant}/revoke`) },
    { taken: 'session revoked', name: 'query-bot', act: (held) => asAdmin(`/sessions/${held.session}/revoke`) },
    { taken: 'agent locked', name: 'locked-bot', act: () => lock('agent', 'locked-bot'), undo: lift },
    { taken: 'tool locked', name: 'query-bot', act: () => lock('tool', 'metrics'), undo: lift },
    { taken: 'owner locked', name: 'query-bot', act: () => lock('owner', OWNER), undo: lift },
    { taken: 'everything locked', name: 'query-bot', act: () => lock('everything', 'everything'), undo: lift },
    { taken: 'agent decommissioned', name: 'leaving-bot', act: () => asAdmin('/agents/leaving-bot/decommission') },
  ]

  test.each(acts)('$taken: the very next call is refused (P5)', async ({ taken, name, act, undo }) => {
    const held = await obtain(name, READ)
    expect((await query(held.token)).status).toBe(200)
    const before = await answeredByPrometheus(ports)
    const done = await act(held)
    const from = performance.now()
    const answer = await query(held.token)
    latencies.push({ taken, ms: performance.now() - from, status: answer.status })
    expect([401, 403], answer.body).toContain(answer.status)
    expect(answer.headers['www-authenticate']).toMatch(/^Bearer /)
    expect(await answeredByPrometheus(ports)).toBe(before)
    await undo?.(done)
    await expectRefused(() => query(held.token), [401, 403])
  })

  const edits: readonly { taken: string; name: AgentName; edit: (name: AgentName) => void }[] = [
    {
      taken: 'scope out of the manifest',
      name: 'edited-bot',
      edit: (name) =>
        writeFileSync(manifestPath(name), manifestOf(name, '{ tool: metrics, scopes: [metrics:targets] }')),
    },
    { taken: 'manifest removed', name: 'removed-bot', edit: (name) => rmSync(manifestPath(name)) },
  ]

  test.each(edits)('$taken: a credential that is out is refused by itself (P3)', async ({ taken, name, edit }) => {
    const held = await obtain(name, READ)
    expect((await query(held.token)).status).toBe(200)
    const from = performance.now()
    edit(name)
    const refused = await vi.waitUntil(
      async () => {
        const answer = await query(held.token)
        return answer.status === 200 ? null : answer
      },
      { timeout: 10_000, interval: 5 },
    )
    const ms = performance.now() - from
    latencies.push({ taken, ms, status: refused.status })
    expect([401, 403]).toContain(refused.status)
    expect((await exchange(broker.issuer, held.sessionToken, held.grant)).status).toBeGreaterThanOrEqual(400)
  })

  test('a decommissioned agent gets no session any more (P6)', async () => {
    await expect(openSession(broker.issuer, agent('leaving-bot'))).rejects.toThrow(/refused with 4/)
  })
})

test('while the broker is stopped every call is refused; once it is back the same credential works (P10)', async () => {
  const { token } = await obtain('query-bot', READ)
  expect((await query(token)).status).toBe(200)
  await broker.stop()
  const answer = await expectRefused(() => query(token), [503])
  expect(answer.headers['retry-after']).toBe('2')
  await broker.start()
  expect((await query(token)).status).toBe(200)
})
