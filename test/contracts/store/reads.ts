// Snapshots, lists and records: one instant each, bounded, found by what they say now.

import { describe, expect, test } from 'vitest'
import type { Store } from '../../../src/actions/ports.ts'
import type { Row } from '../../../src/core/model.ts'
import type { Contract } from '../store-contract.ts'
import { committed, grant, member, START, sealed, session, tool } from '../store-fixtures.ts'

export function readContract(on: Contract): void {
  describe('reads', () => {
    test('a read is one snapshot: what was written together is read together, at its seq (STORE 7)', async () => {
      const key = (round: number) => `n${round}`
      let isWriting = true
      const write = async () => {
        for (let round = 1; round <= 60; round++) {
          await committed(on.store, {
            put: [tool('pair', round), session('pair', { key: key(round) }), session(`only-${round}`)],
          })
        }
        isWriting = false
      }
      const look = async () => {
        let reads = 0
        while (isWriting) {
          const snapshot = await on.store.read(['tool/pair', 'session/pair', `session/only-${1 + (reads % 60)}`])
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
      const snapshot = await on.store.read(['tool/none', 'session/none'])
      expect([...snapshot.versions]).toEqual([
        ['tool/none', 0],
        ['session/none', 0],
      ])
      expect(snapshot.get('session', 'none')).toBeUndefined()
      expect(() => snapshot.get('tool', 'other')).toThrow()
      await committed(on.store, { put: [session('none')] })
      expect((await on.store.read(['session/none'])).versions.get('session/none')).toBe(1)
    })

    test('ids and values of any kind come back as they were and stay apart (STORE 8)', async () => {
      const hostile = [
        'plain',
        "it's; drop table head; --",
        '"quoted"',
        '"plain"',
        'nul\0nul',
        JSON.stringify('nul\0nul'),
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
      expect(
        (await on.store.commit(member({ put, once, records: hostile.map((agent) => sealed({ agent })) }))).ok,
      ).toBe(true)
      on.store = await on.opened.reopen()
      for (const [index, id] of hostile.entries()) {
        const found = (await on.store.read([`session/${id}`])).get('session', id)
        expect(found).toMatchObject({ id, agent: id, key: `k${index}` })
        expect((await on.store.list({ kind: 'session', where: { agent: id }, limit: 9 })).rows).toEqual([found])
        expect((await on.store.records(0, 9, { agent: id })).map((record) => record.index)).toEqual([index])
        expect(await on.store.commit(member({ once: [once[index]!] }))).toMatchObject({ why: 'used' })
      }
      const pages = []
      for (let after: string | undefined; ; ) {
        const page = await on.store.list({ kind: 'session', limit: 5, ...(after === undefined ? {} : { after }) })
        pages.push(...page.rows)
        if (page.next === null) break
        after = page.next
      }
      expect(new Set(pages.map(({ id }) => id))).toEqual(new Set(hostile))
      expect(pages).toHaveLength(hostile.length)
    })

    test('a list is paged in order of id, either way, with the seq it is true of (STORE 7)', async () => {
      const ids = Array.from({ length: 12 }, (_, index) => `ses_${String(index).padStart(3, '0')}`)
      await committed(on.store, {
        put: ids.map((id, index) => session(id, { agent: index % 2 === 0 ? 'even' : 'odd' })),
      })
      const first = await on.store.list({ kind: 'session', where: { agent: 'even' }, limit: 4 })
      expect(first.rows.map(({ id }) => id)).toEqual(['ses_000', 'ses_002', 'ses_004', 'ses_006'])
      expect(first.seq).toBe(1)
      const rest = await on.store.list({ kind: 'session', where: { agent: 'even' }, limit: 4, after: first.next! })
      expect(rest.rows.map(({ id }) => id)).toEqual(['ses_008', 'ses_010'])
      expect(rest.next).toBeNull()
      expect((await on.store.list({ kind: 'session', limit: 12 })).next).toBeNull()
      const newest = await on.store.list({ kind: 'session', limit: 2, newestFirst: true })
      expect(newest.rows.map(({ id }) => id)).toEqual(['ses_011', 'ses_010'])
      const older = await on.store.list({ kind: 'session', limit: 2, newestFirst: true, after: newest.next! })
      expect(older.rows.map(({ id }) => id)).toEqual(['ses_009', 'ses_008'])
    })

    test('a list is bounded, and refuses a column its kind is not found by (STORE 7)', async () => {
      await expect(on.store.list({ kind: 'session', limit: 501 })).rejects.toThrow(RangeError)
      await expect(on.store.list({ kind: 'session', limit: 0 })).rejects.toThrow(RangeError)
      await expect(on.store.list({ kind: 'session', where: { hash: 'x' }, limit: 1 })).rejects.toThrow(TypeError)
      await expect(on.store.list({ kind: 'tool', where: { expiresAfter: 1 }, limit: 1 })).rejects.toThrow(TypeError)
      await expect(on.store.records(0, 1_001)).rejects.toThrow(RangeError)
    })

    test('rows are found by what they say now, columns taken together (STORE 7)', async () => {
      await committed(on.store, {
        put: [session('s1'), session('s2', { agent: 'b' }), session('s3', { expiresAt: START + 1 })],
      })
      await committed(on.store, { put: [session('s1', { state: 'revoked', revocation: 'rev_1' })] })
      const found = async (where: Parameters<Store['list']>[0]['where'] & object) =>
        (await on.store.list({ kind: 'session', where, limit: 9 })).rows.map(({ id }) => id)
      expect(await found({ state: 'open' })).toEqual(['s2', 's3'])
      expect(await found({ state: 'open', agent: 'triage-bot' })).toEqual(['s3'])
      expect(await found({ agent: 'triage-bot', expiresAfter: START + 1 })).toEqual(['s1'])
      expect(await found({ revocation: 'rev_1', state: 'revoked', expiresAfter: START })).toEqual(['s1'])
      expect(await found({ expiresAfter: START + 1, state: 'open' })).toEqual(['s2'])
    })

    test('the active grants of an agent on a tool follow every change of one, however often they were read (STORE 5)', async () => {
      const where = { agent: 'triage-bot', tool: 'tickets', state: 'active' } as const
      const active = async (limit = 500) =>
        (await on.store.list({ kind: 'grant', where, newestFirst: true, limit })).rows.map(({ id }) => id)
      const put = async (...rows: Row[]) => {
        await committed(on.store, { put: rows })
        const all = await on.store.list({ kind: 'grant', where, limit: 500 })
        const expected = all.rows.map(({ id }) => id).reverse()
        expect(await active()).toEqual(expected)
        return expected.length
      }
      expect(await active()).toEqual([])
      expect(await put(grant('g2'), grant('other', { tool: 'metrics' }), grant('theirs', { agent: 'other-bot' }))).toBe(
        1,
      )
      expect(await put(grant('g3'), grant('g1'), grant('g0', { state: 'revoked' }))).toBe(3)
      expect(await put(grant('g2', { state: 'revoked' }))).toBe(2)
      expect(await put(grant('g2', { state: 'superseded' }), grant('g4'))).toBe(3)
      expect(await active(2)).toEqual(['g4', 'g3'])
      expect(await put(...Array.from({ length: 60 }, (_, i) => grant(`h${i}`)))).toBe(63)
      expect(await put(grant('h7', { state: 'revoked' }))).toBe(62)
      expect(await put(...Array.from({ length: 60 }, (_, i) => grant(`h${i}`, { state: 'revoked' })))).toBe(3)
      on.store = await on.opened.reopen()
      expect(await active()).toEqual(['g4', 'g3', 'g1'])
    })

    test("an agent's lists follow every change of a row and the time, however often they were read (STORE 5)", async () => {
      const agent = 'triage-bot'
      const live = async (expiresAfter: number, limit = 100) =>
        (await on.store.list({ kind: 'grant', where: { agent, state: 'active', expiresAfter }, limit })).rows.map(
          ({ id }) => id,
        )
      const slices = async () =>
        (await on.store.list({ kind: 'slice', where: { agent }, limit: 500 })).rows.map(({ id }) => id)
      const put = (...rows: Row[]) => committed(on.store, { put: rows })
      const sliceOf = (id: string): Row => ({ kind: 'slice', row: { id, value: null, digest: 'd', resumable: null } })

      expect(await live(START)).toEqual([])
      await put(grant('g1', { expiresAt: START + 10 }), grant('g2', { expiresAt: START + 20 }))
      await put(grant('theirs', { agent: 'other-bot', expiresAt: START + 20 }))
      for (let again = 0; again < 2; again++) {
        expect(await live(START)).toEqual(['g1', 'g2'])
        expect(await live(START + 10)).toEqual(['g2'])
        expect(await live(START + 20)).toEqual([])
      }
      expect(await live(START + 5)).toEqual(['g1', 'g2'])
      // A clock that was set back finds what had ended by the later one.
      expect(await live(START + 15)).toEqual(['g2'])
      expect(await live(START)).toEqual(['g1', 'g2'])
      expect(await live(START, 1)).toEqual(['g1'])
      await put(grant('g1', { state: 'revoked' }), grant('g3', { expiresAt: START + 30 }))
      expect(await live(START)).toEqual(['g2', 'g3'])
      await put(...Array.from({ length: 60 }, (_, i) => grant(`h${String(i).padStart(2, '0')}`)))
      expect(await live(START)).toHaveLength(62)
      await put(...Array.from({ length: 60 }, (_, i) => grant(`h${String(i).padStart(2, '0')}`, { state: 'revoked' })))
      expect(await live(START)).toEqual(['g2', 'g3'])
      await expect(live(START, 501)).rejects.toThrow(RangeError)
      await expect(live(START, 0)).rejects.toThrow(RangeError)

      expect(await slices()).toEqual([])
      await put(sliceOf('agent/triage-bot'), sliceOf('access/triage-bot/tickets'), sliceOf('access/other-bot/tickets'))
      for (let again = 0; again < 2; again++)
        expect(await slices()).toEqual(['access/triage-bot/tickets', 'agent/triage-bot'])
      await put(sliceOf('access/triage-bot/metrics'))
      expect(await slices()).toHaveLength(3)
      on.store = await on.opened.reopen()
      expect(await live(START)).toEqual(['g2', 'g3'])
      expect(await slices()).toHaveLength(3)
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
      await committed(on.store, {
        put: [bearer, slice('agent/a'), slice('access/a/t'), slice('tool/t'), slice('team/a')],
      })
      for (let round = 0; round < 2; round++) {
        expect((await on.store.list({ kind: 'bearer', where: { hash: 'h1' }, limit: 1 })).rows).toEqual([bearer.row])
        expect((await on.store.list({ kind: 'bearer', where: { hash: 'h2' }, limit: 1 })).rows).toEqual([])
        expect(
          (await on.store.list({ kind: 'bearer', where: { owner: 'ann@example.com', state: 'live' }, limit: 1 })).rows,
        ).toHaveLength(1)
        expect(
          (await on.store.list({ kind: 'slice', where: { agent: 'a' }, limit: 9 })).rows.map(({ id }) => id),
        ).toEqual(['access/a/t', 'agent/a'])
        expect((await on.store.list({ kind: 'slice', where: { tool: 't' }, limit: 9 })).rows).toHaveLength(2)
        on.store = await on.opened.reopen()
      }
    })

    test('records are found by agent, tool, owner, credential, kind and time (P1)', async () => {
      const hour = (at: number) => new Date(START + at * 3_600_000).toISOString()
      const owner = { ownerHash: 'h', opened: { h: { salt: 's', text: 'ann@example.com' } } }
      await committed(on.store, {
        records: [
          sealed({ agent: 'a', at: hour(0) }),
          sealed({ agent: 'b', tool: 't', jti: 'j', at: hour(1) }),
          sealed({ ...owner, agent: 'a', kind: 'session.opened', at: hour(2) }),
          sealed({ opened: { x: { salt: 's', text: 'ann@example.com' } }, at: hour(3) }),
        ],
      })
      const found = async (filter: Parameters<Store['records']>[2]) =>
        (await on.store.records(0, 9, filter)).map(({ index }) => index)
      expect(await found({ agent: 'a' })).toEqual([0, 2])
      expect(await found({ tool: 't' })).toEqual([1])
      expect(await found({ jti: 'j' })).toEqual([1])
      expect(await found({ owner: 'ann@example.com' })).toEqual([2])
      expect(await found({ kind: 'session.opened' })).toEqual([2])
      expect(await found({ since: START + 3_600_000, until: START + 3 * 3_600_000 })).toEqual([1, 2])
      expect(await found({ agent: 'a', since: START + 1 })).toEqual([2])
    })
  })
}
