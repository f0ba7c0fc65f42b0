// The owner's yes is what a hostile agent wants most: it tries to say it itself, to have another say it, to have it said of
// something else than was shown, or without it being said at all (P4, S8, S20).

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { applyManifests } from '../../src/actions/apply-manifests.ts'
import { openSession } from '../../src/actions/open-session.ts'
import { requestAccess } from '../../src/actions/request-access.ts'
import { SAMPLE_OWNERS, type SampleBroker, startSampleBroker } from '../../src/commands/sample-broker.ts'
import type { BearerKind } from '../../src/core/model.ts'
import { hallpass, temporaryFolder } from '../cli/launcher.ts'
import { type ApiServer, apiServer, type Said, SET } from '../support/api-server.ts'
import { as } from '../support/harness.ts'
import { agent, entry, setOf, team } from '../support/manifest-set.ts'
import { unwrap } from '../support/store-on-disk.ts'
import { testDatabase } from '../support/test-store.ts'
import { send } from './wire.ts'

const ORIGIN = 'https://hallpass.example.com'
const ALICE = 'alice@example.com'

let server: ApiServer
let alice: string
let bot: { readonly id: string; readonly token: string }
let tries = 0
beforeEach(async () => {
  server = await apiServer()
  alice = await server.bearer('owner', ALICE)
  bot = await server.session('bot')
})
afterEach(() => server.close())
afterAll(() => console.log(`approval: ${tries} tries, none of them approved anything`))

/** A request of bot that waits for alice or carol. */
async function waiting(scopes: readonly string[] = ['comment', 'read'], durationSeconds = 3600): Promise<string> {
  const asked = unwrap(
    await requestAccess(
      server.harness.deps,
      { role: 'agent', agent: 'bot', session: bot.id },
      { tool: 'tickets', scopes, reason: 'INC-1', durationSeconds, details: { queue: ['incidents'] } },
      'req_ask',
    ),
  )
  if (asked.status !== 'pending') throw new Error('granted at once')
  return asked.request.id
}
const hidden = (said: Said, name: string) => new RegExp(`name="${name}" value="([^"]*)"`).exec(said.text)?.[1] ?? ''
const see = (id: string, by = alice) => server.call('GET', `/console/requests/${id}`, by)
const body = (shown: Said, more = {}) => ({
  csrf: hidden(shown, 'csrf'),
  hash: hidden(shown, 'hash'),
  scopes: ['comment', 'read'],
  durationSeconds: 3600,
  ...more,
})
const page = (
  id: string,
  sent: unknown,
  headers: Record<string, string> = { origin: ORIGIN },
  by: string | null = alice,
) => server.call('POST', `/console/requests/${id}/approve`, by, sent, headers)
const api = (id: string, by: string | null, sent: unknown = {}) =>
  server.call('POST', `/v1/requests/${id}/approve`, by, sent)

async function expectNoGrant(id: string) {
  tries++
  expect(await server.harness.row('request', id)).toMatchObject({ grant: null })
  expect((await server.harness.rows('grant')).filter(({ request }) => request === id)).toEqual([])
}

