// What every store must do, on whichever engine: one test an invariant of the one write path. It knows only the port.

import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Feed, type Outcome, type Store, StoreUnavailable } from '../../src/actions/ports.ts'
import { inclusionProof, nodesOver, rootOf, verifyInclusion } from '../../src/core/merkle.ts'
import type { Key, Row } from '../../src/core/model.ts'
import {
  committed,
  jittered,
  member,
  nextId,
  START,
  sealed,
  session,
  type TestClock,
  tool,
  wholeLog,
} from './store-fixtures.ts'

export type Opened = {
  readonly store: Store
  readonly clock: TestClock
  /** Closes it and opens it again over the same data. */
  reopen(): Promise<Store>
  /** Opens the same data a second time, while the first is open. */
  second(): Promise<Store>
  /** Makes every write fail from outside; the answer heals it. */
  breakWrites(): () => void
  /** Arguments with which `committing-child.ts` opens the same data, once this is closed. */
  readonly child: readonly string[]
  /** Closes it, and forgets the data. */
  close(): Promise<void>
}

export type OpenOptions = { readonly maxQueue?: number; readonly keepChanges?: number }

export type Traits = {
  /** One process holds the data; a second is refused. */
  readonly isExclusive: boolean
}

export function storeContract(name: string, open: (options?: OpenOptions) => Promise<Opened>, traits: Traits): void {
  describe(`the store on ${name}`, () => {
    let opened: Opened
    let store: Store

    beforeEach(async () => {
      opened = await open()
      store = opened.store
    })
    afterEach(() => opened.close())

    const version = async (key: Key) => (await store.read([key])).versions.get(key)

    /** Opens it anew with other limits. */
    async function withOptions(options: OpenOptions) {
      await opened.close()
      opened = await open(options)
      store = opened.store
    }

    describe('order', () => {
      test('commits are totally ordered and their indexes dense, whoever asks at once (STORE 1)', async () => {
        const outcomes = await Promise.all(
          Array.from({ length: 100 }, (_, index) =>
            committed(store, { records: Array.from({ length: 1 + (index % 3) }, () => sealed()) }),
          ),
        )
        const ranges = outcomes.toSorted((a, b) => a.first - b.first)
        let next = 0
        for (const { first, last } of ranges) {
          expect(first).toBe(next)
          next = last + 1
        }
        expect((await wholeLog(store)).map(({ index }) => index)).toEqual(Array.from({ length: next }, (_, i) => i))
        expect((await store.tree()).size).toBe(next)
      })

      test('a record comes back byte for byte, with its texts beside it (STORE 1)', async () => {
        const bytes = new Uint8Array([0, 255, 34, 39, 0, 10])
        const record = sealed({
          bytes,
          agent: 'triage-bot',
          tool: 'tickets',
          jti: 'jti_1',
          ownerHash: 'owner-hash',
          opened: { 'owner-hash': { salt: 'c2FsdA', text: 'ann@example.com' }, other: { salt: 'cw', text: "it's" } },
        })
        const { first } = await committed(store, { records: [sealed(), record] })
        const [found] = await store.records(first + 1, 1)
        expect(found?.index).toBe(first + 1)
        expect(Buffer.from(found!.bytes)).toEqual(Buffer.from(bytes))
        expect(Buffer.from(found!.leaf)).toEqual(Buffer.from(record.leaf))
        expect(found?.opened).toEqual(record.opened)
      })

      test('an index is visible as soon as its commit answered, and a row with the version that it gave (STORE 1)', async () => {
        const { last } = await committed(store, { put: [tool('tickets', 3)], records: [sealed(), sealed()] })
        const snapshot = await store.read(['tool/tickets'])
        expect(snapshot.seq).toBe(last + 1)
        expect(snapshot.versions.get('tool/tickets')).toBe(last + 1)
        expect(snapshot.get('tool', 'tickets')).toEqual(tool('tickets', 3).row)
      })

      test('everything is there again after closing and opening (STORE 1)', async () => {
        await committed(store, { at: START + 7, put: [tool('tickets', 3), session('ses_1')] })
        const before = await store.tree()
        store = await opened.reopen()
        expect((await store.read(['tool/tickets', 'session/ses_1'])).versions).toEqual(
          new Map([
            ['tool/tickets', 1],
            ['session/ses_1', 1],
          ]),
        )
        expect(await store.tree()).toEqual(before)
        expect(store.highestTime()).toBe(START + 7)
      })
    })

    describe('refusals', () => {
      test('a refused member leaves nothing behind and its neighbours are untouched (STORE 2)', async () => {
        await committed(store, { put: [tool('a')], once: [{ space: 'jti', value: 'old', until: START + 1_000 }] })
        const size = (await store.tree()).size
        const refused = {
          put: [tool('never'), session('ses_never')],
          once: [{ space: 'jti', value: 'new', until: START + 9 }],
        }
        const outcomes = await Promise.all([
          store.commit(member({ put: [tool('left')] })),
          store.commit(member({ ...refused, id: 'cmt_stale', expect: { 'tool/a': 7 } })),
          store.commit(
            member({ ...refused, once: [...refused.once, { space: 'jti', value: 'old', until: START + 9 }] }),
          ),
          store.commit(member({ ...refused, notAfter: START - 1 })),
          store.commit(member({ ...refused, at: START - 60_000 })),
          store.commit(member({ put: [tool('right')] })),
        ])
        expect(outcomes.map((outcome) => (outcome.ok ? 'ok' : outcome.why))).toEqual([
          'ok',
          'stale',
          'used',
          'late',
          'clock',
          'ok',
        ])
        const rows = await store.read(['tool/left', 'tool/right', 'tool/never', 'session/ses_never'])
        expect([...rows.versions.values()].map((at) => at > 0)).toEqual([true, true, false, false])
        expect((await store.tree()).size).toBe(size + 2)
        expect(await store.outcomeOf('cmt_stale')).toBe('never')
        expect((await store.commit(member({ once: refused.once }))).ok).toBe(true)
      })

      test('a commit whose expected version moved is stale and names what moved (STORE 3)', async () => {
        await committed(store, { put: [tool('a'), tool('b')] })
        await committed(store, { put: [tool('a', 1)] })
        const outcome = await store.commit(member({ expect: { 'tool/a': 1, 'tool/b': 1, 'tool/c': 0 } }))
        expect(outcome).toEqual({ ok: false, why: 'stale', keys: ['tool/a'] })
        expect(await store.commit(member({ expect: { 'tool/b': 0 } }))).toEqual({
          ok: false,
          why: 'stale',
          keys: ['tool/b'],
        })
        expect((await store.commit(member({ expect: { 'tool/a': 2, 'tool/b': 1, 'tool/c': 0 } }))).ok).toBe(true)
      })

      test('a single-use value works once, also after a restart, also twice in one member (S18)', async () => {
        const once = [{ space: 'jti', value: 'j1', until: START + 1_000 }]
        await committed(store, { once })
        expect(await store.commit(member({ once }))).toEqual({ ok: false, why: 'used', keys: ['jti/j1'] })
        store = await opened.reopen()
        expect(await store.commit(member({ once }))).toMatchObject({ why: 'used' })
        const twice = { space: 'jti', value: 'j2', until: START + 1_000 }
        expect(await store.commit(member({ once: [twice, twice] }))).toMatchObject({ why: 'used', keys: ['jti/j2'] })
        expect((await store.commit(member({ once: [{ ...once[0]!, space: 'link' }] }))).ok).toBe(true)
      })

      test('a single-use value may come again once its time is over, and not before (S18)', async () => {
        const once = (until: number) => [{ space: 'jti', value: 'j1', until }]
        await committed(store, { once: once(START + 1_000) })
        opened.clock.at = START + 1_000
        expect(await store.commit(member({ at: START + 1_000, once: once(START + 5_000) }))).toMatchObject({
          why: 'used',
        })
        opened.clock.at = START + 1_001
        await committed(store, { at: START + 1_001, once: once(START + 5_000) })
        expect(await store.commit(member({ at: START + 1_001, once: once(START + 9_000) }))).toMatchObject({
          why: 'used',
        })
      })

      test('what expired while it waited is late, by the clock at the writer (STORE rule 1)', async () => {
        expect((await store.commit(member({ notAfter: START }))).ok).toBe(true)
        const commit = store.commit(member({ notAfter: START }))
        opened.clock.at = START + 1
        expect(await commit).toEqual({ ok: false, why: 'late', keys: [] })
      })

      test('below the highest time seen, less the skew bound, nothing is committed, also after a restart (S18)', async () => {
        await committed(store, { at: START + 10_000 })
        expect(await store.commit(member({ at: START + 7_999 }))).toEqual({ ok: false, why: 'clock', keys: [] })
        expect((await store.commit(member({ at: START + 8_000 }))).ok).toBe(true)
        expect(store.highestTime()).toBe(START + 10_000)
        store = await opened.reopen()
        expect(await store.commit(member({ at: START + 7_999 }))).toMatchObject({ why: 'clock' })
      })

      test('a full queue answers overloaded, and narrowings still find room (S17)', async () => {
        await withOptions({ maxQueue: 50 })
        const mints = Array.from({ length: 80 }, () => store.commit(member()))
        const narrowing = store.commit(member({ lane: 'narrowing' }))
        const outcomes = await Promise.all(mints)
        expect(outcomes.filter((outcome) => !outcome.ok && outcome.why === 'overloaded')).toHaveLength(30)
        expect((await narrowing).ok).toBe(true)
      })

      test('a member that no store can hold throws and harms no neighbour (STORE 4)', async () => {
        const neighbour = store.commit(member({ put: [tool('a')] }))
        const broken = [
          member({ at: Number.NaN }),
          member({ expect: { 'nothing/a': 0 } }),
          member({ put: [tool('')] }),
          member({ put: [session('ses_1', { agent: undefined })] }),
          { ...member(), records: [{ ...sealed(), leaf: new Uint8Array(31) }] as const },
        ]
        const results = await Promise.allSettled(broken.map((each) => store.commit(each)))
        expect(results.map(({ status }) => status)).toEqual(broken.map(() => 'rejected'))
        expect((await neighbour).ok).toBe(true)
        expect((await store.tree()).size).toBe(1)
        expect(store.fresh()).toBe(true)
      })
    })

    describe('outcomes', () => {
      test('what became of a commit is known by its id, also after a restart (STORE 5)', async () => {
        const outcome = await committed(store, { id: 'cmt_known', records: [sealed(), sealed()] })
        expect(await store.outcomeOf('cmt_known')).toEqual(outcome)
        expect(await store.outcomeOf('cmt_unknown')).toBe('never')
        store = await opened.reopen()
        expect(await store.outcomeOf('cmt_known')).toEqual(outcome)
      })

      test('the same commit again gives its first outcome and writes nothing (STORE 5)', async () => {
        const once = [{ space: 'jti', value: 'j1', until: START + 1_000 }]
        const again = member({ put: [tool('a')], once, expect: { 'tool/a': 0 } })
        const outcomes = await Promise.all([store.commit(again), store.commit(again)])
        expect(await store.commit(again)).toEqual(outcomes[0])
        expect(outcomes[1]).toEqual(outcomes[0])
        expect((await store.tree()).size).toBe(1)
      })
    })

    describe('races', () => {
      test('of a thousand commits on one version exactly one wins (S16)', async () => {
        await committed(store, { put: [tool('a')] })
        const outcomes = await Promise.all(
          Array.from({ length: 1_000 }, (_, index) =>
            store.commit(member({ expect: { 'tool/a': 1 }, put: [tool('a', index + 1)] })),
          ),
        )
        expect(outcomes.filter(({ ok }) => ok)).toHaveLength(1)
        expect((await store.read(['tool/a'])).get('tool', 'a')?.epoch).toBe(outcomes.findIndex(({ ok }) => ok) + 1)
      })

      test('of many uses of one value at once exactly one wins (S18)', async () => {
        const once = [{ space: 'jti', value: 'j1', until: START + 1_000 }]
        const outcomes = await Promise.all(Array.from({ length: 100 }, () => store.commit(member({ once }))))
        expect(outcomes.filter(({ ok }) => ok)).toHaveLength(1)
      })

      test('no mint that rests on a session is ordered after its revocation (S16)', async () => {
        await committed(store, { put: [session('ses_1')] })
        const mint = () => store.commit(member({ expect: { 'session/ses_1': 1 }, put: [tool(nextId('mint'))] }))
        const before = Array.from({ length: 60 }, mint)
        const revoked = store.commit(
          member({ lane: 'narrowing', expect: { 'session/ses_1': 1 }, put: [session('ses_1', { state: 'revoked' })] }),
        )
        const after = Array.from({ length: 60 }, mint)
        const revocation = await revoked
        expect(revocation.ok).toBe(true)
        for (const outcome of await Promise.all([...before, ...after])) {
          if (outcome.ok && revocation.ok) expect(outcome.last).toBeLessThan(revocation.first)
        }
      })

      test('a narrowing does not wait behind mints that came before it (STORE rule 2)', async () => {
        const mints = Array.from({ length: 200 }, () => store.commit(member()))
        const narrowing = await store.commit(member({ lane: 'narrowing' }))
        await Promise.all(mints)
        expect(narrowing.ok && narrowing.first).toBeLessThan(64)
      })

      test('read, decide, commit loses no update under random delays (STORE 6)', async () => {
        let seed = 7
        const slow = jittered(store, () => {
          seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
          return seed / 2_147_483_648
        })
        let won = 0
        const worker = async (name: string) => {
          for (let left = 8; left > 0; left--) {
            const seen = await slow.read([`tool/shared`, `tool/${name}`])
            const shared = seen.get('tool', 'shared')?.epoch ?? 0
            const own = seen.get('tool', name)?.epoch ?? 0
            const put = [tool('shared', shared + 1), tool(name, own + 1)]
            if ((await slow.commit(member({ expect: seen.versions, put }))).ok) won++
          }
        }
        await Promise.all(['w1', 'w2', 'w3', 'w4', 'w5'].map(worker))
        const end = await store.read(['tool/shared', 'tool/w1', 'tool/w2', 'tool/w3', 'tool/w4', 'tool/w5'])
        expect(won).toBeGreaterThan(0)
        expect(end.get('tool', 'shared')?.epoch).toBe(won)
        const own = ['w1', 'w2', 'w3', 'w4', 'w5'].map((name) => end.get('tool', name)?.epoch ?? 0)
        expect(own.reduce((sum, each) => sum + each, 0)).toBe(won)
        expect(end.seq).toBe(won)
      })
    })

    describe('reads', () => {
      test('a read is one snapshot: what was written together is read together, at its seq (STORE 7)', async () => {
        const key = (round: number) => `n${round}`
        let isWriting = true
        const write = async () => {
          for (let round = 1; round <= 60; round++) {
            await committed(store, {
              put: [tool('pair', round), session('pair', { key: key(round) }), session(`only-${round}`)],
            })
          }
          isWriting = false
        }
        const look = async () => {
          let reads = 0
          while (isWriting) {
            const snapshot = await store.read(['tool/pair', 'session/pair', `session/only-${1 + (reads % 60)}`])
            const round = snapshot.get('tool', 'pair')?.epoch ?? 0
            expect(snapshot.get('session', 'pair')?.key).toBe(round === 0 ? undefined : key(round))
            expect(snapshot.seq).toBe(round)
            expect(snapshot.versions.get('session/pair')).toBe(round)
            reads++
            await new Promise(setImmediate)
          }
          return reads
        }
        const [, reads] = await Promise.all([write(), look()])
        expect(reads).toBeGreaterThan(0)
      })

      test('what is absent reads as version 0, and what was not asked for cannot be had (S16)', async () => {
        const snapshot = await store.read(['tool/none', 'session/none'])
        expect([...snapshot.versions]).toEqual([
          ['tool/none', 0],
          ['session/none', 0],
        ])
        expect(snapshot.get('session', 'none')).toBeUndefined()
        expect(() => snapshot.get('tool', 'other')).toThrow()
        await committed(store, { put: [session('none')] })
        expect(await version('session/none')).toBe(1)
      })

      test('ids and values of any kind come back as they were and stay apart (STORE 8)', async () => {
        const hostile = [
          'plain',
          "it's; drop table head; --",
          '"quoted"',
          '"plain"',
          'nul\0nul',
          'nul\\u0000nul',
          '\0',
          '\ud800',
          '\ud801',
          '\ufffd',
          'ünï/çødé/🎫',
          'e\u0301',
          '\u00e9',
          '__proto__',
          'constructor',
          '%_*?',
          ' ',
          'x'.repeat(499),
          'x'.repeat(600),
          `${'x'.repeat(600)}y`,
          '\ud800'.repeat(600),
          '\ud801'.repeat(600),
        ]
        const put = hostile.map((id, index) => session(id, { agent: id, key: `k${index}` }))
        const once = hostile.map((value) => ({ space: 'jti', value, until: START + 1_000 }))
        expect((await store.commit(member({ put, once, records: hostile.map((agent) => sealed({ agent })) }))).ok).toBe(
          true,
        )
        store = await opened.reopen()
        for (const [index, id] of hostile.entries()) {
          const found = (await store.read([`session/${id}`])).get('session', id)
          expect(found).toMatchObject({ id, agent: id, key: `k${index}` })
          expect((await store.list({ kind: 'session', where: { agent: id }, limit: 9 })).rows).toEqual([found])
          expect((await store.records(0, 9, { agent: id })).map((record) => record.index)).toEqual([index])
          expect(await store.commit(member({ once: [once[index]!] }))).toMatchObject({ why: 'used' })
        }
        const pages = []
        for (let after: string | undefined; ; ) {
          const page = await store.list({ kind: 'session', limit: 5, ...(after === undefined ? {} : { after }) })
          pages.push(...page.rows)
          if (page.next === null) break
          after = page.next
        }
        expect(new Set(pages.map(({ id }) => id))).toEqual(new Set(hostile))
        expect(pages).toHaveLength(hostile.length)
      })

      test('a list is paged in order of id, either way, with the seq it is true of (STORE 7)', async () => {
        const ids = Array.from({ length: 12 }, (_, index) => `ses_${String(index).padStart(3, '0')}`)
        await committed(store, {
          put: ids.map((id, index) => session(id, { agent: index % 2 === 0 ? 'even' : 'odd' })),
        })
        const first = await store.list({ kind: 'session', where: { agent: 'even' }, limit: 4 })
        expect(first.rows.map(({ id }) => id)).toEqual(['ses_000', 'ses_002', 'ses_004', 'ses_006'])
        expect(first.seq).toBe(1)
        const rest = await store.list({ kind: 'session', where: { agent: 'even' }, limit: 4, after: first.next! })
        expect(rest.rows.map(({ id }) => id)).toEqual(['ses_008', 'ses_010'])
        expect(rest.next).toBeNull()
        const newest = await store.list({ kind: 'session', limit: 2, newestFirst: true })
        expect(newest.rows.map(({ id }) => id)).toEqual(['ses_011', 'ses_010'])
        const older = await store.list({ kind: 'session', limit: 2, newestFirst: true, after: newest.next! })
        expect(older.rows.map(({ id }) => id)).toEqual(['ses_009', 'ses_008'])
      })

      test('a list is bounded, and refuses a column its kind is not found by (STORE 7)', async () => {
        await expect(store.list({ kind: 'session', limit: 501 })).rejects.toThrow(RangeError)
        await expect(store.list({ kind: 'session', limit: 0 })).rejects.toThrow(RangeError)
        await expect(store.list({ kind: 'session', where: { hash: 'x' }, limit: 1 })).rejects.toThrow(TypeError)
        await expect(store.list({ kind: 'tool', where: { expiresAfter: 1 }, limit: 1 })).rejects.toThrow(TypeError)
        await expect(store.records(0, 1_001)).rejects.toThrow(RangeError)
      })

      test('rows are found by what they say now, columns taken together (STORE 7)', async () => {
        await committed(store, {
          put: [session('s1'), session('s2', { agent: 'b' }), session('s3', { expiresAt: START + 1 })],
        })
        await committed(store, { put: [session('s1', { state: 'revoked', revocation: 'rev_1' })] })
        const found = async (where: Parameters<Store['list']>[0]['where'] & object) =>
          (await store.list({ kind: 'session', where, limit: 9 })).rows.map(({ id }) => id)
        expect(await found({ state: 'open' })).toEqual(['s2', 's3'])
        expect(await found({ state: 'open', agent: 'triage-bot' })).toEqual(['s3'])
        expect(await found({ agent: 'triage-bot', expiresAfter: START + 1 })).toEqual(['s1'])
        expect(await found({ revocation: 'rev_1', state: 'revoked', expiresAfter: START })).toEqual(['s1'])
        expect(await found({ expiresAfter: START + 1, state: 'open' })).toEqual(['s2'])
      })

      test('a bearer is found by the hash of it alone, and slices by their agent (S10)', async () => {
        const bearer: Row = {
          kind: 'bearer',
          row: {
            id: 'own_1',
            kind: 'owner',
            hash: 'h1',
            subject: 'ann@example.com',
            madeBy: 'operator',
            createdAt: START,
            expiresAt: START + 1,
            revokedAt: null,
          },
        }
        const slice = (id: string): Row => ({ kind: 'slice', row: { id, value: null, digest: 'd', resumable: null } })
        await committed(store, {
          put: [bearer, slice('agent/a'), slice('access/a/t'), slice('tool/t'), slice('team/a')],
        })
        for (let round = 0; round < 2; round++) {
          expect((await store.list({ kind: 'bearer', where: { hash: 'h1' }, limit: 1 })).rows).toEqual([bearer.row])
          expect((await store.list({ kind: 'bearer', where: { hash: 'h2' }, limit: 1 })).rows).toEqual([])
          expect(
            (await store.list({ kind: 'bearer', where: { owner: 'ann@example.com', state: 'live' }, limit: 1 })).rows,
          ).toHaveLength(1)
          expect(
            (await store.list({ kind: 'slice', where: { agent: 'a' }, limit: 9 })).rows.map(({ id }) => id),
          ).toEqual(['access/a/t', 'agent/a'])
          expect((await store.list({ kind: 'slice', where: { tool: 't' }, limit: 9 })).rows).toHaveLength(2)
          store = await opened.reopen()
        }
      })

      test('records are found by agent, tool, owner, credential, kind and time (P1)', async () => {
        const hour = (at: number) => new Date(START + at * 3_600_000).toISOString()
        const owner = { ownerHash: 'h', opened: { h: { salt: 's', text: 'ann@example.com' } } }
        await committed(store, {
          records: [
            sealed({ agent: 'a', at: hour(0) }),
            sealed({ agent: 'b', tool: 't', jti: 'j', at: hour(1) }),
            sealed({ ...owner, agent: 'a', kind: 'session.opened', at: hour(2) }),
            sealed({ opened: { x: { salt: 's', text: 'ann@example.com' } }, at: hour(3) }),
          ],
        })
        const found = async (filter: Parameters<Store['records']>[2]) =>
          (await store.records(0, 9, filter)).map(({ index }) => index)
        expect(await found({ agent: 'a' })).toEqual([0, 2])
        expect(await found({ tool: 't' })).toEqual([1])
        expect(await found({ jti: 'j' })).toEqual([1])
        expect(await found({ owner: 'ann@example.com' })).toEqual([2])
        expect(await found({ kind: 'session.opened' })).toEqual([2])
        expect(await found({ since: START + 3_600_000, until: START + 3 * 3_600_000 })).toEqual([1, 2])
        expect(await found({ agent: 'a', since: START + 1 })).toEqual([2])
      })
    })

    describe('the tree', () => {
      test('root and subtrees are those of RFC 9162 over the records, at every size (P1)', async () => {
        const leaves: Uint8Array[] = []
        for (const step of [1, 1, 1, 5, 250, 300, 1, 450]) {
          const records = Array.from({ length: step }, () => sealed())
          await committed(store, { records })
          leaves.push(...records.map(({ leaf }) => leaf))
          const { size, root } = await store.tree()
          expect(size).toBe(leaves.length)
          expect(Buffer.from(root)).toEqual(Buffer.from(rootOf(leaves)))
        }
        store = await opened.reopen()
        const { size, root } = await store.tree()
        expect(Buffer.from(root)).toEqual(Buffer.from(rootOf(leaves)))
        const inMemory = nodesOver(leaves)
        for (const index of [0, 255, 256, 511, size - 1]) {
          const nodes = new Map<string, Uint8Array>()
          const remember = (level: number, at: number) => {
            nodes.set(`${level}/${at}`, inMemory(level, at)!)
            return inMemory(level, at)
          }
          const asked = inclusionProof(remember, index, size)
          for (const [id, hash] of nodes) {
            const [level = 0, at = 0] = id.split('/').map(Number)
            expect(Buffer.from(await store.node(level, at))).toEqual(Buffer.from(hash))
          }
          expect(verifyInclusion({ index, size, leaf: leaves[index]!, root }, asked)).toBe(true)
        }
        await expect(store.node(0, size)).rejects.toThrow(RangeError)
        await expect(store.node(10, 0)).rejects.toThrow(RangeError)
        await expect(store.node(-1, 0)).rejects.toThrow(RangeError)
      })
    })

    describe('the change feed', () => {
      /** Reads the feed until `enough`, then lets go of it. */
      async function listen(after: number, enough: (seen: readonly Feed[]) => boolean): Promise<Feed[]> {
        const stop = new AbortController()
        const seen: Feed[] = []
        for await (const each of store.changes(after, stop.signal)) {
          seen.push(each)
          if (enough(seen)) stop.abort()
        }
        return seen
      }

      const rangesOf = (feed: readonly Feed[]) =>
        feed.flatMap((each) => (each.type === 'change' ? [[each.change.first, each.change.last]] : []))

      test('gives what was missed and then what comes, in order and without a gap (STORE 9)', async () => {
        for (let index = 0; index < 5; index++) await committed(store, { put: [tool(`t${index}`)] })
        store = await opened.reopen()
        for (let index = 5; index < 8; index++) await committed(store, { put: [tool(`t${index}`)] })
        const listening = listen(2, (seen) => rangesOf(seen).length === 26)
        for (let index = 8; index < 28; index++) await committed(store, { put: [tool(`t${index}`)] })
        const seen = (await listening).filter(({ type }) => type === 'change')
        expect(rangesOf(seen)).toEqual(Array.from({ length: 26 }, (_, index) => [index + 2, index + 2]))
        const rows = seen.flatMap((each) => (each.type === 'change' ? each.change.put : []))
        expect(rows.map(({ row }) => row.id)).toEqual(Array.from({ length: 26 }, (_, index) => `t${index + 2}`))
      })

      test('has every commit by the time that its commit answers (STORE rule 5)', async () => {
        const stop = new AbortController()
        const feed = store.changes(0, stop.signal)[Symbol.asyncIterator]()
        const next = feed.next()
        const { first, last } = await committed(store, { at: START + 5, put: [tool('a', 4)] })
        expect((await next).value).toEqual({
          type: 'change',
          change: { first, last, at: START + 5, put: [tool('a', 4)] },
        })
        stop.abort()
        expect((await feed.next()).done).toBe(true)
      })

      test('says that it is alive when nothing happens (STORE rule 5)', async () => {
        await committed(store)
        expect(await listen(1, (seen) => seen.length === 1)).toEqual([{ type: 'alive', seq: 1 }])
      })

      test('a refused commit is not in it (STORE 2)', async () => {
        await committed(store, { put: [tool('a')] })
        await store.commit(member({ expect: { 'tool/a': 9 }, put: [tool('b')] }))
        await committed(store, { put: [tool('c')] })
        const seen = await listen(0, (all) => rangesOf(all).length === 2)
        expect(
          seen.flatMap((each) => (each.type === 'change' ? each.change.put : [])).map(({ row }) => row.id),
        ).toEqual(['a', 'c'])
      })

      test('who is behind what is kept, or ahead of the log, is told to reload (STORE rule 5)', async () => {
        await withOptions({ keepChanges: 10 })
        for (let index = 0; index < 60; index++) await committed(store, { put: [tool('a', index)] })
        store = await opened.reopen()
        expect((await listen(0, (seen) => seen.length === 1))[0]).toEqual({ type: 'reload', seq: 60 })
        expect((await listen(61, (seen) => seen.length === 1))[0]).toEqual({ type: 'reload', seq: 60 })
        expect(rangesOf(await listen(58, (seen) => seen.length === 2))).toEqual([
          [58, 58],
          [59, 59],
        ])
      })

      test('a listener that is slow misses nothing or is told to reload, and holds nobody up (STORE rule 5)', async () => {
        const stop = new AbortController()
        const feed = store.changes(0, stop.signal)[Symbol.asyncIterator]()
        const first = feed.next()
        for (let round = 0; round < 30; round++) {
          await Promise.all(Array.from({ length: 100 }, () => committed(store)))
        }
        expect(await first).toMatchObject({ value: { type: 'change', change: { first: 0 } } })
        let at = 1
        while (at < 3_000) {
          const { value } = await feed.next()
          if (value?.type === 'reload') at = value.seq
          else if (value?.type === 'change') {
            expect(value.change.first).toBe(at)
            at = value.change.last + 1
          }
        }
        stop.abort()
        expect((await feed.next()).done).toBe(true)
      })

      test('ends when the store closes (STORE 9)', async () => {
        const listening = listen(0, () => false)
        await store.close()
        expect(await listening).toEqual([])
        await expect(store.commit(member())).rejects.toThrow(StoreUnavailable)
        await expect(store.read(['tool/a'])).rejects.toThrow(StoreUnavailable)
        expect(store.fresh()).toBe(false)
      })
    })

    describe('a broken world', () => {
      test('a failed write refuses the whole group, ends freshness, and mends by itself (P10)', async () => {
        await committed(store, { put: [tool('a')] })
        const heal = opened.breakWrites()
        const results = await Promise.allSettled(
          [1, 2, 3].map((epoch) => store.commit(member({ id: `cmt_b${epoch}`, put: [tool(`b${epoch}`)] }))),
        )
        for (const result of results)
          expect(result.status === 'rejected' && result.reason).toBeInstanceOf(StoreUnavailable)
        expect(store.fresh()).toBe(false)
        await expect(store.commit(member())).rejects.toThrow(StoreUnavailable)
        expect((await store.read(['tool/a', 'tool/b1'])).versions).toEqual(
          new Map([
            ['tool/a', 1],
            ['tool/b1', 0],
          ]),
        )
        heal()
        await expect.poll(() => store.fresh(), { timeout: 5_000, interval: 20 }).toBe(true)
        expect(await store.outcomeOf('cmt_b1')).toBe('never')
        expect(await committed(store, { put: [tool('b1')] })).toMatchObject({ first: 1, last: 1 })
      })

      test('the next commit after the disk is well again finds out by itself (P10)', async () => {
        const heal = opened.breakWrites()
        await expect(store.commit(member())).rejects.toThrow(StoreUnavailable)
        heal()
        expect((await store.commit(member())).ok).toBe(true)
        expect(store.fresh()).toBe(true)
      })

      if (traits.isExclusive) {
        test('a second opener is refused while the first holds it, and may have it afterwards (STORE rule 8)', async () => {
          await expect(opened.second()).rejects.toThrow(/another process/)
          expect((await store.commit(member())).ok).toBe(true)
          store = await opened.reopen()
          expect((await store.tree()).size).toBe(1)
        })
      }

      test('after a kill -9 every acknowledged commit is there, nothing else stands, and the tree verifies (P1)', async () => {
        await store.close()
        const acknowledged: { id: string; first: number; last: number }[] = []
        for (let round = 0; round < 2; round++) {
          const child = spawn(
            process.execPath,
            [new URL('committing-child.ts', import.meta.url).pathname, ...opened.child],
            {
              stdio: ['ignore', 'pipe', 'inherit'],
            },
          )
          const lines = createInterface({ input: child.stdout })
          const enough = acknowledged.length + 150
          for await (const line of lines) {
            acknowledged.push(JSON.parse(line))
            if (acknowledged.length === enough) child.kill('SIGKILL')
          }
        }
        store = await opened.reopen()
        expect(acknowledged.length).toBeGreaterThanOrEqual(300)
        for (const { id, first, last } of acknowledged) {
          expect(await store.outcomeOf(id)).toEqual({ ok: true, first, last })
          expect((await store.read([`tool/${id}`])).versions.get(`tool/${id}`)).toBe(last + 1)
        }
        const log = await wholeLog(store)
        expect(log.map(({ index }) => index)).toEqual(log.map((_, index) => index))
        const tree = await store.tree()
        expect(tree.size).toBe(log.length)
        expect(Buffer.from(tree.root)).toEqual(Buffer.from(rootOf(log.map(({ leaf }) => leaf))))
        for (const { index, bytes } of log) {
          const { id } = JSON.parse(Buffer.from(bytes).toString())
          const outcome = await store.outcomeOf(id)
          expect(outcome !== 'never' && outcome.ok && outcome.first <= index && index <= outcome.last).toBe(true)
        }
        expect((await store.commit(member({ at: START + 1 }))).ok).toBe(true)
      })
    })

    test('any history is one that a simple model could have had (STORE 1, 2, 3)', async () => {
      const ids = ['a', 'b', 'c'] as const
      const step = fc.record({
        put: fc.uniqueArray(fc.constantFrom(...ids), { maxLength: 2 }),
        expect: fc.uniqueArray(fc.constantFrom(...ids), { maxLength: 2 }),
        isStale: fc.boolean(),
        once: fc.option(fc.constantFrom('x', 'y', 'z'), { nil: null }),
        at: fc.constantFrom(0, 1_000, 3_000),
        records: fc.integer({ min: 1, max: 3 }),
        lane: fc.constantFrom('normal' as const, 'narrowing' as const),
      })
      const batches = fc.array(
        fc.oneof(fc.array(step, { minLength: 1, maxLength: 6 }), fc.constant('reopen' as const)),
        {
          maxLength: 8,
        },
      )
      await fc.assert(
        fc.asyncProperty(batches, async (history) => {
          await withOptions({})
          const versions = new Map<string, number>(ids.map((id) => [id, 0]))
          const used = new Set<string>()
          let [size, time] = [0, 0]
          const says: string[] = []
          for (const batch of history) {
            if (batch === 'reopen') {
              store = await opened.reopen()
              continue
            }
            const asked = batch.map((each) => {
              const expected = each.expect.map((id): [Key, number] => [
                `tool/${id}`,
                versions.get(id)! + (each.isStale ? 1 : 0),
              ])
              const records = Array.from({ length: each.records }, () => nextId('says'))
              const given = member({
                at: START + each.at,
                lane: each.lane,
                expect: new Map(expected),
                put: each.put.map((id) => tool(id)),
                once: each.once === null ? [] : [{ space: 's', value: each.once, until: START + 1_000_000 }],
                records: records.map((text) => sealed({ says: text })),
              })
              return { each, given, records, expected }
            })
            const outcomes: Outcome[] = await Promise.all(asked.map(({ given }) => store.commit(given)))
            const order = outcomes
              .flatMap((outcome, index) => (outcome.ok ? [{ ...outcome, ...asked[index]! }] : []))
              .toSorted((a, b) => a.first - b.first)
            for (const { first, last, each, records, expected } of order) {
              expect([first, last]).toEqual([size, size + each.records - 1])
              expect(expected.every(([key, at]) => versions.get(key.slice('tool/'.length)) === at)).toBe(true)
              expect(each.once === null || !used.has(each.once)).toBe(true)
              expect(START + each.at).toBeGreaterThanOrEqual(time - 2_000)
              if (each.once !== null) used.add(each.once)
              size = last + 1
              time = Math.max(time, START + each.at)
              for (const id of each.put) versions.set(id, size)
              says.push(...records)
            }
            if (batch.length === 1) {
              const { each } = asked[0]!
              const isWrong = (each.isStale && each.expect.length > 0) || START + each.at < time - 2_000
              if (outcomes[0]!.ok) expect(isWrong).toBe(false)
            }
          }
          const snapshot = await store.read(ids.map((id): Key => `tool/${id}`))
          expect([snapshot.seq, ...snapshot.versions.values()]).toEqual([size, ...versions.values()])
          const log = await wholeLog(store)
          expect(log.map(({ bytes }) => JSON.parse(Buffer.from(bytes).toString()).says)).toEqual(says)
        }),
        { numRuns: 25 },
      )
    })
  })
}
