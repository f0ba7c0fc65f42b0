// What a model is told when it is refused, and what the trail keeps of it.

import type { Client } from '@modelcontextprotocol/client'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { StoreUnavailable } from '../../src/actions/ports.ts'
import { PROBLEM_CODES } from '../../src/core/problem.ts'
import { type Served, serveMcp } from './support.ts'

let served: Served
let client: Client
beforeEach(async () => {
  served = await serveMcp()
  client = await served.client((await served.session('triage-bot')).token)
})
afterEach(() => served.close())

type Refused = {
  code: string
  message: string
  hint: string
  retryable: boolean
  nextTool?: string
  didYouMean?: string
}

async function refusal(name: string, args: Record<string, unknown>, by = client): Promise<Refused> {
  const { isError, structuredContent, content } = await by.callTool({ name, arguments: args })
  expect(isError).toBe(true)
  const { error } = structuredContent as { error: Refused }
  expect(PROBLEM_CODES).toContain(error.code)
  expect(error.hint.length).toBeGreaterThan(5)
  expect(JSON.stringify(content)).toContain(error.code)
  return error
}

const ASK = { tool: 'tickets', scopes: ['ticket:read'], reason: 'INC-1', details: { queue: ['incidents'] } }
const pendingId = async (by = client) => {
  const { structuredContent } = await by.callTool({ name: 'request_access', arguments: ASK })
  return (structuredContent as { request: { id: string } }).request.id
}
const lastRefusal = async () => (await served.trail()).findLast(({ kind }) => kind === 'refusal')

describe('input', () => {
  test('an argument that does not exist is named, with what was meant (P8)', async () => {
    const error = await refusal('request_access', { ...ASK, scope: 'ticket:read' })
    expect(error).toMatchObject({ code: 'invalid_request', didYouMean: 'scopes', nextTool: 'request_access' })
    expect(error.message).toContain('"scope"')
  })

  test.each([
    ['no reason', { ...ASK, reason: '   ' }],
    ['no scopes', { ...ASK, scopes: [] }],
    ['scopes as one text', { ...ASK, scopes: 'ticket:read' }],
    ['a duration of nothing', { ...ASK, durationSeconds: 0 }],
    ['half a second', { ...ASK, durationSeconds: 0.5 }],
    ['a duration before now', { ...ASK, durationSeconds: -60 }],
    ['details that are no lists', { ...ASK, details: { queue: 'incidents' } }],
    ['a detail without values', { ...ASK, details: { queue: [] } }],
    ['a detail whose name is none', { ...ASK, details: { 'a b': ['x'] } }],
    [
      'a detail named __proto__',
      JSON.parse('{"tool":"tickets","scopes":["ticket:read"],"reason":"x","details":{"__proto__":["x"]}}'),
    ],
    ['half a character', { ...ASK, details: { queue: ['\ud800'] } }],
    ['a line break in a name', { ...ASK, tool: 'tick\nets' }],
    ['too many scopes', { ...ASK, scopes: Array.from({ length: 65 }, (_, i) => `s${i}`) }],
    ['a long reason', { ...ASK, reason: 'x'.repeat(1001) }],
  ])('%s is refused before anything is asked (P8)', async (_what, args) => {
    expect((await refusal('request_access', args)).code).toBe('invalid_request')
    expect((await served.trail()).some(({ kind }) => kind === 'request.made')).toBe(false)
  })

  test('scopes in any order, twice, and null for what is left out are one and the same request', async () => {
    const ask = async (args: object) =>
      (await client.callTool({ name: 'request_access', arguments: { ...ASK, ...args } })).structuredContent
    const first = await ask({ scopes: ['ticket:read', 'ticket:comment'] })
    expect(await ask({ scopes: ['ticket:comment', 'ticket:read', 'ticket:read'], durationSeconds: null })).toEqual(
      first,
    )
  })

  test('a status wants one id, and waits fifty seconds at most', async () => {
    const requestId = await pendingId()
    expect((await refusal('access_status', {})).message).toContain('either requestId or grantId')
    expect((await refusal('access_status', { requestId, grantId: 'grt_1' })).code).toBe('invalid_request')
    expect((await refusal('access_status', { requestId, waitSeconds: 51 })).message).toContain('waitSeconds')
    expect((await refusal('release_access', {})).code).toBe('invalid_request')
  })

  test('a tool of another name is a protocol error that names the five (P8)', async () => {
    await expect(client.callTool({ name: 'list_acess', arguments: {} })).rejects.toThrow('Did you mean list_access?')
    expect(await lastRefusal()).toMatchObject({ body: { code: 'invalid_request', route: 'mcp unknown tool' } })
  })
})