describe('nobody approves but an owner of the agent', () => {
  test('not the agent that asked, nor another of its sessions, over any edge (P4)', async () => {
    const id = await waiting()
    const shown = await see(id)
    const again = await server.session('bot')
    for (const token of [bot.token, again.token]) {
      expect((await api(id, token)).status).toBe(403)
      expect((await page(id, body(shown), { origin: ORIGIN }, token)).status).toBe(403)
      expect((await server.call('POST', `/v1/revisions/${id}/accept`, token, {})).status).toBeGreaterThan(399)
    }
    await expectNoGrant(id)
  })

  test.each([
    ['an admin', 'admin', 'admin@example.com'],
    ['an auditor', 'auditor', 'audit@example.com'],
    ['a publisher', 'publisher', 'ci@example.com'],
    ['the verifier of the tool', 'verifier', 'tickets'],
    ['the owner of the tool', 'owner', 'tina@example.com'],
    ['the owner of another agent', 'owner', 'bob@example.com'],
    ['the owner of nothing', 'owner', 'mallory@example.com'],
    ['one whose address only begins like an owner’s', 'owner', 'alice@example.com.evil.example'],
    ['one whose address is a team’s name', 'owner', 'team/helpers@example.com'],
  ] as const satisfies readonly (readonly [string, BearerKind, string])[])(
    'not %s, over the API or the page (S7)',
    async (_, kind, subject) => {
      const id = await waiting()
      const shown = await see(id)
      const token = await server.bearer(kind, subject)
      expect([401, 403]).toContain((await api(id, token)).status)
      expect([401, 403]).toContain((await page(id, body(shown), { origin: ORIGIN }, token)).status)
      await expectNoGrant(id)
    },
  )

  test('not the operator by the socket (S7)', async () => {
    const id = await waiting()
    expect((await server.asOperator('POST', `/v1/requests/${id}/approve`, {})).status).toBe(403)
    await expectNoGrant(id)
  })

  test('not an owner who was removed since they saw it, with a token from before (S10)', async () => {
    const id = await waiting()
    const shown = await see(id)
    const without = setOf(
      agent('bot', {
        owners: ['team/helpers'],
        access: [
          entry('tickets', ['read', 'comment'], { details: { queue: ['incidents'] } }),
          entry('metrics', ['read'], { approval: 'none' }),
        ],
      }),
      ...[...SET.agents.values()].filter(({ name }) => name !== 'bot'),
      team('helpers', ['carol@example.com']),
      ...SET.tools.values(),
    )
    unwrap(await applyManifests(server.harness.deps, as.watcher, { set: without, base: null }))
    expect((await page(id, body(shown))).status).toBe(403)
    expect((await api(id, alice)).status).toBe(403)
    await expectNoGrant(id)
    const carol = await server.bearer('owner', 'carol@example.com')
    expect((await api(id, carol)).status).toBe(200)
  })

  test('not an owner whose token was revoked or ran out (S10)', async () => {
    const id = await waiting()
    server.harness.disk.clock.advance(13 * 3600)
    const fresh = await server.session('bot')
    expect((await api(id, alice)).status).toBe(401)
    expect((await server.call('GET', '/v1/whoami', fresh.token)).status).toBe(200)
    await expectNoGrant(id)
  })
})

describe('a yes', () => {
  test('said 20 times at once over both edges makes one grant (P4, S18)', async () => {
    const id = await waiting()
    const shown = await see(id)
    const said = await Promise.all(
      Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? api(id, alice) : page(id, body(shown)))),
    )
    expect(said.filter(({ status }) => status === 200)).toHaveLength(1)
    expect((await server.harness.rows('grant')).filter(({ request }) => request === id)).toHaveLength(1)
    tries += 20
  })

  test('and a no at once end in one of them, and the trail says which (P4)', async () => {
    const ids = await Promise.all(Array.from({ length: 15 }, (_, i) => waiting(['read'], 600 + i)))
    for (const id of ids) {
      const [yes, no] = await Promise.all([
        api(id, alice),
        server.call('POST', `/v1/requests/${id}/deny`, alice, { reason: 'no' }),
      ])
      expect([yes.status, no.status].sort()).toEqual([200, 409])
      const grants = (await server.harness.rows('grant')).filter(({ request }) => request === id)
      expect(grants).toHaveLength(yes.status === 200 ? 1 : 0)
      tries++
    }
  })

  test('that comes too late means no, a second late or a day (P4)', async () => {
    const id = await waiting()
    const shown = await see(id)
    server.harness.disk.clock.advance(3600)
    expect((await page(id, body(shown))).status).toBeGreaterThan(399)
    expect((await api(id, alice)).status).toBe(410)
    await expectNoGrant(id)
  })

  test('of what was shown before its entitlement moved is no yes to what it is now (S8)', async () => {
    const id = await waiting()
    const shown = await see(id)
    const narrower = setOf(
      agent('bot', {
        owners: [ALICE, 'team/helpers'],
        access: [
          entry('tickets', ['read', 'comment'], { details: { queue: ['incidents'] }, tokenTtlSeconds: 60 }),
          entry('metrics', ['read'], { approval: 'none' }),
        ],
      }),
      ...[...SET.agents.values()].filter(({ name }) => name !== 'bot'),
      ...SET.teams.values(),
      ...SET.tools.values(),
    )
    unwrap(await applyManifests(server.harness.deps, as.watcher, { set: narrower, base: null }))
    expect((await page(id, body(shown))).status).toBe(409)
    expect((await api(id, alice, { hash: hidden(shown, 'hash') })).status).toBe(409)
    expect((await api(id, alice)).status).toBe(409)
    await expectNoGrant(id)
  })

  test.each([
    ['more scopes', { scopes: ['comment', 'read', 'close'] }],
    ['another scope', { scopes: ['close'] }],
    ['no scopes', { scopes: [] }],
    ['a scope twice and one inherited', { scopes: ['read', 'read', 'constructor'] }],
    ['no time', { durationSeconds: 0 }],
    ['time backwards', { durationSeconds: -60 }],
    ['other details', { details: { queue: ['payroll'] } }],
    ['another agent', { agent: 'other' }],
  ])('to %s than was asked is refused (P2)', async (_, more) => {
    const id = await waiting()
    const shown = await see(id)
    expect((await page(id, body(shown, more))).status).toBeGreaterThan(399)
    expect((await api(id, alice, more)).status).toBeGreaterThan(399)
    await expectNoGrant(id)
  })

  test('for longer than was asked gives what was asked (P2)', async () => {
    const id = await waiting(['read'], 600)
    expect((await api(id, alice, { durationSeconds: 7200 })).status).toBe(200)
    const [grant] = (await server.harness.rows('grant')).filter(({ request }) => request === id)
    expect(grant!.expiresAt - grant!.createdAt).toBe(600_000)
  })
})

