import { afterEach, beforeEach, expect, test } from 'vitest'
import { resetClock } from '../../src/actions/reset-clock.ts'
import { as, createHarness, type Harness } from '../support/harness.ts'
import { agent, entry, setOf, tool } from '../support/manifest-set.ts'
import { unwrap } from '../support/store-on-disk.ts'

let h: Harness
beforeEach(async () => {
  h = await createHarness()
  await h.start(setOf(tool('tickets'), agent('bot', { access: [entry('tickets', ['read'], { approval: 'none' })] })))
})
afterEach(() => h.close())

const DAY = 86_400

/** What is held after the clock ran a day ahead for a while, with the clock set right again. */
async function ranAhead() {
  const before = await h.session('bot')
  const old = await h.grant(before, 'tickets', ['read'])
  h.disk.clock.advance(DAY)
  const session = await h.session('bot')
  const grant = await h.grant(session, 'tickets', ['read'])
  unwrap(await h.credential(session, grant))
  h.disk.clock.advance(-DAY)
  return { session, grant, old }
}

test('after a clock that ran ahead was set right, nothing is issued until it is reset (S18)', async () => {
  const { session, grant } = await ranAhead()
  expect(await h.credential(session, grant)).toMatchObject({ ok: false, error: { code: 'stale_view' } })
  await expect(h.session('bot')).rejects.toThrow('stale_view')
  unwrap(await resetClock(h.deps, as.operator))
  const fresh = await h.session('bot')
  unwrap(await h.credential(fresh, await h.grant(fresh, 'tickets', ['read'])))
})

test('a reset ends every session and credential, and grants that would outlast their approval (S18)', async () => {
  const { session, grant, old } = await ranAhead()
  const { highest, grantsToo, revocation } = unwrap(await resetClock(h.deps, as.operator))
  expect([highest, grantsToo]).toEqual([h.disk.clock.now() + DAY * 1000, true])
  expect(revocation).toMatchObject({ act: 'clock reset', counts: { sessions: 2, grants: 2, credentials: 1 } })
  const fresh = await h.session('bot')
  for (const dead of [grant, old]) expect((await h.credential(fresh, dead)).ok).toBe(false)
  expect((await h.row('session', session.id))?.state).toBe('revoked')
})

test('a reset leaves grants that were given before the clock ran ahead (S18)', async () => {
  const before = await h.session('bot')
  const grant = await h.grant(before, 'tickets', ['read'])
  h.disk.clock.advance(DAY)
  await h.session('bot')
  h.disk.clock.advance(-DAY)
  expect(unwrap(await resetClock(h.deps, as.operator)).grantsToo).toBe(false)
  expect(await h.credential(before, grant)).toMatchObject({ ok: false, error: { code: 'session_revoked' } })
  unwrap(await h.credential(await h.session('bot'), grant))
})

test('a reset is the operator’s alone, is one record, and mends nothing that is not broken (S18)', async () => {
  expect(await resetClock(h.deps, as.operator)).toMatchObject({ ok: false, error: { code: 'conflict' } })
  await ranAhead()
  for (const by of [as.admin, as.owner('alice@example.com'), as.auditor, as.publisher])
    expect(await resetClock(h.deps, by)).toMatchObject({ ok: false, error: { code: 'forbidden' } })
  unwrap(await resetClock(h.deps, as.operator))
  const resets = (await h.trail()).filter(({ kind }) => kind === 'clock.reset')
  expect(resets).toMatchObject([
    { actor: { type: 'operator' }, body: { highest: new Date(h.disk.clock.now() + DAY * 1000).toISOString() } },
  ])
})
