import { expect, test } from 'vitest'
import { allConfirmed, confirmationsOf } from '../../src/actions/confirmations.ts'
import type { Credential } from '../../src/core/model.ts'

const AT = 1_000_000
/** By a clock that was never set. */
const right = () => AT
const credential = (id: string, tool: string, expiresAt: number): Credential => ({
  id,
  agent: 'bot',
  session: 'ses_1',
  grant: 'grt_1',
  tool,
  resource: `https://${tool}.example.com`,
  scopes: ['read'],
  details: {},
  kid: 'kid',
  claimsHash: 'a'.repeat(64),
  issuedAt: 0,
  expiresAt,
  state: 'issued',
  revocation: null,
  born: { agent: 1, tool: 1, installation: 1, approvers: [] },
})
const verifying = (verifiedBy: 'asks' | 'guard' | 'alone', leewaySeconds = 60) =>
  new Map([['tickets', { verifiedBy, leewaySeconds }]])
const two = [credential('a', 'tickets', AT + 10_000), credential('b', 'tickets', AT + 20_000)]

test('a tool that asks at each call is confirmed with the act itself (S15)', () => {
  expect(confirmationsOf(two, verifying('asks'), AT, right)).toEqual([
    {
      tool: 'tickets',
      verifiedBy: 'asks',
      credentials: 2,
      deadAt: AT + 80_000,
      livesMs: 80_000,
      deadline: AT + 5_000,
      confirmedAt: AT,
      how: 'every check asks the broker',
    },
  ])
})

test('a guard has 15 seconds, a tool that verifies alone until the last expiry, its leeway and 5 seconds more (S15)', () => {
  expect(confirmationsOf(two, verifying('guard'), AT, right)[0]).toMatchObject({
    confirmedAt: null,
    deadline: AT + 15_000,
  })
  const [alone] = confirmationsOf(two, verifying('alone'), AT, right)
  expect(alone).toMatchObject({ confirmedAt: null, deadAt: AT + 80_000, deadline: AT + 85_000 })
  expect(allConfirmed([alone!])).toBe(false)
})

test('a credential that expired within the leeway may still be accepted somewhere, so it counts (S15)', () => {
  const expired = [credential('a', 'tickets', AT - 30_000)]
  expect(confirmationsOf(expired, verifying('alone'), AT, right)[0]).toMatchObject({
    credentials: 1,
    deadAt: AT + 30_000,
  })
  expect(confirmationsOf(expired, verifying('alone', 30), AT, right)).toEqual([])
})

test('of a tool that nothing is known of, the slowest is assumed (S15)', () => {
  expect(confirmationsOf([credential('a', 'gone', AT + 1)], new Map(), AT, right)[0]).toMatchObject({
    verifiedBy: 'alone',
    deadAt: AT + 60_001,
  })
})