describe('a page that the owner did not open', () => {
  test.each([
    ['another site', { origin: 'https://evil.example' }],
    ['no origin', {}],
    ['a sandboxed frame', { origin: 'null' }],
    ['plain http', { origin: 'http://hallpass.example.com' }],
    ['another port of the same host', { origin: 'https://hallpass.example.com:8443' }],
    ['a name below', { origin: 'https://x.hallpass.example.com' }],
    ['a name that ends in it', { origin: 'https://evilhallpass.example.com' }],
    ['a name that begins with it', { origin: 'https://hallpass.example.com.evil.example' }],
    ['the same name with a dot at its end', { origin: 'https://hallpass.example.com.' }],
    ['the same name in capitals', { origin: 'https://HALLPASS.example.com' }],
    ['two origins', { origin: `${ORIGIN}, https://evil.example` }],
    ['a referrer instead', { referer: `${ORIGIN}/` }],
  ])('decides nothing: %s (S20)', async (_, headers) => {
    const id = await waiting()
    const shown = await see(id)
    expect((await page(id, body(shown), headers as Record<string, string>)).status).toBe(403)
    await expectNoGrant(id)
  })

  test('that can send what needs no preflight decides nothing (S20)', async () => {
    const id = await waiting()
    const shown = await see(id)
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data', ''])
      expect((await page(id, JSON.stringify(body(shown)), { origin: ORIGIN, 'content-type': type })).status).not.toBe(
        200,
      )
    for (const [method, path] of [
      ['GET', `/v1/requests/${id}/approve`],
      ['PUT', `/v1/requests/${id}/approve`],
      ['GET', `/console/requests/${id}/approve`],
      ['GET', `/console/requests/${id}?approve=1&method=POST`],
    ] as const)
      await server.call(method, path, alice, undefined, { origin: ORIGIN, 'x-http-method-override': 'POST' })
    await expectNoGrant(id)
  })

  test.each(['/', '/requests/req_1', '/console/console.js', '/console/console.css', '/console/requests'])(
    'frames nothing and reads nothing: %s (S20)',
    async (path) => {
      const said = await server.call('GET', path, path.startsWith('/console/requests') ? alice : null, undefined, {
        origin: 'http://127.0.0.1:3000',
      })
      expect(said.status).toBe(200)
      expect(said.headers.get('content-security-policy')).toContain("frame-ancestors 'none'")
      expect(said.headers.get('x-frame-options')).toBe('DENY')
      for (const name of ['access-control-allow-origin', 'access-control-allow-credentials', 'set-cookie'])
        expect(said.headers.get(name)).toBe(null)
    },
  )
})

