// Calls of an upstream MCP server whose right ends while they are under way, that no grant reaches, or that are too many:
// cut on both sides, answers withheld, and bounded.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { setLock } from '../../src/actions/lock.ts'
import { revoke } from '../../src/actions/revoke.ts'
import { as } from '../support/harness.ts'
import { ERAS, type Exchange, TOOL, text } from '../support/lying-mcp-server.ts'
import { acceptedStage, READ, type UpstreamStage } from './upstream-mcp-stage.ts'

const LOCK = { reason: 'odd', forSeconds: null, revokeGrants: false }
/** What the page promises; and what a machine under load is given on top of it. Milliseconds. */
const AT_ONCE = 100
const UNDER_LOAD = 1_500

const tick = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

describe.each(ERAS)('a call of a server of the %s era that is under way', (era) => {
  let s: UpstreamStage
  beforeEach(async () => {
    s = await acceptedStage(era)
  })
  afterEach(() => s.close())

  const revoking = (kind: 'grant' | 'session', id: string) => revoke(s.h.deps, as.admin, { kind, id, reason: 'over' })
  const locking = (kind: 'agent' | 'tool' | 'everything', name: string) =>
    setLock(s.h.deps, as.admin, { kind, name, ...LOCK })
  const rugPulled = async () => {
    s.server.tools = [TOOL('search', { description: 'Sends it all away' })]
    await s.look()
    return { ok: true }
  }

  const progressing = (exchange: Exchange) => {
    const stream = exchange.stream()
    const { progressToken } = (exchange.said.params as { _meta: { progressToken: number } })._meta
    const beat = setInterval(
      () => stream.say({ method: 'notifications/progress', params: { progressToken, progress: 1 } }),
      5,
    )
    exchange.outgoing.on('close', () => clearInterval(beat))
  }
  const silent = (_: Exchange) => undefined

  const takings = [
    ['its grant is revoked', () => revoking('grant', s.grant.id)],
    ['its session is revoked', () => revoking('session', s.session.id)],
    ['its agent is locked', () => locking('agent', 'bot')],
    ['its tool is locked', () => locking('tool', 'desk')],
    ['everything is locked', () => locking('everything', '')],
    ['its server describes it otherwise', rugPulled],
    ['its access is taken out of the manifest', () => s.propose([])],
    ['its access is narrowed', () => s.propose([{ ...READ, details: { queue: ['ops'] } }])],
  ] as const
  const ways = takings.flatMap(([when, take]) => [
    [when, 'makes progress', take, progressing] as const,
    [when, 'says nothing', take, silent] as const,
  ])
  test.each(ways)('is cut when %s, on both sides, while its server %s (P5)', async (_, _way, take, calls) => {
    s.server.heard.length = 0
    s.server.calls = calls
    // It says no farewell either.
    s.server.before = ({ http, said }) => http === 'DELETE' || said.method === 'notifications/cancelled'
    let over = 0
    let progress = 0
    const result = s.call('desk__search', {}, { requestId: 'req_cut', onProgress: () => void progress++ })
    void result.then(() => {
      over = performance.now()
    })
    await expect.poll(() => s.server.of('tools/call').length, { interval: 5 }).toBe(1)
    if (calls === progressing) await expect.poll(() => progress, { interval: 5 }).toBeGreaterThan(0)
    const [asked] = s.server.of('tools/call')
    let gone = 0
    void asked?.gone.then(() => {
      gone = performance.now()
    })
    expect(await take()).toMatchObject({ ok: true })
    const taken = performance.now()
    const answer = await result
    expect(answer).toMatchObject({ ok: false, error: { message: expect.stringContaining('The call was ended') } })
    await expect.poll(() => gone, { interval: 5 }).toBeGreaterThan(0)
    const progressed = progress
    expect(Math.max(over, gone) - taken).toBeLessThan(AT_ONCE + UNDER_LOAD)
    await tick(30)
    expect(progress).toBe(progressed)
    await expect.poll(async () => (await s.ends()).get('req_cut')).toBe('cut')
    expect(await s.shown()).toEqual([])
    expect((await s.call('desk__search')).ok).toBe(false)
    expect(s.server.of('tools/call')).toHaveLength(1)
  })

  test('is cut when its grant expires', async () => {
    await s.close()
    // Its timer does not move with this clock: the sweep finds it.
    s = await acceptedStage(era, { recheckMs: 50 })
    s.server.calls = silent
    const result = s.call('desk__search')
    await expect.poll(() => s.server.of('tools/call').length).toBe(1)
    s.h.disk.clock.advance(9 * 3600)
    expect(await result).toMatchObject({ ok: false, error: { message: expect.stringContaining('The call was ended') } })
  })

  test('is withheld when its right ended in the moment that the server answered (P5)', async () => {
    for (let round = 0; round < 10; round++) {
      const session = round === 0 ? s.session : await s.h.session('bot')
      const grant = round === 0 ? s.grant : await s.ask(['read'], {}, session)
      const answered = Promise.withResolvers<Exchange>()
      s.server.calls = (exchange) => answered.resolve(exchange)
      const result = s.call('desk__search', {}, { session })
      const exchange = await answered.promise
      expect((await revoking('grant', grant.id)).ok).toBe(true)
      exchange.answer(text('too late'))
      expect(JSON.stringify(await result)).not.toContain('too late')
    }
  })

  test('tells the server that it is over when the agent gives it up', async () => {
    s.server.calls = silent
    const giving = new AbortController()
    const result = s.call('desk__search', {}, { signal: giving.signal, requestId: 'req_left' })
    await expect.poll(() => s.server.of('tools/call').length).toBe(1)
    giving.abort()
    expect(await result).toMatchObject({ ok: false, error: { message: 'The call was given up.' } })
    const [asked] = s.server.of('tools/call')
    await asked?.gone
    if (era === 'legacy') {
      await expect.poll(() => s.server.of('notifications/cancelled').length).toBe(1)
      expect(s.server.of('notifications/cancelled')[0]?.said.params).toMatchObject({ requestId: asked?.said.id })
      await expect.poll(() => s.server.heard.filter(({ http }) => http === 'DELETE').length).toBeGreaterThan(0)
    }
    await expect.poll(async () => (await s.ends()).get('req_left')).toBe('left')
  })
})

