// The disk fills up, turns read-only, or goes away under the broker while agents mint: it issues nothing that the trail
// does not hold, says so, and goes on by itself once it can (P1, P9, P10).

import { readFileSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import type { Background } from '../tools/background.ts'
import type { Launch } from '../tools/broker-process.ts'
import { type Answered, callApi, exchange, expectDone, idOf, openSession } from '../tools/people-and-agents.ts'
import { type Disk, databaseFiles, smallDisk } from './small-disk.ts'
import { names, openStage, SOON, type Stage } from './stage.ts'

const AGENTS = names('minter', 3)
/** Room is kept free on it for what takes away. */
const MEGABYTES = 64

let stage: Stage
let running: Background
let launch: Launch = {}
let undo = () => {}
afterEach(async () => {
  await stage?.broker.kill()
  undo()
  undo = () => {}
  launch = {}
  await stage?.close()
})

const start = async () => {
  running = await stage.broker.start(launch)
}

async function open(prepare: (data: string) => void = () => {}): Promise<void> {
  stage = await openStage({ agents: AGENTS, access: 'approval: none', prepare })
  await start()
}

/** Started anew it is on it too, until the test ends. */
async function openOn<On extends Pick<Disk, 'launch' | 'remove'>>(diskOf: (data: string) => On): Promise<On> {
  let disk: On | null = null
  await open((data) => {
    disk = diskOf(data)
    launch = disk.launch
    undo = disk.remove
  })
  return disk!
}

const onSmallDisk = () => openOn((data) => smallDisk(data, MEGABYTES))

type Client = { readonly session: string; readonly grant: string }

async function clientOf(name: string): Promise<Client> {
  const session = await openSession(stage.broker.issuer, stage.agent(name))
  const body = { tool: 'desk', scopes: ['desk:read'], reason: 'INC-4711' }
  return { session, grant: idOf((await expectDone(callApi(stage.broker.issuer, session, '/requests', body))).grant) }
}

/** What the mint was answered; a token is on the ledger from here on. */
async function mint({ session, grant }: Client): Promise<Answered> {
  const answer = stage.ledger.noted(await exchange(stage.broker.issuer, session, grant))
  if (typeof answer.body.access_token === 'string') stage.ledger.received(answer.body.access_token)
  return answer
}

/** Mints at all agents until each was refused. */
async function mintUntilRefused(clients: readonly Client[], breakIt: () => void): Promise<readonly Answered[]> {
  let isBroken = false
  const minting = clients.map(async (client) => {
    const until = performance.now() + 20_000
    while (performance.now() < until) {
      const wasBroken = isBroken
      const answer = await mint(client)
      if (wasBroken && answer.status !== 200) return answer
      expect(answer.status === 200 || isBroken).toBe(true)
    }
    throw new Error('it went on minting')
  })
  await expect.poll(() => stage.ledger.tokens.length, SOON).toBeGreaterThan(clients.length * 3)
  breakIt()
  isBroken = true
  return Promise.all(minting)
}

/** Nothing leaves while it lasts, every refusal says why, and so does the log. */
async function expectNothingIssued(clients: readonly Client[], refused: readonly Answered[]): Promise<void> {
  for (const { status, body } of refused) {
    expect(status).toBe(503)
    expect(JSON.stringify(body)).toMatch(/audit_unavailable|audit trail cannot be written/)
  }
  const before = stage.ledger.tokens.length
  for (let i = 0; i < 5; i++) for (const client of clients) expect((await mint(client)).status).toBe(503)
  await expect(openSession(stage.broker.issuer, stage.agent(AGENTS[0]!))).rejects.toThrow(/503/)
  expect(stage.ledger.tokens.length).toBe(before)
  expect(running.output()).toMatch(/the store could not be written|the disk is (nearly )?full/)
}

/** The same process mints again, nobody having helped it, and agrees with every client. */
async function expectRecovered(clients: readonly Client[]): Promise<void> {
  await expect.poll(async () => (await mint(clients[0]!)).status, SOON).toBe(200)
  expect(running.isOver()).toBe(false)
  await stage.ledger.audit()
  await expectWhole()
}

/** After kill -9 and a restart too, and a revocation works. */
async function expectWhole(): Promise<void> {
  await stage.broker.kill()
  await start()
  await stage.ledger.audit()
  const { claims, token } = stage.ledger.tokens.at(-1)!
  const path = `/credentials/${claims.jti}/revoke`
  stage.ledger.taken('credential', claims.jti, await callApi(stage.broker.issuer, stage.broker.adminToken, path, {}))
  expect(await stage.isActive(token)).toBe(false)
  await stage.ledger.audit()
}

/** Starts that must fail, and what they said. */
async function startRefused(): Promise<string> {
  const said = await stage.broker.start(launch).then(
    () => 'it started',
    (thrown: unknown) => String(thrown),
  )
  expect(said).not.toBe('it started')
  return said.slice(said.indexOf('\n') + 1)
}

describe('a full disk', () => {
  test('issues nothing, says so, and goes on by itself once there is room (P1, P10)', async () => {
    const disk = await onSmallDisk()
    const clients = await Promise.all(AGENTS.map(clientOf))
    await expectNothingIssued(clients, await mintUntilRefused(clients, disk.fill))
    disk.makeRoom()
    await expectRecovered(clients)
  })

  test('killed and restarted while it is full, it issues nothing, and goes on once there is room (P9, P10)', async () => {
    const disk = await onSmallDisk()
    const clients = await Promise.all(AGENTS.map(clientOf))
    await mintUntilRefused(clients, disk.fill)
    await stage.broker.kill()
    disk.fill()
    const started = await stage.broker.start(launch).catch((thrown: unknown) => String(thrown))
    if (typeof started === 'string') expect(started).toMatch(/full|space|room/i)
    else for (const client of clients) expect((await mint(client).catch(() => null))?.status).not.toBe(200)
    await stage.broker.kill()
    disk.makeRoom()
    await start()
    await expectRecovered(clients)
  })
})

describe('a read-only disk', () => {
  test('a database that can no longer be written: issues nothing and goes on once it can (P1, P10)', async () => {
    const files = await openOn(databaseFiles)
    const clients = await Promise.all(AGENTS.map(clientOf))
    const refused = await mintUntilRefused(clients, () => files.setReadOnly(true))
    await expectNothingIssued(clients, refused)
    expect((await fetch(`${stage.broker.issuer}/readyz`)).status).toBe(503)
    files.setReadOnly(false)
    await expectRecovered(clients)
  })

  test('a start on a read-only filesystem says what is wrong, and succeeds once it is writable (P10)', async () => {
    const disk = await onSmallDisk()
    const clients = await Promise.all(AGENTS.map(clientOf))
    await mint(clients[0]!)
    await stage.broker.kill()
    disk.setReadOnly(true)
    expect(await startRefused()).toMatch(/read-?only|cannot be written/i)
    disk.setReadOnly(false)
    await start()
    await expectRecovered(clients)
  })
})

describe('a data folder that went away under the broker', () => {
  test('renamed: nothing is issued into a folder that no restart finds; put back, it goes on (P1, P9, P10)', async () => {
    await open()
    const clients = await Promise.all(AGENTS.map(clientOf))
    const refused = await mintUntilRefused(clients, () => renameSync(stage.data, `${stage.data}-away`))
    await expectNothingIssued(clients, refused)
    expect((await fetch(`${stage.broker.issuer}/readyz`)).status).toBe(503)
    renameSync(`${stage.data}-away`, stage.data)
    await expectRecovered(clients)
  })

  test('deleted: nothing is issued any more, it says what to do, and what a restart makes grants nothing (P1, P10, S6)', async () => {
    await open()
    const clients = await Promise.all(AGENTS.map(clientOf))
    const refused = await mintUntilRefused(clients, () => rmSync(stage.data, { recursive: true }))
    await expectNothingIssued(clients, refused)
    expect(running.output()).toMatch(/put it back/)
    await stage.broker.kill()
    await start()
    for (const { token } of stage.ledger.tokens.slice(0, 5)) expect(await stage.isActive(token)).not.toBe(true)
    expect((await mint(clients[0]!)).status).not.toBe(200)
    await expect(openSession(stage.broker.issuer, stage.agent(AGENTS[0]!))).rejects.toThrow(/refused/)
    expect(readFileSync(join(stage.data, 'hallpass.db')).length).toBeGreaterThan(0)
  })
})
