// Debian's Alertmanager behind Debian's nginx, which puts every call to the real broker: the files of
// examples/prometheus-nginx. Whether a call got through is read in Alertmanager itself, never in a status code.

import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { decodeJwt } from 'jose'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { z } from 'zod'
import { freePort, stopAll } from './background.ts'
import { bearerIn, type Initialised, initialiseBroker } from './broker-process.ts'
import { installedTools } from './installed-tools.ts'
import {
  copyExample,
  freePorts,
  type Ports,
  startAlertmanager,
  startNginx,
  startPrometheus,
  writeVerifier,
} from './metrics-behind-nginx.ts'
import {
  type AgentIdentity,
  callApi,
  createIdentity,
  expectDone,
  type Held,
  obtainCredential,
  openSession,
} from './people-and-agents.ts'
import { type RawAnswer, type RawRequest, rawRequest } from './raw-request.ts'
import { wrongTokens } from './wrong-tokens.ts'

const tools = installedTools({
  nginx: 'nginx',
  prometheus: 'prometheus',
  'prometheus-alertmanager': 'prometheus-alertmanager',
})

const OWNER = 'sre@example.com'
const BOTH = ['metrics:read', 'silences:write']
const READ = ['metrics:read', 'alerts:read']

/** Each agent's scopes, and what else its entry says. */
const ACCESS = {
  'silence-bot': [BOTH, ''],
  'read-bot': [READ, ''],
  'metrics-bot': [['metrics:read'], ''],
  'draft-bot': [['silences:write-drafts'], ''],
  'brief-bot': [BOTH, 'tokenTtl: 2s'],
  'edited-bot': [BOTH, ''],
} as const satisfies Readonly<Record<string, readonly [readonly string[], string]>>
type AgentName = keyof typeof ACCESS

const manifestOf = (name: AgentName, scopes: readonly string[]) => `apiVersion: hallpass/v1
kind: Agent
metadata: { name: ${name} }
spec:
  purpose: Looks after alerts
  owners: [${OWNER}]
  identity: [{ publicKeyFile: keys/${name}.pub.pem }]
  access:
    - tool: metrics
      scopes: [${scopes.map((scope) => `"${scope}"`).join(', ')}]
      approval: none
      ${ACCESS[name][1]}
    - tool: logs
      scopes: ["metrics:read", "silences:write"]
      approval: none
`

/** A second tool with scopes of the same names, so that only the resource tells its tokens apart. */
const LOGS = `apiVersion: hallpass/v1
kind: Tool
metadata: { name: logs }
spec:
  owners: [${OWNER}]
  category: observability
  resource: https://logs.example.com
  scopes:
    "metrics:read": { description: Query logs, risk: low }
    "silences:write": { description: Silence alerts on logs, risk: low }
  token: { verifiedBy: asks }
`
/** A scope whose name begins with that of another. */
const DRAFTS = '    silences:write-drafts: { description: Propose a silence, risk: low }\n'

const folder = mkdtempSync(join(tmpdir(), 'hallpass-alerts-'))
const manifestPath = (name: AgentName) => join(folder, 'scopes', 'agents', `${name}.yaml`)
const agents = new Map<string, AgentIdentity>()
let ports: Ports
let broker: Initialised

beforeAll(async () => {
  ports = await freePorts()
  copyExample(folder, ports)
  const metrics = join(folder, 'scopes', 'tools', 'metrics.yaml')
  writeFileSync(metrics, readFileSync(metrics, 'utf8').replace('  token:\n', `${DRAFTS}  token:\n`))
  writeFileSync(join(folder, 'scopes', 'tools', 'logs.yaml'), LOGS)
  mkdirSync(join(folder, 'scopes', 'agents', 'keys'), { recursive: true })
  for (const name of Object.keys(ACCESS) as AgentName[]) {
    const identity = await createIdentity(name)
    agents.set(name, identity)
    writeFileSync(join(folder, 'scopes', 'agents', 'keys', `${name}.pub.pem`), identity.publicPem)
    writeFileSync(manifestPath(name), manifestOf(name, ACCESS[name][0]))
  }
  const starting = Promise.all([
    startPrometheus(tools.prometheus, folder, ports),
    startAlertmanager(tools['prometheus-alertmanager'], folder, ports),
  ])
  broker = (await Promise.all([initialiseBroker(folder, ports.broker, OWNER), starting]))[0]
  await broker.start()
  writeVerifier(folder, bearerIn(await broker.hallpass('verifier', 'token', 'metrics'), 'verify'))
  await startNginx(tools.nginx, folder, ports)
})

