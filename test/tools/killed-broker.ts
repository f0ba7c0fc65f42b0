// The broker is killed at each request to a tool and at each commit around it, while an account is made and while one is
// taken away; then it is started again, and all that it says is held against the tool's own database.
// HALLPASS_KILL_ROUNDS says how many kills of each kind: a few in CI.

import { rmSync, writeFileSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Order } from '../crash/at-commit.ts'
import { expectSettled, expectTruth } from './accounts-told.ts'
import { type Answered, expectDone, idOf } from './people-and-agents.ts'
import { accessTo, SOON, type ToolStage } from './tool-stage.ts'
import { waitUntil } from './wait-until.ts'

const ROUNDS = Number(process.env.HALLPASS_KILL_ROUNDS ?? 3)
const WITHIN_MS = 120_000 + ROUNDS * 30_000
/** Each may hold as many grants as an agent can: the rounds are shared out. */
const AGENTS = ['killed-bdf', 'killed-ghk', 'killed-mnp', 'killed-rst'] as const
/** How much later at most a tool hears what it had not heard when the broker died. */
const LATER_MS = 1_500

const HEARD = { 'is never heard': false, 'is carried out': true, 'is carried out later': 'later' } as const
type Moment =
  | { readonly request: number; readonly it: keyof typeof HEARD }
  | { readonly commit: number; readonly act: Exclude<Order['act'], 'stall'> }

const counted = (count: number) => Array.from({ length: count }, (_, index) => index)
const momentsOf = (of: { readonly requests: number; readonly commits: number }): readonly Moment[] => [
  ...counted(of.commits).flatMap((index) =>
    (['die before', 'die after'] as const).map((act): Moment => ({ commit: index + 1, act })),
  ),
  ...counted(of.requests).flatMap((request) =>
    (Object.keys(HEARD) as (keyof typeof HEARD)[]).map((it): Moment => ({ request, it })),
  ),
]
/** As many as there are rounds, evenly over all of them, from anywhere. */
function spread(moments: readonly Moment[]): readonly Moment[] {
  const from = Math.floor(Math.random() * moments.length)
  const step = Math.max(1, moments.length / ROUNDS)
  return counted(ROUNDS).map((round) => moments[Math.floor(from + round * step) % moments.length]!)
}

export const KILLED_AGENTS: Readonly<Record<string, string>> = Object.fromEntries(
  AGENTS.map((name) => [name, accessTo('sick', ['desk:first'], 'approval: none')]),
)

