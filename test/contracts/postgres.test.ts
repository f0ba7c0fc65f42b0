// The store's contract on PostgreSQL, and what is true of this engine alone.

import pg from 'pg'
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest'
import { type Store, StoreInDoubt, StoreUnavailable } from '../../src/actions/ports.ts'
import {
  type Connections,
  connectionsTo,
  type Query,
  QueryError,
} from '../../src/adapters/store/postgres/connections.ts'
import { openPostgresStore, type PostgresStoreOptions } from '../../src/adapters/store/postgres/postgres-store.ts'
import { MIGRATIONS } from '../../src/adapters/store/postgres/schema.ts'
import type { Row } from '../../src/core/model.ts'
import { administer, freshSchema, type TestSchema } from '../support/postgres-schema.ts'
import { crashAndRestart } from '../support/postgres-server.ts'
import { type Opened, type OpenOptions, storeContract } from './store-contract.ts'
import { committed, member, START, sealed, session, testClock, tool } from './store-fixtures.ts'

const url = inject('postgresServer').url

async function open(options: OpenOptions = {}): Promise<Opened> {
  const schema = freshSchema(url)
  const clock = testClock()
  const openStore = () => openPostgresStore({ url, schema: schema.name, clock, exclusive: true, ...options })
  let store = await openStore()
  return {
    store,
    clock,
    child: ['postgres', url, schema.name],
    async reopen() {
      await store.close()
      store = await openStore()
      return store
    },
    second: openStore,
    async breakWrites() {
      const name = schema.name
      await administer(
        url,
        `create function ${name}.no_space() returns trigger language plpgsql as
           $$ begin raise exception 'no space left'; end $$;
         create trigger no_space before update on ${name}.head for each row execute function ${name}.no_space()`,
      )
      return async () =>
        void (await administer(url, `drop trigger no_space on ${name}.head; drop function ${name}.no_space()`))
    },
    async close() {
      await store.close()
      await schema.drop()
    },
  }
}

storeContract('PostgreSQL', open, { isExclusive: true })

const bearer = (revokedAt: number | null): Row => ({
  kind: 'bearer',
  row: {
    id: 'own_1',
    kind: 'owner',
    hash: 'h1',
    subject: 'ann@example.com',
    madeBy: 'operator',
    createdAt: START,
    expiresAt: START + 1,
    revokedAt,
  },
})

