// `tool snippet` and `tool check` against the real programs: what is printed runs, the check finds nothing wrong with it,
// and finds each fault that is put into it on purpose.

import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { freePort, startInBackground, stopAll } from './background.ts'
import { bearerIn, type Initialised, initialiseBroker } from './broker-process.ts'
import { installedTools } from './installed-tools.ts'
import { feedDenials, PROXIES, type Proxied, startEcho, startPrinted, startTlsFront } from './printed-proxies.ts'
import { rawRequest } from './raw-request.ts'

const { prometheus } = installedTools({ prometheus: 'prometheus' })

const OWNER = 'sre@example.com'
const CLI = fileURLToPath(new URL('../../src/cli.ts', import.meta.url))
const ROUTES = ['GET,POST /api/v1/query=metrics:read', 'GET /api/v1/targets=metrics:targets', '/echo=metrics:read']

/** One tool a proxy, each at a port of its own; and one that exists in the manifests alone, with the same scopes. */
const toolOf = (proxy: Proxied): string => `behind-${proxy}`
const manifestOf = (name: string, resource: string, verifiedBy: string) => `apiVersion: hallpass/v1
kind: Tool
metadata: { name: ${name} }
spec:
  owners: [${OWNER}]
  category: observability
  resource: ${resource}
  scopes:
    metrics:read: { description: Query, risk: low }
    metrics:targets: { description: See what is scraped, risk: low }
  details: { job: { description: A job, enforcedBy: proxy } }
  token: { maxTtl: 5m, verifiedBy: ${verifiedBy} }
`
const agentOf = (name: string, tokenTtl: string, details = '') => `apiVersion: hallpass/v1
kind: Agent
metadata: { name: ${name} }
spec:
  purpose: Checks how tools verify credentials
  owners: [${OWNER}]
  identity: [{ publicKeyFile: keys/${name}.pub.pem }]
  access:
${[...PROXIES.map(toolOf), 'canary'].map((tool) => `    - { tool: ${tool}, scopes: ["metrics:read"], approval: none, tokenTtl: ${tokenTtl}${details} }`).join('\n')}
`

type Checked = {
  readonly code: number
  readonly stderr: string
  readonly ok: boolean
  readonly rows: readonly { readonly row: string; readonly verdict: string; readonly says: string }[]
}

const folder = mkdtempSync(join(tmpdir(), 'hallpass-check-'))
const ports = new Map<string, number>()
let broker: Initialised
let echo: { readonly port: number; close(): void }
let front: { readonly url: string; stop(): void }
let prometheusPort: number
const verifiers = new Map<string, string>()

beforeAll(async () => {
  for (const proxy of PROXIES) ports.set(proxy, await freePort())
  const scopes = join(folder, 'scopes')
  for (const kind of ['tools', 'agents/keys']) mkdirSync(join(scopes, kind), { recursive: true })
  for (const proxy of PROXIES)
    writeFileSync(
      join(scopes, 'tools', `${proxy}.yaml`),
      manifestOf(toolOf(proxy), `http://127.0.0.1:${ports.get(proxy)}`, proxy === 'haproxy' ? 'alone' : 'asks'),
    )
  writeFileSync(join(scopes, 'tools', 'canary.yaml'), manifestOf('canary', 'https://canary.invalid', 'alone'))
  for (const [name, ttl, details] of [
    ['check-bot', '5m', ''],
    ['brief-bot', '2s', ''],
    ['limited-bot', '5m', ', details: { job: [node] }'],
  ] as const) {
    const { privateKey, publicKey } = await newKeys()
    writeFileSync(join(folder, `${name}.pem`), privateKey, { mode: 0o600 })
    writeFileSync(join(scopes, 'agents', 'keys', `${name}.pub.pem`), publicKey)
    writeFileSync(join(scopes, 'agents', `${name}.yaml`), agentOf(name, ttl, details))
  }
  broker = await initialiseBroker(folder, await freePort(), OWNER)
  await broker.start()
  for (const proxy of PROXIES)
    verifiers.set(proxy, bearerIn(await broker.hallpass('verifier', 'token', toolOf(proxy)), 'verify'))
  echo = await startEcho()
  mkdirSync(join(folder, 'apache'), { recursive: true })
  front = await startTlsFront(join(folder, 'apache'), broker.issuer)
  prometheusPort = await freePort()
  writeFileSync(join(folder, 'prometheus.yml'), 'global: { scrape_interval: 2s }\n')
  const origin = `http://127.0.0.1:${prometheusPort}`
  await startInBackground(
    prometheus,
    [
      '--config.file=prometheus.yml',
      '--storage.tsdb.path=prometheus-data',
      `--web.listen-address=127.0.0.1:${prometheusPort}`,
    ],
    { cwd: folder, ready: async () => (await fetch(`${origin}/-/ready`)).ok },
  )
})

