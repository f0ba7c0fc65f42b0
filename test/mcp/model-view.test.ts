// What a model reads of Hallpass, printed in full into model-view.txt for a person to read aloud, and held to a size.

import type { Client } from '@modelcontextprotocol/client'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { StoreUnavailable } from '../../src/actions/ports.ts'
import { agent, entry, scope, tool } from '../support/manifest-set.ts'
import { manifests, type Served, serveMcp } from './support.ts'

/** Tokens of the instructions and the tools of an agent with three tools: what it costs to have Hallpass at hand. */
const BUDGET = 1_500
/** Tokenizers of 2026 take 4 bytes and more of English and JSON for one: this counts too many. */
const BYTES_PER_TOKEN = 3.5

const tokensOf = (text: string): number => Math.ceil(Buffer.byteLength(text) / BYTES_PER_TOKEN)

let served: Served
let client: Client
beforeEach(async () => {
  served = await serveMcp({ ask: { capacity: 40, refillPerSecond: 0.1, maxKeys: 10 } })
  await served.put({ kind: 'tool', row: { ...(await toolRow()), id: 'alerts' } })
  await served.inForce(...inForce())
  client = await served.client((await served.session('triage-bot')).token)
})
afterEach(() => served.close())

const toolRow = async () => (await served.deps.store.read(['tool/metrics'])).get('tool', 'metrics')!

const TICKETS = { details: { queue: ['incidents'] }, delivery: 'inline' } as const
const triageBot = (...scopes: string[]) =>
  agent('triage-bot', {
    access: [
      entry('alerts', ['alert:read', 'alert:silence']),
      entry('metrics', ['metrics:read'], { approval: 'none' }),
      entry('tickets', scopes, TICKETS),
    ],
  })
/** Three tools, five scopes. */
const inForce = (...scopes: string[]) => [
  ...manifests().filter(({ name }) => name !== 'triage-bot'),
  tool('alerts', {
    category: 'observability',
    scopes: {
      'alert:read': scope({ description: 'Read alerts' }),
      'alert:silence': scope({ description: 'Silence an alert', risk: 'medium' }),
    },
    details: {},
  }),
  triageBot(...(scopes.length === 0 ? ['ticket:read', 'ticket:comment'] : scopes)),
]