/** What it answers describes how all of it ends: for later, since what a create may still do is waited for. */
export function describeKills(opened: () => ToolStage): () => void {
  /** Of all that was taken away here, and those of them that were not seen complete yet. */
  const receipts = new Set<string>()
  const open = new Set<string>()
  /** Grants that nobody has taken away yet. */
  const left: string[] = []
  let grants = 0
  /** Kills, and those that broke off just what was being done. */
  let kills = 0
  let hits = 0

  /** The receipt, which is the same however often it is asked for. */
  async function take(grant: string): Promise<string> {
    const id = idOf(await expectDone(opened().asAdmin(`/grants/${grant}/revoke`, {})))
    receipts.add(id)
    open.add(id)
    return id
  }

  describe(`the broker killed, ${ROUNDS} times each`, () => {
    afterEach(() => {
      opened().proxy.strike(null)
      rmSync(opened().order, { force: true })
    })
    let starting: Promise<unknown> = Promise.resolve()
    /** How many the tool is sent for one account. */
    const requests = { making: 0, taking: 0 }
    beforeAll(async () => {
      const session = await sessionOf(0)
      const grant = await grantFor(session)
      requests.making = await requestsOf(async () => opened().mint(session, grant))
      requests.taking = await requestsOf(async () => opened().confirmed({ id: await take(grant) }))
    })
    const isActive = async (name: string) => (await opened().subject.active()).includes(name)
    const latestOf = async (grant: string) => (await opened().namesOf(grant)).at(-1)
    const sessionOf = (round: number) => opened().session(AGENTS[round % AGENTS.length] ?? AGENTS[0])
    const grantFor = (session: string) =>
      opened().grantFor(session, 'sick', 'desk:first', { durationSeconds: 900 + grants++ })

    /** What is said at this moment is true. A receipt that is complete is looked at no more until the end. */
    async function expectNoLie(): Promise<void> {
      const { revoked } = await expectTruth(opened(), open)
      for (const id of revoked) open.delete(id)
    }

    /** Whether the moment came. Afterwards the broker is dead and the network well. */
    async function killAt(moment: Moment, act: () => Promise<unknown>): Promise<boolean> {
      const { proxy, broker, order } = opened()
      let heard = 0
      if ('request' in moment)
        proxy.strike({ forwarded: HEARD[moment.it], answer: 'silence' }, () => heard++ === moment.request)
      else writeFileSync(order, JSON.stringify(moment satisfies Order))
      const struck = 'request' in moment ? proxy.struck().then(() => true) : new Promise<boolean>(() => {})
      // A broker that dies breaks off what it is asked.
      const isReached = await Promise.race([
        struck,
        act().then(
          () => false,
          () => true,
        ),
      ])
      // One that is being started is known, and can be killed, only then.
      await starting
      await broker.kill()
      proxy.strike(null)
      rmSync(order, { force: true })
      kills++
      return isReached
    }

    /** Killed once more while it goes on with what the first kill left. */
    const killAgain = (round: number, isOver: () => Promise<unknown>) =>
      killAt({ request: round % 7, it: round % 2 === 0 ? 'is carried out' : 'is never heard' }, async () => {
        starting = opened().start()
        await starting
        await isOver()
      })

    async function deliverLate(moment: Moment): Promise<void> {
      if (!('request' in moment) || moment.it !== 'is carried out later') return
      await wait(Math.random() * LATER_MS)
      await opened().proxy.deliver()
      await expectNoLie()
    }

    async function eachMoment(
      of: { readonly requests: number; readonly commits: number },
      /** Answers whether what it did was broken off. */
      run: (round: number, moment: Moment) => Promise<boolean>,
    ): Promise<void> {
      for (const [round, moment] of spread(momentsOf(of)).entries()) {
        // It looks through its tools first of all: nothing that comes after is to be taken for that.
        await opened().lookedThrough('sick')
        const isHit = await run(round, moment).catch(async (thrown: unknown) => {
          const why = thrown instanceof Error ? thrown.message : String(thrown)
          const trail = await latestRecords()
          throw new Error(`round ${round}, ${JSON.stringify(moment)}: ${why}\n${trail}`, { cause: thrown })
        })
        if (isHit) hits++
        if ((round + 1) % 10 === 0)
          console.info(`${opened().particulars.called}: ${round + 1} rounds, ${hits} hits so far`)
      }
    }

    /** The end of the trail, for whoever has to find out what happened. */
    async function latestRecords(): Promise<string> {
      const kinds = ['planned', 'created', 'failed', 'leaving', 'removed'].map((what) => `account.${what}`)
      const all = await Promise.all([...kinds, 'tool.drift', 'server.started'].map((kind) => opened().records(kind)))
      const latest = all.flat().toSorted((one, other) => one.at.localeCompare(other.at))
      return latest
        .slice(-30)
        .map((one) => JSON.stringify(one))
        .join('\n')
    }

    /** How many requests one go at it sends to the tool. */
    async function requestsOf(act: () => Promise<unknown>): Promise<number> {
      const { proxy } = opened()
      proxy.strike(null)
      await act()
      expect(proxy.heard.length).toBeGreaterThan(1)
      return proxy.heard.length
    }

    test(
      'while an account is made: none is left that nobody knows of, none is there twice (P9, S16)',
      async () => {
        const stage = opened()
        // Its intent, and what came of it.
        await eachMoment({ requests: requests.making, commits: 2 }, async (round, moment) => {
          const session = await sessionOf(round)
          const grant = await grantFor(session)
          let answered: Answered | null = null
          await killAt(moment, async () => {
            answered = await stage.exchange(session, grant)
          })
          // What was left of another round may have been at the tool just then.
          const isHit = answered === null
          const isGone = async () => {
            const name = await latestOf(grant)
            return name === undefined || !(await isActive(name))
          }
          if (round % 4 === 3) await killAgain(round, () => waitUntil(isGone, SOON))
          await stage.start()
          const isTaken = round % 2 === 0
          if (isTaken) await take(grant)
          await expectNoLie()
          await deliverLate(moment)
          const issued = (await stage.records('credential.issued')).some(({ subject }) => subject.grant === grant)
          if (isTaken || !issued) await waitUntil(isGone, SOON)
          else expect(await isGone()).toBe(false)
          if (!isTaken) left.push(grant)
          return isHit
        })
      },
      WITHIN_MS,
    )
    test(
      'while one is taken away: it is dead once that is said, and not before (P5, P9, S15)',
      async () => {
        const stage = opened()
        const hold = async (round: number) => {
          const session = await sessionOf(round)
          return stage.mint(session, await grantFor(session))
        }
        // What a create may still do would be taken for the removal: where many were made, that is waited for.
        if (ROUNDS > 10) await expectSettled(stage)
        // The act, the rows it takes, the account, the receipt.
        await eachMoment({ requests: requests.taking, commits: 4 }, async (round, moment) => {
          const held = await hold(round)
          const taking = async () => stage.confirmed({ id: await take(held.grant) })
          const isHit = await killAt(moment, taking)
          if (round % 4 === 3) await killAgain(round, taking)
          await stage.start()
          await expectNoLie()
          const id = await take(held.grant)
          await expectNoLie()
          await deliverLate(moment)
          await stage.confirmed({ id })
          expect([await isActive(held.name), await stage.subject.first(held.secret)]).toEqual([false, false])
          return isHit
        })
      },
      WITHIN_MS,
    )
  })

  return () =>
    test('after the broker was killed every intent is settled, and every receipt is complete (P5, P9, S16)', async () => {
      const stage = opened()
      for (const grant of left) await take(grant)
      for (const id of receipts) await stage.confirmed({ id })
      const { planned } = await expectSettled(stage, receipts)
      process.stdout.write(
        `${stage.particulars.called}: killed ${kills} times, ${hits} of them at what was aimed at; ${planned} accounts planned, ${receipts.size} receipts complete\n`,
      )
    })
}
