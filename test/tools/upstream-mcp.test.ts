// Real MCP servers used through the broker by agents that never hold a credential of theirs: asked for, approved, accepted,
// called, cut in the middle, and suspended once a release of theirs describes a tool otherwise.

import type { Client } from '@modelcontextprotocol/client'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { callApi, expectDone, idOf, type Json } from './people-and-agents.ts'
import { ORDERS, openUpstreamStage, SECRETS, type UpstreamStage } from './upstream-stage.ts'

const SOON = { timeout: 15_000, interval: 50 }

let s: UpstreamStage
const clients: Client[] = []
beforeAll(async () => {
  vi.stubEnv('HALLPASS_TOOL_METRICS', SECRETS.METRICS)
  vi.stubEnv('HALLPASS_TOOL_LAB', SECRETS.LAB)
  s = await openUpstreamStage()
})
afterAll(async () => {
  for (const client of clients) await client.close().catch(() => undefined)
  await s?.close()
  vi.unstubAllEnvs()
})

const connect = async (...args: Parameters<UpstreamStage['connect']>) => {
  const client = await s.connect(...args)
  clients.push(client)
  return client
}
type Said = { readonly isError: boolean; readonly text: string; readonly body: Json }
const call = async (
  client: Client,
  name: string,
  given: Record<string, unknown> = {},
  options?: Parameters<Client['callTool']>[1],
): Promise<Said> => {
  const { isError = false, content, structuredContent } = await client.callTool({ name, arguments: given }, options)
  const texts = content.map((block) => (block.type === 'text' ? block.text : ''))
  return { isError, text: texts.join('\n'), body: (structuredContent ?? {}) as Json }
}
const namesOf = async (client: Client) =>
  (await client.listTools(undefined, { cacheMode: 'refresh' })).tools
    .map(({ name }) => name)
    .filter((name) => name.includes('__'))
const ask = async (client: Client, tool: string, scope: string, details: Json = {}) => {
  const { body } = await call(client, 'request_access', { tool, scopes: [scope], details, reason: 'INC-4711: latency' })
  return body
}
/** The servers were looked at. */
const waiting = (tool: string) =>
  vi.waitFor(
    async () => expect((await s.definitions(tool)).every(({ status }) => status !== 'unseen')).toBe(true),
    SOON,
  )

test('an agent asks, its owner approves, definitions are accepted, and Prometheus answers it (P2, P7)', async () => {
  const agent = await connect('query-bot')
  expect(await namesOf(agent)).toEqual([])
  const asked = await ask(agent, 'metrics', 'metrics:read')
  expect(asked.status).toBe('pending')
  await expectDone(callApi(s.issuer, s.ownerToken, `/requests/${idOf(asked.request)}/approve`, {}))
  await waiting('metrics')
  // Granted, and nothing of the server's is shown: nobody has read what it says.
  expect(await namesOf(agent)).toEqual([])
  const unread = await call(agent, 'metrics__prometheus_query', { query: 'up' })
  expect([unread.isError, unread.text]).toEqual([true, expect.stringContaining('accepted')])
  await s.accept('metrics')
  expect(await namesOf(agent)).toEqual([
    'metrics__prometheus_label_values',
    'metrics__prometheus_list_targets',
    'metrics__prometheus_query',
  ])
  await vi.waitFor(async () => {
    const { text } = await call(agent, 'metrics__prometheus_query', { query: 'up{job="itself"}' })
    expect(JSON.parse(text)).toMatchObject({
      resultType: 'vector',
      result: [{ metric: { job: 'itself' }, value: [expect.any(Number), '1'] }],
    })
  }, SOON)
  const targets = await call(agent, 'metrics__prometheus_list_targets')
  expect(targets.text).toContain(`127.0.0.1:${s.ports.prometheus}`)
  const failed = await call(agent, 'metrics__prometheus_query', { query: 'up{' })
  expect([failed.isError, failed.text]).toEqual([true, 'http 400: Bad Request'])
  const trail = await s.trail()
  expect(trail.filter(({ kind }) => kind === 'tool.called').at(-1)).toMatchObject({
    actor: { type: 'agent', id: 'query-bot' },
    subject: { tool: 'metrics' },
    body: { method: 'tools/call', target: 'prometheus_query', scope: 'metrics:read' },
  })
})

test('a grant that is limited is held to its argument, and reaches no tool that carries none (S9)', async () => {
  const agent = await connect('other-bot', false)
  expect((await ask(agent, 'metrics', 'metrics:read', { label: ['job'] })).status).toBe('granted')
  expect(await namesOf(agent)).toEqual(['metrics__prometheus_label_values'])
  expect(JSON.parse((await call(agent, 'metrics__prometheus_label_values', { label: 'job' })).text)).toEqual(['itself'])
  for (const given of [{ label: 'instance' }, { label: ['job'], other: 1 }, {}, { label: '../../admin' }])
    expect((await call(agent, 'metrics__prometheus_label_values', given)).isError).toBe(true)
  expect((await call(agent, 'metrics__prometheus_query', { query: 'up' })).isError).toBe(true)
})

