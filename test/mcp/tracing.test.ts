// One trace from the client's own span to the commit and the tool, with a tracer as an operator loads it; and nothing in it
// that anybody wrote.

import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { trace } from '@opentelemetry/api'
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { createToolCalls } from '../../src/actions/tool-calls.ts'
import { SAMPLE_OWNERS, type SampleBroker, startSampleBroker } from '../../src/commands/sample-broker.ts'
import { TARGET } from '../../src/core/limits.ts'
import { readTraceParent, readTraceState } from '../../src/core/trace-parent.ts'
import { send } from '../attacks/wire.ts'
import { keyOf } from '../support/mcp-clients.ts'
import { startWiki, type Wiki } from '../support/proxied-wiki.ts'
import { testDatabase } from '../support/test-store.ts'
import { editForDesk, pinOnly, SECRET, startUpstreamServer, type UpstreamServer } from '../support/upstream-server.ts'
import { openSession, readIdentity } from '../tools/people-and-agents.ts'
import { post } from './support.ts'

const exporter = new InMemorySpanExporter()
const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })

let broker: SampleBroker
let wiki: Wiki
let desk: UpstreamServer
let session: string
beforeAll(async () => {
  trace.setGlobalTracerProvider(provider)
  wiki = await startWiki()
  desk = await startUpstreamServer()
  vi.stubEnv('HALLPASS_TOOL_DESK', SECRET)
  const edit = (scopesPath: string) => {
    wiki.edit(scopesPath)
    editForDesk(desk, scopesPath)
  }
  broker = await startSampleBroker({ ...(await testDatabase()), edit })
  session = await openSession(broker.url, await readIdentity('triage-bot', keyOf(broker, 'triage-bot')))
})
afterAll(async () => {
  await broker.close()
  wiki.close()
  await desk.close()
  vi.unstubAllEnvs()
  trace.disable()
})
beforeEach(() => exporter.reset())

const TRACE = '0af7651916cd43dd8448eb211c80319c'
const PARENT = 'b7ad6b7169203331'
const TRACEPARENT = `00-${TRACE}-${PARENT}-01`
const REASON = 'because my password is hunter2'

const ANSWER = z.object({
  result: z.object({ structuredContent: z.looseObject({ grant: z.looseObject({ id: z.string() }).optional() }) }),
})
async function call(name: string, args: object, meta: object = {}, headers: Record<string, string> = {}) {
  const version = '2026-07-28'
  const _meta = {
    'io.modelcontextprotocol/protocolVersion': version,
    'io.modelcontextprotocol/clientInfo': { name: 'traced', version: '1' },
    'io.modelcontextprotocol/clientCapabilities': {},
    ...meta,
  }
  const body = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name, arguments: args, _meta } }
  const response = await post(`${broker.url}/mcp`, JSON.stringify(body), {
    Authorization: `Bearer ${session}`,
    'MCP-Protocol-Version': version,
    'Mcp-Method': 'tools/call',
    'Mcp-Name': name,
    ...headers,
  })
  return ANSWER.parse(await response.json()).result.structuredContent
}
const ask = (tool: string, scope: string) => ({ tool, scopes: [scope], reason: REASON })

/** What a span under a name says of itself. */
const span = (name: string) => exporter.getFinishedSpans().find((one) => one.name === name)
const inTrace = () => exporter.getFinishedSpans().filter((one) => one.spanContext().traceId === TRACE)

