// A token that was found somewhere: every kind of it is told apart, what it is under is said, and it can be taken away.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { issueCredential } from '../../src/actions/issue-credential.ts'
import { createTakingAway } from '../../src/actions/take-accounts-away.ts'
import type { Grant, Session } from '../../src/core/model.ts'
import { type ApiServer, apiServer } from '../support/api-server.ts'
import { type FakeTool, fakeTool } from '../support/fake-tool.ts'
import { accountTool, agent, entry, setOf, tool } from '../support/manifest-set.ts'
import { unwrap } from '../support/store-on-disk.ts'

const SET = setOf(
  accountTool('desk'),
  tool('plain', { token: { alg: 'ES256', maxTtlSeconds: 600, verifiedBy: 'alone', leewaySeconds: 60 } }),
  agent('bot', {
    access: [entry('desk', ['read'], { approval: 'none' }), entry('plain', ['read'], { approval: 'none' })],
  }),
)

let server: ApiServer
let desk: FakeTool
let session: Session
let admin: string
beforeAll(async () => {
  desk = fakeTool()
  server = await apiServer({}, {}, { set: SET, tools: new Map([['https://desk.example.com', desk]]) })
  admin = await server.bearer('admin', 'root@example.com')
  session = await server.harness.session('bot')
})
afterAll(() => server.close())

const inspect = (token: string, more: object = {}, by = admin) =>
  server.call('POST', '/v1/inspect', by, { token, ...more })
const mint = async (under: Grant) =>
  unwrap(
    await issueCredential(
      server.harness.deps,
      { role: 'agent', agent: 'bot', session: session.id },
      { grant: under.id, scopes: null, details: null, via: 'exchange' },
      'req_mint',
    ),
  )
const grantOn = (name: string) => server.harness.grant(session, name, ['read'])

describe('a found token', () => {
  test("that is an account's secret: whose, given where, tried in the tool, and dead once revoked (P1, P5)", async () => {
    const grant = await grantOn('desk')
    const { token } = await mint(grant)
    const { status, json } = await inspect(token)
    expect(status).toBe(200)
    expect(json).toMatchObject({
      found: 'account',
      agent: 'bot',
      tool: 'desk',
      grant: grant.id,
      session: session.id,
      scopes: ['read'],
      approval: 'none',
      manifest: { file: expect.any(String), line: expect.any(Number) },
      alive: true,
      places: [{ alive: true, how: expect.stringContaining('tried just now') }],
    })
    expect(desk.works(token)).toBe(true)
    expect((await inspect(`  token ${token}\n`)).json).toMatchObject({ found: 'account' })

    const taken = await inspect(token, { revoke: true, reason: 'in a paste bin' })
    expect(taken.json).toMatchObject({ receipt: { act: 'credential revoked', reason: 'in a paste bin' } })
    await createTakingAway(server.harness.deps).round()
    expect(desk.works(token)).toBe(false)
    expect((await inspect(token)).json).toMatchObject({ found: 'account', agent: 'bot', alive: false })
  })

  test('that is a credential of ours: by its signature, and past its end by its claims; altered it is nothing (S14)', async () => {
    const grant = await grantOn('plain')
    const { token, credential } = await mint(grant)
    expect((await inspect(`Bearer ${token}`)).json).toMatchObject({
      found: 'credential',
      id: credential.id,
      agent: 'bot',
      alive: true,
    })
    const [head = '', body = '', signature = ''] = token.split('.')
    const claims = JSON.parse(Buffer.from(body, 'base64url').toString())
    const altered = Buffer.from(JSON.stringify({ ...claims, sub: 'other' })).toString('base64url')
    expect((await inspect(`${head}.${altered}.${signature}`)).json).toMatchObject({ found: 'nothing' })
    const broken = Buffer.from(`{"jti":"${credential.id}","x":"\\ud800","y":${'['.repeat(99)}${']'.repeat(99)}}`)
    expect((await inspect(`${head}.${broken.toString('base64url')}.${signature}`)).json.found).toBe('nothing')
    expect((await inspect(token, { revoke: true })).json).toMatchObject({
      receipt: { target: `credential/${credential.id}` },
    })
    // Its verifier asks nobody (S15).
    expect((await inspect(token)).json).toMatchObject({
      alive: true,
      places: [{ alive: true, how: expect.stringContaining('asks nobody until') }],
    })
    server.harness.disk.clock.advance(900)
    expect((await inspect(token)).json).toMatchObject({ found: 'credential', id: credential.id, alive: false })
  })

  test("that is a person's bearer: named, and revoked by the operator alone (S7, S10)", async () => {
    const owner = await server.bearer('owner', 'tina@example.com')
    expect((await inspect(owner)).json).toMatchObject({ found: 'bearer', owners: ['tina@example.com'], alive: true })
    expect((await inspect(owner, { revoke: true })).status).toBe(403)
  })

  test('that is nothing of ours says so, on the trail too, and is itself nowhere (P7)', async () => {
    for (const stray of [
      'hunter2',
      'hp_owner_x',
      'a.b.c',
      'eyJhbGciOiJub25lIn0.eyJqdGkiOiJ4In0.',
      '{}',
      '\u0000',
      'é'.repeat(999),
    ])
      expect((await inspect(stray)).json).toMatchObject({ found: 'nothing', alive: false, places: [] })
    const trail = await server.harness.trail()
    expect(trail.filter(({ kind }) => kind === 'token.inspected').at(-1)?.body).toEqual({ found: 'nothing' })
    expect(JSON.stringify(trail)).not.toContain('hunter2')
  })

  test('is shown to an auditor, who takes nothing away, and to no owner or agent (S7)', async () => {
    const { token } = await mint(await grantOn('plain'))
    const auditor = await server.bearer('auditor', 'audit@example.com')
    expect((await inspect(token, {}, auditor)).json).toMatchObject({ found: 'credential' })
    expect((await inspect(token, { revoke: true }, auditor)).status).toBe(403)
    expect((await inspect(token, {}, await server.bearer('owner', 'lead@example.com'))).status).toBe(403)
    expect((await inspect('x'.repeat(9000))).status).toBe(400)
  })
})