afterAll(async () => {
  await stopAll()
  rmSync(folder, { recursive: true, force: true })
})

const obtain = (name: AgentName, scopes: readonly string[] = ACCESS[name][0], tool = 'metrics'): Promise<Held> => {
  const agent = agents.get(name)
  if (agent === undefined) throw new Error(`no agent ${name}`)
  return obtainCredential(broker.issuer, agent, broker.ownerToken, { tool, scopes })
}

const SILENCES = '/api/v2/silences'
const QUERY = '/api/v1/query?query=vector(1)'
const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
const throughNginx = (target: string, sent: RawRequest = {}): Promise<RawAnswer> =>
  rawRequest(`http://127.0.0.1:${ports.nginx}`, target, sent)
const query = (token: string) => throughNginx(QUERY, { headers: bearer(token) })

let made = 0
/** A silence of an alert of its own, for an hour. */
function silence(): { readonly alert: string; readonly body: string } {
  made += 1
  const alert = `Checkout${made}`
  const body = {
    matchers: [{ name: 'alertname', value: alert, isRegex: false, isEqual: true }],
    startsAt: new Date(Date.now()).toISOString(),
    endsAt: new Date(Date.now() + 3_600_000).toISOString(),
    createdBy: 'somebody else',
    comment: 'INC-4711',
  }
  return { alert, body: JSON.stringify(body) }
}
const postSilence = (token: string, more: RawRequest['headers'] = {}, { body } = silence(), target = SILENCES) =>
  throughNginx(target, {
    method: 'POST',
    headers: { ...bearer(token), 'content-type': 'application/json', ...more },
    body,
  })

const Silences = z.array(
  z.object({
    id: z.string(),
    status: z.object({ state: z.string() }),
    matchers: z.array(z.object({ value: z.string() })),
    endsAt: z.string(),
    updatedAt: z.string(),
  }),
)
const Alerts = z.array(
  z.object({ labels: z.object({ alertname: z.string() }), status: z.object({ silencedBy: z.array(z.string()) }) }),
)
const direct = async (path: string) => (await fetch(`http://127.0.0.1:${ports.alertmanager}/api/v2${path}`)).json()
/** All that Alertmanager itself holds. */
const held = async () => {
  const [silences, alerts] = [Silences.parse(await direct('/silences')), Alerts.parse(await direct('/alerts'))]
  return { silences: silences.sort((a, b) => (a.id < b.id ? -1 : 1)), alerts: alerts.map(({ labels }) => labels) }
}

/** The call is refused, and Alertmanager holds what it held. */
async function expectRefused(call: () => Promise<RawAnswer>, statuses: readonly number[]): Promise<RawAnswer> {
  const before = await held()
  const answer = await call()
  expect(await held()).toEqual(before)
  expect(statuses, answer.body).toContain(answer.status)
  return answer
}

test('an agent with silences:write silences an alert, and nginx notes which agent it was (P2)', async () => {
  const wanted = silence()
  const alert = [{ labels: { alertname: wanted.alert } }]
  const fired = await fetch(`http://127.0.0.1:${ports.alertmanager}/api/v2/alerts`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(alert),
  })
  expect(fired.status).toBe(200)
  const { token, grant } = await obtain('silence-bot')
  const answer = await postSilence(token, {}, wanted)
  expect(answer.status, answer.body).toBe(200)
  const { silenceID } = z.object({ silenceID: z.string() }).parse(JSON.parse(answer.body))
  expect((await held()).silences.find(({ id }) => id === silenceID)).toMatchObject({
    status: { state: 'active' },
    matchers: [{ value: wanted.alert }],
  })
  await vi.waitUntil(
    async () => {
      const alerts = Alerts.parse(await direct('/alerts'))
      return alerts.find(({ labels }) => labels.alertname === wanted.alert)?.status.silencedBy.includes(silenceID)
    },
    { timeout: 10_000, interval: 100 },
  )
  await vi.waitUntil(() =>
    readFileSync(join(folder, 'access.log'), 'utf8').includes(`200 agent=silence-bot grant=${grant} POST ${SILENCES}`),
  )
})