test('a CSRF token of one request, person or moment is none of another (S20)', async () => {
  const [one, other] = [await waiting(['read']), await waiting(['comment'])]
  const [shownOne, shownOther] = [await see(one), await see(other)]
  const carol = await server.bearer('owner', 'carol@example.com')
  const hers = await see(one, carol)
  const mixed = [
    body(shownOne, { csrf: hidden(shownOther, 'csrf'), scopes: ['read'] }),
    body(shownOne, { hash: hidden(shownOther, 'hash'), scopes: ['read'] }),
    body(shownOther, { scopes: ['read'] }),
    body(shownOne, { csrf: hidden(hers, 'csrf'), scopes: ['read'] }),
    body(shownOne, { csrf: '', scopes: ['read'] }),
    body(shownOne, { csrf: hidden(shownOne, 'csrf').replace(/^\d+/, '99999999999999'), scopes: ['read'] }),
  ]
  for (const sent of mixed) {
    expect((await page(one, sent)).status).toBe(403)
    await expectNoGrant(one)
  }
  server.harness.disk.clock.advance(15 * 60)
  expect((await page(one, body(shownOne, { scopes: ['read'] }))).status).toBe(403)
  await expectNoGrant(one)
})

test('the link alone authorizes nothing: it is the same page for everyone, and holds no secret (S20)', async () => {
  const id = await waiting()
  const described = await server.call('GET', `/v1/requests/${id}`, bot.token)
  const link = String(described.json.approveUrl)
  expect(link).toBe(`${ORIGIN}/requests/${id}`)
  for (const [method, path] of [
    ['GET', `/requests/${id}`],
    ['POST', `/requests/${id}`],
    ['POST', `/requests/${id}/approve`],
    ['GET', `/requests/${id}?token=${alice}`],
    ['GET', `/requests/${id}?approve=yes`],
  ] as const)
    await server.call(method, path, null, undefined, { origin: ORIGIN, cookie: `token=${alice}` })
  expect(
    (
      await server.call('POST', `/console/requests/${id}/approve`, null, body(await see(id)), {
        origin: ORIGIN,
        cookie: `token=${alice}`,
      })
    ).status,
  ).toBe(401)
  await expectNoGrant(id)
})