afterAll(async () => {
  await broker.stop()
  await stopAll()
  echo.close()
  rmSync(folder, { recursive: true, force: true })
})

async function newKeys(): Promise<{ readonly privateKey: string; readonly publicKey: string }> {
  const { generateKeyPairSync } = await import('node:crypto')
  return generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  })
}

/** Prints it, breaks it if told to, and runs it until the test is over. */
async function standing(proxy: Proxied, upstream: number, breakIt: (text: string) => string = (text) => text) {
  const printed = await broker.hallpass(
    ...['tool', 'snippet', toolOf(proxy), '--for', proxy, '--upstream', `http://127.0.0.1:${upstream}`],
    ...ROUTES.flatMap((route) => ['--route', route]),
  )
  const broken = breakIt(printed)
  const text = proxy === 'apache' ? broken.replaceAll(`${broker.issuer}/oauth`, `${front.url}/oauth`) : broken
  const started = await startPrinted(proxy, {
    folder: join(folder, proxy),
    tool: toolOf(proxy),
    port: ports.get(proxy)!,
    issuer: broker.issuer,
    text,
    verifier: verifiers.get(proxy)!,
  })
  onTestFinished(() => started.stop())
}

/** Of HAProxy alone: what is taken away early reaches its list. */
function feeding(): void {
  const stop = feedDenials(join(folder, 'haproxy'), toolOf('haproxy'), broker.issuer, verifiers.get('haproxy')!)
  onTestFinished(stop)
}

/** With an edit that must have found something to change. */
const without =
  (...parts: readonly (string | RegExp)[]) =>
  (text: string): string =>
    parts.reduce<string>((before, part) => {
      const after = before.replaceAll(part, '')
      if (after === before) throw new Error(`${part} is not in what was printed`)
      return after
    }, text)

async function check(proxy: Proxied, more: readonly string[], agent = 'check-bot'): Promise<Checked> {
  const origin = `http://127.0.0.1:${ports.get(proxy)}`
  const args = [
    ...[
      'tool',
      'check',
      toolOf(proxy),
      '--json',
      '--scope',
      'metrics:read',
      '--url',
      `${origin}/api/v1/query?query=up`,
    ],
    ...['--expect-out-of-scope', `${origin}/api/v1/targets`, '--other-tool', 'canary', ...more],
  ]
  const env = {
    PATH: process.env.PATH,
    HALLPASS_URL: broker.issuer,
    HALLPASS_AGENT: agent,
    HALLPASS_AGENT_KEY: join(folder, `${agent}.pem`),
  }
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [CLI, ...args], { cwd: folder, env, timeout: 60_000 }, (error, stdout, stderr) => {
      if (stdout === '') return reject(new Error(stderr))
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, stderr, ...JSON.parse(stdout) })
    })
  })
}

/** A credential as `hallpass token` prints it. */
function credentialOf(agent: string, tool: string): Promise<string> {
  const env = {
    PATH: process.env.PATH,
    HALLPASS_URL: broker.issuer,
    HALLPASS_AGENT: agent,
    HALLPASS_AGENT_KEY: join(folder, `${agent}.pem`),
  }
  const args = [
    'token',
    tool,
    '--scope',
    'metrics:read',
    '--reason',
    'To try a proxy',
    ...(agent === 'limited-bot' ? ['--detail', 'job=node'] : []),
  ]
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [CLI, ...args], { cwd: folder, env, timeout: 30_000 }, (error, stdout) =>
      error === null ? resolve(stdout.trim()) : reject(error),
    )
  })
}

const echoing = (proxy: Proxied): readonly string[] => ['--echo', `http://127.0.0.1:${ports.get(proxy)}/echo`]
const rowsThat = (checked: Checked, verdict: string): readonly string[] =>
  checked.rows.filter((row) => row.verdict === verdict).map(({ row }) => row)

