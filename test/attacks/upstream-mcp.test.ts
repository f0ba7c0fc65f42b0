// A tool's own MCP server that hangs, floods, redirects, lies and is taken over, in both eras of the protocol: what reaches
// the agent, what is cut and when, and what stands on the trail for each.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { ERAS, type Exchange, TOOL, text } from '../support/lying-mcp-server.ts'
import { acceptedStage, SECRET, type UpstreamStage } from './upstream-mcp-stage.ts'

const KIB = 1024
const SHORT = {
  connectMs: 500,
  idleMs: 500,
  lullMs: 100,
  callMs: 1_500,
  listMs: 600,
  answerBytes: 256 * KIB,
  listBytes: 256 * KIB,
}

/** A value of so many levels, as JSON: no parser of ours may be brought down by it. */
const deep = (levels: number) => `${'['.repeat(levels)}${']'.repeat(levels)}`

describe.each(ERAS)('a server of the %s era', (era) => {
  let s: UpstreamStage
  beforeAll(async () => {
    s = await acceptedStage(era, SHORT)
  })
  afterAll(() => s.close())
  beforeEach(() => {
    s.server.heard.length = 0
    s.server.before = () => false
    s.server.tools = [TOOL('search'), TOOL('note'), TOOL('close')]
    s.server.calls = ({ answer }) => answer(text('done'))
  })

  const raw = ({ outgoing, said }: Exchange, result: string) =>
    outgoing
      .writeHead(200, { 'Content-Type': 'application/json' })
      .end(
        `{"jsonrpc":"2.0","id":${said.id},"result":{${era === 'modern' ? '"resultType":"complete",' : ''}${result}}}`,
      )
  const endOf = async (request: number) => {
    await expect.poll(async () => (await s.ends()).length).toBe(request)
    return (await s.ends()).at(-1)
  }
  /** One call, how it ended on the trail, and how long it took. */
  const called = async () => {
    const before = (await s.ends()).length
    const startedAt = performance.now()
    const result = await s.call('desk__search', { text: 'x' })
    const ms = performance.now() - startedAt
    return { result, ms, end: await endOf(before + 1), said: JSON.stringify(result) }
  }

  test('that behaves is called with the credential of the tool, and nothing of the agent (P7)', async () => {
    s.server.calls = ({ answer, said }) => answer(text(JSON.stringify(said.params)))
    const { result, end } = await called()
    expect([result.ok, end]).toEqual([true, 'whole'])
    const [asked] = s.server.of('tools/call')
    expect(asked?.headers.authorization).toBe(`Bearer ${SECRET}`)
    expect(asked?.said.params).toMatchObject({ name: 'search', arguments: { text: 'x' } })
    const everything = JSON.stringify(s.server.heard.map(({ headers, said }) => [headers, said]))
    for (const ours of [s.session.id, s.grant.id, '"bot"']) expect(everything).not.toContain(ours)
  })

  const silent = (exchange: Exchange) => void exchange
  const bytewise = ({ outgoing }: Exchange) => {
    outgoing.writeHead(200, { 'Content-Type': 'application/json' })
    const beat = setInterval(() => outgoing.write(' '), 20)
    outgoing.on('close', () => clearInterval(beat))
  }
  const heads = ({ outgoing }: Exchange) => {
    outgoing.socket?.write('HTTP/1.1 200 OK\r\n')
    const beat = setInterval(() => outgoing.socket?.write('X-More: 1\r\n'), 20)
    outgoing.on('close', () => clearInterval(beat))
  }
  const flood = (exchange: Exchange) => {
    const stream = exchange.stream()
    const token = (exchange.said.params?._meta as { progressToken?: number })?.progressToken
    const params = { progressToken: token, progress: 1, message: 'x'.repeat(900) }
    const more = () => {
      while (!exchange.outgoing.destroyed)
        if (!stream.say({ method: 'notifications/progress', params })) {
          exchange.outgoing.once('drain', more)
          return
        }
    }
    more()
  }
  const slowProgress = (exchange: Exchange) => {
    const stream = exchange.stream()
    const token = (exchange.said.params?._meta as { progressToken?: number })?.progressToken
    const beat = setInterval(
      () => stream.say({ method: 'notifications/progress', params: { progressToken: token, progress: 1 } }),
      100,
    )
    exchange.outgoing.on('close', () => clearInterval(beat))
  }
  const json = (body: string) => (exchange: Exchange) =>
    exchange.outgoing.writeHead(200, { 'Content-Type': 'application/json' }).end(body)

  test.each<[string, (exchange: Exchange) => void, string, number]>([
    ['never answers', silent, 'late', 1_000],
    ['answers byte by byte', bytewise, 'late', 1_000],
    ['sends heads without an end', heads, 'late', 1_000],
    ['floods with progress', flood, 'too long', 1_000],
    ['makes progress for ever', slowProgress, 'late', 2_500],
    ['answers with more than it may', ({ answer }) => answer(text('x'.repeat(300 * KIB))), 'too long', 1_000],
    ['streams more than it may', (e) => e.stream().end(text('x'.repeat(300 * KIB))), 'too long', 1_000],
    ['answers with what is no JSON', json('nonsense'), 'refused', 1_000],
    ['answers with what is no JSON-RPC', json('{"jsonrpc":"1.0","id":1,"result":{}}'), 'refused', 1_000],
    ['answers with a result of no content', ({ answer }) => answer({ content: 'x' }), 'refused', 1_000],
    ['answers another request', json('{"jsonrpc":"2.0","id":99999,"result":{"content":[]}}'), 'broken', 1_000],
    ['answers with nothing', ({ outgoing }) => void outgoing.writeHead(202).end(), 'broken', 1_000],
    ['ends its stream without an answer', (e) => e.stream().end(), 'broken', 1_000],
    ['answers with a page', ({ outgoing }) => void outgoing.writeHead(200).end('<html>'), 'refused', 1_000],
    ['answers with an error of HTTP', ({ outgoing }) => void outgoing.writeHead(500).end('x'), 'refused', 1_000],
    ['hangs up', ({ outgoing }) => void outgoing.destroy(), 'unreachable', 1_000],
    ['switches protocols', ({ outgoing }) => void outgoing.writeHead(101).end(), 'refused', 1_000],
    ['hangs up in the middle', (e) => void (e.stream(), setImmediate(() => e.outgoing.destroy())), 'broken', 1_000],
    [
      'nests its answer deeper than a stack',
      (e) => raw(e, `"content":[],"structuredContent":{"a":${deep(100_000)}}`),
      'refused',
      1_000,
    ],
    [
      'nests its answer somewhat',
      (e) => raw(e, `"content":[],"structuredContent":{"a":${deep(500)}}`),
      'refused',
      1_000,
    ],
  ])('that %s ends the call, in time and in words of ours', async (_, lies, expected, within) => {
    s.server.calls = lies
    const { result, ms, end, said } = await called()
    expect({ end, ok: result.ok }).toEqual({ end: expected, ok: false })
    expect(ms).toBeLessThan(within)
    expect(said).toMatch(/"code":"(overloaded|internal)"/)
    // Nothing of the connection is left, and the next call is answered.
    await expect.poll(() => s.server.sockets(), { timeout: 3_000 }).toBeLessThanOrEqual(era === 'legacy' ? 1 : 0)
    s.server.calls = ({ answer }) => answer(text('done'))
    expect((await called()).end).toBe('whole')
  })
})
