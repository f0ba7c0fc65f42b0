// kill -9 at each commit of each walk, once before it and once after it; then restart, audit, and the walk again to its
// end: it finishes, or it is refused because it was finished already (P1, P5, P6, P9). HALLPASS_CRASH_EVERY=3 kills at each
// third commit only, from a random one.

import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { decodeJwt } from 'jose'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import type { Background } from '../tools/background.ts'
import { callApi, exchange, expectDone, idOf, openSession } from '../tools/people-and-agents.ts'
import type { Order } from './at-commit.ts'
import { AT_COMMIT, names, openStage, SOON, type Stage } from './stage.ts'

const EVERY = Number(process.env.HALLPASS_CRASH_EVERY ?? 1)
/** More than any walk has commits. */
const MOST = 40
/** How long after its end the end of a process is known. */
const TOLD_WITHIN_MS = 10_000
const leavers = names('leaver', 2 * MOST)

let stage: Stage
let order: string
beforeAll(async () => {
  stage = await openStage({ agents: ['asker', 'narrowed', 'taken', ...leavers] })
  order = join(stage.folder, 'order.json')
})
afterAll(async () => {
  await stage?.close()
})

/** Ask, be approved, mint: what the agent then holds, and how to ask for it again. */
async function ask(name: string, scope: string, durationSeconds: number): Promise<{ token: string; grant: string }> {
  const { broker, ledger } = stage
  const session = await openSession(broker.issuer, stage.agent(name))
  const body = { tool: 'desk', scopes: [scope], reason: 'INC-4711: look', durationSeconds }
  const asked = await expectDone(callApi(broker.issuer, session, '/requests', body))
  const granted =
    asked.status === 'pending'
      ? await expectDone(callApi(broker.issuer, broker.ownerToken, `/requests/${idOf(asked.request)}/approve`, {}))
      : asked
  const grant = idOf(granted.grant)
  const token = String((await expectDone(exchange(broker.issuer, session, grant))).access_token)
  ledger.received(token)
  return { token, grant }
}

const admin = (path: string) => callApi(stage.broker.issuer, stage.broker.adminToken, path, { reason: 'drill' })

async function rescope(round: number): Promise<void> {
  const { broker, ledger } = stage
  stage.write('narrowed', 'desk:read, desk:comment')
  await acceptUntilInForce('narrowed', broker.issuer)
  const { token } = await ask('narrowed', 'desk:comment', 600 + round)
  stage.write('narrowed', 'desk:read')
  await expect.poll(() => stage.isActive(token), SOON).toBe(false)
  ledger.sawDead(String(decodeJwt(token).jti))
  stage.write('narrowed', 'desk:read, desk:comment')
  await acceptUntilInForce('narrowed', broker.issuer)
  await ask('narrowed', 'desk:comment', 1600 + round)
}

async function acceptUntilInForce(name: string, issuer: string): Promise<void> {
  const canAsk = async () => {
    await stage.acceptAll()
    const can = await callApi(issuer, stage.broker.ownerToken, `/can?agent=${name}&tool=desk&scope=desk%3Acomment`)
    return can.body.answer
  }
  await expect.poll(canAsk, SOON).not.toBe('no')
}

async function takeAway(round: number): Promise<void> {
  const { broker, ledger } = stage
  const first = await ask('taken', 'desk:read', 600 + round)
  ledger.taken(
    'credential',
    String(decodeJwt(first.token).jti),
    await admin(`/credentials/${decodeJwt(first.token).jti}/revoke`),
  )
  const second = await ask('taken', 'desk:read', 600 + round)
  ledger.taken('grant', second.grant, await admin(`/grants/${second.grant}/revoke`))
  const third = await ask('taken', 'desk:read', 600 + round)
  const { sid } = decodeJwt(third.token)
  ledger.taken('session', String(sid), await admin(`/sessions/${sid}/revoke`))
  await ask('taken', 'desk:read', 600 + round)
  const held = ledger.heldBy('taken')
  const locked = await callApi(broker.issuer, broker.adminToken, '/locks', {
    kind: 'agent',
    name: 'taken',
    reason: 'drill',
  })
  ledger.takenTogether(held, locked)
  await unlockAll()
}

