// kill -9 while accounts are made in a real InfluxDB, taken away and reaped: at each commit of each walk and at random
// moments under load. No account is forgotten, doubled or said to be gone while it lives (P5, P9, S15, S16).
// HALLPASS_CRASH_EVERY and HALLPASS_CRASH_ROUNDS as in the other two.

import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { Secret } from '../../src/core/secret.ts'
import type { Subject } from '../contracts/target.ts'
import type { Background } from '../tools/background.ts'
import { influxdbSubject } from '../tools/influxdb-subject.ts'
import { callApi, exchange, expectDone, idOf, openSession } from '../tools/people-and-agents.ts'
import type { Order } from './at-commit.ts'
import { AT_COMMIT, names, openStage, SOON, type Stage } from './stage.ts'

const EVERY = Number(process.env.HALLPASS_CRASH_EVERY ?? 1)
const ROUNDS = Number(process.env.HALLPASS_CRASH_ROUNDS ?? 25)
/** More than any walk has commits. */
const MOST = 30
const TOLD_WITHIN_MS = 10_000
/** Past what a create of unknown end may still do: a left-over intent leaves for that long (S16). */
const SETTLED = { timeout: 120_000, interval: 500 }
const BOTS = names('bot', 6)

type Held = { readonly secret: Secret; readonly session: string; readonly grant: string; taken: boolean }

const Line = z.object({
  kind: z.string(),
  subject: z.record(z.string(), z.unknown()),
  body: z.looseObject({}),
})
const Receipt = z.object({
  status: z.string(),
  confirmations: z.array(
    z.object({ accounts: z.array(z.object({ name: z.string(), status: z.string() })).optional() }),
  ),
})

let subject: Subject
let stage: Stage
let order: string
let env: Readonly<Record<string, string>>
let running: Background
/** What clients hold and were told; no crash of the broker reaches it. */
const held: Held[] = []
const receipts = new Set<string>()

beforeAll(async () => {
  subject = await influxdbSubject()
  stage = await openStage({ agents: [...BOTS, 'brief'], board: { url: subject.url, admin: subject.admin } })
  order = join(stage.folder, 'order.json')
  env = { CRASH_ORDER: order, HALLPASS_TOOL_BOARD: subject.admin }
})
afterEach(() => stage.broker.stop())
afterAll(async () => {
  await stage?.close()
  await subject?.stop()
})

const start = async () => {
  running = await stage.broker.start({ preload: [AT_COMMIT], env })
}
const admin = (path: string, body: { readonly [key: string]: unknown } = { reason: 'drill' }) =>
  callApi(stage.broker.issuer, stage.broker.adminToken, path, body)
const read = (path: string) => callApi(stage.broker.issuer, stage.broker.adminToken, path)
const sidOf = (token: string) =>
  z.object({ sid: z.string() }).parse(JSON.parse(atob(token.split('.')[1] ?? '').replace(/[^ -~]/g, ''))).sid

/** Another at each call: who asks for the same again has the live grant, whose account a crash may have left half made. */
let asked = 0
const another = (from: number, different: number) => from + (asked++ % different)

/** Session, grant, account, secret. */
async function mint(agent: string, durationSeconds: number): Promise<Held> {
  const { issuer } = stage.broker
  const token = await openSession(issuer, stage.agent(agent))
  const granted = await expectDone(
    callApi(issuer, token, '/requests', { tool: 'board', scopes: ['board:read'], reason: 'INC-1', durationSeconds }),
  )
  const grant = idOf(granted.grant)
  const { access_token: secret } = await expectDone(exchange(issuer, token, grant))
  const one = { secret: new Secret(String(secret)), session: sidOf(token), grant, taken: false }
  held.push(one)
  return one
}

/** What was said to be taken is never alive again once its receipt is confirmed. */
async function take(one: Held, path: string): Promise<string | null> {
  const { status, body } = await admin(path)
  if (status > 299) return null
  one.taken = true
  const id = idOf(body.receipt ?? body)
  receipts.add(id)
  return id
}

async function records(kind: string) {
  const found: z.infer<typeof Line>[] = []
  let after: string | null = null
  do {
    const query = new URLSearchParams({ kind, limit: '500', ...(after === null ? {} : { after }) })
    const page = z
      .object({ items: z.array(Line), next: z.union([z.string(), z.number()]).nullable() })
      .parse(await expectDone(read(`/audit?${query}`)))
    found.push(...page.items)
    after = page.next === null ? null : String(page.next)
  } while (after !== null)
  return found
}

/** Right after a restart: what holds at once, and what soon does. */
async function audit(): Promise<void> {
  const planned = new Map((await records('account.planned')).map(({ subject, body }) => [body.name, subject.grant]))
  const active = await subject.active()
  for (const name of active) expect(planned.has(name), `${name} is in the tool and was never planned`).toBe(true)
  const issued = (await records('credential.issued')).map(({ subject }) => subject.grant)
  for (const { grant } of held) expect(issued, 'what a client holds is on the trail').toContain(grant)
  const gone = async () => (await Promise.all(held.filter(({ taken }) => taken).map(isAlive))).filter(Boolean)
  await expect.poll(gone, SOON).toEqual([])
  for (const id of receipts) await proven(id)
}

const isAlive = ({ secret }: Held) => subject.first(secret)