test('the reference server, over HTTP and as a program: progress and cancellation pass, its secrets do not (P7)', async () => {
  const agent = await connect('lab-bot')
  for (const tool of ['lab', 'desk']) {
    expect((await ask(agent, tool, `${tool}:use`)).status).toBe('granted')
    await waiting(tool)
    await s.accept(tool)
    expect((await call(agent, `${tool}__echo`, { message: 'héllo' })).text).toBe('Echo: héllo')
    const progress: unknown[] = []
    const long = { duration: 0.4, steps: 4 }
    const done = await call(agent, `${tool}__trigger-long-running-operation`, long, {
      onprogress: (one) => void progress.push(one),
    })
    expect(done.text).toContain('Duration: 0.4 seconds')
    expect(progress, tool).toMatchObject([1, 2, 3, 4].map((at) => ({ progress: at, total: 4 })))
    const giving = new AbortController()
    const given = call(
      agent,
      `${tool}__trigger-long-running-operation`,
      { duration: 30, steps: 300 },
      {
        signal: giving.signal,
        onprogress: () => giving.abort(),
      },
    )
    await expect(given).rejects.toThrow()
    await vi.waitFor(async () => {
      const ends = (await s.trail()).filter(({ kind, subject }) => kind === 'tool.answered' && subject?.tool === tool)
      expect(ends.at(-1)?.body.ended).toBe('left')
    }, SOON)
  }
  const names = await namesOf(agent)
  expect(names).toEqual([
    'desk__echo',
    'desk__get-env',
    'desk__trigger-long-running-operation',
    'lab__echo',
    'lab__trigger-long-running-operation',
  ])
  expect(JSON.parse((await call(agent, 'desk__get-env')).text)).toEqual({ LAB_TOKEN: '[secret]' })
})

test('a release that describes a tool otherwise is suspended before any model sees it, until its diff is accepted', async () => {
  const agent = await connect('lab-bot')
  await s.takeLabOver()
  // Its server is another now: the first call finds that out, and the next look finds what it says.
  await call(agent, 'lab__echo', { message: 'a' })
  await vi.waitFor(async () => expect(await namesOf(agent)).not.toContain('lab__echo'), { ...SOON, interval: 250 })
  expect(await namesOf(agent)).toContain('lab__trigger-long-running-operation')
  const refused = await call(agent, 'lab__echo', { message: 'a' })
  expect([refused.isError, refused.text]).toEqual([true, expect.stringContaining('suspended')])
  const echo = (await s.definitions('lab')).find(({ name }) => name === 'echo')
  expect(echo).toMatchObject({
    status: 'suspended',
    diff: ['- description: Echoes back the input string', `+ description: Echoes back the input string. ${ORDERS}`],
  })
  expect(s.received.join('\n')).not.toContain(ORDERS)
  await s.accept('lab')
  const { tools } = await agent.listTools(undefined, { cacheMode: 'refresh' })
  expect(tools.find(({ name }) => name === 'lab__echo')?.description).toContain(ORDERS)
  expect((await call(agent, 'lab__echo', { message: 'a' })).text).toBe('Echo: a')
})

test.each(['lab', 'desk'])(
  'revoked in the middle of a long call of %s, it is cut, and its tools are gone from the list (P5)',
  async (tool) => {
    const agent = await connect('lab-bot')
    const { items } = (await expectDone(callApi(s.issuer, s.ownerToken, '/grants?limit=100'))) as {
      items: { id: string; tool: string; status: string }[]
    }
    const grants = items.filter((grant) => grant.tool === tool && grant.status === 'active')
    expect(grants).toHaveLength(1)
    let progress = 0
    let over = 0
    const begun = Promise.withResolvers<void>()
    const result = call(
      agent,
      `${tool}__trigger-long-running-operation`,
      { duration: 60, steps: 1_200 },
      {
        onprogress: () => {
          progress++
          begun.resolve()
        },
      },
    ).then((said) => {
      over = performance.now()
      return said
    })
    await begun.promise
    await expectDone(callApi(s.issuer, s.ownerToken, `/grants/${grants[0]?.id}/revoke`, {}))
    const revoked = performance.now()
    const said = await result
    expect([said.isError, said.text]).toEqual([true, expect.stringContaining('The call was ended')])
    expect(over - revoked).toBeLessThan(3_000)
    const then = progress
    expect((await namesOf(agent)).filter((name) => name.startsWith(tool))).toEqual([])
    expect(progress).toBe(then)
    expect((await call(agent, `${tool}__echo`, { message: 'a' })).isError).toBe(true)
    await vi.waitFor(async () => {
      const ends = (await s.trail()).filter(({ kind, subject }) => kind === 'tool.answered' && subject?.tool === tool)
      expect(ends.map(({ body }) => body.ended)).toContain('cut')
    }, SOON)
  },
)

test('what was accepted holds over a restart, and no agent was ever sent a secret (P7)', async () => {
  const before = await s.definitions('metrics')
  expect(before.map(({ status }) => status)).toEqual(['pinned', 'pinned', 'pinned'])
  await s.restart()
  const agent = await connect('query-bot')
  expect(await namesOf(agent)).toContain('metrics__prometheus_query')
  expect((await call(agent, 'metrics__prometheus_query', { query: 'vector(7)' })).text).toContain('"7"')
  expect(await s.definitions('metrics')).toEqual(before)
  const all = s.received.join('\n')
  expect(all.length).toBeGreaterThan(10_000)
  for (const secret of Object.values(SECRETS)) expect(all).not.toContain(secret.slice(0, 16))
  expect(JSON.stringify(await s.trail())).not.toMatch(/secret[-/]of/)
})
