// `tool snippet` and `tool check` on the command line, without any program but this one: the right verifier and wrong ones are
// a few lines each here. The real proxies are in test/tools/tool-check.test.ts.

import { createHmac, createPublicKey, type JsonWebKey } from 'node:crypto'
import { createServer, type IncomingMessage } from 'node:http'
import { decodeJwt, decodeProtectedHeader } from 'jose'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type SampleBroker, startSampleBroker } from '../../src/commands/sample-broker.ts'
import { testDatabase } from '../support/test-store.ts'
import { freePort, hallpass, temporaryFolder } from './launcher.ts'

type Verifier = (request: IncomingMessage) => Promise<number>

const folder = temporaryFolder()
let broker: SampleBroker
let resource: string
let verifier: string
let verify: Verifier
const tool = createServer(async (request, response) => {
  response.statusCode = await verify(request)
  response.end('{}')
})

/** As a proxy does that asks at each call. */
const asking: Verifier = async (request) => {
  const names = request.rawHeaders.filter((_, index) => index % 2 === 0)
  if (names.filter((name) => name.toLowerCase() === 'authorization').length > 1) return 400
  const scope = request.url === '/admin' ? 'metrics:admin' : 'metrics:read'
  const answer = await fetch(`${broker.url}/forward-auth?resource=${resource}&scope=${scope}`, {
    headers: {
      'X-Hallpass-Verifier': verifier,
      ...(request.headers.authorization === undefined ? {} : { Authorization: request.headers.authorization }),
    },
  })
  return answer.status
}
const tokenOf = (request: IncomingMessage) => (request.headers.authorization ?? '').slice('Bearer '.length)

beforeAll(async () => {
  const port = await freePort()
  resource = `http://127.0.0.1:${port}`
  broker = await startSampleBroker({ ...(await testDatabase()), resources: { metrics: resource } })
  verifier = await broker.verifierToken('metrics')
  await new Promise<void>((resolve) => tool.listen(port, '127.0.0.1', resolve))
})
beforeEach(() => {
  verify = asking
})
afterAll(async () => {
  tool.close()
  await broker.close()
  folder.remove()
})

type Row = { readonly row: string; readonly verdict: string; readonly says: string; readonly status: number | null }

async function check(...more: string[]) {
  const args = ['tool', 'check', 'metrics', '--json', '--scope', 'metrics:read', '--url', `${resource}/query`, ...more]
  const ran = await hallpass(folder.path, args, {
    HALLPASS_URL: broker.url,
    HALLPASS_AGENT: 'triage-bot',
    HALLPASS_AGENT_KEY: broker.agents['triage-bot']!.keyPath,
  })
  const rows: readonly Row[] = ran.stdout === '' ? [] : JSON.parse(ran.stdout).rows
  const that = (verdict: string) => rows.filter((row) => row.verdict === verdict).map(({ row }) => row)
  return { ...ran, rows, that }
}

