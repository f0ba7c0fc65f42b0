// The 1.x SDK through the whole walk, from the first request to the receipt, at a tool behind the guard; and the 2.x
// client in both of its modes beside it. Each has a broker and tools of its own.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { decodeJwt } from 'jose'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { callTool } from '../../src/demo/call-tool.ts'
import { type Stage, setStage } from '../../src/demo/stage.ts'
import { MCP_CLIENTS, type McpAgent } from '../support/mcp-clients.ts'
import { testDatabase } from '../support/test-store.ts'
import { exchange } from '../tools/people-and-agents.ts'

const AGENT = 'triage-bot'
const ROLE = join('roles', 'incident-triage.yaml')
const WIDE = 'scopes: [ticket:read, ticket:comment]'
const NARROW = 'scopes: [ticket:read]'

const Pending = z.object({ status: z.literal('pending'), request: z.object({ id: z.string() }), approveUrl: z.url() })
const Granted = z.object({ status: z.literal('granted'), grant: z.object({ id: z.string() }) })
const Issued = z.object({ accessToken: z.string() })
const Rows = z.object({ items: z.array(z.looseObject({ id: z.string(), status: z.string() })) })
const Revisions = z.object({ items: z.array(z.object({ id: z.string(), waiting: z.number() })) })
const Receipt = z.looseObject({ id: z.string() })

const clients = Object.entries(MCP_CLIENTS).map(([name, connect], index) => ({ name, connect, index }))

/** All from the start: a broker believes no guard before its first lease is over, which is waited for once. */
let stages: Stage[] = []
beforeAll(async () => {
  stages = await Promise.all(clients.map(async () => setStage(await testDatabase())))
})
afterAll(async () => {
  for (const stage of stages) await stage.close()
})