test('an agent with alerts:read sees alerts and silences; silences:write alone does not (P2)', async () => {
  const reader = await obtain('read-bot')
  const writer = await obtain('silence-bot')
  for (const [target, expected] of [
    [SILENCES, Silences.parse(await direct('/silences')).length],
    ['/api/v2/alerts?active=true', Alerts.parse(await direct('/alerts')).length],
  ] as const) {
    const answer = await throughNginx(target, { headers: bearer(reader.token) })
    expect(answer.status).toBe(200)
    expect(JSON.parse(answer.body)).toHaveLength(expected)
    await expectRefused(() => throughNginx(target, { headers: bearer(writer.token) }), [403])
  }
})

describe('query and silence', () => {
  test('with metrics:read alone: the query is answered, the silence is 403 (P2)', async () => {
    const { token } = await obtain('metrics-bot')
    expect((await query(token)).status).toBe(200)
    const answer = await expectRefused(() => postSilence(token), [403])
    expect(answer.headers['www-authenticate']).toMatch(/error="insufficient_scope".*silences:write/)
  })

  test('with a scope whose name only begins like the one that is needed: both are 403 (P2)', async () => {
    const { token } = await obtain('draft-bot')
    expect((await query(token)).status).toBe(403)
    await expectRefused(() => postSilence(token), [403])
  })

  const rows: Readonly<Record<string, (token: string) => Promise<string> | string>> = {
    ...wrongTokens(() => broker.issuer),
    "with the session's token": async () => {
      const agent = agents.get('silence-bot')
      return agent === undefined ? '' : openSession(broker.issuer, agent)
    },
    'with a token for another resource that has the same scopes': async () =>
      (await obtain('silence-bot', BOTH, 'logs')).token,
    'with a revoked one': async () => {
      const { token, credential } = await obtain('silence-bot')
      expect((await query(token)).status).toBe(200)
      await expectDone(callApi(broker.issuer, broker.adminToken, `/credentials/${credential}/revoke`, {}))
      return token
    },
  }

  test.each(Object.entries(rows))('%s: both are 401 (S14)', async (_, make) => {
    const { token } = await obtain('silence-bot')
    const wrong = await make(token)
    expect((await query(wrong)).status).toBe(401)
    await expectRefused(() => postSilence(wrong), [401])
    expect((await query(token)).status).toBe(200)
  })

  test('with a token that has expired: both are 401, though a moment ago both were answered (P2)', async () => {
    const { token } = await obtain('brief-bot')
    const expiresAt = (decodeJwt(token).exp ?? 0) * 1000
    expect((await query(token)).status).toBe(200)
    await vi.waitUntil(async () => (await query(token)).status === 401, { timeout: 15_000, interval: 50 })
    expect(Date.now()).toBeGreaterThanOrEqual(expiresAt)
    await expectRefused(() => postSilence(token), [401])
  })
})

/** Every way in which a client can claim to make another kind of call. */
const CLAIMS = {
  'x-forwarded-method': 'GET',
  'x-original-method': 'GET',
  'x-http-method': 'GET',
  'x-http-method-override': 'GET',
  'x-method-override': 'GET',
  'x-forwarded-uri': '/api/v1/query',
  'x-original-uri': '/api/v1/query',
  'x-original-url': '/api/v1/query',
  'x-rewrite-url': '/api/v1/query',
  'x-hallpass-agent': 'silence-bot',
  'x-hallpass-scope': 'silences:write',
}

