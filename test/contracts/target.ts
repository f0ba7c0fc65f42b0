// What every target must do, on the real tool: the tool itself refuses, and its own database says the same as the target.

import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type { TargetConfig } from '../../src/adapters/targets/conversation.ts'
import { httpCall } from '../../src/adapters/targets/http-call.ts'
import { Secret } from '../../src/core/secret.ts'
import { type HeldAccount, type MadeAccount, type Target, TargetFailure } from '../../src/core/target.ts'
import { type Fault, type FaultProxy, type Heard, startFaultProxy } from '../support/fault-proxy.ts'

/** A running tool, with a way to everything about it that does not lead through the target. */
export type Subject = {
  readonly url: string
  readonly admin: string
  readonly wrongAdmin: string
  readonly makeTarget: (config: TargetConfig) => Target
  /** Two rights, in the tool's words and in their canonical order, and words that are none. */
  readonly rights: readonly [string, string]
  readonly both: readonly string[]
  readonly notRights: readonly string[]
  /** Words that are rights of this tool, of something that it does not have. */
  readonly absent: string
  /** Whether the tool lets it: what the first right is for, what the second is for, and what neither is. */
  first(secret: Secret): Promise<boolean>
  second(secret: Secret): Promise<boolean>
  foreign(secret: Secret): Promise<boolean>
  /** From the tool's own database; null where it has none of that name, or one that is off. */
  inDatabase(name: string): Promise<readonly string[] | null>
  /** The tool's own accounts of that name, of whatever state. */
  count(name: string): Promise<number>
  /** Names of all accounts that can do something and are named as Hallpass names them, from the tool's own database. */
  active(): Promise<readonly string[]>
  /** By hand, as the tool's administrator. */
  addByHand(name: string): Promise<void>
  widenByHand(name: string): Promise<string>
  /** Lets a removed account in again. */
  unlockByHand(name: string): Promise<void>
  /** Undone by half: the account there, its rights not, and whatever else may be missing. */
  halve(name: string): Promise<void>
  /** Which of the target's requests change something. */
  changes(heard: Heard): boolean
  stop(): Promise<void>
}

type Latency = { readonly provision: number; readonly firstUse: number; readonly dead: number }
const ROUNDS = 5
const ROUNDS_WITHIN_MS = 240_000
const LONG_MS = 60_000
const ECHO = 'of-an-answer'

