// The live view: denials, acknowledgements, leases, resets, and a broker that is lost, slow or lying.
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Guard } from '../../src/guard/index.ts'
import { bearer, type FakeBroker, makeKey, startBroker, VERIFIER } from './fake-broker.ts'

let broker: FakeBroker
beforeEach(async () => {
  broker = await startBroker()
})
afterEach(() => broker.stop())

const need = { scopes: ['ticket:read'] }
const codeOf = async (guard: Guard, token: string) => {
  const result = await guard.verify(bearer(token), need)
  return result.ok ? 'ok' : result.code
}
const live = async (guard: Guard) => expect(await guard.ready()).toBe(true)
const applied = (guard: Guard, seq: number) => expect.poll(() => guard.status().position, { interval: 2 }).toBe(seq)
const inSeconds = (seconds: number) => new Date(Date.now() + seconds * 1000).toISOString()

describe('a denial', () => {
  const kinds: Array<[string, (jti: string) => Record<string, string>]> = [
    ['sid', () => ({ sid: 'session-1' })],
    ['grant_id', () => ({ grant_id: 'grant-1' })],
    ['jti', (jti) => ({ jti })],
    ['kid', () => ({ kid: broker.state.key.kid })],
    ['sub', () => ({ sub: 'triage-bot' })],
  ]
  test.each(kinds)('by %s kills a token that was already accepted, and no other (S15, P5)', async (kind, deny) => {
    const other = await makeKey()
    broker.state.published.push(other)
    const guard = broker.guard()
    const token = await broker.mint({ jti: 'mine' })
    const bystander = await broker.mint(
      { jti: 'other', sid: 'session-2', grant_id: 'grant-2', sub: 'deploy-bot' },
      { kid: other.kid },
      other.privateKey,
    )
    expect([await codeOf(guard, token), await codeOf(guard, bystander)]).toEqual(['ok', 'ok'])
    await applied(guard, broker.deny(deny('mine')))
    expect([kind, await codeOf(guard, token), await codeOf(guard, bystander)]).toEqual([kind, 'invalid_token', 'ok'])
  })

  test.each([
    ['Unix seconds', (at: number) => at],
    ['RFC 3339', (at: number) => new Date(at * 1000).toISOString()],
  ])('with `before` in %s spares what was issued after it (S12)', async (_, write) => {
    const guard = broker.guard()
    await live(guard)
    const iat = Math.floor(Date.now() / 1000) - 30
    await applied(guard, broker.deny({ sub: 'triage-bot' }, { before: write(iat) }))
    expect(await codeOf(guard, await broker.mint({ iat }))).toBe('invalid_token')
    expect(await codeOf(guard, await broker.mint({ iat: iat + 1 }))).toBe('ok')
    await applied(guard, broker.deny({ sub: 'triage-bot' }))
    expect(await codeOf(guard, await broker.mint({ iat: iat + 1 }))).toBe('invalid_token')
  })

  test('is acknowledged at once, not with the next renewal (S15)', async () => {
    const guard = broker.guard({ timings: { renewMs: 600_000 } })
    await live(guard)
    const seq = broker.deny({ sid: 'session-1' })
    await expect.poll(() => broker.seen.acks.some((ack) => ack.ackSeq === seq), { interval: 2 }).toBe(true)
    expect(new Set(broker.seen.acks.map((ack) => ack.guard)).size).toBe(1)
    expect([...broker.seen.verifiers]).toEqual([VERIFIER])
  })

  test('of several in one commit is acknowledged only when all are applied (S15)', async () => {
    const guard = broker.guard()
    await live(guard)
    broker.state.heartbeat = false
    broker.raw(broker.line({ seq: 1, deny: { sid: 'session-1' }, until: inSeconds(60), more: true }))
    await expect.poll(() => guard.status().denials, { interval: 2 }).toBe(1)
    expect(guard.status().position).toBe(0)
    expect(await codeOf(guard, await broker.mint())).toBe('invalid_token')
    broker.raw(broker.line({ seq: 1, deny: { sid: 'session-9' }, until: inSeconds(60) }))
    await applied(guard, 1)
  })

  test('is forgotten only after nothing it names can be alive, and a clock set back revives nothing (P5)', async () => {
    let offset = 0
    const guard = broker.guard({ now: () => Date.now() + offset })
    await live(guard)
    const token = await broker.mint({ exp: Math.floor(Date.now() / 1000) + 30 })
    await applied(guard, broker.deny({ sid: 'session-1' }, { until: inSeconds(30) }))
    offset = 60_000
    await expect.poll(() => guard.status().state).toBe('live')
    expect(guard.status().denials).toBe(1)
    offset = 120_000
    await expect.poll(() => guard.status().denials).toBe(0)
    offset = 0
    await expect.poll(() => guard.status().state).toBe('live')
    expect(await codeOf(guard, token)).toBe('invalid_token')
  })

  test('too many for the guard to hold make it refuse everything (P10)', async () => {
    const guard = broker.guard({ maxDenials: 2, readyWaitMs: 50 })
    await live(guard)
    for (const sid of ['a', 'b', 'c']) broker.deny({ sid })
    await expect.poll(() => codeOf(guard, 'a.b.c')).toBe('stale_view')
  })
})