describe.each(clients)('$name', ({ connect, index }) => {
  let stage: Stage
  let agent: McpAgent
  /** What it holds of the ticket desk, and of the metrics service. */
  let token: string
  let metricsToken: string
  let grant: string
  let receipt: string
  beforeAll(async () => {
    const own = stages[index]
    if (own === undefined) throw new Error('no stage')
    stage = own
    agent = await connect(stage.broker, AGENT)
  })
  afterAll(() => agent?.close())

  const tickets = (given = token, query = '') => callTool(`${stage.tickets.resource}/tickets${query}`, given)
  const comment = (given = token) =>
    callTool(`${stage.tickets.resource}/tickets/INC-1/comments`, given, { text: 'Looking into it.' })
  const metrics = (given = metricsToken) => callTool(`${stage.metrics.resource}/api/v1/query?query=up`, given)
  const ask = (scopes: readonly string[]) =>
    agent.call('request_access', {
      tool: 'tickets',
      scopes,
      details: { queue: ['incidents'] },
      reason: 'INC-1: checkout answers 502',
    })
  const approve = async (request: string) => {
    const { hash } = z.object({ hash: z.string() }).parse((await stage.owner.get(`/requests/${request}`)).body)
    return stage.owner.post(`/requests/${request}/approve`, { hash })
  }
  /** Asks, is approved by its owner, and redeems the grant. */
  const obtain = async (scopes: readonly string[]) => {
    const { request } = Pending.parse((await ask(scopes)).body)
    expect(await approve(request.id)).toMatchObject({ status: 200 })
    const status = Granted.parse((await agent.call('access_status', { requestId: request.id })).body)
    const minted = await exchange(stage.broker.url, agent.sessionToken(), status.grant.id)
    expect(minted.status).toBe(200)
    return { grant: status.grant.id, token: z.object({ access_token: z.string() }).parse(minted.body).access_token }
  }
  const askForMetrics = async () => {
    const asked = { tool: 'metrics', scopes: ['metrics:read'], reason: 'INC-1: is checkout up?' }
    const granted = Granted.parse((await agent.call('request_access', asked)).body)
    return Issued.parse((await agent.call('issue_token', { grantId: granted.grant.id })).body).accessToken
  }
  const editRole = (before: string, after: string) => {
    const path = join(stage.broker.scopesPath, ROLE)
    const text = readFileSync(path, 'utf8')
    expect(text).toContain(before)
    writeFileSync(path, text.replace(before, after))
  }
  const within = { timeout: 20_000, interval: 10 }
  const refusedAt = (call: () => Promise<{ status: number }>) =>
    vi.waitUntil(async () => (await call()).status === 401, within)

  test('asks, and cannot say yes itself: its owner does, to what was shown (P4)', async () => {
    const { request, approveUrl } = Pending.parse((await ask(['ticket:read', 'ticket:comment'])).body)
    expect(approveUrl).toBe(`${stage.broker.url}/requests/${request.id}`)
    const itself = await fetch(`${stage.broker.url}/v1/requests/${request.id}/approve`, {
      method: 'POST',
      headers: { authorization: `Bearer ${agent.sessionToken()}`, 'content-type': 'application/json' },
      body: '{}',
    })
    expect(itself.status).toBe(403)
    expect(await agent.call('access_status', { requestId: request.id })).toMatchObject({ body: { status: 'pending' } })
    const waiting = agent.call('access_status', { requestId: request.id, waitSeconds: 20 })
    expect(await approve(request.id)).toMatchObject({ status: 200 })
    grant = Granted.parse((await waiting).body).grant.id
  })

  test('mints by exchange and inline, and uses both tools within what was granted (P1, P2)', async () => {
    const minted = await exchange(stage.broker.url, agent.sessionToken(), grant)
    expect(minted.status).toBe(200)
    token = z.object({ access_token: z.string() }).parse(minted.body).access_token
    metricsToken = await askForMetrics()
    expect(await tickets()).toMatchObject({
      status: 200,
      body: { tickets: [{ id: 'INC-1' }, { id: 'INC-2' }] },
    })
    expect((await comment()).status).toBe(201)
    expect((await metrics()).status).toBe(200)
    const trail = await stage.admin.get(`/audit?jti=${decodeJwt(token).jti}`)
    expect(JSON.stringify(trail.body)).toContain('credential')
    expect(JSON.stringify(trail.body)).not.toContain(token)
  })

  test('is refused outside: another queue, another tool, and a scope that its manifest does not name (P2, P8)', async () => {
    expect((await tickets(token, '?queue=hr')).status).toBe(403)
    expect((await metrics(token)).status).toBe(401)
    expect((await tickets(metricsToken)).status).toBe(401)
    expect(await ask(['ticket:close'])).toMatchObject({
      isError: true,
      body: { error: { code: 'scope_not_in_manifest', manifestPatch: expect.stringContaining('ticket:close') } },
    })
  })

  test('narrowed: the token that is out is refused by itself, and so is asking again; the other tool goes on (P3)', async () => {
    editRole(WIDE, NARROW)
    await refusedAt(tickets)
    expect((await comment()).status).toBe(401)
    expect((await exchange(stage.broker.url, agent.sessionToken(), grant)).status).toBeGreaterThanOrEqual(400)
    expect(await ask(['ticket:comment'])).toMatchObject({ body: { error: { code: 'scope_not_in_manifest' } } })
    expect((await metrics()).status).toBe(200)
  })

  test('widened: nothing is given until an owner accepts, then it asks, mints and uses again (P3, S1)', async () => {
    editRole(NARROW, WIDE)
    const revision = await vi.waitUntil(async () => {
      const { items } = Revisions.parse((await stage.owner.get('/revisions')).body)
      return items.find(({ waiting }) => waiting > 0)
    }, within)
    expect(await ask(['ticket:comment'])).toMatchObject({ body: { error: { code: 'scope_not_in_manifest' } } })
    expect((await tickets()).status).toBe(401)
    expect(await stage.owner.post(`/revisions/${revision.id}/accept`)).toMatchObject({
      status: 200,
      body: { settled: [{ status: 'accepted' }] },
    })
    const dead = token
    const held = await obtain(['ticket:read', 'ticket:comment'])
    grant = held.grant
    token = held.token
    expect((await comment()).status).toBe(201)
    expect((await comment(dead)).status).toBe(401)
  })

  test('session revoked: its token, its grants and its credentials are refused at once (P5, S11)', async () => {
    const session = agent.sessionToken()
    const { items } = Rows.parse((await stage.owner.get(`/sessions?agent=${AGENT}`)).body)
    const open = items.filter(({ status }) => status === 'open').map(({ id }) => id)
    expect(open).toContain(decodeJwt(token).sid)
    for (const id of open) expect(await stage.owner.post(`/sessions/${id}/revoke`, {})).toMatchObject({ status: 200 })
    expect((await metrics()).status).toBe(401)
    await refusedAt(tickets)
    expect((await exchange(stage.broker.url, session, grant)).status).toBeGreaterThanOrEqual(400)
    const bySession = await fetch(`${stage.broker.url}/v1/requests`, {
      headers: { authorization: `Bearer ${session}` },
    })
    expect(bySession.status).toBe(401)
  })

  test('comes back with its key, holds nothing of before, and is granted anew (S11)', async () => {
    const dead = agent.sessionToken()
    await agent.close()
    agent = await connect(stage.broker, AGENT)
    expect(await agent.call('list_access')).toMatchObject({ isError: false, body: { grants: [] } })
    expect(agent.sessionToken()).not.toBe(dead)
    expect((await exchange(stage.broker.url, agent.sessionToken(), grant)).status).toBeGreaterThanOrEqual(400)
    const held = await obtain(['ticket:read'])
    grant = held.grant
    token = held.token
    metricsToken = await askForMetrics()
    expect((await tickets()).status).toBe(200)
    expect((await comment()).status).toBe(403)
    expect((await metrics()).status).toBe(200)
  })

  test('decommissioned: it is refused everywhere, and its key opens nothing any more (P6)', async () => {
    const reply = await stage.owner.post(`/agents/${AGENT}/decommission`, { reason: 'replaced', wait: false })
    expect(reply.status).toBe(200)
    receipt = Receipt.parse(reply.body).id
    const session = agent.sessionToken()
    expect((await metrics()).status).toBe(401)
    await refusedAt(tickets)
    expect((await exchange(stage.broker.url, session, grant)).status).toBeGreaterThanOrEqual(400)
    const warn = vi.spyOn(console, 'warn').mockReturnValue()
    await expect(agent.call('list_access')).rejects.toThrow()
    await expect(connect(stage.broker, AGENT)).rejects.toThrow(/decommissioned|invalid_client/)
    warn.mockRestore()
  })

  test('the receipt says so once each tool has confirmed (P5)', async () => {
    const { status, body } = await stage.owner.get(`/receipts/${receipt}?wait=30`)
    expect(status).toBe(200)
    expect(body).toMatchObject({ act: expect.stringContaining('decommission'), status: 'revoked' })
    const { confirmations } = z
      .object({ confirmations: z.array(z.looseObject({ tool: z.string(), status: z.string() })) })
      .parse(body)
    expect(confirmations.map(({ tool, status }) => `${tool} ${status}`).sort()).toEqual([
      'metrics revoked',
      'tickets revoked',
    ])
    expect(await stage.owner.get(`/agents/${AGENT}`)).toMatchObject({ body: { status: 'decommissioned' } })
    expect((await tickets()).status).toBe(401)
    expect((await metrics()).status).toBe(401)
  })
})