describe('a trace', () => {
  test('goes from `_meta` through the decision to the commit (SEP-414)', async () => {
    await call('request_access', ask('wiki', 'wiki:direct'), { traceparent: TRACEPARENT, tracestate: 'vendor=1' })
    const served = span('tools/call request_access')
    expect(served?.parentSpanContext).toMatchObject({ traceId: TRACE, spanId: PARENT, isRemote: true })
    expect(served?.spanContext().traceState?.serialize()).toBe('vendor=1')
    expect(served?.attributes).toEqual({
      'mcp.method.name': 'tools/call',
      'gen_ai.tool.name': 'request_access',
      'hallpass.request_id': expect.stringMatching(/^rid_/),
      'hallpass.agent': 'triage-bot',
    })
    for (const step of ['decide', 'store commit'])
      expect(span(step)?.parentSpanContext?.spanId).toBe(served?.spanContext().spanId)
    expect(inTrace().map(({ name }) => name)).toEqual(exporter.getFinishedSpans().map(({ name }) => name))
  })

  test('goes from the HTTP header where `_meta` names none, and `_meta` goes before it', async () => {
    await call('list_access', {}, {}, { traceparent: TRACEPARENT })
    expect(span('tools/call list_access')?.spanContext().traceId).toBe(TRACE)
    exporter.reset()
    await call('list_access', {}, { traceparent: TRACEPARENT }, { traceparent: `00-${'1'.repeat(32)}-${PARENT}-01` })
    expect(span('tools/call list_access')?.spanContext().traceId).toBe(TRACE)
  })

  test('goes through the redemption, the proxy and on to the tool, in place of the agent’s own span', async () => {
    const { grant } = await call('request_access', ask('wiki', 'wiki:read'))
    exporter.reset()
    const redeemed = await fetch(`${broker.url}/oauth/token`, {
      method: 'POST',
      headers: { traceparent: TRACEPARENT },
      body: new URLSearchParams({
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token: session,
        subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
        grant_id: grant?.id ?? '',
      }),
    })
    const token = z.looseObject({ access_token: z.string() }).parse(await redeemed.json()).access_token
    expect(inTrace().map(({ name }) => name)).toEqual(
      expect.arrayContaining(['POST /oauth/token token-exchange', 'decide', 'store commit']),
    )
    exporter.reset()
    const headers = ['Authorization', `Bearer ${token}`, 'Traceparent', TRACEPARENT]
    const { text } = await send(`${broker.url}/tools/wiki/page?secret=1`, { from: '127.0.0.1', headers })
    await expect.poll(() => span('/tools/{tool}')).toBeDefined()
    expect(span('upstream')?.spanContext().traceId).toBe(TRACE)
    expect(JSON.parse(text).headers.traceparent).toBe(`00-${TRACE}-${span('upstream')?.spanContext().spanId}-01`)
    expect(span('upstream')?.parentSpanContext?.spanId).toBe(span('/tools/{tool}')?.spanContext().spanId)
    expect(span('/tools/{tool}')?.attributes).toMatchObject({ 'hallpass.tool': 'wiki', 'hallpass.agent': 'triage-bot' })
  })

  test('goes on to a tool’s own MCP server, in the `_meta` of its call (SEP-414)', async () => {
    await pinOnly(broker, 'desk')
    await call('request_access', ask('desk', 'desk:use'))
    exporter.reset()
    const gone = call('desk__slow', {}, { traceparent: TRACEPARENT }).catch(() => undefined)
    await expect.poll(() => desk.traceparents).toHaveLength(1)
    desk.finish()
    await gone
    const upstream = span('upstream')
    expect(upstream?.spanContext().traceId).toBe(TRACE)
    expect(upstream?.attributes).toEqual({ 'hallpass.tool': 'desk' })
    expect(desk.traceparents).toEqual([`00-${TRACE}-${upstream?.spanContext().spanId}-01`])
  })

  test('shows what an owner does, and the code of a refusal', async () => {
    const owner = await broker.ownerToken(SAMPLE_OWNERS.agents)
    const approve = (id: string) =>
      fetch(`${broker.url}/v1/requests/${id}/approve`, {
        method: 'POST',
        headers: { authorization: `Bearer ${owner}`, 'content-type': 'application/json', traceparent: TRACEPARENT },
        body: '{}',
      })
    expect((await approve('req_none')).ok).toBe(false)
    expect(span('POST /v1/requests/{id}/approve')?.attributes).toMatchObject({
      'hallpass.role': 'owner',
      'hallpass.refused': expect.any(String),
    })
    expect(inTrace().length).toBeGreaterThan(1)
  })

  test('shows calls to a tool’s admin API, and of what they threw the kind alone', async () => {
    const calls = createToolCalls({ monotonic: () => performance.now() }, TARGET)
    await provider.getTracer('test').startActiveSpan('around', async (around) => {
      await calls.call('redmine', 'changeMs', async () => 'done')
      await calls.call('redmine', 'lookMs', () => Promise.reject(new Error(REASON))).catch(() => undefined)
      around.end()
    })
    const targets = exporter.getFinishedSpans().filter(({ name }) => name === 'target')
    const about = expect.objectContaining({ 'hallpass.tool': 'redmine' })
    expect(targets.map(({ attributes }) => attributes)).toEqual([about, about])
    expect(targets.map(({ status }) => status)).toEqual([{ code: 0 }, { code: 2 }])
    for (const one of targets) expect(one.parentSpanContext?.traceId).toBe(span('around')?.spanContext().traceId)
    expect(JSON.stringify(targets.map(({ attributes, events }) => [attributes, events]))).not.toContain('hunter2')
  })

  test('holds no secret, no reason, no path and nothing that an agent made up (P7)', async () => {
    await call('request_access', ask('metrics', 'metrics:read'), { traceparent: TRACEPARENT })
    await call('request_access', { ...ask('tickets', 'ticket:read'), details: { queue: ['incidents'] } })
    await call('hunter2-tool', {}).catch(() => undefined)
    await call('request_access', ask('hunter2', 'hunter2:all'))
    const unknown = { Authorization: `Bearer ${session}` }
    await post(`${broker.url}/mcp`, JSON.stringify({ jsonrpc: '2.0', id: 2, method: 'hunter2/list' }), unknown)
    const said = JSON.stringify(
      exporter.getFinishedSpans().map(({ name, attributes, events, status }) => [name, attributes, events, status]),
    )
    expect(said).toContain('tools/call request_access')
    for (const text of ['hunter2', 'password', 'eyJ', 'incidents', 'example.com', '127.0.0.1'])
      expect(said).not.toContain(text)
  })

  test('is made by nobody who is a stranger', async () => {
    const headers = { traceparent: TRACEPARENT }
    await post(`${broker.url}/mcp`, '{"jsonrpc":"2.0","id":1,"method":"ping"}', headers)
    await fetch(`${broker.url}/v1/agents`, { headers })
    await fetch(`${broker.url}/oauth/token`, {
      method: 'POST',
      headers,
      body: new URLSearchParams({ grant_type: 'x' }),
    })
    await send(`${broker.url}/tools/wiki/page`, {
      from: '127.0.0.1',
      headers: ['Authorization', 'Bearer x', 'Traceparent', TRACEPARENT],
    })
    expect(inTrace()).toEqual([])
  })
})