describe('what tool snippet prints, run by the real program', () => {
  test.each(PROXIES)(
    '%s lets a credential through to Prometheus, and nothing that the check sends beside it (S14, S15)',
    async (proxy) => {
      await standing(proxy, prometheusPort)
      if (proxy === 'haproxy') feeding()
      const checked = await check(proxy, [])
      expect(checked.rows.filter(({ verdict }) => verdict === 'WRONG' || verdict === 'unclear')).toEqual([])
      expect(checked).toMatchObject({ code: 0, ok: true })
      expect(rowsThat(checked, 'not tried')).toEqual(['our token ends at the proxy', 'expired'])
      expect(checked.rows.find(({ row }) => row === 'revoked')?.says).toMatch(/^refused \d+ ms after it was revoked$/)
    },
  )

  test.each(PROXIES)('%s keeps our token from the tool, and says itself who is calling (S14)', async (proxy) => {
    await standing(proxy, echo.port)
    if (proxy === 'haproxy') feeding()
    const checked = await check(proxy, [...echoing(proxy), '--expired', '--leeway', '1s'], 'brief-bot')
    expect(checked.rows.filter(({ verdict }) => verdict !== 'ok')).toEqual([])
    expect(checked.code).toBe(0)
  })
})

describe('against what a caller writes', () => {
  const ODD = [
    '/api/v1/query/../targets',
    '/echo/../api/v1/targets',
    '/echo/%2e%2e/api/v1/targets',
    '/echo%2f..%2fapi%2fv1%2ftargets',
    '/api/v1/./targets',
    '//api/v1/targets',
    '/api/v1//targets',
    '/api/v1/targets/',
    '/api/v1/%74argets',
    '/API/v1/targets',
    '/api/v1/query;/../targets',
    '/api/v1/targets?/api/v1/query',
    '/api/v1/targets%3f',
    '/other',
  ]
  const SAID = ['Agent', 'Session', 'Grant', 'Scope', 'Details'].map((name) => `X-Hallpass-${name}`)

  test.each(PROXIES)('%s lets no spelling of a path through that the scope is not for (S14)', async (proxy) => {
    await standing(proxy, echo.port)
    const headers = { Authorization: `Bearer ${await credentialOf('check-bot', toolOf(proxy))}` }
    const origin = `http://127.0.0.1:${ports.get(proxy)}`
    for (const target of ODD)
      expect((await rawRequest(origin, target, { headers })).status, target).toBeOneOf([400, 401, 403, 404])
    for (const [method, target] of [
      ['POST', '/api/v1/targets'],
      ['DELETE', '/api/v1/query'],
    ] as const)
      expect((await rawRequest(origin, target, { headers, method })).status, method).toBeOneOf([401, 403])
    const spoofed = Object.fromEntries(SAID.map((name) => [name, 'spoofed']))
    const answer = await rawRequest(origin, '/echo?a=b', { headers: { ...headers, ...spoofed } })
    expect(answer.status).toBe(200)
    expect(answer.body).toContain('"url":"/echo?a=b"')
    expect(answer.body).toContain('"check-bot"')
    expect(answer.body).not.toContain('spoofed')
    expect(answer.body).not.toMatch(/hp_verify|eyJ/)
  })

  test.each(['nginx', 'haproxy', 'caddy'] as const)(
    '%s refuses a credential that is limited by details (S9)',
    async (proxy) => {
      await standing(proxy, echo.port)
      const headers = { Authorization: `Bearer ${await credentialOf('limited-bot', toolOf(proxy))}` }
      expect((await rawRequest(`http://127.0.0.1:${ports.get(proxy)}`, '/echo', { headers })).status).toBe(403)
    },
  )

  test.each(['nginx', 'caddy', 'apache'] as const)(
    '%s lets nothing through while the broker is away (P10)',
    async (proxy) => {
      await standing(proxy, echo.port, (text) =>
        text.replaceAll(
          proxy === 'apache' ? `${broker.issuer}/oauth` : new URL(broker.issuer).host,
          proxy === 'apache' ? 'https://127.0.0.1:9/oauth' : '127.0.0.1:9',
        ),
      )
      const headers = { Authorization: `Bearer ${await credentialOf('check-bot', toolOf(proxy))}` }
      const { status, body } = await rawRequest(`http://127.0.0.1:${ports.get(proxy)}`, '/echo', { headers })
      expect(status).toBeGreaterThanOrEqual(400)
      expect(body).not.toContain('"url"')
    },
  )
})