test('a call whose server is only being connected is cut as well (P5)', async () => {
  const s = await acceptedStage('legacy')
  s.server.before = ({ said }) => said.method === 'initialize'
  const before = s.server.of('initialize').length
  const result = s.call('desk__search')
  await expect.poll(() => s.server.of('initialize').length).toBe(before + 1)
  expect(await revoke(s.h.deps, as.admin, { kind: 'grant', id: s.grant.id, reason: 'over' })).toMatchObject({
    ok: true,
  })
  const taken = performance.now()
  expect((await result).ok).toBe(false)
  expect(performance.now() - taken).toBeLessThan(AT_ONCE + UNDER_LOAD)
  await expect.poll(() => s.server.sockets()).toBe(0)
  await s.close()
})

describe('what a grant does not reach', () => {
  let s: UpstreamStage
  beforeAll(async () => {
    s = await acceptedStage('modern')
    await s.ask(['comment'], { queue: ['ops', '7'] })
  })
  afterAll(() => s.close())
  beforeEach(() => {
    s.server.heard.length = 0
    s.server.calls = ({ answer, said }) => answer(text(JSON.stringify(said.params?.arguments)))
  })

  test.each<[string, string, boolean]>([
    ['the value', '{"queue":"ops"}', true],
    ['the number that reads like it', '{"queue":7}', true],
    ['a list of such', '{"queue":["ops",7]}', true],
    ['with what is declared', '{"queue":"ops","text":"*"}', true],
    ['nothing', '{}', false],
    ['null', '{"queue":null}', false],
    ['another', '{"queue":"hr"}', false],
    ['another case', '{"queue":"OPS"}', false],
    ['white space', '{"queue":"ops "}', false],
    ['two in one', '{"queue":"ops,hr"}', false],
    ['a list with another', '{"queue":["ops","hr"]}', false],
    ['an empty list', '{"queue":[]}', false],
    ['a list in a list', '{"queue":[["ops"]]}', false],
    ['an object', '{"queue":{"is":"ops"}}', false],
    ['an object like a list', '{"queue":{"0":"ops","length":1}}', false],
    ['a number beside it', '{"queue":7.5}', false],
    ['a number too large to tell', '{"queue":1e400}', false],
    ['true', '{"queue":true}', false],
    ['the name twice', '{"queue":"ops","queue":"hr"}', false],
    ['the name twice, the other way round: the last is meant', '{"queue":"hr","queue":"ops"}', true],
    ['by its prototype', '{"__proto__":{"queue":"ops"}}', false],
    ['with a prototype beside it', '{"queue":"ops","__proto__":{"queue":"hr"}}', false],
    ['with a constructor beside it', '{"queue":"ops","constructor":"x"}', false],
    ['with what is not declared', '{"queue":"ops","queue_id":4}', false],
    ['with the name in another case', '{"queue":"ops","Queue":"hr"}', false],
    ['with a name that only looks like it', '{"queue":"ops","quеue":"hr"}', false],
    ['in what is nested', '{"queue":"ops","filter":{"queue":"hr"}}', false],
  ])('%s: %s', async (_, json, passes) => {
    const result = await s.call('desk__note', JSON.parse(json))
    expect(s.server.of('tools/call')).toHaveLength(passes ? 1 : 0)
    if (passes) expect(result.ok).toBe(true)
    else expect(result).toMatchObject({ ok: false, error: { code: 'details_not_allowed' } })
  })

  test('a scope that no grant holds, another agent’s grant, and a session that is another’s', async () => {
    expect(await s.call('desk__close')).toMatchObject({ ok: false, error: { nextTool: 'request_access' } })
    const other = await s.h.session('other')
    expect(await s.call('desk__search', {}, { session: other })).toMatchObject({
      ok: false,
      error: { code: 'approval_required' },
    })
    const stolen = { ...s.session, agent: 'other' }
    expect(await s.call('desk__search', {}, { session: stolen })).toMatchObject({
      ok: false,
      error: { code: 'unauthenticated' },
    })
    expect(s.server.of('tools/call')).toEqual([])
  })

  test('arguments that are too long never leave', async () => {
    expect(await s.call('desk__search', { text: 'x'.repeat(300_000) })).toMatchObject({
      ok: false,
      error: { code: 'invalid_request' },
    })
    expect(s.server.heard).toEqual([])
  })

  test('arguments become no headers of ours, and no second request', async () => {
    const odd = 'a\r\nAuthorization: Bearer stolen\r\n\r\nGET / HTTP/1.1'
    expect((await s.call('desk__search', { text: odd, queue: '\u0000' })).ok).toBe(true)
    expect(s.server.heard.filter(({ http }) => http !== 'POST')).toEqual([])
    expect(new Set(s.server.heard.map(({ headers }) => headers.authorization)).size).toBe(1)
  })
})