const HOSTILE: readonly unknown[] = [
  '',
  'x'.repeat(300_000),
  `00-${'0'.repeat(32)}-${PARENT}-01`,
  `00-${TRACE}-${'0'.repeat(16)}-01`,
  `ff-${TRACE}-${PARENT}-01`,
  `00-${TRACE.toUpperCase()}-${PARENT}-01`,
  `00-${TRACE}-${PARENT}-01-more`,
  `00-${TRACE}-${PARENT}-1`,
  ` ${TRACEPARENT}`,
  `${TRACEPARENT}\n`,
  `${TRACEPARENT}, ${TRACEPARENT}`,
  `01-${TRACE}-${PARENT}-01-${'x'.repeat(300)}`,
  42,
  null,
  [TRACEPARENT],
  { traceId: TRACE },
]

describe('what is no traceparent', () => {
  test('is as if it was not sent (W3C Trace Context, section 3.2)', async () => {
    for (const given of HOSTILE) expect(readTraceParent(given)).toBeNull()
    expect(readTraceParent(TRACEPARENT)).toEqual({ traceId: TRACE, parentId: PARENT, isSampled: true })
    expect(readTraceParent(`cc-${TRACE}-${PARENT}-00-later`)).toMatchObject({ traceId: TRACE, isSampled: false })
    for (const state of ['a=1\n', 'x'.repeat(513), '', 'ü=1', 1]) expect(readTraceState(state)).toBeNull()
    for (const traceparent of HOSTILE) {
      exporter.reset()
      await call('list_access', {}, { traceparent, tracestate: 'x'.repeat(2000) })
      expect(inTrace()).toEqual([])
      expect(span('tools/call list_access')?.parentSpanContext).toBeUndefined()
    }
  })
})

test('a line of the log names the trace that it belongs to, with no tracer there', async () => {
  const at = (path: string) => fileURLToPath(new URL(`../../src/${path}`, import.meta.url))
  const program = `
    import { createLog } from '${at('wire/log.ts')}'
    import { keepTraceContext } from '${at('wire/trace-context.ts')}'
    import { withinTrace } from '${at('actions/tracing.ts')}'
    keepTraceContext()
    const log = createLog('info')
    log.info({ n: 1 }, 'outside')
    await withinTrace('${TRACEPARENT}', undefined, async () => {
      await new Promise((resolve) => setTimeout(resolve, 1))
      log.info({ n: 2 }, 'inside')
    })
    await withinTrace('${'x'.repeat(100)}', undefined, async () => log.info({ n: 3 }, 'hostile'))`
  const { stderr } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program])
  const lines = stderr
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(lines.map(({ n, traceId }) => [n, traceId])).toEqual([
    [1, undefined],
    [2, TRACE],
    [3, undefined],
  ])
})
