// Every role against every route, as the matrix of S7 says: the routes come from the OpenAPI document, the expectation
// from the matrix itself.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { mayAtAll } from '../../src/actions/list-rows.ts'
import type { Caller } from '../../src/actions/ports.ts'
import { ROUTES } from '../../src/adapters/http/routes.ts'
import { type Act, may } from '../../src/core/matrix.ts'
import { type ApiServer, apiServer, type Said } from '../support/api-server.ts'
import { unwrap } from '../support/store-on-disk.ts'

type Object_ = { readonly agent?: string; readonly tool?: string; readonly owner?: string }
type Fresh = { readonly path: string; readonly body?: unknown }
/** `on`: what is acted upon, null where it is a list and any right at all opens it. */
type Case = { readonly on: Object_ | null; fresh(server: ApiServer): Promise<Fresh> }

const fixed = (on: Object_ | null, path: string, body?: unknown): Case => ({ on, fresh: async () => ({ path, body }) })
const asked = { agent: 'bot', tool: 'tickets' }
const held = { agent: 'bot', tool: 'metrics' }

const request = (verb: string): Case => ({
  on: asked,
  async fresh(server) {
    const { token } = await server.session('bot')
    const said = await server.call('POST', '/v1/requests', token, {
      tool: 'tickets',
      scopes: ['read'],
      reason: 'INC-1',
      details: { queue: ['incidents'] },
    })
    const { id } = (said.json.request ?? (await anyRequest(server))) as { id: string }
    return { path: `/v1/requests/${id}${verb}` }
  },
})
const anyRequest = async (server: ApiServer) => (await server.harness.rows('request'))[0]
const holding = (kind: 'grants' | 'credentials' | 'receipts', verb: string): Case => ({
  on: held,
  async fresh({ harness }) {
    const session = await harness.session('bot')
    const grant = await harness.grant(session, 'metrics', ['read'])
    if (kind === 'grants') return { path: `/v1/grants/${grant.id}${verb}` }
    const { credential } = unwrap(await harness.credential(session, grant))
    if (kind === 'credentials') return { path: `/v1/credentials/${credential.id}${verb}` }
    const { revoke } = await import('../../src/actions/revoke.ts')
    const { operator } = await import('../support/store-on-disk.ts')
    const taken = unwrap(await revoke(harness.deps, operator, { kind: 'credential', id: credential.id, reason: null }))
    return { path: `/v1/receipts/${taken.id}` }
  },
})