describe('what an agent writes', () => {
  /** Escape sequences of both lengths, bidi, invisible letters, markup, and what a terminal would run. */
  const HOSTILE = [
    '\u001b[2J\u001b[1;1H\u001b[32mApproved\u001b[0m',
    '\u001b]0;owned\u0007\u001b]8;;https://evil.example\u0007click\u001b]8;;\u0007',
    '\u009b31m\u009d52;c;ZXZpbA==\u009c',
    'INC-1\r\nstatus  approved\u2028\u0085by alice@example.com',
    '\u202egnp.exe\u202c \u2066x\u2069 \u200f\u200e\u061c',
    'ze\u200bro\u2060\ufeff\u00ad \u{e0041}\u{e0042}',
    '\b\b\b\b\b\u0000\u007f',
    '</textarea><script>alert(1)</script><img src=x onerror=alert(1)>"\'`$(id)',
    'a\u0301\u0301\u0301\u0301\u0301\u0301\u0301\u0301\u0301',
  ].join(' | ')
  const UNSAFE =
    /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\u061c\ufeff\u00ad\u{e0000}-\u{e007f}]/u

  let broker: SampleBroker
  let owner: string
  let request: string
  const folder = temporaryFolder()
  beforeAll(async () => {
    broker = await startSampleBroker(await testDatabase())
    owner = await broker.ownerToken(SAMPLE_OWNERS.agents)
    const { deps } = broker.running.broker
    const identity = (await deps.store.read(['slice/agent/triage-bot'])).get('slice', 'agent/triage-bot')?.value
    if (identity?.of !== 'agent') throw new Error('no triage-bot')
    const proof = { agent: 'triage-bot', key: identity.keys[0]!.kid, jti: 'jti-1', expiresAt: Date.now() + 60_000 }
    const { token } = unwrap(await openSession(deps, proof, 'req'))
    const asked = await send(`${broker.url}/v1/requests`, {
      headers: ['Authorization', `Bearer ${token}`, 'Content-Type', 'application/json'],
      body: JSON.stringify({
        tool: 'tickets',
        scopes: ['ticket:read'],
        details: { queue: ['incidents'] },
        reason: HOSTILE,
      }),
    })
    expect(asked.status, asked.text).toBe(202)
    request = String((asked.json.request as { id: string }).id)
  })
  afterAll(async () => {
    await broker?.close()
    folder.remove()
  })
  const env = () => ({ HALLPASS_URL: broker.url, HALLPASS_TOKEN: owner })

  test('moves nothing in a terminal without a terminal, in any command that shows it (S20)', async () => {
    for (const args of [
      ['request', 'list'],
      ['request', 'show', request],
      ['audit', 'list'],
    ]) {
      const ran = await hallpass(folder.path, args, env())
      expect(ran.code, ran.stderr).toBe(0)
      if (args[0] === 'request') expect(ran.stdout).toContain('Approved')
      expect(ran.stdout.replaceAll('\n', ' '), args.join(' ')).not.toMatch(UNSAFE)
      tries++
    }
  })

  test('moves nothing in the JSON of a command, and is all there (S20)', async () => {
    for (const args of [
      ['request', 'show', request, '--json'],
      ['request', 'list', '--json'],
      ['audit', 'list', '--json'],
    ]) {
      const ran = await hallpass(folder.path, args, env())
      expect(ran.code, ran.stderr).toBe(0)
      expect(ran.stdout.replaceAll('\n', ' '), args.join(' ')).not.toMatch(UNSAFE)
      expect(JSON.stringify(JSON.parse(ran.stdout))).toContain(JSON.stringify(HOSTILE.normalize()).slice(1, 40))
      tries++
    }
  })

  test('moves nothing in a real terminal, and the last word on the line is ours (S20)', async () => {
    const command = `${process.execPath} ${new URL('../../hallpass', import.meta.url).pathname} request show ${request}`
    const child = spawn('script', ['-qec', command, '/dev/null'], {
      env: { ...process.env, ...env(), NO_COLOR: '1', TERM: 'xterm' },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let shown = ''
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      shown += chunk
    })
    await once(child, 'close')
    expect(shown).toContain('Approved')
    expect(shown.replaceAll('\r\n', ' ')).not.toMatch(UNSAFE)
    expect(shown.split('\r\n').filter((line) => /^status/.test(line)).length).toBeLessThan(2)
    tries++
  })

  test('is text on the page, and nothing runs that is not ours (S20)', async () => {
    const said = await send(`${broker.url}/console/requests/${request}`, {
      headers: ['Authorization', `Bearer ${owner}`],
    })
    expect(said.status).toBe(200)
    expect(said.text).toContain('&lt;script&gt;')
    expect(said.text).not.toMatch(/<script|<img|onerror=alert\(1\)>/)
    expect(said.text.replaceAll('\n', ' ')).not.toMatch(UNSAFE)
    expect(said.headers['content-security-policy']).not.toMatch(/unsafe|\*|data:/)
    tries++
  })

  test('from another port of the broker’s own loopback decides nothing (S20)', async () => {
    const said = await send(`${broker.url}/console/requests/${request}`, {
      headers: ['Authorization', `Bearer ${owner}`],
    })
    const value = (name: string) => new RegExp(`name="${name}" value="([^"]*)"`).exec(said.text)?.[1] ?? ''
    const sent = JSON.stringify({
      csrf: value('csrf'),
      hash: value('hash'),
      scopes: ['ticket:read'],
      durationSeconds: 60,
    })
    const port = new URL(broker.url).port
    const decide = (origin: string) =>
      send(`${broker.url}/console/requests/${request}/approve`, {
        headers: ['Authorization', `Bearer ${owner}`, 'Content-Type', 'application/json', 'Origin', origin],
        body: sent,
      })
    for (const origin of [
      'http://127.0.0.1:3000',
      'http://127.0.0.1',
      `http://localhost:${port}`,
      `http://127.0.0.2:${port}`,
      `https://127.0.0.1:${port}`,
    ]) {
      expect((await decide(origin)).status, origin).toBe(403)
      tries++
    }
    expect((await decide(broker.url)).status).toBe(200)
  })
})
