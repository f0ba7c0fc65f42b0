import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { finishRevocation } from '../../src/actions/finish-revocation.ts'
import { liftLock, setLock } from '../../src/actions/lock.ts'
import { revoke } from '../../src/actions/revoke.ts'
import { revokeBearer } from '../../src/actions/revoke-bearer.ts'
import { withdrawKeys } from '../../src/actions/withdraw-keys.ts'
import { GUARDS_PER_TOOL } from '../../src/core/limits.ts'
import { keyOf, NEW_LOCKABLE, type Row, raised } from '../../src/core/model.ts'
import { createGuard, type Guard } from '../../src/guard/index.ts'
import { startBroker, type TestBroker, TICKETS } from '../oauth/broker.ts'
import { operator, unwrap } from '../support/store-on-disk.ts'

let broker: TestBroker
let verifier: { id: string; secret: string }
let guard: Guard
let session: string

const startGuard = (over: Partial<Parameters<typeof createGuard>[0]> = {}) =>
  createGuard({ issuer: broker.issuer, resource: TICKETS, verifierToken: verifier.secret, mode: 'offline', ...over })

beforeEach(async () => {
  broker = await startBroker()
  verifier = await broker.bearer('verifier', 'tickets')
  session = await broker.session()
  guard = startGuard()
  expect(await guard.ready()).toBe(true)
})
afterEach(async () => {
  await guard.close()
  await broker.stop()
})

const issue = async (grant?: string) => {
  const issued = await broker.credential(session, { grant_id: grant ?? (await broker.grant(session)) })
  const claims = (await broker.edge().verify(issued.token)) ?? {}
  return { token: issued.token, jti: String(claims.jti), sid: String(claims.sid), grant: issued.grant }
}
const passes = async (token: string) => (await guard.verify(`Bearer ${token}`, { scopes: ['read'] })).ok
/** Refused for what it is, not because the guard lost sight: how fast is the bench's to say. */
const dies = async (token: string) => {
  const refusal = await vi.waitUntil(
    async () => {
      const said = await guard.verify(`Bearer ${token}`, { scopes: ['read'] })
      return said.ok ? null : said
    },
    { timeout: 20_000, interval: 5 },
  )
  expect(refusal.message).toMatch(/taken back/)
}
const lock = (kind: 'agent' | 'tool' | 'everything' | 'owner', name: string) =>
  setLock(broker.deps(), operator, { kind, name, reason: 'odd', forSeconds: null, revokeGrants: false })