const CASES: Readonly<Record<string, Case>> = {
  'get /agents': fixed(null, '/v1/agents'),
  'get /agents/{name}': fixed({ agent: 'bot' }, '/v1/agents/bot'),
  'get /sessions': fixed(null, '/v1/sessions'),
  'post /sessions/{id}/revoke': {
    on: { agent: 'bot' },
    fresh: async (server) => ({ path: `/v1/sessions/${(await server.harness.session('bot')).id}/revoke` }),
  },
  'get /grants': fixed(null, '/v1/grants'),
  'post /grants/{id}/revoke': holding('grants', '/revoke'),
  'get /credentials': fixed(null, '/v1/credentials'),
  'get /credentials/{id}': holding('credentials', ''),
  'post /credentials/{id}/revoke': holding('credentials', '/revoke'),
  'get /receipts/{id}': holding('receipts', ''),
  'get /requests': fixed(null, '/v1/requests'),
  'post /requests': fixed(null, '/v1/requests', { tool: 'metrics', scopes: ['read'], reason: 'INC-1' }),
  'get /requests/{id}': request(''),
  'post /requests/{id}/approve': request('/approve'),
  'post /requests/{id}/deny': request('/deny'),
  'post /requests/{id}/withdraw': { ...request('/withdraw') },
  'get /revisions': fixed(null, '/v1/revisions'),
  'post /revisions': fixed({}, '/v1/revisions', { files: {}, base: null }),
  'post /revisions/plan': fixed({}, '/v1/revisions/plan', { files: {} }),
  'get /revisions/{id}': {
    on: {},
    fresh: async ({ harness }) => ({ path: `/v1/revisions/${(await harness.rows('revision'))[0]!.id}` }),
  },
  'post /revisions/{id}/accept': fixed(null, '/v1/revisions/rev_none/accept'),
  'post /revisions/{id}/decline': fixed(null, '/v1/revisions/rev_none/decline'),
  'get /tools': fixed(null, '/v1/tools'),
  'post /inspect': fixed({}, '/v1/inspect', { token: 'found-somewhere' }),
  'post /tools/{name}/drill': fixed({ tool: 'tickets' }, '/v1/tools/tickets/drill', {}),
  'post /tools/{name}/reconcile': fixed({ tool: 'tickets' }, '/v1/tools/tickets/reconcile', {}),
  'get /tools/{name}/definitions': fixed({ tool: 'tickets' }, '/v1/tools/tickets/definitions'),
  'post /tools/{name}/definitions/pin': fixed({ tool: 'tickets' }, '/v1/tools/tickets/definitions/pin', {
    definitions: [{ name: 'comment', digest: 'a'.repeat(64) }],
  }),
  'post /tools/{name}/definitions/withdraw': fixed({ tool: 'tickets' }, '/v1/tools/tickets/definitions/withdraw', {
    names: ['comment'],
  }),
  'get /locks': fixed(null, '/v1/locks'),
  'post /locks': fixed({ tool: 'metrics' }, '/v1/locks', {
    kind: 'tool',
    name: 'metrics',
    reason: 'test',
    forSeconds: 1,
  }),
  'delete /locks/{id}': {
    on: { tool: 'metrics', owner: 'mia@example.com' },
    async fresh(server) {
      const lock = { kind: 'tool', name: 'metrics', reason: 'x' }
      const said = await server.call('POST', '/v1/locks', tokens.get('mia')!, lock)
      return { path: `/v1/locks/${(said.json.lock as { id: string }).id}` }
    },
  },
  'get /audit': fixed(null, '/v1/audit?limit=1'),
  'get /audit/checkpoint': fixed({}, '/v1/audit/checkpoint'),
  'get /audit/key': fixed(null, '/v1/audit/key'),
  'get /audit/proof': fixed({}, '/v1/audit/proof?index=0'),
  'get /audit/export': fixed({}, '/v1/audit/export'),
  'get /status': fixed({}, '/v1/status'),
  'get /can': fixed(asked, '/v1/can?agent=bot&tool=tickets&scope=read'),
  'get /whoami': fixed(null, '/v1/whoami'),
  'get /keys': fixed(null, '/v1/keys'),
  'post /keys/rotate': fixed({}, '/v1/keys/rotate', {}),
  'get /operator/tokens': fixed({}, '/v1/operator/tokens'),
  'post /operator/tokens': fixed({}, '/v1/operator/tokens', { kind: 'auditor', subject: 'x@example.com' }),
  'post /operator/tokens/{id}/revoke': fixed({}, '/v1/operator/tokens/brr_none/revoke'),
  'post /operator/clock/reset': fixed({}, '/v1/operator/clock/reset', {}),
  // Last: nothing of bot lives after it.
  'post /agents/{name}/decommission': fixed({ agent: 'bot' }, '/v1/agents/bot/decommission', { wait: false }),
}

const bearer = 'x'
/** Those who are refused come before those who may, so that a decommission ends nobody's turn. */
const CALLERS = {
  verifier: { role: 'verifier', tool: 'tickets', bearer },
  publisher: { role: 'publisher', id: 'ci@example.com', bearer },
  auditor: { role: 'auditor', id: 'audit@example.com', bearer },
  bot: { role: 'agent', agent: 'bot', session: 'x' },
  other: { role: 'agent', agent: 'other', session: 'x' },
  bob: { role: 'owner', email: 'bob@example.com', bearer },
  tina: { role: 'owner', email: 'tina@example.com', bearer },
  mia: { role: 'owner', email: 'mia@example.com', bearer },
  alice: { role: 'owner', email: 'alice@example.com', bearer },
  admin: { role: 'admin', id: 'admin@example.com', bearer },
  operator: { role: 'operator' },
} as const satisfies Record<string, Caller>
type Who = keyof typeof CALLERS

const AGENT_OWNERS: Readonly<Record<string, readonly string[]>> = {
  bot: ['alice@example.com', 'carol@example.com'],
  other: ['bob@example.com'],
}
const TOOL_OWNERS: Readonly<Record<string, readonly string[]>> = {
  tickets: ['tina@example.com'],
  metrics: ['mia@example.com'],
}

const allows = (who: Who, act: Act, on: Object_): boolean =>
  may(CALLERS[who], act, on, {
    agentOwners: AGENT_OWNERS[on.agent ?? ''] ?? [],
    toolOwners: TOOL_OWNERS[on.tool ?? ''] ?? [],
  })

