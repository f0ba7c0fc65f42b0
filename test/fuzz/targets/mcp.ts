// JSON-RPC bodies at /mcp under a good session, of both protocol eras. Whatever an agent writes, it holds no more afterwards
// than its manifest lets it have.

import { mutateJson, mutateText, spell } from '../mutate.ts'
import type { Random } from '../random.ts'
import { mustHold, type Target } from '../target.ts'
import { openWholeBroker } from '../whole-broker.ts'

const META = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientInfo': { name: 'fuzz', version: '1' },
}
/** What decides how it is told to wait. */
const CAPABILITIES = [{}, { elicitation: { url: {} } }, { extensions: { 'io.modelcontextprotocol/tasks': {} } }]
const VERSIONS = ['2025-03-26', '2025-06-18', '2025-11-25', '2025-06-18', '2025-11-25', '2026-07-28', '1']

/** As it is, changed within its arguments or parameters, or anywhere. */
function changed(random: Random, message: object): unknown {
  const kind = random.below(5)
  if (kind === 0) return message
  if (kind === 1 || !('params' in message)) return mutateJson(random, message)
  const params: Record<string, unknown> = Object(message.params)
  if (params.arguments === undefined) return { ...message, params: mutateJson(random, params) }
  return { ...message, params: { ...params, arguments: mutateJson(random, params.arguments) } }
}

export const mcp: Target = {
  name: 'mcp',
  freshAfter: 1_500,
  async open() {
    const broker = await openWholeBroker()
    const rpc = (method: string, params: object = {}) => ({ jsonrpc: '2.0', id: 1, method, params })
    const tool = (name: string, given: object) => rpc('tools/call', { name, arguments: given })
    const ask = {
      tool: 'tickets',
      scopes: ['read'],
      reason: 'INC-1',
      durationSeconds: 600,
      details: { queue: ['incidents'] },
    }
    const corpus: object[] = [
      rpc('initialize', {
        protocolVersion: '2025-06-18',
        capabilities: {},
        clientInfo: { name: 'fuzz', version: '1' },
      }),
      { jsonrpc: '2.0', method: 'notifications/initialized' },
      rpc('ping'),
      rpc('tools/list', { cursor: 'x' }),
      rpc('server/discover', { _meta: META }),
      rpc('subscriptions/listen', { _meta: META, notifications: { toolsListChanged: true } }),
      tool('list_access', {}),
      tool('request_access', ask),
      tool('request_access', { ...ask, tool: 'metrics', details: {} }),
      rpc('tools/call', {
        name: 'request_access',
        arguments: ask,
        requestState: `req_${'0'.repeat(32)}.${'A'.repeat(43)}`,
        inputResponses: { owner: { action: 'accept' } },
      }),
      ...['get', 'update', 'cancel'].map((what) =>
        rpc(`tasks/${what}`, { taskId: `req_${'0'.repeat(32)}`, inputResponses: {} }),
      ),
      tool('access_status', { grantId: broker.grant.id, waitSeconds: 0 }),
      tool('issue_token', { grantId: broker.grant.id }),
      tool('release_access', { grantId: 'grt_none' }),
      [rpc('ping'), tool('list_access', {})],
      rpc('resources/list'),
      rpc('resources/templates/list'),
      rpc('resources/read', { uri: 'hallpass://access' }),
      rpc('resources/read', { uri: `hallpass://grants/${broker.grant.id}` }),
      rpc('resources/subscribe', { uri: `hallpass://grants/${broker.grant.id}` }),
      rpc('resources/unsubscribe', { uri: 'hallpass://access' }),
      rpc('prompts/list'),
      rpc('prompts/get', { name: 'ask_for_access', arguments: { task: 'INC-1', tool: 'tickets' } }),
      { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 1 } },
      { jsonrpc: '2.0', id: 1, result: {} },
    ]
    /** The last that was opened, of the agent's own. */
    let session: string | null = null
    return {
      async feed(random, note) {
        const isModern = random.oneIn(2)
        const given = random.pick(corpus)
        const _meta = { ...META, 'io.modelcontextprotocol/clientCapabilities': random.pick(CAPABILITIES) }
        const message =
          isModern && !Array.isArray(given)
            ? { ...given, params: { ...('params' in given ? Object(given.params) : {}), _meta } }
            : given
        const body = spell(random, changed(random, message))
        const { name: called, taskId = '' } = 'params' in given ? Object(given.params) : {}
        const name = String(called ?? taskId)
        const headers: [string, string][] = [
          ['authorization', `Bearer ${broker.bot.token}`],
          ['content-type', random.oneIn(20) ? mutateText(random, 'application/json') : 'application/json'],
          ['accept', random.oneIn(20) ? '*/*' : 'application/json, text/event-stream'],
          ['mcp-protocol-version', isModern ? '2026-07-28' : random.pick(VERSIONS)],
          ...(isModern && 'method' in given ? ([['mcp-method', String(given.method)]] as [string, string][]) : []),
          ...(session !== null && random.oneIn(2) ? ([['mcp-session-id', session]] as [string, string][]) : []),
          ...(isModern && name !== '' ? ([['mcp-name', name]] as [string, string][]) : []),
        ]
        // Waiting is what a caller may ask for, and no hang.
        const sent = body.replace(/"waitSeconds":\d+/g, '"waitSeconds":0')
        note({ headers, body: sent })
        const { status, text, session: opened } = await broker.call('POST', '/mcp', headers, sent)
        session = opened ?? session
        mustHold(!text.includes(broker.other.session.id), 'another agent is seen', text)
        if (random.oneIn(25))
          for (const { agent, tool: on, scopes, details } of await broker.harness.rows('grant')) {
            const within = scopes.every((scope) => (on === 'tickets' ? ['read', 'comment'] : ['read']).includes(scope))
            const queues = details.queue ?? []
            mustHold(agent === 'bot' && within && on === 'tickets', 'a grant beyond the manifest', { on, scopes })
            mustHold(
              queues.length > 0 && queues.every((queue) => ['incidents', 'news'].includes(queue)),
              'details',
              details,
            )
          }
        return `${status}${/"isError":true/.test(text) ? ' tool error' : /"error":\{/.test(text) ? ' rpc error' : ''}`
      },
      close: () => broker.close(),
    }
  },
}