describe('the guard of the package against this feed', () => {
  test.each(['session', 'grant', 'credential'] as const)(
    'refuses a revoked %s as soon as the feed tells it (P5, S15)',
    async (kind) => {
      const { token, jti, sid, grant } = await issue()
      expect(await passes(token)).toBe(true)
      unwrap(
        await revoke(broker.deps(), operator, {
          kind,
          id: { session: sid, grant, credential: jti }[kind],
          reason: null,
        }),
      )
      await dies(token)
    },
  )

  test('refuses what a withdrawn signing key signed as soon as the feed tells it, and takes what its successor signs (S19)', async () => {
    const { token, grant } = await issue()
    expect(await passes(token)).toBe(true)
    unwrap(await withdrawKeys(broker.deps(), broker.brokerKeys, operator, { kid: null, reason: null }))
    await dies(token)
    session = await broker.session()
    const next = await issue(grant)
    // A guard looks for a key that it does not know at most every 5 s.
    await vi.waitUntil(() => passes(next.token), { timeout: 10_000, interval: 100 })
    expect(await passes(token)).toBe(false)
  })

  test.each(['agent', 'tool', 'everything'] as const)(
    'refuses under a lock on %s as soon as the feed tells it, and takes what is minted once it is lifted (S12)',
    async (kind) => {
      const { token, grant } = await issue()
      const name = { agent: 'triage-bot', tool: 'tickets', everything: '' }[kind]
      const locked = unwrap(await lock(kind, name))
      await dies(token)
      unwrap(await liftLock(broker.deps(), operator, { lock: locked.lock.id, reason: null }))
      expect(await passes(token)).toBe(false)
      // `iat` has whole seconds: what is minted in the second of the lock dies with it.
      await vi.waitUntil(() => Math.floor(Date.now() / 1000) > Math.floor(locked.lock.setAt / 1000), {
        timeout: 10_000,
      })
      if (kind !== 'tool') session = await broker.session()
      const again = await issue(grant)
      expect(await passes(again.token)).toBe(true)
      expect(await passes(token)).toBe(false)
    },
  )

  test('refuses what rests on the approval of an owner who was locked, and nothing else (S12)', async () => {
    const { token } = await issue()
    const { store } = broker.deps()
    const held = await store.list({ kind: 'grant', where: { agent: 'triage-bot' }, limit: 1 })
    const approved = {
      ...held.rows[0]!,
      id: 'grt_approved',
      approval: 'owner',
      approvers: ['alice@example.com'],
      born: { ...held.rows[0]!.born, approvers: [1] },
    } as const
    await broker.put([{ kind: 'grant', row: approved }])
    const other = await issue('grt_approved')
    expect(await passes(other.token)).toBe(true)
    unwrap(await lock('owner', 'alice@example.com'))
    await dies(other.token)
    expect(await passes(token)).toBe(true)
  })

  test.each(['agent', 'tool', 'installation', 'person'] as const)(
    'refuses what a raised epoch of its %s made dead before any row of it is marked (S12, STORE rule 4)',
    async (kind) => {
      const held = await broker.deps().store.list({ kind: 'grant', where: { agent: 'triage-bot' }, limit: 1 })
      const first =
        held.rows[0] ?? (await issue().then(() => broker.deps().store.list({ kind: 'grant', limit: 1 }))).rows[0]!
      const born = { ...first.born, approvers: [1] }
      const approved = {
        ...first,
        id: 'grt_approved',
        approval: 'owner',
        approvers: ['alice@example.com'],
        born,
      } as const
      await broker.put([{ kind: 'grant', row: approved }])
      const { token } = await issue('grt_approved')
      const { store, clock } = broker.deps()
      const id = { agent: 'triage-bot', tool: 'tickets', installation: 'self', person: 'alice@example.com' }[kind]
      const row = (await store.read([keyOf(kind, id)])).get(kind, id) ?? { ...NEW_LOCKABLE, id }
      await broker.put([{ kind, row: raised(row, clock.now(), false) } as Row])
      await dies(token)
      // And the same for a guard that comes later, from the rows as they are.
      await guard.close()
      guard = startGuard()
      expect(await guard.ready()).toBe(true)
      expect(await passes(token)).toBe(false)
    },
  )

  test('refuses as soon as the feed tells it that the agent’s access is gone from the manifests (P3)', async () => {
    const { token } = await issue()
    const id = 'access/triage-bot/tickets'
    const row = (await broker.deps().store.read([`slice/${id}`])).get('slice', id)!
    await broker.put([{ kind: 'slice', row: { ...row, value: null } }])
    await dies(token)
  })

  test('goes on through commits that deny nothing, without starting over (S15)', async () => {
    const { token } = await issue()
    for (let i = 0; i < 20; i++) await issue()
    const { seq } = await broker.deps().store.read([])
    await vi.waitUntil(() => guard.status().position === seq, { timeout: 10_000 })
    expect(guard.status()).toMatchObject({ state: 'live', lastFault: undefined })
    expect(await passes(token)).toBe(true)
  })

  test('starts over after a restart of the broker, and still knows what is dead (P9)', async () => {
    const [dead, alive] = [await issue(), await issue()]
    unwrap(await revoke(broker.deps(), operator, { kind: 'credential', id: dead.jti, reason: null }))
    await broker.reopen()
    await guard.close()
    guard = startGuard()
    expect(await guard.ready()).toBe(true)
    expect(await passes(dead.token)).toBe(false)
    expect(await passes(alive.token)).toBe(true)
    expect(guard.status().denials).toBeGreaterThan(0)
  })

  test('a guard that stayed while the broker restarted is told to start over and lives on (P9)', async () => {
    const { token } = await issue()
    await broker.reopen()
    await vi.waitUntil(() => guard.status().lastFault !== undefined && guard.status().state === 'live', {
      timeout: 8000,
    })
    await expect.poll(() => passes(token), { timeout: 8000 }).toBe(true)
  })

  test('loses its feed once its verifier token is revoked (S10, S14)', async () => {
    unwrap(await revokeBearer(broker.deps(), operator, { id: verifier.id }))
    await vi.waitUntil(() => guard.status().lastFault?.includes('feed') === true, { timeout: 10_000 })
  })
})

