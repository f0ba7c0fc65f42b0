// The kill switch on a full disk: a lock is in force at once and says how durable it is, a restart honours it, and
// lifting the pressure brings nothing back (S17).

import { afterEach, beforeEach, expect, test } from 'vitest'
import { callApi, exchange, type Held, obtainCredential } from '../tools/people-and-agents.ts'
import { type Disk, smallDisk } from './small-disk.ts'
import { openStage, SOON, type Stage } from './stage.ts'

let stage: Stage
let held: Held
let disk: Disk | null = null
const prepare = (data: string) => {
  disk = smallDisk(data, 64)
}
const start = () => stage.broker.start(disk?.launch)
beforeEach(async () => {
  stage = await openStage({ agents: ['worker', 'other'], prepare })
  await start()
  held = await obtain('worker')
  disk?.fill()
  await expect.poll(async () => (await mint()).status, SOON).toBe(503)
})
afterEach(async () => {
  await stage?.broker.kill()
  disk?.remove()
  disk = null
  await stage?.close()
})

async function obtain(name: string): Promise<Held> {
  const { broker, ledger } = stage
  const ask = { tool: 'desk', scopes: ['desk:read'] }
  const obtained = await obtainCredential(broker.issuer, stage.agent(name), broker.ownerToken, ask)
  ledger.received(obtained.token)
  return obtained
}

async function mint() {
  const answer = await exchange(stage.broker.issuer, held.sessionToken, held.grant)
  if (typeof answer.body.access_token === 'string') stage.ledger.received(answer.body.access_token)
  return answer
}

/** Set, or in force here and not yet durable: the answer says which. */
async function lock(): Promise<void> {
  const before = stage.ledger.heldBy('worker')
  const body = { kind: 'agent', name: 'worker', reason: 'incident' }
  const answer = await callApi(stage.broker.issuer, stage.broker.adminToken, '/locks', body)
  expect(answer.status === 201 || JSON.stringify(answer.body).includes('in force here')).toBe(true)
  stage.ledger.takenTogether(before, answer.status === 201 ? answer : { status: 503, body: {} })
  expect(await stage.isActive(held.token)).not.toBe(true)
  expect((await mint()).status).not.toBe(200)
}

const standing = async () => {
  const { body } = await callApi(stage.broker.issuer, stage.broker.adminToken, '/locks')
  return Array.isArray(body.items) ? body.items.length : 0
}

test('a lock works on a full disk, and stands once there is room (S17)', async () => {
  await lock()
  disk?.makeRoom()
  await expect.poll(() => stage.isActive(held.token), SOON).toBe(false)
  await expect.poll(standing, SOON).toBe(1)
  await expect(obtain('worker')).rejects.toThrow(/lock/)
  await expect.poll(() => obtain('other').then(() => true, String), SOON).toBe(true)
  await stage.ledger.audit()
})

test('a lock set on a full disk is honoured by the start that follows a kill -9 (S17, P9)', async () => {
  await lock()
  await stage.broker.kill()
  disk?.makeRoom()
  await start()
  expect(await stage.isActive(held.token)).toBe(false)
  expect(await standing()).toBe(1)
  await stage.ledger.audit()
})

const probe = async (path: string) => {
  const response = await fetch(`${stage.broker.issuer}${path}`)
  return [response.status, await response.text()]
}

test('it is alive and not ready while the disk is full, its status says why, and it is ready by itself once there is room (P10)', async () => {
  const FULL = [503, 'not ok\n']
  expect(await probe('/healthz')).toEqual([200, 'ok\n'])
  expect(await probe('/readyz')).toEqual(FULL)
  const said = await stage.broker.hallpass('status').catch((thrown: unknown) => thrown)
  expect(said).toMatchObject({ code: 2, stdout: expect.stringMatching(/disk +full: nothing is issued/) })
  await lock()
  expect((await probe('/readyz'))[0]).toBe(503)
  expect(await probe('/healthz')).toEqual([200, 'ok\n'])
  disk?.makeRoom()
  await expect.poll(() => probe('/readyz'), SOON).toEqual([200, 'ok\n'])
})

test('started again while the disk is full it is alive and not ready, and the lock works (P10, S17)', async () => {
  await stage.broker.kill()
  disk?.fill()
  await start()
  expect([await probe('/healthz'), await probe('/readyz')]).toEqual([
    [200, 'ok\n'],
    [503, 'not ok\n'],
  ])
  await lock()
})
