import { afterEach, beforeEach, expect, test } from 'vitest'
import { applyManifests } from '../../src/actions/apply-manifests.ts'
import { requestAccess } from '../../src/actions/request-access.ts'
import { createCsrf } from '../../src/adapters/console/csrf.ts'
import { type ApiServer, apiServer, type Said, SET } from '../support/api-server.ts'
import { as } from '../support/harness.ts'
import { agent, entry, setOf, team, tool } from '../support/manifest-set.ts'
import { movableClock, unwrap } from '../support/store-on-disk.ts'

const ORIGIN = 'https://hallpass.example.com'

let server: ApiServer
let alice: string
beforeEach(async () => {
  server = await apiServer()
  alice = await server.bearer('owner', 'alice@example.com')
})
afterEach(() => server.close())

/** A request of bot that waits; its id. */
async function waiting(reason = 'INC-4812'): Promise<string> {
  const { harness } = server
  const session = await harness.session('bot')
  const asked = unwrap(
    await requestAccess(
      harness.deps,
      { role: 'agent', agent: 'bot', session: session.id },
      {
        tool: 'tickets',
        scopes: ['comment', 'read'],
        reason,
        durationSeconds: null,
        details: { queue: ['incidents'] },
      },
      'req_ask',
    ),
  )
  if (asked.status !== 'pending') throw new Error('granted at once')
  return asked.request.id
}
const see = (id: string, token: string | null = alice) => server.call('GET', `/console/requests/${id}`, token)
const hidden = (said: Said, name: string) => new RegExp(`name="${name}" value="([^"]*)"`).exec(said.text)?.[1] ?? ''
const decide = (path: string, body: unknown, headers: Record<string, string> = { origin: ORIGIN }, token = alice) =>
  server.call('POST', `/console/${path}`, token, body, headers)
const stateOf = async (id: string) => (await server.harness.row('request', id))?.state
const approval = (shown: Said, more = {}) => ({
  csrf: hidden(shown, 'csrf'),
  hash: hidden(shown, 'hash'),
  scopes: ['comment', 'read'],
  durationSeconds: 28_800,
  ...more,
})

test('an owner sees what exactly is asked, approves less, and is told what was done (P4, S8)', async () => {
  const id = await waiting()
  const request = (await server.harness.row('request', id))!
  const shown = await see(id)
  expect(shown.status).toBe(200)
  for (const part of [
    request.words,
    'bot',
    'To be tested',
    'tickets',
    'queue: incidents',
    '8h',
    'INC-4812',
    'alice@example.com, carol@example.com',
    'medium risk',
    'low risk',
  ])
    expect(shown.text).toContain(part)
  const done = await decide(`requests/${id}/approve`, approval(shown, { scopes: ['read'], durationSeconds: 900 }))
  expect(done.text).toContain('bot may use read on tickets for 15m.')
  expect(done.text).toContain('less than it asked for')
  expect(await server.harness.rows('grant')).toMatchObject([{ scopes: ['read'], approvers: ['alice@example.com'] }])
  expect((await see(id)).text).toContain('This request was approved')
})

test('an owner denies with a reason, which the agent gets to read (P4)', async () => {
  const id = await waiting()
  const shown = await see(id)
  const body = { csrf: hidden(shown, 'csrf'), hash: hidden(shown, 'hash'), reason: 'ask the desk' }
  expect((await decide(`requests/${id}/deny`, body)).text).toContain('Denied')
  expect(await server.harness.row('request', id)).toMatchObject({ state: 'denied', decidedReason: 'ask the desk' })
})

test('the list shows what waits for me and nothing of others (S7)', async () => {
  const id = await waiting()
  const { words } = (await server.harness.row('request', id))!
  expect((await server.call('GET', '/console/requests', alice)).text).toContain(words)
  expect(
    (await server.call('GET', '/console/requests', await server.bearer('owner', 'bob@example.com'))).text,
  ).not.toContain(words)
})