describe('the lease', () => {
  test('lapses when the feed is cut: everything is refused, and it recovers by itself (S15, P10)', async () => {
    broker.state.leaseSeconds = 0.6
    const guard = broker.guard()
    const token = await broker.mint()
    expect(await codeOf(guard, token)).toBe('ok')
    broker.state.feedStatus = 503
    broker.cutFeeds()
    await expect.poll(() => codeOf(guard, token), { interval: 20 }).toBe('stale_view')
    const refused = await guard.verify(bearer(token), need)
    expect(refused).toMatchObject({ ok: false, status: 503, headers: { 'Retry-After': '2' } })
    broker.state.feedStatus = 200
    await expect.poll(() => codeOf(guard, token), { timeout: 3_000 }).toBe('ok')
  })

  test('lapses when the feed goes silent though the connection stands (S15)', async () => {
    broker.state.leaseSeconds = 0.6
    const guard = broker.guard()
    const token = await broker.mint()
    expect(await codeOf(guard, token)).toBe('ok')
    broker.state.heartbeat = false
    broker.state.holdSync = true
    await expect.poll(() => codeOf(guard, token), { interval: 20 }).toBe('stale_view')
    expect(broker.seen.connects.length).toBeGreaterThan(1)
  })

  test('lapses when it is not renewed, and the older one serves until then (S15)', async () => {
    broker.state.leaseSeconds = 0.6
    const guard = broker.guard()
    const token = await broker.mint()
    expect(await codeOf(guard, token)).toBe('ok')
    broker.state.leaseStatus = 503
    expect(await codeOf(guard, token)).toBe('ok')
    await expect.poll(() => codeOf(guard, token), { interval: 20 }).toBe('stale_view')
    broker.state.leaseStatus = 200
    await expect.poll(() => codeOf(guard, token)).toBe('ok')
  })

  test.each(['now', 'monotonicNow'] as const)(
    'runs on the clock %s, at most 10 s whatever the broker says (S15)',
    async (clock) => {
      broker.state.leaseSeconds = 3600
      let offset = 0
      const read = clock === 'now' ? Date.now : () => performance.now()
      const guard = broker.guard({ [clock]: () => read() + offset, timings: { renewMs: 60_000 } })
      const token = await broker.mint()
      expect(await codeOf(guard, token)).toBe('ok')
      offset = 9_000
      expect(await codeOf(guard, token)).toBe('ok')
      offset = 10_001
      expect(await codeOf(guard, token)).toBe('stale_view')
    },
  )

  test('that names a position ahead of the feed is unusable until the feed catches up (S15)', async () => {
    broker.state.leaseAhead = 1
    const guard = broker.guard({ readyWaitMs: 100 })
    const token = await broker.mint()
    await expect.poll(() => broker.seen.acks.length).toBeGreaterThan(0)
    expect(await codeOf(guard, token)).toBe('stale_view')
    broker.state.leaseAhead = 0
    broker.state.leaseStatus = 503
    broker.deny({ sid: 'session-9' })
    await expect.poll(() => codeOf(guard, token)).toBe('ok')
  })

  test.each([
    ['answers 409', { leaseStatus: 409 }],
    ['names a position below what was applied', { leaseAhead: -1 }],
  ])('of a broker that %s costs the guard its view, and it asks for a full one (S15)', async (_, fault) => {
    const guard = broker.guard({ readyWaitMs: 50 })
    await live(guard)
    await applied(guard, broker.deny({ sid: 'session-9' }))
    const connects = broker.seen.connects.length
    Object.assign(broker.state, fault)
    await expect.poll(() => broker.seen.connects.slice(connects).includes(0)).toBe(true)
    expect(await codeOf(guard, await broker.mint())).toBe('stale_view')
    Object.assign(broker.state, { leaseStatus: 200, leaseAhead: 0 })
    await expect.poll(() => codeOf(guard, 'a.b.c')).toBe('invalid_token')
  })

  test('that was asked for before a reset counts for nothing after it (S15)', async () => {
    let letGo = () => {}
    const held = new Promise<void>((resolve) => {
      letGo = resolve
    })
    let hold = false
    let answered = 0
    const guard = broker.guard({
      readyWaitMs: 50,
      timings: { renewMs: 60_000 },
      fetch: async (input, init) => {
        const wait = hold && input.endsWith('/guard/lease')
        hold &&= !wait
        const response = await fetch(input, init)
        if (wait) await held
        answered += Number(wait)
        return response
      },
    })
    await live(guard)
    hold = true
    await applied(guard, broker.deny({ sid: 'session-9' }))
    await expect.poll(() => broker.seen.acks.at(-1)?.ackSeq, { interval: 2 }).toBe(1)
    broker.state.leaseStatus = 503
    broker.sendReset()
    broker.sendSynced()
    await expect.poll(() => guard.status().lastFault).toContain('lease answered 503')
    letGo()
    await expect.poll(() => answered).toBe(1)
    expect(await codeOf(guard, await broker.mint())).toBe('stale_view')
  })

  test('is waited for at the start, for a bounded time (P10)', async () => {
    broker.state.holdSync = true
    const guard = broker.guard({ readyWaitMs: 150 })
    const token = await broker.mint()
    expect(await codeOf(guard, token)).toBe('stale_view')
    expect(await guard.ready(10)).toBe(false)
    const waiting = broker.guard().verify(bearer(token), need)
    await expect.poll(() => broker.seen.connects.length).toBe(2)
    broker.sendSynced()
    expect(await waiting).toMatchObject({ ok: true })
  })
})