describe('the feed', () => {
  const open = (query: string, headers: Record<string, string> = { 'x-hallpass-verifier': verifier.secret }) =>
    fetch(`${broker.issuer}/guard/feed${query}`, { headers })
  async function* events(answer: Response): AsyncGenerator<Record<string, unknown>> {
    let rest = ''
    for await (const chunk of answer.body!.pipeThrough(new TextDecoderStream())) {
      const parts = (rest + chunk).split('\n\n')
      rest = parts.pop() ?? ''
      for (const part of parts) {
        const data = part.split('\n').find((line) => line.startsWith('data: '))
        if (data !== undefined) yield JSON.parse(data.slice(6))
      }
    }
  }

  test('sends what was missed since a position it still knows, and resets for one it does not (S15)', async () => {
    const before = (await broker.deps().store.read([])).seq
    const { jti } = await issue()
    unwrap(await revoke(broker.deps(), operator, { kind: 'credential', id: jti, reason: null }))
    const missed = events(await open(`?after=${before}`))
    const first = (await missed.next()).value
    expect(first).toMatchObject({ deny: { jti }, until: expect.stringMatching(/Z$/) })
    expect((await missed.next()).value).toMatchObject({ synced: true })
    await missed.return(undefined)
    for (const after of ['0', '1', String(10 ** 9)]) {
      const anew = events(await open(`?after=${after}`))
      expect((await anew.next()).value).toMatchObject({ reset: true })
      expect((await anew.next()).value).toMatchObject({ deny: { jti } })
      expect((await anew.next()).value).toMatchObject({ synced: true, seq: (await broker.deps().store.read([])).seq })
      await anew.return(undefined)
    }
  })

  test('sends a commit that needs several denials as one, with its position on the last (S15)', async () => {
    const { seq } = await broker.deps().store.read([])
    const feed = events(await open(`?after=${seq}`))
    expect((await feed.next()).value).toMatchObject({ synced: true })
    await issue()
    await issue()
    const held = await broker.deps().store.list({ kind: 'credential', where: { state: 'issued' }, limit: 2 })
    await broker.put(
      held.rows.map((row) => ({ kind: 'credential', row: { ...row, state: 'revoked', revocation: 'rvk_1' } })),
    )
    const seen: Record<string, unknown>[] = []
    for await (const event of feed) {
      if ('deny' in event) seen.push(event)
      if (seen.length === 2) break
    }
    expect(seen[0]).toMatchObject({ more: true, seq: seen[1]?.seq })
    expect(seen[1]).not.toHaveProperty('more')
  })

  test('tells a tool nothing of grants and credentials on another (S14)', async () => {
    const other = await broker.bearer('verifier', 'metrics')
    const { seq } = await broker.deps().store.read([])
    const { jti } = await issue()
    unwrap(await revoke(broker.deps(), operator, { kind: 'credential', id: jti, reason: null }))
    const feed = events(await open(`?after=${seq}`, { 'x-hallpass-verifier': other.secret }))
    expect((await feed.next()).value).toMatchObject({ synced: true })
    await feed.return(undefined)
  })

  test('beats by itself where nothing happens (S15)', async () => {
    const { seq } = await broker.deps().store.read([])
    const feed = events(await open(`?after=${seq}`))
    const seen: unknown[] = []
    for await (const event of feed) {
      seen.push(event)
      if (seen.length === 3) break
    }
    expect(seen).toEqual([
      { n: 1, seq, synced: true },
      { n: 2, seq },
      { n: 3, seq },
    ])
  })

  test('and leases are refused without a verifier token, with another kind, and for what is not a position (S13)', async () => {
    const owner = (await broker.bearer('owner', 'alice@example.com')).secret
    const lease = (headers: Record<string, string>, body: unknown = { guard: 'g', ackSeq: 0 }) =>
      fetch(`${broker.issuer}/guard/lease`, { method: 'POST', headers, body: JSON.stringify(body) })
    expect((await open('?after=0', {})).status).toBe(401)
    expect((await lease({})).status).toBe(401)
    for (const wrong of [session, owner]) {
      const headers = { 'x-hallpass-verifier': wrong }
      expect((await open('?after=0', headers)).status).toBe(wrong === owner ? 403 : 401)
      expect((await lease(headers)).status).toBe(wrong === owner ? 403 : 401)
    }
    const mine = { 'x-hallpass-verifier': verifier.secret }
    for (const query of [
      '?after=-1',
      '?after=1e3',
      '?after=x',
      '?after=0&after=1',
      '?from=1',
      `?after=${'9'.repeat(17)}`,
    ])
      expect((await open(query)).status).toBe(400)
    for (const body of [{}, { guard: '', ackSeq: 0 }, { guard: 'g', ackSeq: -1 }, { guard: 'g', ackSeq: 0, x: 1 }, 'x'])
      expect((await lease(mine, body)).status).toBe(400)
    expect((await lease(mine, { guard: 'g', ackSeq: 10 ** 9 })).status).toBe(409)
    expect((await lease(mine, { guard: 'x'.repeat(9000), ackSeq: 0 })).status).toBe(400)
    expect(await (await lease(mine)).json()).toEqual({
      seq: (await broker.deps().store.read([])).seq,
      leaseSeconds: 10,
    })
  })

  test('frees the place of a connection that went away (S17)', async () => {
    for (let i = 0; i < GUARDS_PER_TOOL + 20; i++) {
      const leaving = new AbortController()
      const answer = await fetch(`${broker.issuer}/guard/feed?after=0`, {
        headers: { 'x-hallpass-verifier': verifier.secret },
        signal: leaving.signal,
      })
      expect(answer.status).toBe(200)
      leaving.abort()
    }
  })

  test('has room for as many connections as a tool may have guards, and no more (S17)', async () => {
    const leaving = new AbortController()
    const statuses: number[] = []
    for (let i = 0; i < GUARDS_PER_TOOL; i++) {
      const headers = { 'x-hallpass-verifier': verifier.secret }
      statuses.push((await fetch(`${broker.issuer}/guard/feed?after=0`, { headers, signal: leaving.signal })).status)
    }
    // One place is the guard's own.
    expect(statuses.lastIndexOf(200)).toBe(GUARDS_PER_TOOL - 2)
    expect(statuses.at(-1)).toBe(503)
    leaving.abort()
  })

  test('ends, and gives no lease, while the store cannot be trusted (P10)', async () => {
    const { store } = broker.deps()
    const feed = events(await open('?after=0'))
    await feed.next()
    const fresh = store.fresh
    try {
      store.fresh = () => false
      const answer = await fetch(`${broker.issuer}/guard/lease`, {
        method: 'POST',
        headers: { 'x-hallpass-verifier': verifier.secret },
        body: JSON.stringify({ guard: 'g', ackSeq: 0 }),
      })
      expect(answer.status).toBe(503)
      expect((await open('?after=0')).status).toBe(503)
      for await (const _ of feed);
    } finally {
      store.fresh = fresh
    }
  })
})

