// What becomes of accounts while their tool is anything but well: no account that nobody knows of, none twice, and none
// said to be gone that is not.

import { afterEach, describe, expect, test } from 'vitest'
import type { Fault, Heard } from '../support/fault-proxy.ts'
import { expectSettled } from './accounts-told.ts'
import { expectDone, idOf } from './people-and-agents.ts'
import { accessTo, type Held, SOON, type ToolStage } from './tool-stage.ts'
import { waitUntil } from './wait-until.ts'

/** `of`: which requests meet it: those that change something, all, or all that come after the first change. */
type Sickness = { readonly fault: (lie: string) => Fault; readonly of: 'all' | 'changes' | 'all after a change' }
const answered = (status: number, headers: Readonly<Record<string, string>> = {}) => ({
  fault: (): Fault => ({ forwarded: false, answer: { status, headers, body: '' } }),
  of: 'all' as const,
})
const SICKNESSES = {
  down: { fault: () => ({ forwarded: false, answer: 'cut' }), of: 'all' },
  'answering 500': answered(500),
  'answering 429': answered(429, { 'retry-after': '2' }),
  'answering 200 with an error inside': {
    fault: (body) => ({
      forwarded: false,
      answer: { status: 200, headers: { 'content-type': 'application/json' }, body },
    }),
    of: 'changes',
  },
  'carrying out what it never answers': { fault: () => ({ forwarded: true, answer: 'cut' }), of: 'changes' },
  'gone after the first change': { fault: () => ({ forwarded: false, answer: 'cut' }), of: 'all after a change' },
} satisfies Record<string, Sickness>
const NAMES = Object.keys(SICKNESSES) as (keyof typeof SICKNESSES)[]

const numbered = (name: string, count: number) => Array.from({ length: count }, (_, index) => `${name}-${index}`)
const MADE = numbered('made', NAMES.length)
const TAKEN = numbered('taken', NAMES.length)

export const FAULT_AGENTS: Readonly<Record<string, string>> = Object.fromEntries(
  ['slow', ...MADE, ...TAKEN].map((name) => [name, accessTo('sick', ['desk:first'], 'approval: none')]),
)

export function describeFaults(opened: () => ToolStage): void {
  const strike = ({ fault, of }: Sickness) => {
    const { proxy, subject, particulars } = opened()
    let changes = 0
    const which = {
      all: () => true,
      changes: (heard: Heard) => subject.changes(heard),
      'all after a change': (heard: Heard) => {
        if (changes > 0) return true
        if (subject.changes(heard)) changes++
        return false
      },
    }[of]
    proxy.strike(fault(particulars.lie), which)
  }
  const heal = () => opened().proxy.strike(null)
  afterEach(heal)
  const isActive = async (name: string) => (await opened().subject.active()).includes(name)
  const revoke = (held: Held) => opened().asAdmin(`/grants/${held.grant}/revoke`, {})
  /** The receipt and then the tool: what is said to be gone is gone. */
  const expectNoLie = async (id: string, held: Held) => {
    const { status } = await opened().receiptOf(id)
    if (status === 'revoked') expect(await isActive(held.name)).toBe(false)
    return status
  }

  describe('a tool that is', () => {
    test('slow is waited for', async () => {
      const { proxy, subject } = opened()
      proxy.strike({ forwarded: true, answer: { afterMs: 150 } })
      const held = await opened().hold('slow', 'desk:first', 'sick')
      expect(await subject.first(held.secret)).toBe(true)
      const receipt = await opened().confirmed(await expectDone(revoke(held)))
      expect(receipt.afterMilliseconds).toBeGreaterThan(150)
      heal()
      expect(await subject.first(held.secret)).toBe(false)
    })

    test('so slow that it is given up: nothing leaves, and what it makes after all is taken away (P9, S16)', async () => {
      const { proxy, subject, broker, start, namesOf } = opened()
      await broker.stop()
      await start({ createMs: 3_000, settleMs: 20_000 })
      const session = await opened().session('slow')
      const grant = await opened().grantFor(session, 'sick', 'desk:first')
      proxy.strike({ forwarded: 'later', answer: 'silence' }, (heard) => subject.changes(heard))
      const { status, body } = await opened().exchange(session, grant)
      expect(status, JSON.stringify(body)).toBeGreaterThanOrEqual(400)
      const [account = ''] = await namesOf(grant)
      expect(await subject.count(account)).toBe(0)
      heal()
      await proxy.deliver()
      await waitUntil(async () => (await isActive(account)) || (await subject.count(account)) > 0, SOON)
      await waitUntil(async () => !(await isActive(account)), SOON)
      await broker.stop()
      await start()
    })

    test.each(NAMES)('%s while an account is made: nothing leaves, and none is left there (P1, P9)', async (name) => {
      const agent = MADE[NAMES.indexOf(name)] ?? ''
      const session = await opened().session(agent)
      const grant = await opened().grantFor(session, 'sick', 'desk:first')
      strike(SICKNESSES[name])
      const { status, body } = await opened().exchange(session, grant)
      expect(status, JSON.stringify(body)).toBeGreaterThanOrEqual(400)
      expect(body).not.toHaveProperty('access_token')
      heal()
      const [account = ''] = await opened().namesOf(grant)
      await waitUntil(async () => !(await isActive(account)), SOON)
      expect(await opened().subject.count(account)).toBeLessThanOrEqual(1)
    })

    test.each(NAMES)(
      '%s while one is taken away: not said to be gone, and done once it can be (P5, S15)',
      async (name) => {
        const held = await opened().hold(TAKEN[NAMES.indexOf(name)] ?? '', 'desk:first', 'sick')
        strike(SICKNESSES[name])
        const id = idOf(await expectDone(revoke(held)))
        const receipt = await waitUntil(async () => {
          const now = await opened().receiptOf(id)
          return now.confirmations.some(({ accounts }) => accounts?.some((one) => one.lastFailure)) ? now : null
        }, SOON)
        expect(receipt.status).not.toBe('revoked')
        const isDone = SICKNESSES[name].of === 'all after a change' || name.startsWith('carrying out')
        if (!isDone) expect(await opened().subject.first(held.secret)).toBe(true)
        expect(await expectNoLie(id, held)).not.toBe('revoked')
        heal()
        const last = await opened().confirmed({ id })
        if (name === 'answering 429') expect(last.afterMilliseconds).toBeGreaterThanOrEqual(2000)
        expect(await opened().subject.inDatabase(held.name)).toBeNull()
        expect(await opened().subject.first(held.secret)).toBe(false)
      },
    )
  })
}

export function testSettled(opened: () => ToolStage): void {
  test('in the end every intent is settled: what is there is known, once each, and usable again (P9, S16)', async () => {
    const { namesOf, subject } = opened()
    await expectSettled(opened())
    const there = await subject.active()
    const session = await opened().session(MADE[0] ?? '')
    const grant = await opened().grantFor(session, 'sick', 'desk:first')
    const held = await opened().mint(session, grant)
    expect(await subject.first(held.secret)).toBe(true)
    const names = await namesOf(grant)
    expect(names).toHaveLength(2)
    expect(there.concat(held.name).filter((name) => names.includes(name))).toEqual([held.name])
  })
}