function expected(who: Who, acts: readonly Act[], on: Object_ | null): boolean {
  if (who === 'verifier') return false
  if (acts.length === 0) return true
  return acts.some((act) => (on === null ? mayAtAll(CALLERS[who], act) : allows(who, act, on)))
}

let server: ApiServer
const tokens = new Map<Who, string>()
beforeAll(async () => {
  server = await apiServer()
  for (const [who, caller] of Object.entries(CALLERS) as [Who, Caller][]) {
    if (caller.role === 'verifier') tokens.set(who, await server.bearer('verifier', caller.tool))
    else if (caller.role === 'owner') tokens.set(who, await server.bearer('owner', caller.email))
    else if (caller.role !== 'agent' && caller.role !== 'operator')
      tokens.set(who, await server.bearer(caller.role, caller.id))
  }
})
afterAll(() => server.close())

async function callAs(who: Who, method: string, { path, body }: Fresh): Promise<Said> {
  const caller: Caller = CALLERS[who]
  if (caller.role === 'operator') return server.asOperator(method, path, body)
  // A session of its own: locks and revocations of other cases end earlier ones.
  const token = caller.role === 'agent' ? (await server.session(caller.agent)).token : tokens.get(who)!
  return server.call(method, path, token, body)
}

test('the OpenAPI document holds exactly the routes that this test walks (S7)', async () => {
  const { paths } = (await server.call('GET', '/v1/openapi.json', null)).json as {
    paths: Record<string, Record<string, { security: unknown; responses: Record<string, unknown> }>>
  }
  const documented = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method} ${path.slice(3)}`),
  )
  expect(documented.sort()).toEqual(Object.keys(CASES).sort())
  for (const methods of Object.values(paths))
    for (const { security, responses } of Object.values(methods)) {
      expect(security).toEqual([{ bearer: [] }])
      expect(Object.keys(responses)).toEqual(
        expect.arrayContaining(['400', '401', '403', '404', '409', '429', '500', '503']),
      )
    }
})

describe.each(Object.entries(CASES))('%s', (name, { on, fresh }) => {
  test.each(Object.keys(CALLERS) as Who[])('%s is allowed or refused as the matrix says (S7)', async (who) => {
    const route = ROUTES.find(({ method, path }) => `${method} ${path}` === name)
    const isAllowed = expected(who, route!.acts, on)
    const target = await fresh(server)
    server.harness.disk.clock.advance(2)
    const said = await callAs(who, route!.method.toUpperCase(), target)
    const refusedAs = said.status === 401 ? 'unauthenticated' : said.json.code === 'forbidden' ? 'forbidden' : null
    expect({ refusedAs, text: refusedAs === null ? '' : said.text }).toEqual({
      refusedAs: isAllowed ? null : who === 'verifier' ? 'unauthenticated' : 'forbidden',
      text: isAllowed ? '' : expect.any(String),
    })
    if (name.startsWith('delete')) await server.asOperator('DELETE', target.path)
  })
})

const LISTS: readonly [string, Act][] = [
  ['/v1/agents', 'agent.see'],
  ['/v1/sessions', 'session.see'],
  ['/v1/requests', 'request.see'],
  ['/v1/grants', 'grant.see'],
  ['/v1/credentials', 'credential.see'],
  ['/v1/audit', 'audit.read'],
]
test.each(LISTS)('%s shows nobody a row that is not theirs, and readers all of them (S7)', async (path, act) => {
  const rowsFor = async (who: Who) => {
    const items: Record<string, unknown>[] = []
    for (let after = ''; ; ) {
      const said = await callAs(who, 'GET', { path: `${path}?limit=500${after}` })
      const page = said.json as { items: Record<string, unknown>[]; next: string | null }
      items.push(...page.items)
      if (page.next === null) break
      after = `&after=${page.next}`
    }
    return items.map((row) => {
      const subject = (row.subject ?? row) as { agent?: string; tool?: string; name?: string }
      const { agent, tool } = path === '/v1/agents' ? { agent: subject.name, tool: undefined } : subject
      return { ...(agent === undefined ? {} : { agent }), ...(tool === undefined ? {} : { tool }) }
    })
  }
  const all = await rowsFor('operator')
  expect(all.length).toBeGreaterThan(0)
  for (const who of ['auditor', 'admin'] as const)
    expect((await rowsFor(who)).length).toBeGreaterThanOrEqual(all.length)
  for (const who of ['bob', 'tina', 'mia', 'alice'] as const)
    expect((await rowsFor(who)).sort()).toEqual(all.filter((row) => allows(who, act, row)).sort())
})