test('the link without signing in shows nothing, and the same for every id (S20)', async () => {
  const id = await waiting()
  const page = await server.call('GET', `/requests/${id}`, null)
  const other = await server.call('GET', '/requests/req_none', null)
  expect(page.status).toBe(200)
  expect(page.text).toBe(other.text)
  expect(page.text).not.toMatch(/\bbot\b|tickets|INC-4812/)
  const { words } = (await server.harness.row('request', id))!
  expect(page.text).not.toContain(words)
  expect((await see(id, null)).status).toBe(401)
  expect((await see(id, null)).text).not.toContain(words)
})

test.each([
  ['another owner', 'owner', 'bob@example.com'],
  ['a publisher', 'publisher', 'ci@example.com'],
] as const)('%s with the link sees nothing of the request and cannot decide it (S7)', async (_, kind, subject) => {
  const id = await waiting()
  const token = await server.bearer(kind, subject)
  const seen = await see(id, token)
  expect(seen.status).toBe(403)
  expect(seen.text).not.toMatch(/INC-4812|tickets/)
  const shown = await see(id)
  expect((await decide(`requests/${id}/approve`, approval(shown), undefined, token)).status).toBe(403)
  expect(await stateOf(id)).toBe('pending')
})

test('an agent cannot use the page, not even for its own request (P4)', async () => {
  const id = await waiting()
  const { token } = await server.session('bot')
  expect((await see(id, token)).status).toBe(403)
  const shown = await see(id)
  expect((await decide(`requests/${id}/approve`, approval(shown), undefined, token)).status).toBe(403)
  expect(await stateOf(id)).toBe('pending')
})

test.each<[string, Record<string, string>]>([
  ['no Origin', {}],
  ['a foreign Origin', { origin: 'https://evil.example.com' }],
  ['the same host at another port', { origin: `${ORIGIN}:8443` }],
  ['the same host over http', { origin: 'http://hallpass.example.com' }],
  ['an opaque Origin', { origin: 'null' }],
  ['an Origin that begins like ours', { origin: `${ORIGIN}.evil.example.com` }],
])('a decision with %s is refused (S20)', async (_, headers) => {
  const id = await waiting()
  const shown = await see(id)
  const said = await decide(`requests/${id}/approve`, approval(shown), headers)
  expect(said.status).toBe(403)
  expect(await stateOf(id)).toBe('pending')
  const denied = await decide(
    `requests/${id}/deny`,
    { csrf: hidden(shown, 'csrf'), hash: hidden(shown, 'hash') },
    headers,
  )
  expect(denied.status).toBe(403)
  expect(await stateOf(id)).toBe('pending')
})

test('a CSRF token that is wrong, expired, of another bearer, request or hash decides nothing (S20)', async () => {
  const id = await waiting()
  const shown = await see(id)
  const carol = await server.bearer('owner', 'carol@example.com')
  const tampered = approval(shown).csrf.replace(/^\d+/, (at) => String(Number(at) + 1))
  for (const csrf of ['', 'x', tampered, hidden(await see(id, carol), 'csrf')])
    expect((await decide(`requests/${id}/approve`, approval(shown, { csrf }))).status).toBe(403)
  expect((await decide(`requests/${id}/approve`, approval(shown, { hash: '0'.repeat(64) }))).status).toBe(403)
  server.harness.disk.clock.advance(15 * 60)
  expect((await decide(`requests/${id}/approve`, approval(shown))).status).toBe(403)
  expect(await stateOf(id)).toBe('pending')
  expect((await decide(`requests/${id}/approve`, approval(await see(id)))).status).toBe(200)
})

test('a CSRF token of an earlier process holds no longer, for its key is random (S20)', () => {
  const clock = movableClock()
  const shown = { bearer: 'brr_1', id: 'req_1', hash: 'h' }
  const token = createCsrf(clock).issue(shown)
  expect(createCsrf(clock).verify(token, shown)).toBe(false)
})

test('what was shown before the manifest changed cannot be approved any more (S8)', async () => {
  const id = await waiting()
  const shown = await see(id)
  const { harness } = server
  const narrower = setOf(
    agent('bot', {
      owners: ['alice@example.com', 'team/helpers'],
      access: [
        entry('tickets', ['read', 'comment'], { details: { queue: ['incidents'] }, tokenTtlSeconds: 60 }),
        entry('metrics', ['read'], { approval: 'none' }),
      ],
    }),
    SET.agents.get('other')!,
    team('helpers', ['carol@example.com']),
    tool('tickets'),
    SET.tools.get('metrics')!,
  )
  unwrap(await applyManifests(harness.deps, as.watcher, { set: narrower, base: null }))
  const said = await decide(`requests/${id}/approve`, approval(shown))
  expect(said.status).toBe(409)
  expect(await harness.rows('grant')).toEqual([])
})

