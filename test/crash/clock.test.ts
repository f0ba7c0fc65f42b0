// The wall clock is set back an hour and forward a day under the broker: it issues nothing by a clock that it cannot
// believe and says how to mend it, what takes away works regardless, and a wrong clock confirms nothing (P10, S15, S18).

import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { callApi, exchange, type Held, obtainCredential, openSession } from '../tools/people-and-agents.ts'
import { MOVED_CLOCK, openStage, SOON, type Stage, type StageOptions } from './stage.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

let stage: Stage
let clock: string
beforeEach(() => open({ agents: ['worker'] }))
afterEach(async () => {
  await stage.broker.kill()
  await stage.close()
})

async function open(options: StageOptions): Promise<void> {
  stage = await openStage(options)
  clock = join(stage.folder, 'clock')
  await start()
}

const start = () => stage.broker.start({ preload: [MOVED_CLOCK], env: { CRASH_CLOCK: clock } })
const set = (offsetMs: number) => writeFileSync(clock, String(offsetMs))
const right = () => rmSync(clock)

async function obtain(): Promise<Held> {
  const { broker, ledger } = stage
  const held = await obtainCredential(broker.issuer, stage.agent('worker'), broker.ownerToken, {
    tool: 'desk',
    scopes: ['desk:read'],
  })
  ledger.received(held.token)
  return held
}

const mint = ({ sessionToken, grant }: Held) => exchange(stage.broker.issuer, sessionToken, grant)
const revoke = (path: string) => callApi(stage.broker.issuer, stage.broker.adminToken, path, { reason: 'drill' })

test('an hour back: nothing is issued and the hint says what to mend; it goes on once the clock is right (P10, S18)', async () => {
  const held = await obtain()
  set(-HOUR_MS)
  await expect.poll(async () => (await mint(held)).status, SOON).toBe(503)
  const refused = await mint(held)
  expect(refused.body).toMatchObject({ code: 'stale_view' })
  expect(JSON.stringify(refused.body)).toMatch(/clock/)
  await expect(openSession(stage.broker.issuer, stage.agent('worker'))).rejects.toThrow(/clock of the broker/)
  expect(await stage.isActive(held.token)).not.toBe(true)
  right()
  await expect.poll(async () => (await mint(held)).status, SOON).toBe(200)
  expect(await stage.isActive(held.token)).toBe(true)
  await stage.ledger.audit()
})

test('an hour back: a lock and a revocation work, and nothing that they took comes back with the right time (P3, P6, S18)', async () => {
  const first = await obtain()
  const second = await obtain()
  set(-HOUR_MS)
  await expect.poll(async () => (await mint(first)).status, SOON).toBe(503)
  stage.ledger.taken('credential', second.credential, await revoke(`/credentials/${second.credential}/revoke`))
  const lock = { kind: 'agent', name: 'worker', reason: 'drill' }
  const locked = await callApi(stage.broker.issuer, stage.broker.adminToken, '/locks', lock)
  expect(locked.status).toBe(201)
  stage.ledger.takenTogether([first.credential], locked)
  right()
  await expect.poll(() => stage.isActive(first.token), SOON).toBe(false)
  expect(await stage.isActive(second.token)).toBe(false)
  await stage.ledger.audit()
})

test('an hour back over a restart: the highest time seen is remembered, and nothing is issued below it (S18)', async () => {
  const held = await obtain()
  await stage.broker.kill()
  set(-HOUR_MS)
  await start()
  expect((await mint(held)).status).not.toBe(200)
  expect(await stage.isActive(held.token)).not.toBe(true)
  right()
  await expect.poll(async () => (await mint(held)).status, SOON).toBe(200)
  await stage.ledger.audit()
})

test('a day forward: what expired by that clock is dead, and back at the right time nothing is issued below the mark (S18)', async () => {
  const held = await obtain()
  set(DAY_MS)
  await expect.poll(() => stage.isActive(held.token), SOON).toBe(false)
  expect((await mint(held)).status).not.toBe(200)
  // A decommission moves the mark, since it works at any time.
  const ended = await revoke('/agents/worker/decommission')
  expect(ended.status).toBe(200)
  stage.ledger.taken('agent', 'worker', ended)
  right()
  await expect.poll(() => stage.isActive(held.token), SOON).not.toBe(true)
  const answer = await mint(held)
  expect(answer.status).not.toBe(200)
  await expect(openSession(stage.broker.issuer, stage.agent('worker'))).rejects.toThrow()
})

test('a day forward confirms no revocation of a token that a tool checks alone (S15)', async () => {
  await stage.broker.kill()
  await stage.close()
  await open({ agents: ['worker'], verifiedBy: 'alone' })
  const held = await obtain()
  const { id } = (await revoke(`/credentials/${held.credential}/revoke`)).body
  const receipt = async () => (await callApi(stage.broker.issuer, stage.broker.adminToken, `/receipts/${id}`)).body
  expect(await receipt()).toMatchObject({ status: 'revoking' })
  set(DAY_MS)
  await expect.poll(async () => (await receipt()).status, SOON).toBe('outstanding')
  await stage.broker.kill()
  await start()
  expect(await receipt()).toMatchObject({ status: 'outstanding', state: 'open' })
  right()
  await expect.poll(async () => (await receipt()).status, SOON).toBe('revoking')
})
