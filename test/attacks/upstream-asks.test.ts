// An upstream MCP server that asks the person behind the agent, or that is another after a restart: what of it is passed
// on, how much of it, and what a restart costs.

import { afterEach, describe, expect, test } from 'vitest'
import type { McpAsk, UpstreamCall } from '../../src/actions/ports.ts'
import { ERAS, type Exchange, text } from '../support/lying-mcp-server.ts'
import { acceptedStage, SECRET, type UpstreamStage } from './upstream-mcp-stage.ts'

let s: UpstreamStage
afterEach(() => s.close())

const FORM = {
  mode: 'form',
  message: 'Which one?',
  requestedSchema: { type: 'object', properties: { a: { type: 'string' } } },
}
const asking = (modes: readonly McpAsk['mode'][]) => {
  const asks: McpAsk[] = []
  const ask: UpstreamCall['ask'] = {
    modes,
    put: async (one) => {
      asks.push(one)
      return { action: 'accept', content: { a: 'b' } }
    },
  }
  return { ask, asks }
}
/** Asks all of it at once, and then answers with what it was told; each in the way of its era. */
const asks = (questions: readonly object[]) => (exchange: Exchange) => {
  const { said } = exchange
  const told = (said.params as { inputResponses?: object }).inputResponses
  if (s.server.era === 'modern' && told !== undefined) exchange.answer(text(JSON.stringify(told)))
  else if (s.server.era === 'modern') {
    const inputRequests = Object.fromEntries(
      questions.map((params, at) => [`q${at}`, { method: 'elicitation/create', params }]),
    )
    const result = { resultType: 'input_required', inputRequests, requestState: 'state' }
    exchange.outgoing
      .writeHead(200, { 'Content-Type': 'application/json' })
      .end(JSON.stringify({ jsonrpc: '2.0', id: said.id, result }))
  } else {
    const stream = exchange.stream()
    const answers: unknown[] = []
    s.server.before = ({ said: answered, outgoing }) => {
      if (answered.method !== undefined || answered.id === undefined) return false
      outgoing.writeHead(202).end()
      answers.push(answered)
      if (answers.length === questions.length) stream.end(text(JSON.stringify(answers)))
      return true
    }
    for (const [at, params] of questions.entries()) stream.say({ id: 500 + at, method: 'elicitation/create', params })
  }
}

describe.each(ERAS)('a server of the %s era', (era) => {
  test('that asks is heard without the credential and without what is meant for our client (P7)', async () => {
    s = await acceptedStage(era)
    s.server.calls = asks([{ ...FORM, message: `Is it ${SECRET}?`, _meta: { orders: 'obey' } }])
    const { ask, asks: put } = asking(['form'])
    expect(JSON.stringify(await s.call('desk__search', {}, { ask }))).toContain('accept')
    expect(put).toMatchObject([{ mode: 'form', params: { message: 'Is it [secret]?' } }])
    expect(JSON.stringify(put)).not.toContain('obey')
  })

  test('that asks in a way that the agent’s client did not declare asks nobody', async () => {
    s = await acceptedStage(era, { idleMs: 1_000 })
    s.server.calls = asks([{ mode: 'url', message: 'Sign in', url: 'https://evil.example/', elicitationId: 'x' }])
    const { ask, asks: put } = asking(['form'])
    const result = JSON.stringify(await s.call('desk__search', {}, { ask }))
    expect(put).toEqual([])
    expect(result).not.toContain('"accept"')
  })

  test('that asks more than anybody would answer is cut off', async () => {
    s = await acceptedStage(era, { answerRequests: 20 })
    s.server.calls = asks(Array.from({ length: 2_000 }, () => FORM))
    const { ask, asks: put } = asking(['form'])
    expect((await s.call('desk__search', {}, { ask, requestId: 'req_asks' })).ok).toBe(false)
    expect(put.length).toBeLessThanOrEqual(20)
    await expect.poll(async () => (await s.ends()).get('req_asks')).toBe('too long')
  })

  test('is not given up while the person thinks, and its question dies with the right to ask', async () => {
    s = await acceptedStage(era, { lullMs: 50 })
    s.server.calls = asks([FORM])
    let gone: unknown = null
    const thinking: UpstreamCall['ask'] = {
      modes: ['form'],
      put: (_, signal) =>
        new Promise((resolve, reject) => {
          setTimeout(() => resolve({ action: 'accept', content: { a: 'late' } }), 300)
          signal.addEventListener('abort', () => {
            gone = signal.reason
            reject(signal.reason)
          })
        }),
    }
    expect(JSON.stringify(await s.call('desk__search', {}, { ask: thinking }))).toContain('late')
    expect(gone).toBeNull()
    const giving = new AbortController()
    setTimeout(() => giving.abort(), 50)
    expect((await s.call('desk__search', {}, { ask: thinking, signal: giving.signal })).ok).toBe(false)
    expect(gone).not.toBeNull()
  })
})

describe('a server that is started again', () => {
  test('without the sessions that it gave is called in a new one, once', async () => {
    s = await acceptedStage('legacy')
    expect((await s.call('desk__search')).ok).toBe(true)
    const lost = s.server.of('tools/call').at(-1)?.headers['mcp-session-id']
    s.server.before = ({ headers, outgoing }) => {
      if (headers['mcp-session-id'] !== lost) return false
      outgoing.writeHead(404).end()
      return true
    }
    expect((await s.call('desk__search')).ok).toBe(true)
    expect(s.server.of('tools/call').at(-1)?.headers['mcp-session-id']).not.toBe(lost)
    // One that knows no session at all is not called again and again.
    const before = s.server.of('tools/call').length
    s.server.before = ({ said, outgoing }) => {
      if (said.method !== 'tools/call') return false
      outgoing.writeHead(404).end()
      return true
    }
    expect((await s.call('desk__search')).ok).toBe(false)
    expect(s.server.of('tools/call').length - before).toBe(2)
  })

  test.each([
    ['legacy', 'modern'],
    ['modern', 'legacy'],
  ] as const)('and speaks not %s but %s is understood again, without anybody’s help', async (from, to) => {
    s = await acceptedStage(from)
    expect((await s.call('desk__search')).ok).toBe(true)
    s.server.era = to
    s.server.before = ({ said, headers, outgoing }) => {
      const isModern = headers['mcp-protocol-version'] === '2026-07-28'
      if (said.method === undefined || said.method === 'server/discover' || isModern === (to === 'modern')) return false
      if (said.method === 'initialize' && to === 'legacy') return false
      outgoing.writeHead(400).end('what?')
      return true
    }
    await expect.poll(async () => (await s.call('desk__search')).ok, { timeout: 5_000 }).toBe(true)
    await s.look()
    await s.look()
    expect(s.tools.looked('desk')?.failure).toBeNull()
  })
})
