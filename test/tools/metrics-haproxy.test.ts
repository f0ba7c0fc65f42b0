// Debian's Prometheus and Alertmanager behind Debian's HAProxy, which verifies the broker's tokens by itself: the same
// tokens are refused as behind nginx, which asks. What differs is what each knows, and when.

import { generateKeyPairSync } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { decodeJwt, type JWTPayload, SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { z } from 'zod'
import { freePort, stopAll } from './background.ts'
import { type Initialised, initialiseBroker } from './broker-process.ts'
import { brokersKey, startHaproxy, tellRevoked } from './haproxy.ts'
import { installedTools } from './installed-tools.ts'
import {
  answeredByPrometheus,
  copyExample,
  freePorts,
  type Ports,
  startAlertmanager,
  startPrometheus,
} from './metrics-behind-nginx.ts'
import {
  type AgentIdentity,
  callApi,
  createIdentity,
  expectDone,
  type Held,
  obtainCredential,
} from './people-and-agents.ts'
import { type RawAnswer, type RawRequest, rawRequest } from './raw-request.ts'
import { wrongTokens } from './wrong-tokens.ts'

const tools = installedTools({
  haproxy: 'haproxy',
  prometheus: 'prometheus',
  'prometheus-alertmanager': 'prometheus-alertmanager',
})

const OWNER = 'sre@example.com'
const ACCESS = {
  'silence-bot': 'scopes: ["metrics:read", "silences:write"], tokenTtl: 5m',
  'metrics-bot': 'scopes: ["metrics:read"]',
  'draft-bot': 'scopes: ["silences:write-drafts"]',
  'job-bot': 'scopes: ["metrics:read"], details: { job: [prometheus] }',
  'brief-bot': 'scopes: ["metrics:read", "silences:write"], tokenTtl: 2s',
} as const
type AgentName = keyof typeof ACCESS
const SCOPES: Readonly<Record<AgentName, readonly string[]>> = {
  'silence-bot': ['metrics:read', 'silences:write'],
  'metrics-bot': ['metrics:read'],
  'draft-bot': ['silences:write-drafts'],
  'job-bot': ['metrics:read'],
  'brief-bot': ['metrics:read', 'silences:write'],
}
const manifestOf = (name: AgentName) => `apiVersion: hallpass/v1
kind: Agent
metadata: { name: ${name} }
spec:
  purpose: Looks after alerts
  owners: [${OWNER}]
  identity: [{ publicKeyFile: keys/${name}.pub.pem }]
  access:
    - { tool: metrics, ${ACCESS[name]}, approval: none }
    - { tool: logs, scopes: ["metrics:read", "silences:write"], approval: none }
`
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
  token: { verifiedBy: alone }
`

const folder = mkdtempSync(join(tmpdir(), 'hallpass-haproxy-'))
const agents = new Map<string, AgentIdentity>()
let ports: Ports
let broker: Initialised
const resource = () => `http://127.0.0.1:${ports.nginx}`

beforeAll(async () => {
  ports = await freePorts()
  copyExample(folder, ports)
  const metrics = join(folder, 'scopes', 'tools', 'metrics.yaml')
  writeFileSync(
    metrics,
    readFileSync(metrics, 'utf8')
      .replace(/verifiedBy: asks.*/, 'verifiedBy: alone')
      .replace('  token:\n', '    silences:write-drafts: { description: Propose a silence, risk: low }\n  token:\n')
      .concat('  details: { job: { description: Scrape job, enforcedBy: proxy } }\n'),
  )
  writeFileSync(join(folder, 'scopes', 'tools', 'logs.yaml'), LOGS)
  mkdirSync(join(folder, 'scopes', 'agents', 'keys'), { recursive: true })
  for (const name of Object.keys(ACCESS) as AgentName[]) {
    const identity = await createIdentity(name)
    agents.set(name, identity)
    writeFileSync(join(folder, 'scopes', 'agents', 'keys', `${name}.pub.pem`), identity.publicPem)
    writeFileSync(join(folder, 'scopes', 'agents', `${name}.yaml`), manifestOf(name))
  }
  const starting = Promise.all([
    startPrometheus(tools.prometheus, folder, ports),
    startAlertmanager(tools['prometheus-alertmanager'], folder, ports),
  ])
  broker = (await Promise.all([initialiseBroker(folder, ports.broker, OWNER), starting]))[0]
  await broker.start()
  const publicPem = await brokersKey(broker.issuer)
  await startHaproxy(tools.haproxy, folder, { issuer: broker.issuer, resource: resource(), publicPem }, ports)
})

afterAll(async () => {
  await stopAll()
  rmSync(folder, { recursive: true, force: true })
})

const obtain = (name: AgentName, tool = 'metrics', scopes = SCOPES[name]): Promise<Held> => {
  const agent = agents.get(name)
  if (agent === undefined) throw new Error(`no agent ${name}`)
  const details = name === 'job-bot' ? { details: { job: ['prometheus'] } } : {}
  return obtainCredential(broker.issuer, agent, broker.ownerToken, { tool, scopes, ...details })
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
const through = (target: string, sent: RawRequest = {}): Promise<RawAnswer> => rawRequest(resource(), target, sent)
const QUERY = '/api/v1/query?query=vector(1)'
const query = (token: string) => through(QUERY, { headers: bearer(token) })
const postSilence = (token: string, more: RawRequest['headers'] = {}) =>
  through('/api/v2/silences', {
    method: 'POST',
    headers: { ...bearer(token), 'content-type': 'application/json', ...more },
    body: JSON.stringify({
      matchers: [{ name: 'alertname', value: 'Checkout', isRegex: false, isEqual: true }],
      startsAt: new Date(Date.now()).toISOString(),
      endsAt: new Date(Date.now() + 3_600_000).toISOString(),
      createdBy: 'somebody',
      comment: 'INC-4711',
    }),
  })

/** All that came through: what Prometheus answered, and the silences that Alertmanager holds. */
const held = async () => {
  const silences = await (await fetch(`http://127.0.0.1:${ports.alertmanager}/api/v2/silences`)).json()
  return { answered: await answeredByPrometheus(ports), silences: z.array(z.unknown()).parse(silences).length }
}

/** Query and silence are refused with these, and neither tool heard of it. */
async function expectRefused(token: string, [onQuery, onSilence]: readonly [number, number]): Promise<void> {
  const before = await held()
  const statuses = [(await query(token)).status, (await postSilence(token)).status]
  const after = await held()
  expect(statuses).toEqual([onQuery, onSilence])
  expect(after).toEqual({ ...before, answered: before.answered + (onQuery === 200 ? 1 : 0) })
}

describe('query and silence', () => {
  test('with a good token: both are answered by the tools themselves (P2)', async () => {
    const { token } = await obtain('silence-bot')
    const before = await held()
    const answer = await query(token)
    expect(JSON.parse(answer.body)).toMatchObject({ status: 'success', data: { resultType: 'vector' } })
    expect((await postSilence(token)).status).toBe(200)
    expect(await held()).toEqual({ answered: before.answered + 1, silences: before.silences + 1 })
  })

  test('with metrics:read alone: the query is answered, the silence is 403 (P2)', async () => {
    await expectRefused((await obtain('metrics-bot')).token, [200, 403])
  })

  test('with a scope whose name only begins like the one that is needed: both are 403 (P2)', async () => {
    await expectRefused((await obtain('draft-bot')).token, [403, 403])
  })

  test('with a token limited to details that HAProxy does not enforce: both are 403 (S9)', async () => {
    await expectRefused((await obtain('job-bot')).token, [403, 403])
  })

  const rows: Readonly<Record<string, (token: string) => Promise<string> | string>> = {
    ...wrongTokens(() => broker.issuer),
    "with the session's token": async () => (await obtain('silence-bot')).sessionToken,
    'with a token for another resource that has the same scopes': async () =>
      (await obtain('silence-bot', 'logs', SCOPES['silence-bot'])).token,
  }
  test.each(Object.entries(rows))('%s: both are 401 (S14)', async (_, make) => {
    const { token } = await obtain('silence-bot')
    await expectRefused(await make(token), [401, 401])
    expect((await query(token)).status).toBe(200)
  })

  test('with a token that has expired: both are 401, though a moment ago it was good (P2)', async () => {
    const { token } = await obtain('brief-bot')
    expect((await query(token)).status).toBe(200)
    await vi.waitUntil(async () => (await query(token)).status === 401, { timeout: 15_000, interval: 50 })
    expect(Date.now()).toBeGreaterThanOrEqual((decodeJwt(token).exp ?? 0) * 1000)
    await expectRefused(token, [401, 401])
  })

  test('with a doubled Authorization: both are refused (S14)', async () => {
    const { token } = await obtain('silence-bot')
    const before = await held()
    for (const authorization of [
      [`Bearer ${token}`, `Bearer ${token}`],
      [`Bearer ${token}`, 'Bearer x'],
      ['Bearer x', `Bearer ${token}`],
    ])
      expect((await through(QUERY, { headers: { authorization } })).status).toBe(401)
    expect((await held()).answered).toBe(before.answered)
  })

  test('whatever else the client says of the method or the path, a read-only token silences nothing (S14)', async () => {
    const { token } = await obtain('metrics-bot')
    const before = await held()
    for (const name of ['x-forwarded-method', 'x-http-method-override', 'x-method-override'])
      expect((await postSilence(token, { [name]: 'GET' })).status).toBe(403)
    for (const target of [
      '/api/v2/silences/',
      '//api/v2/silences',
      '/api/v1/query/../../v2/silences',
      '/api/v2/silence%73',
    ])
      expect((await through(target, { method: 'POST', headers: bearer(token), body: '{}' })).status).toBe(403)
    for (const target of ['/metrics', '/api/v1/admin/tsdb/snapshot', '/-/quit', '/api/v1/query/', '/api/v1/targets'])
      expect((await through(target, { method: 'POST', headers: bearer(token) })).status).toBe(403)
    expect((await held()).silences).toBe(before.silences)
  })
})

/** A HAProxy that trusts a key of ours: its signature is good, so that what else a token says decides alone. */
describe('a well signed token', () => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const now = Math.floor(Date.now() / 1000)
  const trust = () => ({ issuer: 'https://hallpass.example.com', resource: 'https://metrics.example.com' })
  const good = () => ({
    iss: trust().issuer,
    aud: trust().resource,
    exp: now + 3600,
    jti: 'crd_good',
    scope: 'metrics:read silences:write',
  })
  let origin: string

  beforeAll(async () => {
    const beside = join(folder, 'own-key')
    mkdirSync(beside)
    const nginx = await freePort()
    const publicPem = publicKey.export({ type: 'spki', format: 'pem' }).toString()
    await startHaproxy(tools.haproxy, beside, { ...trust(), publicPem }, { ...ports, nginx })
    origin = `http://127.0.0.1:${nginx}`
  })

  const ask = async (claims: JWTPayload, header: Readonly<Record<string, string>> = {}) => {
    const signing = new SignJWT(claims).setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', ...header })
    return (await rawRequest(origin, QUERY, { headers: bearer(await signing.sign(privateKey)) })).status
  }

  test('that says what it must is answered', async () => {
    expect(await ask(good())).toBe(200)
    expect(await ask({ ...good(), nbf: now - 10 })).toBe(200)
  })

  const wrong: Readonly<Record<string, (claims: ReturnType<typeof good>) => JWTPayload>> = {
    'another iss': (claims) => ({ ...claims, iss: 'https://hallpass.example.com.mallory.example' }),
    'no iss': ({ iss: _, ...claims }) => claims,
    'another aud': (claims) => ({ ...claims, aud: 'https://logs.example.com' }),
    'an aud that begins alike': (claims) => ({ ...claims, aud: `${claims.aud}/logs` }),
    'a list with our aud in it': (claims) => ({ ...claims, aud: [claims.aud] }),
    'no aud': ({ aud: _, ...claims }) => claims,
    'an exp that is past': (claims) => ({ ...claims, exp: now - 1 }),
    'no exp': ({ exp: _, ...claims }) => claims,
    'an nbf that is yet to come': (claims) => ({ ...claims, nbf: now + 600 }),
    'no jti': ({ jti: _, ...claims }) => claims,
  }
  test.each(Object.entries(wrong))('with %s is 401 (S14)', async (_, change) => {
    expect(await ask(change(good()))).toBe(401)
  })

  test('of another type is 401 (S13)', async () => {
    expect(await ask(good(), { typ: 'JWT' })).toBe(401)
  })

  test.each(['metrics:rea', 'metrics:reader', 'xmetrics:read', 'silences:write', 'metrics:read:all', ''])(
    'with the scope %j is 403 (P2)',
    async (scope) => {
      expect(await ask({ ...good(), scope })).toBe(403)
    },
  )
})

describe('a revoked token', () => {
  test('is good until HAProxy is told, or it ends by itself; told, the very next call is refused (P5, S15)', async () => {
    const { token, credential } = await obtain('silence-bot')
    await expectDone(callApi(broker.issuer, broker.adminToken, `/credentials/${credential}/revoke`, {}))
    expect((await query(token)).status).toBe(200)
    await tellRevoked(folder, credential)
    const from = performance.now()
    expect((await query(token)).status).toBe(401)
    process.stdout.write(`\n  HAProxy: refused ${(performance.now() - from).toFixed(1)} ms after it was told\n\n`)
    await expectRefused(token, [401, 401])
    expect((await query((await obtain('silence-bot')).token)).status).toBe(200)
  })

  test('is refused with the broker away, and a good one answered: HAProxy asks nobody (P10)', async () => {
    const good = await obtain('silence-bot')
    const revoked = await obtain('silence-bot')
    await tellRevoked(folder, revoked.credential)
    await broker.stop()
    onTestFinished(async () => void (await broker.start()))
    expect((await query(good.token)).status).toBe(200)
    await expectRefused(revoked.token, [401, 401])
  })
})

test('Prometheus never sees the token, nor a header that the client made up (P7, S14)', async () => {
  const seen: string[][] = []
  const echo = createServer((request, response) => {
    seen.push(request.rawHeaders)
    response.end('{}')
  }).listen(0, '127.0.0.1')
  onTestFinished(() => void echo.close())
  const prometheus = await vi.waitUntil(() => {
    const address = echo.address()
    return typeof address === 'object' ? address?.port : null
  })
  const beside = join(folder, 'beside')
  mkdirSync(beside)
  const nginx = await freePort()
  const trust = { issuer: broker.issuer, resource: resource(), publicPem: await brokersKey(broker.issuer) }
  const second = await startHaproxy(tools.haproxy, beside, trust, { ...ports, nginx, prometheus })
  onTestFinished(() => second.stop())
  const { token } = await obtain('silence-bot')
  const headers = { ...bearer(token), 'x-hallpass-agent': 'mallory', 'x-forwarded-for': '10.0.0.1', cookie: 'a=b' }
  expect((await rawRequest(`http://127.0.0.1:${nginx}`, QUERY, { headers })).status).toBe(200)
  expect(seen).toHaveLength(1)
  const said = JSON.stringify(seen).toLowerCase()
  for (const word of [token.toLowerCase(), 'authorization', 'mallory', '10.0.0.1']) expect(said).not.toContain(word)
})