/** Ids, ports and words differ from run to run. */
const steady = (text: string): string =>
  text
    .replaceAll(served.issuer, 'https://hallpass.example.com')
    .replaceAll(/\b(req|grt|rid|rvk|ses|rev)_[A-Za-z0-9_-]{8,}/g, '$1_…')
    .replaceAll(/eyJ[A-Za-z0-9_.-]+/g, 'eyJ…')
    .replaceAll(/(with the words "|"words":")[^"]+"/g, '$1amber otter"')

async function said(name: string, args: Record<string, unknown>, by = client) {
  const { content, structuredContent, isError } = await by.callTool({ name, arguments: args })
  const [first] = content as { type: string; text: string }[]
  const { error } = (structuredContent ?? {}) as { error?: { code: string } }
  return {
    text: steady(first!.text),
    structured: structuredContent as Record<string, never>,
    isError,
    code: error?.code,
  }
}

const put = (heading: string, text: string): string => `── ${heading}\n${text}\n`

test('the instructions and the tools cost a model little, and the whole is written down', async () => {
  const { tools } = await client.listTools()
  const instructions = client.getInstructions() ?? ''
  const toModel = tools.map(({ name, description, inputSchema }) => ({ name, description, inputSchema }))
  const tokens = tokensOf(instructions + JSON.stringify(toModel))
  const onTheWire = tokensOf(JSON.stringify(tools))
  const page = [
    put('instructions', instructions),
    ...toModel.map(({ name, description, inputSchema }) =>
      put(name, `${description}\n${JSON.stringify(inputSchema, null, 1).replaceAll(/\n */g, ' ')}`),
    ),
    put('size', `instructions and tools as a client puts them to a model: ${tokens} tokens at most`),
  ]
  await expect(page.join('\n')).toMatchFileSnapshot('model-view/tools.txt')
  expect(tokens).toBeLessThan(BUDGET)
  // With titles, annotations and output schemas, which clients read and models do not.
  expect(onTheWire).toBeLessThan(2 * BUDGET)
})

test('every answer and every refusal that a call can meet is written down (P8)', async () => {
  const pages: string[] = []
  const met = new Set<string>()
  const note = async (what: string, name: string, args: Record<string, unknown>, by = client) => {
    const { text, isError, code, structured } = await said(name, args, by)
    if (code !== undefined) met.add(code)
    pages.push(put(`${what}: ${name} ${steady(JSON.stringify(args))}${isError ? ' (isError)' : ''}`, text))
    return structured
  }
  const tickets = {
    tool: 'tickets',
    scopes: ['ticket:read'],
    reason: 'INC-4211: find the cause',
    details: { queue: ['incidents'] },
  }
  const alerts = { tool: 'alerts', scopes: ['alert:silence'], reason: 'INC-4211: stop the paging' }
  const idOf = (structured: Record<string, { id: string }>, key: 'grant' | 'request') => structured[key]!.id

  await note('nothing held yet', 'list_access', {})
  const pending = idOf(await note('an owner has to decide', 'request_access', tickets), 'request')
  await note('still waiting', 'access_status', { requestId: pending })
  await note('no token of a request', 'issue_token', { grantId: pending })
  await served.approve(pending)
  const held = idOf(await note('approved', 'access_status', { requestId: pending }), 'grant')
  await note('a token', 'issue_token', { grantId: held })
  const free = await note('no owner needed', 'request_access', {
    tool: 'metrics',
    scopes: ['metrics:read'],
    reason: 'INC-4211',
  })
  await note('delivered otherwise', 'issue_token', { grantId: idOf(free, 'grant') })
  await note('something held', 'list_access', {})
  await note('given back', 'release_access', { grantId: held })
  await note('no more', 'issue_token', { grantId: held })
  await note('no more', 'access_status', { grantId: held })

  const denied = idOf(await note('asked', 'request_access', alerts), 'request')
  await served.deny(denied, 'Use the dashboard.')
  await note('denied', 'access_status', { requestId: denied })
  const withdrawn = idOf(await note('asked', 'request_access', { ...alerts, reason: 'INC-4212' }), 'request')
  await note('withdrawn', 'release_access', { requestId: withdrawn })
  await note('withdrawn before', 'access_status', { requestId: withdrawn })
  await note('settled before', 'release_access', { requestId: denied })

  await note('a tool that is not its own', 'request_access', { ...tickets, tool: 'tickts' })
  await note('a scope that was mistyped', 'request_access', { ...tickets, scopes: ['ticket:raed'] })
  await note('a scope that it may not have', 'request_access', { ...tickets, scopes: ['ticket:close'] })
  await note('details beyond its own', 'request_access', { ...tickets, details: { queue: ['secret'] } })
  await note('no details where there are limits', 'request_access', { ...tickets, details: {} })
  await note('an argument that does not exist', 'request_access', { ...tickets, scope: 'ticket:read' })
  await note('no reason', 'request_access', { ...tickets, reason: '' })
  await note('neither id', 'access_status', {})
  await note('an id of nobody', 'access_status', { requestId: 'req_unknown' })
  await note('an id of nobody', 'issue_token', { grantId: 'grt_unknown' })
  await note('arguments where there are none', 'list_access', { tool: 'tickets' })

  const narrowed = idOf(await note('asked', 'request_access', { ...tickets, reason: 'INC-4213' }), 'request')
  const { grant } = await served.approve(narrowed)
  await served.inForce(...inForce('ticket:comment'))
  await note('its scope was taken out of the manifest', 'issue_token', { grantId: grant.id })
  await served.inForce(...inForce())
  const late = idOf(await note('asked', 'request_access', { ...alerts, reason: 'INC-4214' }), 'request')
  served.clock.advance(3_599)
  served.clock.advance(9)
  client = await served.client((await served.session('triage-bot')).token)
  await note('nobody decided', 'access_status', { requestId: late })
  const alertsRow = { ...(await toolRow()), id: 'alerts' }
  const lock = { id: 'lok_1', until: null, by: 'admin', since: served.clock.now() } as const
  await served.put({ kind: 'tool', row: { ...alertsRow, locks: [lock] } })
  await note('a tool that is locked', 'request_access', { ...alerts, reason: 'INC-4215' })
  await served.put({ kind: 'tool', row: alertsRow })

  const list = vi.spyOn(served.deps.store, 'list').mockRejectedValue(new StoreUnavailable('the disk is full'))
  await note('the store cannot be used', 'list_access', {})
  list.mockRejectedValue(new Error('a bug'))
  await note('something broke', 'list_access', {})
  list.mockRestore()
  for (let i = 0; i < 40; i++) await said('request_access', { ...alerts, reason: 'x' })
  await note('too often', 'request_access', alerts)
  await expect(client.callTool({ name: 'list_acess', arguments: {} })).rejects.toThrow('Did you mean list_access?')

  await expect(pages.join('\n')).toMatchFileSnapshot('model-view/answers.txt')
  // The rest says that the agent itself may do nothing: its client is told so before MCP is spoken, or at the next call.
  expect([...met].sort()).toEqual([
    'approval_denied',
    'audit_unavailable',
    'conflict',
    'delivery_not_inline',
    'details_not_allowed',
    'grant_expired',
    'grant_revoked',
    'internal',
    'invalid_request',
    'rate_limited',
    'request_expired',
    'scope_not_in_manifest',
    'tool_locked',
    'unknown_tool',
  ])
})