describe('a reconnect', () => {
  test('asks from the last applied position, and gets what it missed before it serves (S15)', async () => {
    broker.state.leaseSeconds = 0.6
    const guard = broker.guard()
    const token = await broker.mint()
    await live(guard)
    const seq = broker.deny({ sid: 'session-9' })
    await applied(guard, seq)
    broker.state.feedStatus = 503
    broker.cutFeeds()
    broker.deny({ sid: 'session-1' })
    await expect.poll(() => codeOf(guard, token), { interval: 20 }).toBe('stale_view')
    broker.state.feedStatus = 200
    await expect.poll(() => codeOf(guard, token), { timeout: 3_000 }).toBe('invalid_token')
    expect(broker.seen.connects.at(-1)).toBe(seq)
  })
})

describe('a reset', () => {
  test('refuses everything until the full set, the keys and a lease are there (S15, S19)', async () => {
    const guard = broker.guard({ readyWaitMs: 50 })
    const token = await broker.mint()
    expect(await codeOf(guard, token)).toBe('ok')
    const fetched = broker.seen.keyFetches
    broker.state.heartbeat = false
    broker.sendReset(broker.line({ seq: 900, deny: { sid: 'session-9' }, until: inSeconds(60) }))
    await expect.poll(() => guard.status().denials, { interval: 2 }).toBe(1)
    expect(await codeOf(guard, token)).toBe('stale_view')
    expect(guard.status().position).toBe(0)
    broker.sendSynced()
    await expect.poll(() => codeOf(guard, token)).toBe('ok')
    expect(broker.seen.keyFetches).toBe(fetched + 1)
    expect(await codeOf(guard, await broker.mint({ sid: 'session-9' }))).toBe('invalid_token')
  })

  test('makes a token of a withdrawn key worthless though it was verified before (S19)', async () => {
    const guard = broker.guard()
    const token = await broker.mint()
    expect(await codeOf(guard, token)).toBe('ok')
    broker.state.published = [await makeKey()]
    broker.sendReset()
    broker.sendSynced()
    await expect.poll(() => codeOf(guard, token)).toBe('invalid_token')
  })

  test('comes too for a guard that knows more than the broker, and denials it knew stay (P6)', async () => {
    const guard = broker.guard()
    await live(guard)
    await applied(guard, broker.deny({ sid: 'session-1' }))
    Object.assign(broker.state, { seq: 0, denied: [] })
    broker.cutFeeds()
    await expect.poll(() => guard.status(), { timeout: 3_000 }).toMatchObject({ state: 'live', position: 0 })
    expect(await codeOf(guard, await broker.mint())).toBe('invalid_token')
  })
})

