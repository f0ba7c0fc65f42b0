// The whole broker, walked by clients that nobody here wrote: the official MCP client in both eras and the older SDK,
// each authenticating by itself from nothing but the MCP URL and a key, and an independent OAuth client.

import { importPKCS8 } from 'jose'
import * as oauth from 'oauth4webapi'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { SAMPLE_OWNERS, type SampleBroker, startSampleBroker } from '../../src/commands/sample-broker.ts'
import { keyOf, MCP_CLIENTS } from '../support/mcp-clients.ts'
import { testDatabase } from '../support/test-store.ts'

let broker: SampleBroker
let owner: string
beforeAll(async () => {
  broker = await startSampleBroker(await testDatabase())
  owner = await broker.ownerToken(SAMPLE_OWNERS.agents)
})
afterAll(() => broker.close())

const TICKETS = 'http://127.0.0.1:8431'

const api = async (method: string, path: string, token: string, body?: unknown) => {
  const response = await fetch(`${broker.url}/v1${path}`, {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, body: text === '' ? null : JSON.parse(text) }
}

describe.each(Object.entries(MCP_CLIENTS))('%s', (name, connect) => {
  const seconds = 600 + Object.keys(MCP_CLIENTS).indexOf(name)

  test('authenticates by itself, asks, waits, is approved, and holds a grant (P4)', async () => {
    const agent = await connect(broker, 'triage-bot')
    expect(await agent.tools()).toEqual([
      'list_access',
      'request_access',
      'access_status',
      'issue_token',
      'release_access',
    ])
    const listed = await agent.call('list_access')
    expect(listed.body).toMatchObject({ agent: 'triage-bot', access: [{ tool: 'metrics' }, { tool: 'tickets' }] })

    const ask = {
      tool: 'tickets',
      scopes: ['ticket:comment'],
      reason: 'INC-4711',
      details: { queue: ['incidents'] },
      durationSeconds: seconds,
    }
    const pending = await agent.call('request_access', ask)
    expect(pending.body).toMatchObject({
      status: 'pending',
      request: { status: 'pending' },
      approveUrl: expect.stringContaining(broker.url),
    })
    const request = z.object({ request: z.object({ id: z.string() }) }).parse(pending.body).request.id

    const waiting = agent.call('access_status', { requestId: request, waitSeconds: 20 })
    const shown = await api('GET', `/requests/${request}`, owner)
    expect(shown.body).toMatchObject({ id: request, agent: 'triage-bot', reason: 'INC-4711' })
    expect(await api('POST', `/requests/${request}/approve`, owner, { hash: shown.body.hash })).toMatchObject({
      status: 200,
    })
    const granted = await waiting
    expect(granted.body).toMatchObject({
      status: 'granted',
      grant: { tool: 'tickets', scopes: ['ticket:comment'], delivery: 'exchange', use: { resource: TICKETS } },
    })
    const grant = z.object({ grant: z.object({ id: z.string() }) }).parse(granted.body).grant.id
    expect(await agent.call('request_access', ask)).toMatchObject({ body: { status: 'granted', grant: { id: grant } } })
    expect(await agent.call('issue_token', { grantId: grant })).toMatchObject({
      isError: true,
      body: { error: { code: 'delivery_not_inline' } },
    })
    expect(await agent.call('release_access', { grantId: grant })).toMatchObject({ isError: false })
    await agent.close()
  })

  test('mints inline where the manifest says so, and is refused outside its scope with the patch (P7, P8)', async () => {
    const agent = await connect(broker, 'triage-bot')
    const granted = await agent.call('request_access', {
      tool: 'metrics',
      scopes: ['metrics:read'],
      reason: 'INC-4711',
    })
    const grant = z.object({ grant: z.object({ id: z.string() }) }).parse(granted.body).grant.id
    const issued = await agent.call('issue_token', { grantId: grant })
    expect(issued.body).toMatchObject({
      tokenType: 'Bearer',
      scopes: ['metrics:read'],
      accessToken: expect.stringMatching(/^eyJ/),
    })
    const refused = await agent.call('request_access', { tool: 'metrics', scopes: ['metrics:admin'], reason: 'x' })
    expect(refused).toMatchObject({
      isError: true,
      body: { error: { code: 'scope_not_in_manifest', manifestPatch: expect.stringContaining('metrics:admin') } },
    })
    await agent.close()
  })

  test('is cut off with its session at the very next call, and may open a new one with its key (S11)', async () => {
    const agent = await connect(broker, 'triage-bot')
    await agent.call('list_access')
    const sessions = await api('GET', '/sessions?agent=triage-bot&limit=500', broker.adminToken)
    for (const { id, status } of sessions.body.items)
      if (status === 'open') await api('POST', `/sessions/${id}/revoke`, broker.adminToken, {})
    const before = (await api('GET', '/sessions?agent=triage-bot&limit=500', broker.adminToken)).body.items.length
    await agent.call('list_access').catch(() => null)
    const after = await api('GET', '/sessions?agent=triage-bot&limit=500', broker.adminToken)
    expect(after.body.items.length).toBeGreaterThan(before)
    await agent.close()
  })
})

describe('an independent OAuth client (oauth4webapi)', () => {
  const insecure = { [oauth.allowInsecureRequests]: true }

  test('walks discovery, token, exchange, introspection and revocation', async () => {
    const issuer = new URL(broker.url)
    const as = await oauth.processDiscoveryResponse(
      issuer,
      await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure }),
    )
    const client: oauth.Client = { client_id: 'triage-bot' }
    const auth = oauth.PrivateKeyJwt(await importPKCS8(keyOf(broker, 'triage-bot'), 'ES256'))
    const opened = await oauth.processClientCredentialsResponse(
      as,
      client,
      await oauth.clientCredentialsGrantRequest(as, client, auth, {}, insecure),
    )
    const asked = await api('POST', '/requests', opened.access_token, {
      tool: 'tickets',
      scopes: ['ticket:read'],
      reason: 'INC-1',
      details: { queue: ['incidents'] },
    })
    expect(asked.body.status).toBe('pending')
    await api('POST', `/requests/${asked.body.request.id}/approve`, owner, {})
    const exchange = {
      subject_token: opened.access_token,
      subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      audience: 'tickets',
      scope: 'ticket:read',
    }
    const response = await oauth.genericTokenEndpointRequest(
      as,
      client,
      auth,
      'urn:ietf:params:oauth:grant-type:token-exchange',
      exchange,
      insecure,
    )
    const minted = await oauth.processGenericTokenEndpointResponse(as, client, response)
    expect(minted).toMatchObject({ token_type: 'bearer', scope: 'ticket:read' })

    const request = new Request(TICKETS, { headers: { authorization: `Bearer ${minted.access_token}` } })
    expect(await oauth.validateJwtAccessToken(as, request, TICKETS, insecure)).toMatchObject({
      sub: 'triage-bot',
      aud: TICKETS,
      authorization_details: [{ type: 'hallpass_details', constraints: { queue: ['incidents'] } }],
    })

    const verifier = await broker.verifierToken('tickets')
    const introspect = async () =>
      oauth.processIntrospectionResponse(
        as,
        { client_id: 'tickets' },
        await oauth.introspectionRequest(
          as,
          { client_id: 'tickets' },
          oauth.ClientSecretBasic(verifier),
          minted.access_token,
          insecure,
        ),
      )
    expect(await introspect()).toMatchObject({ active: true, sub: 'triage-bot', scope: 'ticket:read' })
    await oauth.processRevocationResponse(
      await oauth.revocationRequest(as, client, auth, minted.access_token, insecure),
    )
    expect(await introspect()).toEqual({ active: false })
  })
})
