// What the outside sees of accounts: how a secret is answered at the token endpoint, and the tools over the API.

import type { AddressInfo } from 'node:net'
import { createAdaptorServer } from '@hono/node-server'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createTakingAway } from '../../src/actions/take-accounts-away.ts'
import { createOauthApp } from '../../src/adapters/oauth/oauth-app.ts'
import { createFrontDoor } from '../../src/wire/front-door.ts'
import { type ApiServer, apiServer } from '../support/api-server.ts'
import { type FakeTool, fakeTool } from '../support/fake-tool.ts'
import { accountTool, agent, entry, setOf, tool } from '../support/manifest-set.ts'
import { silentLog } from '../support/store-on-disk.ts'

let server: ApiServer
let desk: FakeTool
let oauth: ReturnType<typeof createAdaptorServer>

beforeAll(async () => {
  desk = fakeTool()
  const set = setOf(
    accountTool('desk'),
    tool('plain'),
    agent('bot', { access: [entry('desk', ['read'], { approval: 'none' })] }),
  )
  server = await apiServer({}, {}, { set, tools: new Map([['https://desk.example.com', desk]]) })
  const door = createFrontDoor(
    { log: silentLog, ids: server.harness.deps.ids, allowedHosts: ['127.0.0.1'], operator: false },
    (app) => void app.route('/', createOauthApp(server.edge)),
  )
  oauth = createAdaptorServer({ fetch: door.fetch })
  await new Promise<void>((resolve) => oauth.listen(0, '127.0.0.1', () => resolve()))
})
afterAll(async () => {
  oauth.close()
  await server.close()
})

async function exchange() {
  const { id, token } = await server.session('bot')
  const session = (await server.harness.row('session', id))!
  const grant = await server.harness.grant(session, 'desk', ['read'])
  const answer = await fetch(`http://127.0.0.1:${(oauth.address() as AddressInfo).port}/oauth/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: token,
      subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      grant_id: grant.id,
    }),
  })
  return {
    status: answer.status,
    cache: answer.headers.get('cache-control'),
    json: (await answer.json()) as Readonly<Record<string, string>>,
  }
}

describe('over the edges', () => {
  test('a tool that is down: the exchange says to try again, and nothing of the tool is shown (P8)', async () => {
    desk.fault = () => 'down'
    const { status, json } = await exchange()
    desk.fault = () => null
    expect(status).toBeGreaterThanOrEqual(429)
    expect(JSON.stringify(json)).not.toContain('ECONNREFUSED')
  })

  test('an exchange answers the tool’s own secret, that is no bearer token, and how it is sent (RFC 8693 2.2.1)', async () => {
    const { status, cache, json } = await exchange()
    expect([status, cache]).toEqual([200, 'no-store'])
    expect(json).toMatchObject({ token_type: 'N_A', hallpass_use: { header: 'X-Fake-Key', prefix: 'key ' } })
    expect(desk.works(json.access_token ?? '')).toBe(true)
  })

  test('tools are listed with what is in them, and looked through by an admin and their owner (S7)', async () => {
    const admin = await server.bearer('admin', 'root@example.com')
    const tina = await server.bearer('owner', 'tina@example.com')
    desk.accounts.set('eve', { external: 'e', secret: 'x', rights: ['Read'], active: true })
    for (const as of [admin, tina])
      expect((await server.call('POST', '/v1/tools/desk/reconcile', as, {})).json).toMatchObject({
        managed: 1,
        found: 1,
        findings: [{ finding: 'other', name: 'eve', did: 'reported' }],
      })
    expect((await server.call('POST', '/v1/tools/plain/reconcile', admin, {})).status).toBe(400)
    expect((await server.call('POST', '/v1/tools/none/reconcile', admin, {})).status).toBe(404)
    const { items } = (await server.call('GET', '/v1/tools', tina)).json as { items: { name: string }[] }
    expect(items.find(({ name }) => name === 'desk')).toMatchObject({
      target: 'redmine',
      accounts: 1,
      reachable: true,
      reconciled: { found: 1 },
    })
    expect((await server.call('GET', '/v1/status', admin)).json.tools).toMatchObject([{ tool: 'desk', found: 1 }])
    expect((await server.call('GET', '/metrics', admin)).text).toMatch(/hallpass_tool_drift\{finding="other"\} 1/)
  })

  test('a receipt shows each account, and when the tool was seen without it (P5)', async () => {
    const admin = await server.bearer('admin', 'root@example.com')
    const taken = await server.call('POST', '/v1/agents/bot/decommission', admin, { reason: 'x' })
    await createTakingAway(server.harness.deps).round()
    const { reconcileTargets } = await import('../../src/actions/reconcile-targets.ts')
    await reconcileTargets(server.harness.deps, new Set())
    const { id } = (taken.json.receipt ?? taken.json) as { id: string }
    const receipt = (await server.call('GET', `/v1/receipts/${id}`, admin)).json
    expect(receipt).toMatchObject({
      status: 'revoked',
      confirmations: [{ tool: 'desk', verifiedBy: 'target', status: 'revoked', accounts: [{ status: 'gone' }] }],
    })
    expect(desk.active()).toEqual(['eve'])
  })

  test('metrics say which tool is left alone after failures (P5, P10)', async () => {
    const admin = await server.bearer('admin', 'root@example.com')
    const metrics = async () => (await server.call('GET', '/metrics', admin)).text
    expect(await metrics()).toMatch(/hallpass_tool_left_alone\{tool="desk"\} 0/)
    desk.fault = () => 'error'
    for (let left = 6; left > 0; left--) await server.call('POST', '/v1/tools/desk/reconcile', admin, {})
    const text = await metrics()
    desk.fault = () => null
    expect(text).toMatch(/hallpass_tool_left_alone\{tool="desk"\} 1/)
    expect(text).toMatch(/hallpass_accounts_outstanding 0/)
    expect(text).not.toMatch(/tool_left_alone\{tool="plain"/)
  })
})