describe('tool check finds', () => {
  const noAudience = without(/ aud_is_this(?= has_exp)/g)
  const noScopeCheck = without(/^ {2}http-request deny deny_status 403 if .*!scope_\d+\n/gm)

  test('a proxy that trusts the token’s own alg', async () => {
    await standing('haproxy', echo.port, (text) =>
      without(/alg_is_ours (?=signed)/g)(text).replaceAll('jwt_verify("ES256",', 'jwt_verify(txn.alg,'),
    )
    feeding()
    const checked = await check('haproxy', [])
    expect(checked).toMatchObject({ code: 2, ok: false })
    expect(rowsThat(checked, 'WRONG')).toEqual(['alg none'])
  })

  test('a proxy that does not look at the audience', async () => {
    await standing('haproxy', echo.port, noAudience)
    feeding()
    const checked = await check('haproxy', [])
    expect(checked.code).toBe(2)
    expect(rowsThat(checked, 'WRONG')).toEqual(['wrong audience: other tool'])
  })

  test('a proxy that looks neither at audience nor scope, with no second tool at hand', async () => {
    await standing('haproxy', echo.port, (text) => noScopeCheck(noAudience(text)))
    const checked = await check('haproxy', [])
    expect(rowsThat(checked, 'WRONG')).toContain('wrong audience: session token')
  })

  test('a proxy that does not check the scope of a route', async () => {
    await standing('haproxy', echo.port, noScopeCheck)
    feeding()
    const checked = await check('haproxy', [])
    expect(checked.code).toBe(2)
    expect(rowsThat(checked, 'WRONG')).toEqual(['wrong scope', 'wrong scope, X-Forwarded-*'])
  })

  test('a proxy whose deny list is stale', async () => {
    await standing('haproxy', echo.port)
    const checked = await check('haproxy', ['--revoked-within', '1s'])
    expect(checked.code).toBe(2)
    expect(rowsThat(checked, 'WRONG')).toEqual(['revoked'])
    expect(checked.rows.find(({ row }) => row === 'revoked')?.says).toMatch(/^STILL ACCEPTED 1\d{3} ms after/)
  })

  test('a proxy that hands our token to the tool', async () => {
    await standing('nginx', echo.port, without('    proxy_set_header Authorization "";\n'))
    const checked = await check('nginx', echoing('nginx'))
    expect(checked.code).toBe(2)
    expect(rowsThat(checked, 'WRONG')).toEqual(['our token ends at the proxy'])
  })

  test('a proxy that lets the caller say who it is', async () => {
    await standing('nginx', echo.port, without(/^.*proxy_set_header X-Hallpass-Agent .*\n/gm))
    expect(rowsThat(await check('nginx', echoing('nginx')), 'WRONG')).toEqual(['X-Hallpass-Agent of the caller'])
  })

  test('a proxy that believes X-Forwarded-Uri about the route', async () => {
    await standing('nginx', echo.port, (text) =>
      text
        .replace('map "$request_method $request_uri"', 'map "$request_method $believed_uri"')
        .replace(
          /^map /m,
          'map $http_x_forwarded_uri $believed_uri { default $http_x_forwarded_uri; "" $request_uri; }\nmap ',
        ),
    )
    expect(rowsThat(await check('nginx', []), 'WRONG')).toEqual(['wrong scope, X-Forwarded-*'])
  })

  test('a proxy that does not look at exp', async () => {
    await standing('haproxy', echo.port, without(/^.*var\(txn\.exp\),sub\(txn\.now\).*\n/gm))
    feeding()
    const checked = await check('haproxy', ['--expired', '--leeway', '1s'], 'brief-bot')
    expect(rowsThat(checked, 'WRONG')).toEqual(['expired'])
  })
})

test('tool check leaves nothing alive behind, and all of it is on the trail (P1)', async () => {
  await standing('nginx', echo.port)
  await check('nginx', [])
  const credentials: unknown = JSON.parse(await broker.hallpass('credential', 'list', '--json', '--agent', 'check-bot'))
  expect(credentials).toEqual(expect.arrayContaining([expect.objectContaining({ status: 'revoked' })]))
  expect(JSON.stringify(credentials)).not.toContain('"status":"issued"')
})

test('tool check sends a live credential nowhere but to the tool’s resource, unless told so', async () => {
  await expect(check('nginx', ['--url', `http://127.0.0.1:${echo.port}/`])).rejects.toThrow(
    /not within the tool’s resource/,
  )
})