describe('a read-only token', () => {
  test.each(Object.entries(CLAIMS))('with a client-sent %s: %s creates no silence (S14)', async (name, value) => {
    const { token } = await obtain('read-bot')
    await expectRefused(() => postSilence(token, { [name]: value }), [403])
  })

  test('with all such headers at once, or a scope in the query, creates no silence (S14)', async () => {
    const { token } = await obtain('read-bot')
    await expectRefused(() => postSilence(token, CLAIMS), [403])
    for (const more of ['?_method=GET', '?scope=alerts:read', '?resource=x&scope=alerts:read'])
      await expectRefused(() => postSilence(token, CLAIMS, silence(), `${SILENCES}${more}`), [403])
  })

  test('would create one where nginx believed X-Forwarded-Method, which is why it does not (S14)', async () => {
    const beside = join(folder, 'beside')
    const port = await freePort()
    mkdirSync(beside)
    cpSync(join(folder, 'verifier.conf'), join(beside, 'verifier.conf'))
    const conf = readFileSync(join(folder, 'nginx.conf'), 'utf8')
    const weak = conf
      .replace('map $request_method $silences_scope', 'map $http_x_forwarded_method $silences_scope')
      .replace(`listen 127.0.0.1:${ports.nginx}`, `listen 127.0.0.1:${port}`)
    expect(weak).toContain('$http_x_forwarded_method')
    writeFileSync(join(beside, 'nginx.conf'), weak)
    const second = await startNginx(tools.nginx, beside, { ...ports, nginx: port })
    onTestFinished(() => second.stop())

    const { token } = await obtain('read-bot')
    const wanted = silence()
    const sent = {
      method: 'POST',
      headers: { ...bearer(token), 'content-type': 'application/json', 'x-forwarded-method': 'GET' },
      body: wanted.body,
    }
    await expectRefused(() => throughNginx(SILENCES, sent), [403])
    await rawRequest(`http://127.0.0.1:${port}`, SILENCES, sent)
    expect((await held()).silences.flatMap(({ matchers }) => matchers)).toContainEqual({ value: wanted.alert })
  })

  test('sent as a GET with the body of a silence creates none (S14)', async () => {
    const { token } = await obtain('read-bot')
    const headers = { ...bearer(token), 'content-type': 'application/json', ...CLAIMS, 'x-forwarded-method': 'POST' }
    await expectRefused(() => throughNginx(SILENCES, { method: 'GET', headers, body: silence().body }), [200])
  })
})

test('with every scope there is: alerts are not made, silences not deleted, and no other path is reached (S14)', async () => {
  const { token } = await obtain('silence-bot')
  const [first] = (await held()).silences
  expect(first).toBeDefined()
  const json = { ...bearer(token), 'content-type': 'application/json' }
  const alert = JSON.stringify([{ labels: { alertname: 'Invented' } }])
  const calls: readonly [method: string, target: string, body?: string][] = [
    ['POST', '/api/v2/alerts', alert],
    ['POST', '/api/v1/alerts', alert],
    ['DELETE', `/api/v2/silence/${first?.id}`],
    ['POST', `/api/v2/silence/${first?.id}`],
    ['GET', `/api/v2/silence/${first?.id}`],
    ['DELETE', `${SILENCES}/${first?.id}`],
    ['PUT', SILENCES, silence().body],
    ['PATCH', SILENCES, silence().body],
    ['POST', `${SILENCES}/`, silence().body],
    ['POST', `/${SILENCES}`, silence().body],
    ['POST', '/api/v2/./silences', silence().body],
    ['POST', '/api/v2/alerts/../silences', silence().body],
    ['POST', '/api/v2/silence%73', silence().body],
    ['POST', '/api/v2/SILENCES', silence().body],
    ['POST', '/-/reload'],
    ['GET', '/api/v2/status'],
    ['GET', '/api/v2/receivers'],
    ['GET', '/metrics'],
  ]
  for (const [method, target, body] of calls)
    await expectRefused(
      () => throughNginx(target, { method, headers: json, ...(body === undefined ? {} : { body }) }),
      [403],
    )
})

test('silences:write taken out of the manifest: a token that is out makes no silence any more (P3)', async () => {
  const { token } = await obtain('edited-bot')
  expect((await postSilence(token)).status).toBe(200)
  writeFileSync(manifestPath('edited-bot'), manifestOf('edited-bot', ['metrics:read']))
  await vi.waitUntil(async () => (await query(token)).status !== 200, { timeout: 10_000, interval: 10 })
  await expectRefused(() => postSilence(token), [401, 403])
})

test('while the broker is stopped nothing is silenced; once it is back the same token works (P10)', async () => {
  const { token } = await obtain('silence-bot')
  await broker.stop()
  await expectRefused(() => postSilence(token), [503])
  expect((await query(token)).status).toBe(503)
  await broker.start()
  const wanted = silence()
  expect((await postSilence(token, {}, wanted)).status).toBe(200)
  expect((await held()).silences.flatMap(({ matchers }) => matchers)).toContainEqual({ value: wanted.alert })
})
