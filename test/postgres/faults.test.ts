// A broker whose PostgreSQL server is stopped, stalled, starved or swapped under it: whatever it answers then is right or a
// refusal, what is taken away is in force at once, and it goes on by itself (P1, P5, P10, S17, STORE rule 10).

import { execFileSync } from 'node:child_process'
import { renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { fill, makeRoom, mountSmallDisk, unmount } from '../crash/disk.ts'
import { names, openStage, type Stage } from '../crash/stage.ts'
import { administer } from '../support/postgres-schema.ts'
import {
  crash,
  crashAndRestart,
  endServer,
  removeServer,
  type Server,
  signalServer,
  startAgain,
  startServer,
} from '../support/postgres-server.ts'
import type { Background } from '../tools/background.ts'
import { type Answered, callApi, exchange, type Held, obtainCredential } from '../tools/people-and-agents.ts'

const STALL_MS = 30_000
const SOON = { timeout: 30_000, interval: 100 }
const DISK_MB = 256
const isRoot = process.getuid?.() === 0
/** One a test: a lock stays on it. */
const workers = [...names('worker', 8)]

let server: Server
let stage: Stage
let running: Background
let worker: string
let held: Held

beforeAll(async () => {
  server = startServer((folder) => isRoot && mountSmallDisk(folder, DISK_MB))
  stage = await openStage({ agents: ['other', ...workers], database: server.url })
  running = await stage.broker.start()
}, 300_000)
beforeEach(async () => {
  worker = workers.pop()!
  held = await obtain(worker)
})
afterAll(async () => {
  await stage?.broker.kill()
  await stage?.close()
  endServer(server)
  if (isRoot) unmount(server.folder)
  removeServer(server)
})

async function obtain(name: string): Promise<Held> {
  const { broker, ledger } = stage
  const ask = { tool: 'desk', scopes: ['desk:read'] }
  const obtained = await obtainCredential(broker.issuer, stage.agent(name), broker.ownerToken, ask)
  ledger.received(obtained.token)
  return obtained
}

/** The status of a mint; what comes of it is remembered. */
async function mint(): Promise<number> {
  if (running.isOver()) throw new Error(`the broker ended:\n${running.output()}`)
  const answer = stage.ledger.noted(await exchange(stage.broker.issuer, held.sessionToken, held.grant))
  if (typeof answer.body.access_token === 'string') stage.ledger.received(answer.body.access_token)
  return answer.status
}

const isActive = () => stage.isActive(held.token)
const lock = () =>
  callApi(stage.broker.issuer, stage.broker.adminToken, '/locks', { kind: 'agent', name: worker, reason: 'drill' })

/** In force here at once, and the answer says that it is not durable yet and that a restart keeps it. */
function expectKept({ status, body }: Answered): void {
  expect({ status, body }).toMatchObject({ status: 503, body: { code: 'audit_unavailable' } })
  expect(JSON.stringify(body)).toMatch(/in force here, not yet durable.*nothing has to be repeated/)
}

/** The lock stands, nothing of its agent lives, everybody else works, and the trail is whole. */
async function expectLocked(): Promise<void> {
  await expect.poll(isActive, SOON).toBe(false)
  const { body } = await callApi(stage.broker.issuer, stage.broker.adminToken, '/locks')
  expect(JSON.stringify(body)).toContain(worker)
  await expect(obtain(worker)).rejects.toThrow(/lock/)
  await expect.poll(() => obtain('other').then(() => true, String), SOON).toBe(true)
  await stage.ledger.audit()
}

test('the server goes away and comes back: nothing is issued meanwhile, and it goes on by itself (P1, P9, P10)', async () => {
  crash(server)
  await expect.poll(mint, SOON).toBe(503)
  await expect.poll(isActive, SOON).toBe(null)
  startAgain(server)
  await expect.poll(mint, SOON).toBe(200)
  expect(await isActive()).toBe(true)
  await stage.ledger.audit()
})

test('crashed five times under load: what clients hold is on the trail, and only that is alive (P1, P9)', async () => {
  let [isOver, issued, refused] = [false, 0, 0]
  const minting = Array.from({ length: 6 }, async () => {
    while (!isOver) {
      if ((await mint()) === 200) issued++
      else {
        refused++
        await wait(20)
      }
    }
  })
  const more = async (count: number) => {
    const before = issued
    await expect.poll(() => issued, SOON).toBeGreaterThan(before + count)
  }
  for (let round = 0; round < 5; round++) {
    await more(10)
    crashAndRestart(server)
  }
  await more(0)
  isOver = true
  await Promise.all(minting)
  expect(refused).toBeGreaterThan(0)
  await stage.ledger.audit()
})

test('a lock while the server is away is in force at once, and stands once it is back (S17)', async () => {
  crash(server)
  expectKept(await lock())
  expect(await mint()).toBe(503)
  expect(await isActive()).toBe(null)
  startAgain(server)
  await expectLocked()
})

test('a lock while the server is away is honoured by the start that follows a kill -9 (S17, P9)', async () => {
  crash(server)
  expectKept(await lock())
  await stage.broker.kill()
  startAgain(server)
  running = await stage.broker.start()
  await expectLocked()
})

test('a server that does not answer for 30 s: a lock is in force at once, and answered while it stalls (S17, P10)', async () => {
  const stalledAt = performance.now()
  const stalled = () => performance.now() - stalledAt
  signalServer(server, 'SIGSTOP')
  try {
    const locking = lock()
    while (stalled() < 5_000) {
      await wait(1_000)
      expect(await isActive()).not.toBe(true)
      expect(await mint()).not.toBe(200)
    }
    expectKept(await locking)
    expect(stalled()).toBeLessThan(STALL_MS)
    await wait(STALL_MS - stalled())
  } finally {
    signalServer(server, 'SIGCONT')
  }
  await expectLocked()
})

test('a server that came back careless is not written to (STORE rule 10)', async () => {
  await administer(server.url, 'alter system set fsync = off')
  crashAndRestart(server)
  await expect.poll(mint, SOON).toBe(503)
  expectKept(await lock())
  await administer(server.url, 'alter system reset fsync')
  crashAndRestart(server)
  await expectLocked()
})

test('a server whose disk is full: nothing is issued, a lock is in force at once and stands once there is room (S17)', async () => {
  if (!isRoot) throw new Error('This mounts a small disk: run it as root.')
  fill(server.folder)
  await expect.poll(mint, SOON).toBe(503)
  const locked = await lock()
  if (locked.status !== 201) expectKept(locked)
  expect(await isActive()).not.toBe(true)
  makeRoom(server.folder)
  // Without room for its own log the server may have ended itself.
  endServer(server)
  startAgain(server)
  await expectLocked()
})

test('a server put back to an earlier day stops everything until a restart (P10, STORE rule 10)', async () => {
  const earlier = join(server.folder, 'earlier')
  crash(server)
  execFileSync('cp', ['-a', server.data, earlier])
  startAgain(server)
  await expect.poll(mint, SOON).toBe(200)
  crash(server)
  rmSync(server.data, { recursive: true })
  renameSync(earlier, server.data)
  startAgain(server)
  await expect.poll(() => running.output(), SOON).toMatch(/the log is not what this process knows/)
  for (let round = 0; round < 20; round++) {
    expect(await mint()).toBe(503)
    expect(await isActive()).toBe(null)
    await wait(100)
  }
})