async function unlockAll(): Promise<void> {
  const { issuer, adminToken } = stage.broker
  const { body } = await callApi(issuer, adminToken, '/locks')
  for (const lock of Array.isArray(body.items) ? body.items : [])
    await expectDone(callApi(issuer, adminToken, `/locks/${idOf(lock)}`, undefined, 'DELETE'))
}

async function decommission(name: string): Promise<void> {
  const { broker, ledger } = stage
  const path = `/agents/${name}`
  if ((await callApi(broker.issuer, broker.adminToken, path)).body.status === 'active')
    await ask(name, 'desk:read', 600)
  ledger.taken('agent', name, await admin(`${path}/decommission`))
  expect((await callApi(broker.issuer, broker.adminToken, path)).body.status).toBe('decommissioned')
  await expect(openSession(broker.issuer, stage.agent(name))).rejects.toThrow(/decommissioned|401/)
}

const walks: readonly {
  readonly name: string
  readonly walk: (round: number) => Promise<void>
  readonly least: number
}[] = [
  { name: 'ask', walk: async (round) => void (await ask('asker', 'desk:read', 600 + round)), least: 4 },
  { name: 're-scope', walk: rescope, least: 10 },
  { name: 'take away', walk: takeAway, least: 15 },
  { name: 'decommission', walk: (round) => decommission(leavers[round]!), least: 6 },
]

let running: Background
const start = async () => {
  running = await stage.broker.start({ preload: [AT_COMMIT], env: { CRASH_ORDER: order } })
}
beforeEach(start)
afterEach(() => stage.broker.stop())

/** Whether the broker died at this commit of the walk; false where the walk ended before it came. */
async function killedAt(given: Order, walk: () => Promise<void>): Promise<boolean> {
  writeFileSync(order, JSON.stringify(given))
  const failed = await walk().then(
    () => null,
    (thrown: unknown) => thrown,
  )
  rmSync(order)
  // It may have died at a commit that followed the walk's last answer.
  const answers = failed === null && (await fetch(`${stage.broker.issuer}/healthz`).catch(() => null)) !== null
  if (!answers) await Promise.race([running.ended, wait(TOLD_WITHIN_MS)])
  if (!answers && !running.isOver()) throw failed
  return !answers
}

test.each(walks)(
  '$name: killed before and after each of its commits, it is finished or refused after the restart (P1, P5, P6, P9)',
  async ({ name, walk, least }) => {
    let round = 0
    const kills = { 'die before': 0, 'die after': 0 }
    for (const act of ['die before', 'die after'] as const) {
      for (let commit = 1 + Math.floor(Math.random() * EVERY); commit <= MOST; commit += EVERY) {
        round++
        if (!(await killedAt({ commit, act }, () => walk(round)))) break
        kills[act]++
        await start()
        await stage.ledger.audit()
        await unlockAll()
        await walk(round)
      }
    }
    await stage.ledger.audit()
    console.info(`${name}: ${kills['die before']} kills before a commit, ${kills['die after']} after one`)
    expect(kills['die before']).toBeGreaterThanOrEqual(Math.floor(least / EVERY))
    expect(kills['die after']).toBeGreaterThanOrEqual(Math.floor(least / EVERY))
  },
)

test('the trail of all of it verifies offline (P9)', async () => {
  const { broker, folder } = stage
  await broker.hallpass('audit', 'export', '-o', 'trail.jsonl')
  expect(await broker.hallpass('audit', 'verify', 'trail.jsonl', '--key', 'hallpass.pub')).toMatch(
    /^OK [\d,]+ records, no gap/,
  )
  expect(readFileSync(join(folder, 'trail.jsonl'), 'utf8')).toContain('"server.started"')
})