describe('tool check', () => {
  test('finds nothing wrong with what asks, and says what it did not try (exit 0)', async () => {
    const { code, that, rows, stderr } = await check('--expect-out-of-scope', `${resource}/admin`)
    expect(that('WRONG')).toEqual([])
    expect(that('unclear')).toEqual([])
    expect(that('not tried')).toEqual(['wrong audience: other tool', 'our token ends at the proxy', 'expired'])
    expect(rows.find(({ row }) => row === 'expired')?.says).toMatch(/^takes \d+s: --expired/)
    expect(code).toBe(0)
    expect(stderr).not.toMatch(/eyJ/)
  })

  test('finds each row that a tool accepts which believes everything (exit 2)', async () => {
    verify = async () => 200
    const { code, that } = await check('--revoked-within', '1s', '--expect-out-of-scope', `POST ${resource}/admin`)
    expect(code).toBe(2)
    expect(that('ok')).toEqual(['valid'])
    expect(that('WRONG').length).toBe(16)
  })

  test('finds a verifier that takes the algorithm, and so an HMAC key, from the token', async () => {
    const { keys } = (await (await fetch(`${broker.url}/.well-known/jwks.json`)).json()) as {
      keys: readonly (JsonWebKey & { kid: string })[]
    }
    verify = async (request) => {
      const token = tokenOf(request)
      if (!/^[\w-]+\.[\w-]+\.[\w-]+$/.test(token) || decodeProtectedHeader(token).alg !== 'HS256')
        return asking(request)
      const jwk = keys.find(({ kid }) => kid === decodeProtectedHeader(token).kid)
      const pem = createPublicKey({ key: jwk!, format: 'jwk' }).export({ type: 'spki', format: 'pem' })
      const [head, body, mac] = token.split('.')
      return createHmac('sha256', pem).update(`${head}.${body}`).digest('base64url') === mac ? 200 : 401
    }
    const { code, that, rows } = await check()
    expect(that('WRONG')).toEqual(['HS256, public key'])
    expect(rows.find(({ verdict }) => verdict === 'WRONG')?.says).toBe('ACCEPTED (PEM)')
    expect(code).toBe(2)
  })

  test('finds a verifier that reads claims and checks no signature', async () => {
    verify = async (request) => {
      const token = tokenOf(request)
      if (token.split('.').length !== 3) return 401
      const { aud, iss, exp = 0, nbf = 0 } = decodeJwt(token)
      const now = Date.now() / 1000
      return aud === resource && iss === broker.url && exp > now && nbf <= now ? 200 : 401
    }
    const { that } = await check('--revoked-within', '1s')
    expect(that('WRONG')).toEqual(
      expect.arrayContaining(['foreign key', 'alg none', 'other alg', 'no signature', 'tampered payload', 'revoked']),
    )
    expect(that('WRONG')).not.toContain('wrong issuer')
  })

  test('calls an answer that neither accepts nor refuses unclear (exit 2)', async () => {
    verify = async (request) => (tokenOf(request) === 'not-a-token' ? 500 : asking(request))
    const { code, that } = await check()
    expect(that('unclear')).toEqual(['not a token'])
    expect(code).toBe(2)
  })

  test('says so where a valid credential does not pass, for then refusals prove little (exit 2)', async () => {
    verify = async () => 401
    const { code, that } = await check()
    expect(that('WRONG')).toEqual(['valid'])
    expect(code).toBe(2)
  })

  test('sends nothing to a URL outside of the resource, nor in the clear off loopback (exit 1)', async () => {
    expect(await check('--echo', 'http://127.0.0.1:1/')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('--anywhere'),
    })
    expect(await check('--echo', 'http://tool.example.com/')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('https://'),
    })
  })

  test('leaves no credential alive', async () => {
    const { rows } = await broker.running.broker.deps.store.list({ kind: 'credential', limit: 500 })
    expect(rows.length).toBeGreaterThan(5)
    expect(rows.every((row) => row.state === 'revoked')).toBe(true)
  })
})

describe('tool snippet', () => {
  const snippet = (...args: string[]) =>
    hallpass(folder.path, ['tool', 'snippet', ...args], { HALLPASS_SCOPES: broker.scopesPath })

  test('prints the configuration alone on stdout, and its warnings also on stderr', async () => {
    const { code, stdout, stderr } = await snippet('metrics', '--for', 'haproxy')
    expect(code).toBe(0)
    expect(stdout).toMatch(/^# metrics and HAProxy/)
    expect(stdout).toContain('jwt_verify("ES256"')
    expect(stderr).toContain('warning: the manifest says verifiedBy: asks')
  })

  test('takes another issuer, and refuses what a configuration could read as its own (exit 1)', async () => {
    const { stdout } = await snippet('metrics', '--issuer', 'https://hallpass.example.com')
    expect(stdout).toContain('server hallpass.example.com:443;')
    expect(await snippet('metrics', '--upstream', 'http://127.0.0.1/$evil')).toMatchObject({ code: 1, stdout: '' })
    expect(await snippet('metrics', '--route', 'GET /x;=metrics:read')).toMatchObject({ code: 1, stdout: '' })
  })

  test('names what there is where a tool or a kind is not (exit 1)', async () => {
    expect(await snippet('metricz')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('Did you mean metrics?'),
    })
    expect(await snippet('metrics', '--for', 'iis')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('kubernetes'),
    })
  })
})