test('what an agent wrote is escaped and stripped of control and bidi characters (S20)', async () => {
  const id = await waiting(
    '<img src=x onerror=alert(1)> \u202Eyrav\u202C \u001b[31m "quoted" \u2066hidden\u2069 a\u200bb',
  )
  const { text } = await see(id)
  expect(text).toContain('&lt;img src=x onerror=alert(1)&gt;')
  expect(text).not.toMatch(/<img|[\u202a-\u202e\u2066-\u2069\u200b\u001b]/)
  expect(text).toContain('ab</blockquote>')
})

test('nothing of the page may be framed, run inline, be cached, or tell where it came from (S20)', async () => {
  const id = await waiting()
  const answers = [
    await server.call('GET', '/', null),
    await server.call('GET', `/requests/${id}`, null),
    await see(id),
    await see(id, null),
    await decide(`requests/${id}/approve`, {}),
  ]
  for (const { headers, text } of answers) {
    expect(headers.get('content-security-policy')).toBe(
      "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    )
    expect(headers.get('x-frame-options')).toBe('DENY')
    expect(headers.get('referrer-policy')).toBe('no-referrer')
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    expect(headers.get('cache-control')).toBe('no-store')
    expect(headers.has('set-cookie')).toBe(false)
    expect(text).not.toMatch(/<script(?![^>]*src=)|<style|\son\w+=|\sstyle=|javascript:/i)
  }
  const script = await server.call('GET', '/console/console.js', null)
  expect(script.headers.get('content-type')).toContain('text/javascript')
  expect(script.text).not.toMatch(/document\.cookie|localStorage|innerHTML|eval\(/)
  expect((await server.call('GET', '/console/console.css', null)).headers.get('content-type')).toContain('text/css')
})

test('a widening is shown as its readable diff to whoever must accept it, and accepted from the page (S1, S20)', async () => {
  const { harness } = server
  const wider = setOf(
    agent('bot', {
      owners: ['alice@example.com', 'team/helpers'],
      access: [
        entry('tickets', ['read', 'comment'], { details: { queue: ['incidents'] } }),
        entry('tickets', ['comment']),
        entry('metrics', ['read'], { approval: 'none' }),
      ],
    }),
    SET.agents.get('other')!,
    team('helpers', ['carol@example.com']),
    tool('tickets'),
    SET.tools.get('metrics')!,
  )
  unwrap(await applyManifests(harness.deps, as.watcher, { set: wider, base: null }))
  const [widening] = await harness.rows('widening')
  const list = await server.call('GET', '/console/requests', alice)
  expect(list.text).toContain('access/bot/tickets')
  expect(list.text).toContain('+ scope comment')
  const path = `widenings/${widening!.id}/accept`
  const csrf = hidden(list, 'csrf')
  expect(
    (await server.call('GET', '/console/requests', await server.bearer('owner', 'bob@example.com'))).text,
  ).not.toContain('access/bot/tickets')
  expect((await decide(path, { csrf }, {})).status).toBe(403)
  expect((await decide(path, { csrf: 'x' })).status).toBe(403)
  expect((await decide(path, { csrf })).text).toContain('access/bot/tickets: accepted.')
  expect(await harness.row('widening', widening!.id)).toMatchObject({
    state: 'accepted',
    decidedBy: 'alice@example.com',
  })
})

test('a refused decision is on the trail with its precise reason (P8)', async () => {
  const id = await waiting()
  await decide(`requests/${id}/approve`, approval(await see(id)), { origin: 'https://evil.example.com' })
  expect((await server.harness.trail()).filter(({ kind }) => kind === 'refusal')).toMatchObject([
    { actor: { id: 'alice@example.com' }, body: { code: 'forbidden', detail: 'foreign or missing Origin' } },
  ])
})
