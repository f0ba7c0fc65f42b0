import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createGuardLeases } from '../../src/adapters/verifiers/guard-leases.ts'
import { GUARDS_PER_TOOL } from '../../src/core/limits.ts'
import { movableClock } from '../support/store-on-disk.ts'

const setup = (position = 100) => {
  const clock = movableClock()
  const feed = { at: position, denials: [] as number[] }
  const leases = createGuardLeases(
    {
      position: () => feed.at,
      needed: (_, seq) => Math.max(0, ...feed.denials.filter((denial) => denial <= seq)),
    },
    clock,
  )
  const up = () => clock.advance(10)
  const deny = () => {
    feed.at += 1
    feed.denials.push(feed.at)
    return feed.at
  }
  return { clock, feed, leases, up, deny }
}

describe('guards have acknowledged', () => {
  test('nothing before one lease of uptime, even where there is no guard (S15)', () => {
    const { leases, clock } = setup()
    expect(leases.acknowledged('tickets', 100)).toEqual({ all: false, guards: 0 })
    clock.advance(9.999)
    expect(leases.acknowledged('tickets', 100).all).toBe(false)
    clock.advance(0.001)
    expect(leases.acknowledged('tickets', 100)).toEqual({ all: true, guards: 0 })
  })

  test('a denial when each of them did (S15)', () => {
    const { leases, up, deny } = setup()
    up()
    leases.renew('tickets', 'a', 100)
    leases.renew('tickets', 'b', 100)
    const seq = deny()
    leases.renew('tickets', 'a', seq)
    expect(leases.acknowledged('tickets', seq)).toEqual({ all: false, guards: 2 })
    leases.renew('tickets', 'b', seq)
    expect(leases.acknowledged('tickets', seq)).toEqual({ all: true, guards: 2 })
  })

  test('a denial once the lease ran out of one that did not, counted from answering (S15)', () => {
    const { leases, clock, up, deny } = setup()
    up()
    leases.renew('tickets', 'a', 100)
    const seq = deny()
    clock.advance(9.9)
    expect(leases.acknowledged('tickets', seq).all).toBe(false)
    clock.advance(0.1)
    expect(leases.acknowledged('tickets', seq)).toEqual({ all: true, guards: 0 })
  })

  test('a denial that every running lease names, though nobody said so yet (S15)', () => {
    const { leases, up, deny } = setup()
    up()
    const seq = deny()
    leases.renew('tickets', 'a', 100)
    expect(leases.acknowledged('tickets', seq)).toEqual({ all: true, guards: 1 })
  })

  test('not by renewing without acknowledging: the older lease still runs (S15)', () => {
    const { leases, clock, up, deny } = setup()
    up()
    leases.renew('tickets', 'a', 100)
    const seq = deny()
    clock.advance(3)
    leases.renew('tickets', 'a', 100)
    expect(leases.acknowledged('tickets', seq).all).toBe(false)
    clock.advance(7)
    expect(leases.acknowledged('tickets', seq)).toEqual({ all: true, guards: 1 })
  })

  test('a denial still, when a lesser acknowledgement arrives late (S15)', () => {
    const { leases, up, deny } = setup()
    up()
    const seq = deny()
    leases.renew('tickets', 'a', seq)
    leases.renew('tickets', 'a', 100)
    expect(leases.acknowledged('tickets', seq).all).toBe(true)
  })

  test('positions without a denial for them by what they acknowledged before (S15)', () => {
    const { leases, feed, up, deny } = setup()
    up()
    leases.renew('tickets', 'a', 100)
    const seq = deny()
    leases.renew('tickets', 'a', seq)
    feed.at += 5
    expect(leases.acknowledged('tickets', seq + 5).all).toBe(true)
  })

  test('nothing for the guards of another tool (S14)', () => {
    const { leases, up, deny } = setup()
    up()
    leases.renew('metrics', 'a', 100)
    expect(leases.acknowledged('tickets', deny())).toEqual({ all: true, guards: 0 })
  })
})

describe('a lease', () => {
  test('names no less than was asked about, also where the feed lags behind (S15)', () => {
    const { leases, up } = setup()
    up()
    expect(leases.acknowledged('tickets', 105).all).toBe(true)
    expect(leases.renew('tickets', 'late', 100)).toEqual({ seq: 105, leaseSeconds: 10 })
  })

  test('is refused to one who is ahead, and to more guards than a tool may have (S17)', () => {
    const { leases, clock } = setup()
    expect(leases.renew('tickets', 'a', 101)).toBe('ahead')
    for (let i = 0; i < GUARDS_PER_TOOL; i++) leases.renew('tickets', `g${i}`, 100)
    expect(leases.renew('tickets', 'one more', 100)).toBe('full')
    expect(leases.renew('tickets', 'g0', 100)).toMatchObject({ leaseSeconds: 10 })
    expect(leases.lease('tickets', 'one more', 100)).toEqual({ leaseSeconds: 0 })
    clock.advance(10)
    expect(leases.renew('tickets', 'one more', 100)).toMatchObject({ leaseSeconds: 10 })
  })

  test('never lets a guard pass what was called acknowledged, whatever the order of things (P5, S15)', () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant('deny' as const) }),
      fc.record({ do: fc.constant('renew' as const), guard: fc.integer({ min: 0, max: 2 }) }),
      fc.record({ do: fc.constant('apply' as const), guard: fc.integer({ min: 0, max: 2 }) }),
      fc.record({ do: fc.constant('wait' as const), seconds: fc.integer({ min: 1, max: 6 }) }),
      fc.record({ do: fc.constant('ask' as const) }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const { clock, leases, feed, up, deny } = setup()
        up()
        // A guard uses an answer once its position reached it, and only for ten seconds.
        const guards = [0, 1, 2].map(() => ({ position: 100, answers: [] as { seq: number; until: number }[] }))
        let confirmed = 0
        for (const one of steps) {
          if (one.do === 'deny') deny()
          if (one.do === 'wait') clock.advance(one.seconds)
          if (one.do === 'apply') guards[one.guard]!.position = feed.at
          if (one.do === 'renew') {
            const guard = guards[one.guard]!
            const renewed = leases.renew('tickets', String(one.guard), guard.position)
            if (typeof renewed !== 'string') guard.answers.push({ seq: renewed.seq, until: clock.monotonic() + 10_000 })
          }
          if (one.do === 'ask' && leases.acknowledged('tickets', feed.at).all) confirmed = Math.max(confirmed, feed.at)
          for (const { position, answers } of guards) {
            const isLive = answers.some(({ seq, until }) => seq <= position && until > clock.monotonic())
            if (isLive && position < confirmed) return false
          }
        }
        return true
      }),
      { numRuns: 500 },
    )
  })
})
