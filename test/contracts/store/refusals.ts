// What is refused, why, and that nothing of it stays; what became of a commit.

import { describe, expect, test } from 'vitest'
import type { Contract } from '../store-contract.ts'
import { committed, member, START, sealed, session, tool } from '../store-fixtures.ts'

export function refusalContract(on: Contract): void {
  describe('refusals', () => {
    test('a refused member leaves nothing behind and its neighbours are untouched (STORE 2)', async () => {
      await committed(on.store, { put: [tool('a')], once: [{ space: 'jti', value: 'old', until: START + 1_000 }] })
      const size = (await on.store.tree()).size
      const refused = {
        put: [tool('never'), session('ses_never')],
        once: [{ space: 'jti', value: 'new', until: START + 9 }],
      }
      const outcomes = await Promise.all([
        on.store.commit(member({ put: [tool('left')] })),
        on.store.commit(member({ ...refused, id: 'cmt_stale', expect: { 'tool/a': 7 } })),
        on.store.commit(
          member({ ...refused, once: [...refused.once, { space: 'jti', value: 'old', until: START + 9 }] }),
        ),
        on.store.commit(member({ ...refused, notAfter: START - 1 })),
        on.store.commit(member({ ...refused, at: START - 60_000 })),
        on.store.commit(member({ put: [tool('right')] })),
      ])
      expect(outcomes.map((outcome) => (outcome.ok ? 'ok' : outcome.why))).toEqual([
        'ok',
        'stale',
        'used',
        'late',
        'clock',
        'ok',
      ])
      const rows = await on.store.read(['tool/left', 'tool/right', 'tool/never', 'session/ses_never'])
      expect([...rows.versions.values()].map((at) => at > 0)).toEqual([true, true, false, false])
      expect((await on.store.tree()).size).toBe(size + 2)
      expect(await on.store.outcomeOf('cmt_stale')).toBe('never')
      expect((await on.store.commit(member({ once: refused.once }))).ok).toBe(true)
    })

    test('a commit whose expected version moved is stale and names what moved (STORE 3)', async () => {
      await committed(on.store, { put: [tool('a'), tool('b')] })
      await committed(on.store, { put: [tool('a', 1)] })
      const outcome = await on.store.commit(member({ expect: { 'tool/a': 1, 'tool/b': 1, 'tool/c': 0 } }))
      expect(outcome).toEqual({ ok: false, why: 'stale', keys: ['tool/a'] })
      expect(await on.store.commit(member({ expect: { 'tool/b': 0 } }))).toEqual({
        ok: false,
        why: 'stale',
        keys: ['tool/b'],
      })
      expect((await on.store.commit(member({ expect: { 'tool/a': 2, 'tool/b': 1, 'tool/c': 0 } }))).ok).toBe(true)
    })

    test('a single-use value works once, also after a restart, also twice in one member (S18)', async () => {
      const once = [{ space: 'jti', value: 'j1', until: START + 1_000 }]
      await committed(on.store, { once })
      expect(await on.store.commit(member({ once }))).toEqual({ ok: false, why: 'used', keys: ['jti/j1'] })
      on.store = await on.opened.reopen()
      expect(await on.store.commit(member({ once }))).toMatchObject({ why: 'used' })
      const twice = { space: 'jti', value: 'j2', until: START + 1_000 }
      expect(await on.store.commit(member({ once: [twice, twice] }))).toMatchObject({ why: 'used', keys: ['jti/j2'] })
      expect((await on.store.commit(member({ once: [{ ...once[0]!, space: 'link' }] }))).ok).toBe(true)
    })

    test('a single-use value may come again once its time is over, and not before (S18)', async () => {
      const once = (until: number) => [{ space: 'jti', value: 'j1', until }]
      await committed(on.store, { once: once(START + 1_000) })
      on.opened.clock.at = START + 1_000
      expect(await on.store.commit(member({ at: START + 1_000, once: once(START + 5_000) }))).toMatchObject({
        why: 'used',
      })
      on.opened.clock.at = START + 1_001
      await committed(on.store, { at: START + 1_001, once: once(START + 5_000) })
      expect(await on.store.commit(member({ at: START + 1_001, once: once(START + 9_000) }))).toMatchObject({
        why: 'used',
      })
    })

    test('what expired while it waited is late, by the clock at the writer (STORE rule 1)', async () => {
      expect((await on.store.commit(member({ notAfter: START }))).ok).toBe(true)
      const commit = on.store.commit(member({ notAfter: START }))
      on.opened.clock.at = START + 1
      expect(await commit).toEqual({ ok: false, why: 'late', keys: [] })
    })

    test('below the highest time seen, less the skew bound, nothing is committed, also after a restart (S18)', async () => {
      await committed(on.store, { at: START + 10_000 })
      expect(await on.store.commit(member({ at: START + 7_999 }))).toEqual({ ok: false, why: 'clock', keys: [] })
      expect((await on.store.commit(member({ at: START + 8_000 }))).ok).toBe(true)
      expect(on.store.highestTime()).toBe(START + 10_000)
      on.store = await on.opened.reopen()
      expect(await on.store.commit(member({ at: START + 7_999 }))).toMatchObject({ why: 'clock' })
    })

    test('a commit that sets the time lowers the highest time seen, and only that one may (S18)', async () => {
      await committed(on.store, { at: START + 3_600_000 })
      const once = [{ space: 'jti', value: 'j1', until: START + 3_600_000 }]
      expect(await on.store.commit(member({ at: START }))).toMatchObject({ why: 'clock' })
      expect((await on.store.commit({ ...member({ at: START, once }), setsTime: true })).ok).toBe(true)
      expect(on.store.highestTime()).toBe(START)
      expect((await on.store.commit(member({ at: START }))).ok).toBe(true)
      on.store = await on.opened.reopen()
      expect(on.store.highestTime()).toBe(START)
      expect(await on.store.commit(member({ at: START - 1_000, once }))).toMatchObject({ why: 'used' })
    })

    test('a full queue answers overloaded, and narrowings still find room (S17)', async () => {
      await on.withOptions({ maxQueue: 50 })
      const mints = Array.from({ length: 80 }, () => on.store.commit(member()))
      const narrowing = on.store.commit(member({ lane: 'narrowing' }))
      const outcomes = await Promise.all(mints)
      expect(outcomes.filter((outcome) => !outcome.ok && outcome.why === 'overloaded')).toHaveLength(30)
      expect((await narrowing).ok).toBe(true)
    })

    test('a member that no store can hold throws and harms no neighbour (STORE 4)', async () => {
      const neighbour = on.store.commit(member({ put: [tool('a')] }))
      const broken = [
        member({ at: Number.NaN }),
        member({ expect: { 'nothing/a': 0 } }),
        member({ put: [tool('')] }),
        member({ put: [session('ses_1', { agent: undefined })] }),
        { ...member(), records: [{ ...sealed(), leaf: new Uint8Array(31) }] as const },
      ]
      const results = await Promise.allSettled(broken.map((each) => on.store.commit(each)))
      expect(results.map(({ status }) => status)).toEqual(broken.map(() => 'rejected'))
      expect((await neighbour).ok).toBe(true)
      expect((await on.store.tree()).size).toBe(1)
      expect(on.store.fresh()).toBe(true)
    })
  })

  describe('outcomes', () => {
    test('what became of a commit is known by its id, also after a restart (STORE 5)', async () => {
      const outcome = await committed(on.store, { id: 'cmt_known', records: [sealed(), sealed()] })
      expect(await on.store.outcomeOf('cmt_known')).toEqual(outcome)
      expect(await on.store.outcomeOf('cmt_unknown')).toBe('never')
      on.store = await on.opened.reopen()
      expect(await on.store.outcomeOf('cmt_known')).toEqual(outcome)
    })

    test('the same commit again gives its first outcome and writes nothing (STORE 5)', async () => {
      const once = [{ space: 'jti', value: 'j1', until: START + 1_000 }]
      const again = member({ put: [tool('a')], once, expect: { 'tool/a': 0 } })
      const outcomes = await Promise.all([on.store.commit(again), on.store.commit(again)])
      expect(await on.store.commit(again)).toEqual(outcomes[0])
      expect(outcomes[1]).toEqual(outcomes[0])
      expect((await on.store.tree()).size).toBe(1)
    })
  })
}