describe('a feed that cannot be trusted', () => {
  const good = { seq: 5, deny: { sid: 'x' }, until: inSeconds(60) }
  const forged: Array<[string, string]> = [
    ['broken JSON', 'data: {"seq":\n\n'],
    ['an array', 'data: [1]\n\n'],
    ['no seq', 'data: {"deny":{"sid":"x"},"until":"2099-01-01T00:00:00Z"}\n\n'],
    ['a negative seq', 'data: {"seq":-1}\n\n'],
    ['a fractional seq', 'data: {"seq":1.5}\n\n'],
    ['a seq past the safe integers', 'data: {"seq":9007199254740993}\n\n'],
    ['a denial of a kind that is not known', `data: ${JSON.stringify({ ...good, deny: { tool: 'x' } })}\n\n`],
    ['a denial of two things', `data: ${JSON.stringify({ ...good, deny: { sid: 'x', jti: 'y' } })}\n\n`],
    ['a denial of nothing', `data: ${JSON.stringify({ ...good, deny: {} })}\n\n`],
    ['a denial of __proto__', 'data: {"seq":5,"deny":{"__proto__":"x"},"until":"2099-01-01T00:00:00Z"}\n\n'],
    ['a denial of a number', `data: ${JSON.stringify({ ...good, deny: { sid: 7 } })}\n\n`],
    ['a denial without an end', `data: ${JSON.stringify({ ...good, until: undefined })}\n\n`],
    ['an end that is no time', `data: ${JSON.stringify({ ...good, until: 'soon' })}\n\n`],
    ['a `before` that is no time', `data: ${JSON.stringify({ ...good, before: 'once' })}\n\n`],
    ['a denial that says it is in sync', `data: ${JSON.stringify({ ...good, synced: true })}\n\n`],
    ['flags that are no booleans', 'data: {"seq":5,"synced":"true"}\n\n'],
    ['an event that is too long', `data: {"seq":5,"x":"${'x'.repeat(20_000)}"}\n\n`],
    ['a line that never ends', `data: ${'x'.repeat(20_000)}`],
    ['many short lines in one event', 'data: 1\n'.repeat(3_000)],
  ]
  test.each(forged)('costs the guard its view: %s (P10)', async (_, text) => {
    const guard = broker.guard({ readyWaitMs: 50, timings: { syncMs: 150 } })
    await live(guard)
    broker.state.holdSync = true
    broker.state.heartbeat = false
    broker.raw(text)
    await expect.poll(() => guard.status().state, { interval: 5 }).toBe('starting')
    expect(await codeOf(guard, await broker.mint())).toBe('stale_view')
    broker.state.holdSync = false
    broker.state.heartbeat = true
    await expect.poll(() => guard.status().state, { timeout: 3_000 }).toBe('live')
    expect(broker.seen.connects.at(-1)).toBe(0)
  })

  test('a heartbeat that goes back costs the guard its view (S15)', async () => {
    const guard = broker.guard()
    await live(guard)
    await applied(guard, broker.deny({ sid: 'session-9' }))
    broker.raw(broker.line({ seq: 0 }))
    await expect.poll(() => broker.seen.connects).toEqual([0, 0])
  })

  test.each([
    ['a redirect', { feedRedirect: true }],
    ['another content type', { feedType: 'text/html' }],
    ['an error', { feedStatus: 503 }],
  ])('is not followed: %s (S21)', async (_, fault) => {
    Object.assign(broker.state, fault)
    const guard = broker.guard({ readyWaitMs: 150 })
    expect(await codeOf(guard, await broker.mint())).toBe('stale_view')
    expect(guard.status().denials).toBe(0)
    expect(broker.seen.acks).toEqual([])
  })

  test('events come through however the bytes are cut, comments count for nothing (S15)', async () => {
    const guard = broker.guard()
    await live(guard)
    broker.state.heartbeat = false
    const text = `: hello\r\n\r\nid: 7\r\ndata: {"seq":3,\r\ndata: "deny":{"sid":"sitzung-ü"},"until":"${inSeconds(60)}"}\r\n\r\n`
    for (const byte of Buffer.from(text, 'utf8')) broker.rawBytes(Uint8Array.of(byte))
    await applied(guard, 3)
    expect(guard.status().denials).toBe(1)
  })

  test('no secret is in what the guard logs or reports (P7)', async () => {
    const lines: string[] = []
    broker.state.feedStatus = 503
    const logger = { info: (line: string) => lines.push(line), warn: (line: string) => lines.push(line) }
    const guard = broker.guard({ logger, readyWaitMs: 50 })
    const token = await broker.mint()
    await codeOf(guard, token)
    broker.state.feedStatus = 200
    broker.state.leaseStatus = 500
    await expect.poll(() => lines.some((line) => line.includes('lease answered 500'))).toBe(true)
    const all = lines.join('\n') + JSON.stringify(guard.status())
    expect(all).not.toContain(VERIFIER)
    expect(all).not.toContain(token)
  })
})