describe('"revoked" of a tool with guards', () => {
  test('is said as soon as the guard of the package applied the denial, and not before (P5, S15)', async () => {
    let ahead = 0
    const clock = { now: () => Date.now(), monotonic: () => performance.now() + ahead }
    const own = await startBroker({ clock })
    const { secret } = await own.bearer('verifier', 'tickets')
    // A lease of uptime passes before the guard comes.
    ahead = 10_000
    let isDeaf = false
    const held = Promise.withResolvers<void>()
    let mayLease = Promise.resolve()
    const deaf = createGuard({
      issuer: own.issuer,
      resource: TICKETS,
      verifierToken: secret,
      mode: 'offline',
      fetch: async (input, init) => {
        const isLease = String(input).endsWith('/guard/lease')
        if (isLease && isDeaf) throw new Error('no way to the broker')
        if (isLease) await mayLease
        return fetch(input, init)
      },
    })
    try {
      expect(await deaf.ready()).toBe(true)
      const token = await own.session()
      const grant_id = await own.grant(token)
      const revokeOne = async () => {
        const issued = await own.credential(token, { grant_id })
        const claims = await own.edge().verify(issued.token)
        return unwrap(await revoke(own.deps(), operator, { kind: 'credential', id: String(claims?.jti), reason: null }))
      }
      mayLease = held.promise
      const first = await revokeOne()
      expect(first.state).toBe('open')
      expect((await finishRevocation(own.deps(), first)).state).toBe('open')
      held.resolve()
      await vi.waitUntil(async () => (await finishRevocation(own.deps(), first)).state === 'complete', {
        timeout: 10_000,
        interval: 10,
      })
      const done = await finishRevocation(own.deps(), first)
      expect(done.confirmations).toMatchObject([{ tool: 'tickets', how: expect.stringContaining('acknowledged') }])

      isDeaf = true
      const second = await revokeOne()
      await delay(200)
      expect((await finishRevocation(own.deps(), second)).state).toBe('open')
      ahead += 10_000
      expect((await finishRevocation(own.deps(), second)).state).toBe('complete')
    } finally {
      await deaf.close()
      await own.stop()
    }
  })
})