/** No false "revoked": an account that a receipt calls gone is not in the tool's own database. */
async function proven(id: string): Promise<string> {
  const { status, confirmations } = Receipt.parse(await expectDone(read(`/receipts/${id}`)))
  const accounts = confirmations.flatMap(({ accounts }) => accounts ?? [])
  for (const { name, status: said } of accounts)
    if (said === 'gone') expect(await subject.inDatabase(name), `${name} is said to be gone`).toBeNull()
  if (status === 'revoked') expect(accounts.every((one) => one.status === 'gone')).toBe(true)
  return status
}

/** Once nothing is under way any more: the tool holds what the broker says, and nothing else. */
async function settled(): Promise<void> {
  for (const id of receipts) await expect.poll(() => proven(id), SETTLED).toBe('revoked')
  const found = async () => {
    const { body } = await admin('/tools/board/reconcile', {})
    return body.findings
  }
  await expect.poll(found, SETTLED).toEqual([])
  await expect.poll(unexplained, SETTLED).toEqual([])
  const [planned, removed] = [await records('account.planned'), await records('account.removed')]
  const active = await subject.active()
  const grants = active.map((name) => planned.find(({ body }) => body.name === name)?.subject.grant)
  expect(new Set(grants).size, 'no grant has two accounts').toBe(active.length)
  const alive = await Promise.all(held.filter(({ taken }) => !taken).map(isAlive))
  console.info(
    `${held.length} secrets received, ${alive.filter(Boolean).length} alive; ${planned.length} accounts planned, ${removed.length} removed, ${active.length} in the tool`,
  )
}

/** In the tool, and not there by a mint that was finished; or said to be on its way out. */
async function unexplained(): Promise<readonly string[]> {
  const namesOf = async (kind: string) => new Set((await records(kind)).map(({ body }) => body.name))
  const [created, leaving] = [await namesOf('account.created'), await namesOf('account.leaving')]
  return (await subject.active()).filter((name) => !created.has(name) || leaving.has(name))
}

const walks: readonly {
  readonly name: string
  readonly walk: () => Promise<void>
  readonly least: number
}[] = [
  { name: 'make', walk: async () => void (await mint(BOTS[asked % 3]!, another(600, 1000))), least: 4 },
  {
    name: 'take away',
    async walk() {
      const one = await mint(BOTS[3]!, another(600, 1000))
      const id = await take(one, `/grants/${one.grant}/revoke`)
      await expect.poll(() => proven(id ?? ''), SOON).toBe('revoked')
      expect(await isAlive(one)).toBe(false)
    },
    least: 7,
  },
  {
    name: 'reap',
    async walk() {
      // Its grant ends before its credential would.
      const one = await mint('brief', another(3, 5))
      one.taken = true
      await expect.poll(() => isAlive(one), SOON).toBe(false)
    },
    least: 5,
  },
]

/** Whether the broker died at this commit of the walk; false where the walk ended before it came. */
async function killedAt(given: Order, walk: () => Promise<void>): Promise<boolean> {
  writeFileSync(order, JSON.stringify(given))
  const walked = walk().then(
    () => null,
    (thrown: unknown) => thrown,
  )
  // A walk that waits for the broker waits in vain for one that is dead.
  const failed = await Promise.race([walked, running.ended.then(() => 'dead')])
  rmSync(order, { force: true })
  const answers = failed === null && (await fetch(`${stage.broker.issuer}/healthz`).catch(() => null)) !== null
  if (!answers) await Promise.race([running.ended, wait(TOLD_WITHIN_MS)])
  if (!answers && !running.isOver()) throw failed
  if (!answers) await walked
  return !answers
}

test.each(walks)(
  '$name: killed before and after each of its commits, and nothing is forgotten, doubled or falsely gone (P5, P9, S16)',
  async ({ name, walk, least }) => {
    const kills = { 'die before': 0, 'die after': 0 }
    await start()
    for (const act of ['die before', 'die after'] as const) {
      for (let commit = 1 + Math.floor(Math.random() * EVERY); commit <= MOST; commit += EVERY) {
        if (!(await killedAt({ commit, act }, walk))) break
        kills[act]++
        await start()
        await audit()
        await walk()
      }
    }
    await audit()
    console.info(`${name}: ${kills['die before']} kills before a commit, ${kills['die after']} after one`)
    expect(kills['die before']).toBeGreaterThanOrEqual(Math.floor(least / EVERY))
    expect(kills['die after']).toBeGreaterThanOrEqual(Math.floor(least / EVERY))
  },
)

/** One agent that makes accounts and has them taken, until the broker is gone. */
async function client(name: string, isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    try {
      const one = await mint(name, another(600, 1000))
      const way = Math.random()
      if (way < 0.4) await take(one, `/grants/${one.grant}/revoke`)
      else if (way < 0.6) await take(one, `/sessions/${one.session}/revoke`)
    } catch (thrown) {
      const isRefusal = thrown instanceof Error && /^refused with (4\d\d|503)/.test(thrown.message)
      if (!isOver() && !isRefusal) throw thrown
      await wait(20)
    }
  }
}

test(`${ROUNDS} kills at random moments while accounts come and go: each restart agrees with the tool (P5, P9, S15, S16)`, async () => {
  for (let round = 0; round < ROUNDS; round++) {
    await start()
    if (round > 0) await audit()
    let isKilled = false
    const working = BOTS.map((name) => client(name, () => isKilled))
    await wait(Math.random() * 1500)
    isKilled = true
    await stage.broker.kill()
    await Promise.all(working)
  }
  await start()
  await audit()
  await settled()
})