describe('what is not its own', () => {
  test('a scope that was mistyped, or a tool: the nearest of its own is named (P8)', async () => {
    expect(await refusal('request_access', { ...ASK, scopes: ['ticket:raed'] })).toMatchObject({
      code: 'scope_not_in_manifest',
      didYouMean: 'ticket:read',
    })
    expect(await refusal('request_access', { ...ASK, tool: 'tickts' })).toMatchObject({
      code: 'unknown_tool',
      didYouMean: 'tickets',
    })
    expect(await refusal('request_access', { ...ASK, details: { queue: ['secret'] } })).toMatchObject({
      code: 'details_not_allowed',
    })
  })

  test("another agent's requests and grants do not exist for it (S7)", async () => {
    const requestId = await pendingId()
    const { grant } = await served.approve(requestId)
    const stranger = await served.client((await served.session('other-bot')).token)
    const calls: [string, Record<string, unknown>][] = [
      ['access_status', { requestId }],
      ['access_status', { grantId: grant.id }],
      ['issue_token', { grantId: grant.id }],
      ['release_access', { grantId: grant.id }],
      ['release_access', { requestId }],
    ]
    for (const [name, args] of calls) {
      const theirs = await refusal(name, args, stranger)
      const nobodys = await refusal(name, { [Object.keys(args)[0]!]: 'grt_unknown' }, stranger)
      expect(theirs).toEqual(nobodys)
    }
    expect((await client.callTool({ name: 'access_status', arguments: { grantId: grant.id } })).isError).toBeFalsy()
  })

  test("waiting on another agent's request takes no longer than on none at all (S7)", async () => {
    const requestId = await pendingId()
    const stranger = await served.client((await served.session('other-bot')).token)
    const since = Date.now()
    expect((await refusal('access_status', { requestId, waitSeconds: 50 }, stranger)).code).toBe('invalid_request')
    expect(Date.now() - since).toBeLessThan(5_000)
  })

  test('a grant that is not delivered inline gives no token to the model (P7)', async () => {
    const asked = await client.callTool({
      name: 'request_access',
      arguments: { tool: 'metrics', scopes: ['metrics:read'], reason: 'INC-1' },
    })
    const { grant, status } = asked.structuredContent as { status: string; grant: { id: string; delivery: string } }
    expect({ status, delivery: grant.delivery }).toEqual({ status: 'granted', delivery: 'exchange' })
    expect(await refusal('issue_token', { grantId: grant.id })).toMatchObject({ code: 'delivery_not_inline' })
  })
})

describe('an owner', () => {
  test('who says no is quoted, and the request can be withdrawn no more (P4)', async () => {
    const requestId = await pendingId()
    await served.deny(requestId, 'Use the dashboard.')
    expect(await refusal('access_status', { requestId })).toMatchObject({
      code: 'approval_denied',
      message: expect.stringContaining('Use the dashboard.'),
      retryable: false,
    })
    expect((await refusal('release_access', { requestId })).code).toBe('conflict')
  })

  test('who says nothing has said no (P4)', async () => {
    const requestId = await pendingId()
    served.clock.advance(3590)
    served.clock.advance(9)
    expect((await client.callTool({ name: 'access_status', arguments: { requestId } })).isError).toBeFalsy()
    served.clock.advance(1)
    client = await served.client((await served.session('triage-bot')).token)
    expect((await refusal('access_status', { requestId })).code).toBe('request_expired')
  })

  test('is spared a request that was withdrawn', async () => {
    const requestId = await pendingId()
    const withdrawn = await client.callTool({ name: 'release_access', arguments: { requestId } })
    expect(withdrawn.structuredContent).toEqual({ status: 'withdrawn' })
    expect((await refusal('access_status', { requestId })).code).toBe('request_expired')
  })

  test('is not woken by a flood (P8)', async () => {
    await served.close()
    served = await serveMcp({ ask: { capacity: 1, refillPerSecond: 0.1, maxKeys: 10 } })
    client = await served.client((await served.session('triage-bot')).token)
    await pendingId()
    expect(await refusal('request_access', ASK)).toMatchObject({ code: 'rate_limited', retryable: true })
  })
})

describe('the trail', () => {
  test('has the caller, the tool and the precise reason, which the caller does not get (P8)', async () => {
    const requestId = await pendingId()
    const { grant } = await served.approve(requestId)
    await client.callTool({ name: 'release_access', arguments: { grantId: grant.id } })
    const { message, hint } = await refusal('issue_token', { grantId: grant.id })
    expect(await lastRefusal()).toMatchObject({
      actor: { type: 'agent', id: 'triage-bot' },
      subject: { agent: 'triage-bot' },
      request: expect.stringMatching(/^rid_/),
      body: { code: 'grant_revoked', route: 'mcp issue_token', detail: expect.stringContaining('revoked by rvk_') },
    })
    expect(`${message} ${hint}`).not.toContain('rvk_')
    await refusal('request_access', { ...ASK, scopes: ['ticket:close'] })
    expect(await lastRefusal()).toMatchObject({ subject: { agent: 'triage-bot', tool: 'tickets' } })
    await refusal('request_access', { ...ASK, tool: 'Tickets OR 1=1', scopes: ['x'] })
    expect((await lastRefusal())?.subject).toEqual({ agent: 'triage-bot' })
  })

  test('that cannot be written means no token, and the caller is told so (P1, P10)', async () => {
    const { grant } = await served.approve(await pendingId())
    vi.spyOn(served.deps.store, 'commit').mockRejectedValue(new StoreUnavailable('the disk is full'))
    const { content, structuredContent } = await client.callTool({
      name: 'issue_token',
      arguments: { grantId: grant.id },
    })
    expect(structuredContent).toMatchObject({ error: { code: 'audit_unavailable', retryable: true } })
    expect(JSON.stringify(content)).not.toContain('eyJ')
  })

  test('a broken world is answered with an id to ask by, and nothing of what broke (P7)', async () => {
    vi.spyOn(served.deps.store, 'list').mockRejectedValue(new Error('SELECT secret FROM somewhere'))
    const error = await refusal('list_access', {})
    expect(error).toMatchObject({ code: 'internal', hint: expect.stringContaining('rid_') })
    expect(JSON.stringify(error)).not.toContain('SELECT')
    await expect(client.listTools()).rejects.toThrow(/Something broke here/)
  })
})