describe('PostgreSQL', () => {
  let schema: TestSchema
  const stores: Store[] = []
  beforeEach(() => {
    schema = freshSchema(url)
  })
  afterEach(async () => {
    await Promise.all(stores.splice(0).map((store) => store.close()))
    await schema.drop()
  })

  async function opened(options: Partial<PostgresStoreOptions> = {}, connect?: typeof connectionsTo): Promise<Store> {
    const store = await openPostgresStore({ url, schema: schema.name, clock: testClock(), ...options }, connect)
    stores.push(store)
    return store
  }
  const outside = (sql: string) => administer(url, `set search_path = ${schema.name}; ${sql}`)

  test('a schema newer than the code is refused (STORE rule 9)', async () => {
    await (await opened()).close()
    await outside(`insert into migration (number, at) values (${MIGRATIONS.length + 1}, 'later')`)
    await expect(opened()).rejects.toThrow(/newer/)
    await expect(opened()).rejects.toThrow(/newer/)
  })

  test('several that open an empty database at once make one schema (STORE rule 9)', async () => {
    const [first] = await Promise.all([opened(), opened(), opened()])
    expect((await first.commit(member())).ok).toBe(true)
  })

  test('a server that would lose what it acknowledged is refused (STORE rule 10)', async () => {
    const careless = new URL(url)
    careless.searchParams.set('options', '-c synchronous_commit=off')
    await expect(opened({ url: careless.href })).rejects.toThrow(/synchronous_commit is off/)
    const set = async (value: string) => {
      await administer(url, `alter system set fsync = ${value}`)
      await administer(url, 'select pg_reload_conf()')
      const current = async () => (await administer(url, 'show fsync')).rows[0].fsync
      await expect.poll(current, { interval: 10 }).toBe(value)
    }
    await set('off')
    try {
      await expect(opened()).rejects.toThrow(/fsync is off/)
    } finally {
      await set('on')
    }
  })

  test('no message carries the address or the password in it (P7)', async () => {
    const wrong = [
      'postgres://broker:hunter2@127.0.0.1:1/hallpass',
      'postgres://broker:hunter2@no.such.host.invalid/hallpass',
      'postgres://broker:hunter2@%/hallpass',
      'mysql://broker:hunter2@localhost/hallpass',
      url.replace('hallpass@', 'nobody:hunter2@'),
    ]
    for (const address of wrong) {
      const thrown = await opened({ url: address }).then(
        () => 'opened',
        (error: Error) => `${error.message} ${error.stack} ${JSON.stringify(error)}`,
      )
      expect(thrown).not.toMatch(/hunter2|^opened/)
    }
  })

  for (const [how, sql] of [
    ['shorter', 'update head set size = 0'],
    ['another one', `update record set leaf = sha256('other') where idx = 1`],
  ] as const) {
    test(`a log that is ${how} stops the store for good (STORE rule 10)`, async () => {
      const store = await opened()
      await committed(store, { records: [sealed(), sealed()] })
      await outside(sql)
      await expect(store.commit(member())).rejects.toThrow(/not what this process knows/)
      expect(store.fresh()).toBe(false)
      await outside('update head set size = 2')
      await expect(store.commit(member())).rejects.toThrow(StoreUnavailable)
    })

    test(`a log that is ${how} is found out by whoever only reads, too (STORE rule 10)`, async () => {
      const store = await opened()
      await committed(store, { records: [sealed(), sealed()] })
      await outside(sql)
      await expect.poll(() => store.fresh(), { timeout: 900, interval: 20 }).toBe(false)
      await expect(store.commit(member())).rejects.toThrow(/not what this process knows/)
    })
  }

  test('a process that was paused for more than a second refuses until it has looked again (STORE rule 6)', async () => {
    let paused = 0
    const clock = { ...testClock(), now: () => START, monotonic: () => performance.now() + paused }
    const store = await opened({ clock })
    expect(store.fresh()).toBe(true)
    paused = 1_001
    expect(store.fresh()).toBe(false)
    await expect.poll(() => store.fresh(), { interval: 5 }).toBe(true)
    // Whoever would judge may have it look at once.
    paused = 5_000
    expect(store.fresh()).toBe(false)
    await store.refresh()
    expect(store.fresh()).toBe(true)
  })

  test('what is known is as old as the question, not as the answer (STORE rule 6)', async () => {
    let isSlow = false
    const store = await opened({}, (...given) =>
      around(connectionsTo(...given), async (role, statement, work) => {
        const answer = await work()
        if (isSlow && role === 'doorbell' && statement.name === 'head') await pause(1_100)
        return answer
      }),
    )
    isSlow = true
    await expect.poll(() => store.fresh(), { timeout: 2_000, interval: 5 }).toBe(false)
    const until = performance.now() + 1_500
    while (performance.now() < until) {
      expect(store.fresh()).toBe(false)
      await pause(5)
    }
    isSlow = false
    await expect.poll(() => store.fresh(), { timeout: 2_500, interval: 5 }).toBe(true)
  })

  test('what another instance wrote is seen without any doorbell (STORE rule 5)', async () => {
    const deaf = await opened({}, (...given) => {
      const real = connectionsTo(...given)
      return { ...real, line: (role, { onNotification: _, ...rest } = {}) => real.line(role, rest) }
    })
    const other = await opened()
    const { last } = await committed(other, { put: [tool('a')] })
    await expect.poll(async () => (await deaf.read(['tool/a'])).seq, { timeout: 1_000, interval: 10 }).toBe(last + 1)
  })

  test('texts as long as an index entry can be are no trouble to a group (STORE 4)', async () => {
    const store = await opened()
    const noise = (seed: number, length: number) =>
      Array.from({ length }, (_, index) => String.fromCharCode(0x4e00 + ((index * 7_919 + seed * 104_729) % 20_000)))
    for (const [round, length] of [400, 401, 10_000].entries()) {
      const text = (part: number) => noise(10 * round + part, length).join('')
      const put = [session(text(1), { agent: text(2), revocation: text(3) })]
      const once = [{ space: text(4), value: text(5), until: START }]
      const opening = { [text(6)]: { salt: text(7), text: text(8) } }
      const records = [sealed({ agent: text(2), jti: text(9), ownerHash: text(6), opened: opening })]
      expect((await store.commit(member({ id: text(0), put, once, records }))).ok).toBe(true)
      expect((await store.list({ kind: 'session', where: { agent: text(2) }, limit: 2 })).rows).toHaveLength(1)
      const [found] = await store.records(0, 2, { owner: text(8) })
      expect(found?.opened).toEqual(opening)
    }
    await committed(store, { put: [session('a', { expiresAt: 1.5 }), session('a', { expiresAt: 2.5 })] })
    expect((await store.list({ kind: 'session', where: { expiresAfter: 2 }, limit: 9 })).rows).not.toHaveLength(0)
  })

  test('time that passes while others hold the log counts against what expires (STORE rule 1)', async () => {
    const store = await opened()
    const holder = new pg.Client({ connectionString: url })
    await holder.connect()
    await holder.query(`begin; select 1 from ${schema.name}.head for update`)
    const [late, inTime] = [START + 50, START + 60_000].map((notAfter) => store.commit(member({ notAfter })))
    await pause(150)
    await holder.end()
    expect(await late).toEqual({ ok: false, why: 'late', keys: [] })
    expect(await inTime).toMatchObject({ ok: true })
  })

  describe('while others hold the log', () => {
    let holder: pg.Client
    const hold = async () => {
      holder = new pg.Client({ connectionString: url })
      await holder.connect()
      await holder.query(`begin; select 1 from ${schema.name}.head for update`)
    }

    test('who judges by rows of a narrowing waits for it, and nobody else does (STORE rule 6)', async () => {
      const store = await opened()
      await committed(store, { put: [tool('a'), tool('b')] })
      await hold()
      const locked = store.commit(member({ lane: 'narrowing', put: [tool('a', 1)] }))
      const judged = store.read(['tool/a', 'tool/b'])
      expect((await store.read(['tool/b'])).get('tool', 'b')?.epoch).toBe(0)
      await holder.end()
      expect((await judged).get('tool', 'a')?.epoch).toBe(1)
      expect((await locked).ok).toBe(true)
    })

    test('a narrowing that stays unwritten refuses who judges by its rows after a second (STORE rule 6)', async () => {
      const store = await opened()
      await committed(store, { put: [tool('a'), tool('b'), bearer(null)] })
      await hold()
      const locked = store.commit(member({ lane: 'narrowing', put: [tool('a', 1), bearer(START)] }))
      const byHash = store.list({ kind: 'bearer', where: { hash: 'h1' }, limit: 1 })
      await Promise.all([store.read(['tool/a']), byHash].map((each) => expect(each).rejects.toThrow(StoreUnavailable)))
      expect((await store.read(['tool/b'])).versions.get('tool/b')).toBe(1)
      await holder.end()
      expect((await locked).ok).toBe(true)
      expect((await store.read(['tool/a'])).get('tool', 'a')?.epoch).toBe(1)
      const { rows } = await store.list({ kind: 'bearer', where: { hash: 'h1' }, limit: 1 })
      expect(rows[0]?.revokedAt).toBe(START)
    })
  })

  test('a time that one instance sets is the highest time of the others as well (S18)', async () => {
    const [one, other] = [await opened(), await opened()]
    await committed(one, { at: START + 3_600_000 })
    await expect.poll(() => other.highestTime(), { interval: 10 }).toBe(START + 3_600_000)
    expect((await one.commit({ ...member({ at: START }), setsTime: true })).ok).toBe(true)
    expect(one.highestTime()).toBe(START)
    await expect.poll(() => other.highestTime(), { interval: 10 }).toBe(START)
    expect((await other.commit(member({ at: START }))).ok).toBe(true)
  })

  test('who fell behind what is kept reads everything anew, and so do its listeners (STORE rule 5)', async () => {
    let isCut = false
    const behind = await opened({}, (...given) =>
      around(connectionsTo(...given), async (role, _statement, work) => {
        if (isCut && role === 'doorbell') throw new QueryError('lost', '', 'the line is cut')
        return work()
      }),
    )
    const other = await opened({ keepChanges: 5 })
    await committed(behind, { put: [tool('a'), session('ses_1')] })
    await behind.read(['session/ses_1'])
    const stop = new AbortController()
    const feed = behind.changes(1, stop.signal)[Symbol.asyncIterator]()
    const next = feed.next()
    isCut = true
    for (let epoch = 1; epoch <= 40; epoch++) {
      await committed(other, { put: [tool('a', epoch), session('ses_1', { key: `k${epoch}` })] })
    }
    const oldest = async () =>
      (await administer(url, `select min(first)::int as first from ${schema.name}.change`)).rows[0].first
    await expect.poll(oldest, { timeout: 5_000 }).toBeGreaterThan(10)
    isCut = false
    expect(await next).toMatchObject({ value: { type: 'reload', seq: 41 } })
    const end = await behind.read(['tool/a', 'session/ses_1'])
    expect([end.seq, end.get('tool', 'a')?.epoch, end.get('session', 'ses_1')?.key]).toEqual([41, 40, 'k40'])
    stop.abort()
    await feed.next()
  })

  test('after a crash of the server every acknowledged commit is there, and what was in doubt is known (P1)', async () => {
    const store = await opened()
    const acknowledged = new Map<string, number>()
    const doubtful: string[] = []
    let isOver = false
    const commitUntilOver = async (lane: number) => {
      for (let round = 0; !isOver; round++) {
        const id = `cmt_${lane}_${round}`
        try {
          acknowledged.set(id, (await committed(store, { id, put: [tool(id)] })).first)
        } catch (thrown) {
          if (thrown instanceof StoreInDoubt) doubtful.push(id)
          else if (!(thrown instanceof StoreUnavailable)) throw thrown
          await pause(20)
        }
      }
    }
    const workers = Array.from({ length: 40 }, (_, lane) => commitUntilOver(lane))
    for (let crash = 1; crash <= 3; crash++) {
      const before = acknowledged.size
      await expect.poll(() => acknowledged.size, { timeout: 10_000 }).toBeGreaterThan(before + 100)
      crashAndRestart(inject('postgresServer'))
      await expect.poll(() => store.fresh(), { timeout: 10_000 }).toBe(true)
    }
    isOver = true
    await Promise.all(workers)
    for (const id of doubtful) {
      const outcome = await store.outcomeOf(id)
      if (outcome !== 'never' && outcome.ok) acknowledged.set(id, outcome.first)
    }
    const { size } = await store.tree()
    expect([...acknowledged.values()].toSorted((a, b) => a - b)).toEqual(Array.from({ length: size }, (_, i) => i))
    for (const [id, first] of acknowledged) {
      expect((await store.read([`tool/${id}`])).versions.get(`tool/${id}`)).toBe(first + 1)
    }
    expect(doubtful.length).toBeGreaterThan(0)
  })

  describe('a lost reply', () => {
    /** Opens a store whose first commit loses its reply, as `lose` has it. */
    async function losing(lose: (send: () => Promise<object[]>) => Promise<void>): Promise<Store> {
      let isFirst = true
      return opened({}, (...given) =>
        around(connectionsTo(...given), async (_role, statement, work) => {
          if (statement.name !== 'commit' || !isFirst) return work()
          isFirst = false
          await lose(work)
          throw new QueryError('lost', '', 'the line went dead')
        }),
      )
    }

    for (const isWritten of [true, false]) {
      test(`of a commit that was ${isWritten ? '' : 'not '}written is in doubt, and settled before anything else (STORE 5)`, async () => {
        const store = await losing(async (send) => {
          if (isWritten) await send()
        })
        const doubt = member({ put: [tool('a')] })
        await expect(store.commit(doubt)).rejects.toThrow(StoreInDoubt)
        expect(store.fresh()).toBe(false)
        expect(await store.outcomeOf(doubt.id)).toEqual(isWritten ? { ok: true, first: 0, last: 0 } : 'never')
        expect((await store.read(['tool/a'])).versions.get('tool/a')).toBe(isWritten ? 1 : 0)
        expect(store.fresh()).toBe(true)
        expect(await committed(store)).toMatchObject({ first: isWritten ? 1 : 0 })
      })
    }

    test('of a commit that arrives after it was called never changes nothing (STORE 5)', async () => {
      let sendLate: () => Promise<object[]> = async () => []
      const store = await losing(async (send) => {
        sendLate = send
      })
      const doubt = member({ put: [tool('a')] })
      await expect(store.commit(doubt)).rejects.toThrow(StoreInDoubt)
      expect(await store.outcomeOf(doubt.id)).toBe('never')
      await sendLate()
      expect(await store.outcomeOf(doubt.id)).toBe('never')
      expect((await store.read(['tool/a'])).versions.get('tool/a')).toBe(0)
      expect(await store.commit(doubt)).toMatchObject({ ok: false, why: 'stale' })
      expect((await store.tree()).size).toBe(0)
    })

    for (const [how, isAsked, isLate] of [
      ['in doubt', false, false],
      ['in doubt, and arrives by itself,', false, true],
      ['called never', true, false],
    ] as const) {
      test(`of a narrowing that is ${how} and is insisted on comes to stand once (S17)`, async () => {
        let sendLate: () => Promise<object[]> = async () => []
        const store = await losing(async (send) => {
          sendLate = send
        })
        const doubt = member({ lane: 'narrowing', put: [tool('a', 1)] })
        await expect(store.commit(doubt)).rejects.toThrow(StoreInDoubt)
        if (isAsked) expect(await store.outcomeOf(doubt.id)).toBe('never')
        if (isLate) await sendLate()
        expect(await store.insist(doubt)).toBe('in memory')
        expect(store.fresh()).toBe(false)
        await expect.poll(() => store.fresh(), { timeout: 5_000, interval: 20 }).toBe(true)
        expect((await store.read(['tool/a'])).get('tool', 'a')?.epoch).toBe(1)
        await sendLate()
        expect((await store.tree()).size).toBe(1)
      })
    }

    test('because the server ended the connection is in doubt, and the store mends by itself (STORE 5)', async () => {
      const store = await opened()
      await committed(store)
      const holder = new pg.Client({ connectionString: url })
      await holder.connect()
      await holder.query(`begin; select 1 from ${schema.name}.head for update`)
      const doubt = member({ put: [tool('a')] })
      const refused = expect(store.commit(doubt)).rejects.toThrow(StoreInDoubt)
      await expect
        .poll(
          async () => {
            const { rows } = await administer(
              url,
              `select pg_terminate_backend(pid) from pg_stat_activity
                 where application_name = 'hallpass writer' and wait_event_type = 'Lock'`,
            )
            return rows.length
          },
          { interval: 10 },
        )
        .toBe(1)
      await refused
      const outcome = store.outcomeOf(doubt.id)
      await holder.end()
      expect(await outcome).toBe('never')
      expect((await store.commit(member())).ok).toBe(true)
      expect(store.fresh()).toBe(true)
    })

    test('of a read refuses that read, and ends nothing else (P10)', async () => {
      const store = await opened()
      const holder = new pg.Client({ connectionString: url })
      await holder.connect()
      await holder.query(`begin; lock table ${schema.name}.entity in access exclusive mode`)
      const refused = expect(store.read(['session/ses_1'])).rejects.toThrow(StoreUnavailable)
      const end = `select pg_terminate_backend(pid) from pg_stat_activity
        where application_name = 'hallpass reader' and wait_event_type = 'Lock'`
      await expect.poll(async () => (await administer(url, end)).rowCount, { interval: 10 }).toBe(1)
      await refused
      await holder.end()
      expect((await store.read(['session/ses_1'])).versions.get('session/ses_1')).toBe(0)
    })

    test('of everything at once: connections that end are made again, and freshness with them (P10)', async () => {
      const store = await opened()
      await committed(store, { put: [session('ses_1')] })
      const all = `select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'hallpass %'`
      await administer(url, all)
      await expect.poll(() => store.fresh(), { timeout: 5_000, interval: 20 }).toBe(true)
      const read = () =>
        store.read(['session/ses_1', 'session/none']).then(
          ({ seq }) => seq,
          () => null,
        )
      await expect.poll(read, { timeout: 5_000 }).toBe(1)
      expect((await store.commit(member())).ok).toBe(true)
    })
  })

  test('two instances with random delays around every await keep one order, one winner and one view (STORE 6)', async () => {
    let seed = 11
    const random = () => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
      return seed / 2_147_483_648
    }
    const delayed: typeof connectionsTo = (...given) =>
      around(connectionsTo(...given), async (_role, _statement, work) => {
        if (random() < 0.6) await pause(random() * 6)
        const answer = await work()
        if (random() < 0.6) await pause(random() * 6)
        return answer
      })
    const [one, two] = [await opened({ maxGroup: 4 }, delayed), await opened({ maxGroup: 4 }, delayed)]
    const stop = new AbortController()
    const heard = await Promise.all(
      [one, two].map(async (store) => {
        const ranges: [number, number][] = []
        const listening = (async () => {
          for await (const each of store.changes(0, stop.signal)) {
            if (each.type === 'reload') throw new Error('nothing was missed')
            if (each.type === 'change') ranges.push([each.change.first, each.change.last])
          }
        })()
        return { ranges, listening }
      }),
    )

    let [won, uses, mints] = [0, 0, 0]
    await committed(one, { put: [session('ses_1')] })
    await committed(two, { put: [tool('shared')] })
    const worker = async (store: Store, name: string) => {
      for (let round = 0; round < 12; round++) {
        const seen = await store.read(['tool/shared', `tool/${name}`])
        const [shared, own] = [seen.get('tool', 'shared')?.epoch ?? 0, seen.get('tool', name)?.epoch ?? 0]
        const put = [tool('shared', shared + 1), tool(name, own + 1)]
        const outcome = await store.commit(member({ expect: seen.versions, put, records: [sealed(), sealed()] }))
        if (outcome.ok) {
          won++
          const after = await store.read(['tool/shared', `tool/${name}`])
          expect(after.seq).toBeGreaterThan(outcome.last)
          expect(after.get('tool', name)?.epoch).toBe(own + 1)
        }
        const once = [{ space: 'jti', value: `j${round}`, until: START + 1_000 }]
        if ((await store.commit(member({ once }))).ok) uses++
      }
    }
    const revocation: { first: number }[] = []
    const mint = async (store: Store, name: string) => {
      for (let round = 0; round < 40; round++) {
        const seen = await store.read(['session/ses_1'])
        if (seen.get('session', 'ses_1')?.state !== 'open') return
        const outcome = await store.commit(member({ expect: seen.versions, put: [tool(`mint-${name}-${round}`)] }))
        if (outcome.ok) {
          mints++
          if (revocation[0] !== undefined) expect(outcome.last).toBeLessThan(revocation[0].first)
        }
      }
    }
    const revoke = async () => {
      await expect.poll(() => mints, { interval: 5, timeout: 10_000 }).toBeGreaterThan(4)
      const expected = (await two.read(['session/ses_1'])).versions
      const put = [session('ses_1', { state: 'revoked' })]
      revocation.push(await committed(two, { lane: 'narrowing', expect: expected, put }))
    }
    const workers = [one, two, one, two].map((store, index) => worker(store, `w${index}`))
    await Promise.all([...workers, mint(one, 'a'), mint(two, 'b'), revoke()])
    expect([won > 0, uses, revocation.length]).toEqual([true, 12, 1])

    const size = (await one.tree()).size
    for (const store of [one, two]) {
      await expect.poll(async () => (await store.read(['tool/shared'])).seq, { timeout: 2_000 }).toBe(size)
      const keys = ['tool/shared', 'tool/w0', 'tool/w1', 'tool/w2', 'tool/w3'] as const
      const end = await store.read(keys)
      expect(end.get('tool', 'shared')?.epoch).toBe(won)
      expect(keys.slice(1).reduce((sum, key) => sum + (end.get('tool', key.slice(5))?.epoch ?? 0), 0)).toBe(won)
      expect(store.fresh()).toBe(true)
    }
    expect((await one.records(0, 1_000)).map(({ index }) => index)).toEqual(Array.from({ length: size }, (_, i) => i))
    stop.abort()
    for (const { ranges, listening } of heard) {
      await listening
      let next = 0
      for (const [first, last] of ranges) {
        expect(first).toBe(next)
        next = last + 1
      }
      expect(next).toBe(size)
    }
    expect(await one.tree()).toEqual(await two.tree())
  })
})

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

type Statement = Parameters<Query>[0]

/** The same connections, with something done around every statement. */
function around(
  real: Connections,
  wrap: (role: string, statement: Statement, work: () => Promise<object[]>) => Promise<object[]>,
): Connections {
  const wrapped =
    (role: string, query: Query): Query =>
    async <R extends object>(statement: Statement) =>
      (await wrap(role, statement, () => query<R>(statement))) as R[]
  return {
    line(role, options) {
      const line = real.line(role, options)
      return {
        query: wrapped(role, line.query),
        get pid() {
          return line.pid
        },
        close: line.close,
      }
    },
    readers(most) {
      const readers = real.readers(most)
      return {
        query: wrapped('reader', readers.query),
        snapshot: (look) => readers.snapshot((query) => look(wrapped('reader', query))),
        close: readers.close,
      }
    },
  }
}