describe('a signature check that is under way', () => {
  /** Holds the next check of a signature until it is let go. */
  const holdVerification = () => {
    let letGo = () => {}
    const held = new Promise<void>((resolve) => {
      letGo = resolve
    })
    const verify = crypto.subtle.verify.bind(crypto.subtle)
    const spy = vi.spyOn(crypto.subtle, 'verify').mockImplementationOnce(async (...given) => {
      const good = await verify(...given)
      await held
      return good
    })
    return { letGo, begun: () => expect.poll(() => spy.mock.calls.length, { interval: 2 }).toBe(1) }
  }
  afterEach(() => vi.restoreAllMocks())

  test('does not pass against a denial that was acknowledged meanwhile (S15)', async () => {
    const guard = broker.guard()
    await live(guard)
    const { letGo, begun } = holdVerification()
    const result = codeOf(guard, await broker.mint())
    await begun()
    const seq = broker.deny({ sid: 'session-1' })
    await expect.poll(() => broker.seen.acks.some((ack) => ack.ackSeq === seq), { interval: 2 }).toBe(true)
    letGo()
    expect(await result).toBe('invalid_token')
  })

  test('does not pass on a lease that lapsed meanwhile (S15)', async () => {
    let offset = 0
    const guard = broker.guard({ monotonicNow: () => performance.now() + offset, timings: { renewMs: 60_000 } })
    await live(guard)
    const { letGo, begun } = holdVerification()
    const result = codeOf(guard, await broker.mint())
    await begun()
    offset = 10_001
    letGo()
    expect(await result).toBe('stale_view')
  })

  test('does not pass over a reset that came and went meanwhile, with keys from before it (S19)', async () => {
    const guard = broker.guard()
    await live(guard)
    const { letGo, begun } = holdVerification()
    const token = await broker.mint()
    const result = codeOf(guard, token)
    await begun()
    const fetched = broker.seen.keyFetches
    broker.state.published = [await makeKey()]
    broker.sendReset()
    broker.sendSynced()
    await expect.poll(() => broker.seen.keyFetches, { interval: 2 }).toBe(fetched + 1)
    await live(guard)
    letGo()
    expect(await result).toBe('stale_view')
    expect(await codeOf(guard, token)).toBe('invalid_token')
  })
})

test('a feed that beats but never comes into sync is connected anew (P10)', async () => {
  broker.state.holdSync = true
  const guard = broker.guard({ timings: { syncMs: 150 } })
  await expect.poll(() => broker.seen.connects.length).toBeGreaterThan(1)
  broker.state.holdSync = false
  await live(guard)
})

test('a closed guard refuses, and leaves no connection behind (P10)', async () => {
  const guard = broker.guard()
  const token = await broker.mint()
  expect(await codeOf(guard, token)).toBe('ok')
  await guard.close()
  expect(await codeOf(guard, token)).toBe('stale_view')
  expect(guard.status().state).toBe('closed')
  expect(await guard.ready(10)).toBe(false)
  await expect.poll(() => broker.openFeeds()).toBe(0)
})