export function targetContract(tool: string, start: () => Promise<Subject>): void {
  describe(`the target of ${tool}`, () => {
    let subject: Subject
    let target: Target
    let proxy: FaultProxy
    let proxied: Target
    const latencies: Latency[] = []

    beforeAll(async () => {
      subject = await start()
      proxy = await startFaultProxy(subject.url)
      target = make(subject.url)
      proxied = make(proxy.url)
    })
    afterAll(async () => {
      await proxy?.close()
      await subject?.stop()
      if (latencies.length > 0) process.stdout.write(tableOf(tool, latencies))
    })

    const make = (url: string, admin = subject.admin, timeoutMs = LONG_MS): Target =>
      subject.makeTarget({
        url,
        secret: async () => new Secret(admin),
        call: httpCall({ timeoutMs, maxBytes: 1024 * 1024 }),
      })
    const long = () => AbortSignal.timeout(LONG_MS)
    let made = 0
    const newName = () => `hp-${String(++made).padStart(12, '0')}`
    const create = (name: string, rights: readonly string[] = subject.both, by = target): Promise<MadeAccount> =>
      by.create({ name, rights, label: `Hallpass: agent bot, grant ${name}`, until: Date.now() + LONG_MS }, long())
    const look = (name: string): Promise<HeldAccount | null> => target.look({ name }, long())

    /** The failure of a call, which says no secret. */
    const failureOf = async (doing: Promise<unknown>): Promise<TargetFailure> => {
      const thrown = await doing.then(
        (value) => expect.fail(`it did not fail: ${JSON.stringify(value)}`),
        (error: unknown) => error,
      )
      if (!(thrown instanceof TargetFailure)) throw thrown
      const said = `${thrown.message} ${thrown.stack} ${JSON.stringify(thrown)} ${String(thrown.cause)}`
      for (const secret of [subject.admin, subject.admin.split(':').at(-1) ?? '', subject.wrongAdmin, ECHO])
        expect(said).not.toContain(secret)
      return thrown
    }

    describe('an account', () => {
      test('works within its rights and no further: the tool itself refuses the rest (P2)', async () => {
        const name = newName()
        const { secret, external } = await create(name)
        expect(await subject.first(secret)).toBe(true)
        expect(await subject.second(secret)).toBe(true)
        expect(await subject.foreign(secret)).toBe(false)
        expect(await target.probe(secret, long())).toBe('alive')
        expect(await look(name)).toEqual({ name, external, active: true, rights: subject.both })
        expect(await subject.inDatabase(name)).toEqual(subject.both)
      })

      test('loses one right and keeps the other when narrowed, with the same secret (P3)', async () => {
        const name = newName()
        const { secret } = await create(name)
        for (const [kept, first, second] of [
          [subject.rights[0], true, false],
          [subject.rights[1], false, true],
        ] as const) {
          await target.setRights({ name }, [kept], long())
          expect(await subject.first(secret)).toBe(first)
          expect(await subject.second(secret)).toBe(second)
          expect(await subject.inDatabase(name)).toEqual([kept])
          expect((await look(name))?.rights).toEqual([kept])
        }
        await target.setRights({ name }, [], long())
        expect([await subject.first(secret), await subject.second(secret)]).toEqual([false, false])
        expect(await subject.inDatabase(name)).toEqual([])
      })

      test('is refused from the next call on once removed, and removing it again is success (P5, S15)', async () => {
        const name = newName()
        const { secret } = await create(name)
        expect(await subject.first(secret)).toBe(true)
        await target.remove({ name }, long())
        expect([await subject.first(secret), await subject.second(secret)]).toEqual([false, false])
        expect(await target.probe(secret, long())).toBe('dead')
        expect(await subject.inDatabase(name)).toBeNull()
        const after = await look(name)
        expect(after === null || !after.active).toBe(true)
        expect(after?.rights ?? []).toEqual([])
        await target.remove({ name }, long())
        await target.remove({ name: newName() }, long())
        expect(await look('hp-never-made')).toBeNull()
      })

      test('made twice is one account, and its latest secret works (S16)', async () => {
        const name = newName()
        const first = await create(name)
        const second = await create(name)
        expect(second.external).toBe(first.external)
        expect(await subject.count(name)).toBe(1)
        expect(await subject.first(second.secret)).toBe(true)
        if (!second.secret.equals(first.secret)) expect(await target.probe(first.secret, long())).toBe('dead')
      })

      test('made by half is completed: rights, state and secret (S16)', async () => {
        const name = newName()
        await create(name)
        await subject.halve(name)
        expect(await subject.inDatabase(name)).not.toEqual(subject.both)
        const { secret } = await create(name)
        expect(await subject.first(secret)).toBe(true)
        expect(await subject.inDatabase(name)).toEqual(subject.both)
        expect(await subject.count(name)).toBe(1)
      })

      test('with rights that are none is refused before anything is made', async () => {
        for (const right of [...subject.notRights, `${subject.rights[0]}\n`, '']) {
          const name = newName()
          const failure = await failureOf(create(name, [right]))
          expect([failure.why, failure.mayHaveActed]).toEqual(['refused', false])
          expect(() => target.canonical([right])).toThrow(TargetFailure)
          expect(await subject.count(name)).toBe(0)
        }
        const failure = await failureOf(create(newName(), [subject.absent]))
        expect(failure.why).toBe('refused')
      })

      test('has its rights in one canonical form', () => {
        const [one, other] = subject.rights
        expect(target.canonical([other, one, other])).toEqual(subject.both)
        expect(target.canonical(subject.both)).toEqual(subject.both)
        expect(target.canonical([])).toEqual([])
      })
    })

    describe('what is done by hand', () => {
      const listed = async (name: string) => (await target.list(1000, long())).find((one) => one.name === name)

      test('an added account is listed, and no account is missing or doubled (P10)', async () => {
        const ours = newName()
        await create(ours)
        await subject.addByHand('mallory')
        const all = await target.list(1000, long())
        expect(new Set(all.map(({ external }) => external)).size).toBe(all.length)
        expect(all.find(({ name }) => name === 'mallory')?.active).toBe(true)
        expect(all.find(({ name }) => name === ours)).toEqual(await look(ours))
        expect((await failureOf(target.list(all.length - 1, long()))).why).toBe('refused')
      })

      test('a widened account is seen, and brought back to its rights (P10)', async () => {
        const name = newName()
        const { secret } = await create(name, [subject.rights[0]])
        const wider = await subject.widenByHand(name)
        expect((await listed(name))?.rights).toContain(wider)
        expect((await look(name))?.rights).toContain(wider)
        await target.setRights({ name }, [subject.rights[0]], long())
        expect((await listed(name))?.rights).toEqual([subject.rights[0]])
        expect(await subject.inDatabase(name)).toEqual([subject.rights[0]])
        expect(await subject.first(secret)).toBe(true)
      })

      test('a removed account that was let in again is seen, and removed again (P10)', async () => {
        const name = newName()
        const { secret } = await create(name)
        await target.remove({ name }, long())
        await subject.unlockByHand(name)
        expect(await listed(name)).toMatchObject({ name, active: true })
        await target.remove({ name }, long())
        expect(await target.probe(secret, long())).toBe('dead')
        expect((await listed(name))?.active ?? false).toBe(false)
        expect(await subject.inDatabase(name)).toBeNull()
      })
    })

    describe('a tool in trouble', () => {
      /** While the fault stands, for requests that change something alone or for every one. */
      const strike = (fault: Fault, which: 'changes' | 'all' = 'changes') => {
        onTestFinished(() => proxy.strike(null))
        proxy.strike(fault, which === 'all' ? () => true : (heard) => subject.changes(heard))
      }
      const unheard = (answer: Fault['answer']): Fault => ({ forwarded: false, answer })
      const heard = (answer: Fault['answer']): Fault => ({ forwarded: true, answer })

      test('a wrong admin secret is refused, and nothing was done', async () => {
        const name = newName()
        const { secret } = await create(name)
        const stranger = make(subject.url, subject.wrongAdmin)
        for (const call of [
          () => create(newName(), subject.both, stranger),
          () => stranger.setRights({ name }, [], long()),
          () => stranger.remove({ name }, long()),
          () => stranger.look({ name }, long()),
          () => stranger.list(1000, long()),
        ]) {
          const failure = await failureOf(call())
          expect([failure.why, failure.mayHaveActed]).toEqual(['refused', false])
        }
        expect(await subject.first(secret)).toBe(true)
      })

      test('a tool that is down is unreachable, and its account is neither alive nor dead', async () => {
        const { secret } = await create(newName())
        const dead = await startFaultProxy(subject.url)
        await dead.close()
        const down = make(dead.url)
        for (const call of [
          () => create(newName(), subject.both, down),
          () => down.remove({ name: newName() }, long()),
          () => down.look({ name: newName() }, long()),
          () => down.probe(secret, long()),
          () => down.list(10, long()),
        ]) {
          const failure = await failureOf(call())
          expect([failure.why, failure.mayHaveActed]).toEqual(['unreachable', false])
        }
      })

      test.each([
        ['500', { status: 500, body: ECHO }, 'refused', true, null],
        ['429 with Retry-After', { status: 429, headers: { 'retry-after': '7' }, body: ECHO }, 'busy', false, 7],
        ['503 with a date', { status: 503, headers: { 'retry-after': new Date(0).toUTCString() } }, 'busy', true, 0],
        ['403', { status: 403, body: ECHO }, 'refused', false, null],
        [
          'a redirect to another origin',
          { status: 307, headers: { location: 'http://127.0.0.1:1/' } },
          'refused',
          true,
          null,
        ],
      ] as const)(
        '%s in answer to a change is a failure of its kind, and the account is not believed',
        async (_, answer, why, mayHaveActed, retryAfterSeconds) => {
          const name = newName()
          strike(unheard(answer))
          const failure = await failureOf(create(name, subject.both, proxied))
          expect(failure).toMatchObject({ why, mayHaveActed, retryAfterSeconds })
          expect(await look(name)).toBeNull()
          proxy.strike(null)
          const { secret } = await create(name, subject.both, proxied)
          strike(unheard(answer))
          expect(await failureOf(proxied.remove({ name }, long()))).toMatchObject({
            why,
            mayHaveActed,
            retryAfterSeconds,
          })
          expect(await subject.first(secret)).toBe(true)
        },
      )

      test.each([
        ['200 with an error inside', { status: 200, body: `{"errors":["${ECHO}"],"error":"${ECHO}"}` }],
        ['200 without a body', { status: 200 }],
        ['what is no JSON', { status: 200, body: `<html>${ECHO}` }],
        ['an answer without end', { status: 200, body: ' '.repeat(2_000_000) }],
      ] as const)('%s instead of each answer is a failure, and no state is believed', async (_, answer) => {
        const name = newName()
        const { secret } = await create(name)
        strike(unheard(answer), 'all')
        for (const call of [
          () => create(name, subject.both, proxied),
          () => proxied.remove({ name }, long()),
          () => proxied.look({ name }, long()),
          () => proxied.probe(secret, long()),
          () => proxied.list(10, long()),
        ])
          expect(['garbled', 'refused']).toContain((await failureOf(call())).why)
      })

      test('200 to a change that was not carried out is noticed by reading back', async () => {
        const name = newName()
        const { secret } = await create(name)
        for (const body of [
          '{"errors":["Permission Denied"]}',
          '["Permission Denied"]',
          '{"results":[{"statement_id":0}]}',
        ]) {
          strike(unheard({ status: 200, body }))
          const failure = await failureOf(proxied.remove({ name }, long()))
          expect(failure.mayHaveActed).toBe(true)
          expect((await failureOf(proxied.setRights({ name }, [subject.rights[0]], long()))).mayHaveActed).toBe(true)
        }
        expect(await subject.second(secret)).toBe(true)
      })

      test('a tool that says nothing is a timeout; one that reads nothing did nothing', async () => {
        const name = newName()
        strike(unheard('silence'), 'all')
        const slow = make(proxy.url, subject.admin, 200)
        expect(await failureOf(slow.look({ name }, long()))).toMatchObject({ why: 'timeout', mayHaveActed: false })
        expect(await failureOf(proxied.list(10, AbortSignal.timeout(50)))).toMatchObject({ why: 'timeout' })
        expect(await failureOf(create(name, subject.both, slow))).toMatchObject({ why: 'timeout', mayHaveActed: false })
      })

      test.each([
        ['cut off before its answer', 'cut', 'unreachable'],
        ['silent after it', 'silence', 'timeout'],
      ] as const)(
        'a change carried out and %s may have acted, and is completed by the next try (S16)',
        async (_, answer, why) => {
          /** Silence is waited for no longer than until the tool has acted. */
          const impatient = (call: (signal: AbortSignal) => Promise<unknown>) => {
            const patience = new AbortController()
            if (answer === 'silence') void proxy.struck().then(() => patience.abort())
            return failureOf(call(patience.signal))
          }
          const name = newName()
          const wanted = { name, rights: subject.both, label: name, until: Date.now() + LONG_MS }
          strike(heard(answer))
          expect(await impatient((signal) => proxied.create(wanted, signal))).toMatchObject({ why, mayHaveActed: true })
          proxy.strike(null)
          const { secret } = await create(name, subject.both, proxied)
          expect(await subject.count(name)).toBe(1)
          strike(heard(answer))
          expect(await impatient((signal) => proxied.remove({ name }, signal))).toMatchObject({
            why,
            mayHaveActed: true,
          })
          proxy.strike(null)
          await proxied.remove({ name }, long())
          expect(await subject.first(secret)).toBe(false)
          expect(await subject.inDatabase(name)).toBeNull()
        },
      )

      test('a slow tool is waited for', async () => {
        const name = newName()
        strike(heard({ afterMs: 30 }), 'all')
        const { secret } = await create(name, subject.both, proxied)
        await proxied.remove({ name }, long())
        expect(await proxied.probe(secret, long())).toBe('dead')
      })

      test('no request says a secret in its path (S21)', async () => {
        const name = newName()
        proxy.strike(null)
        const { secret } = await create(name, subject.both, proxied)
        await proxied.probe(secret, long())
        await proxied.remove({ name }, long())
        const paths = proxy.heard.map(({ path }) => decodeURIComponent(path)).join('\n')
        expect(proxy.heard.length).toBeGreaterThan(5)
        for (const said of [subject.admin, subject.admin.split(':').at(-1) ?? '', secret.reveal()])
          expect(paths).not.toContain(said)
      })
    })

    test(
      'is dead within what it declares, every time (S15)',
      async () => {
        const name = newName()
        for (let round = 0; round < ROUNDS; round += 1) {
          const started = performance.now()
          const { secret } = await create(`${name}-${round}`)
          const provisioned = performance.now()
          expect(await subject.first(secret)).toBe(true)
          const used = performance.now()
          await target.remove({ name: `${name}-${round}` }, long())
          const removed = performance.now()
          let refusedAfter = Number.POSITIVE_INFINITY
          while (performance.now() - removed < 10 * target.capabilities.deadWithinMilliseconds) {
            const asked = performance.now()
            if (!(await subject.first(secret))) {
              refusedAfter = asked - removed
              break
            }
            await wait(5)
          }
          expect(refusedAfter).toBeLessThanOrEqual(target.capabilities.deadWithinMilliseconds)
          latencies.push({
            provision: provisioned - started,
            firstUse: used - provisioned,
            dead: removed - used + refusedAfter,
          })
        }
      },
      ROUNDS_WITHIN_MS,
    )
  })
}

function tableOf(tool: string, rows: readonly Latency[]): string {
  const figures = (Object.keys({ provision: 0, firstUse: 0, dead: 0 } satisfies Latency) as (keyof Latency)[]).map(
    (key) => {
      const sorted = rows.map((row) => row[key]).sort((one, other) => one - other)
      const median = sorted[Math.floor(sorted.length / 2)] ?? 0
      return `${key} ${median.toFixed(0)} (worst ${(sorted.at(-1) ?? 0).toFixed(0)})`
    },
  )
  return `\n  ${tool}, ms, median of ${rows.length}: ${figures.join(', ')}\n\n`
}
