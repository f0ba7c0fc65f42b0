// The lease and the deny set alone, against random histories: whatever the order of answers and events, neither is ever too generous.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createDenySet, DENY_KINDS, type Denial } from '../../src/guard/deny-set.ts'
import { createLease } from '../../src/guard/lease.ts'

test('a lease is live only by an answer that the feed has caught up with and that is younger than its length (S15)', () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('wait' as const), ms: fc.nat(4_000) }),
    fc.record({ do: fc.constant('offer' as const), seq: fc.nat(8), leaseMs: fc.nat(20_000), ageMs: fc.nat(3_000) }),
    fc.record({ do: fc.constant('reach' as const), seq: fc.nat(8) }),
    fc.record({ do: fc.constant('drop' as const) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      let at = 100_000
      let position = 0
      let answers: Array<{ seq: number; endsAt: number }> = []
      const lease = createLease({ now: () => at, monotonicNow: () => at })
      for (const one of steps) {
        if (one.do === 'wait') at += one.ms
        if (one.do === 'drop') {
          lease.drop()
          answers = []
        }
        if (one.do === 'reach') {
          position = Math.max(position, one.seq)
          lease.reached(position)
        }
        if (one.do === 'offer') {
          const sentAt = at - one.ageMs
          lease.offer({ seq: one.seq, leaseMs: one.leaseMs, sentAt: { wallMs: sentAt, monotonicMs: sentAt } }, position)
          answers.push({ seq: one.seq, endsAt: sentAt + Math.min(one.leaseMs, 10_000) })
        }
        const rightful = answers.some(({ seq, endsAt }) => seq <= position && endsAt > at)
        expect(lease.isLive()).toBe(rightful)
      }
    }),
  )
})

test('a denied token stays denied whatever is added or purged later, until it is expired (P5)', () => {
  const denial = fc.record({
    kind: fc.constantFrom(...DENY_KINDS),
    value: fc.constantFrom('a', 'b'),
    before: fc.constantFrom(Number.POSITIVE_INFINITY, 5, 10),
    until: fc.integer({ min: 20_000, max: 60_000 }),
  })
  const token = { sid: 'a', grantId: 'a', jti: 'a', kid: 'a', sub: 'a', issuedAt: 7, expiresAt: 20_000 }
  const kills = ({ value, before }: Denial) => value === 'a' && 7 <= before
  fc.assert(
    fc.property(fc.array(fc.oneof(denial, fc.nat(100_000)), { maxLength: 20 }), (steps) => {
      const set = createDenySet({ maxDenials: 100, slackMs: 0 })
      let dead = false
      let purged = false
      for (const step of steps) {
        if (typeof step === 'number') {
          set.purge(step)
          purged ||= step > 20_000
        } else {
          set.add(step)
          dead ||= kills(step)
        }
        if (dead) expect(set.blocks(token)).toBe(true)
        else if (!purged) expect(set.blocks(token)).toBe(false)
      }
    }),
  )
})