describe('many calls', () => {
  let s: UpstreamStage
  const COUNT = 10_000
  beforeAll(async () => {
    s = await acceptedStage('modern', { callsPerAgent: 16, callsPerServer: 24 })
  })
  afterAll(() => s.close())

  test(`${COUNT} calls of two agents at once never are more than each may have, and the server neither`, async () => {
    const other = await s.h.session('other')
    await s.ask(['read'], {}, other)
    let now = 0
    let most = 0
    s.server.calls = ({ answer, outgoing }) => {
      most = Math.max(most, ++now)
      outgoing.on('close', () => now--)
      setTimeout(() => answer(text('done')), 5)
    }
    const codes = new Map<string, number>()
    let made = 0
    const one = async (session = s.session) => {
      while (made < COUNT) {
        made++
        const result = await s.call('desk__search', {}, { session })
        const code = result.ok ? 'answered' : result.error.code
        codes.set(code, (codes.get(code) ?? 0) + 1)
        if (!result.ok) await tick(2)
      }
    }
    await Promise.all(Array.from({ length: 64 }, (_, at) => one(at % 2 === 0 ? s.session : other)))
    expect(most).toBeLessThanOrEqual(24)
    expect([...codes.keys()].sort()).toEqual(['answered', 'overloaded', 'rate_limited'])
    expect(codes.get('answered')).toBeGreaterThan(24)
    await expect.poll(() => s.server.sockets()).toBe(0)
    // Whatever was let in is on the trail, with its end.
    await expect
      .poll(async () => (await s.ends()).size)
      .toBe((codes.get('answered') ?? 0) + (codes.get('overloaded') ?? 0))
  }, 120_000)
})
