// No file descriptor is left: the broker answers nobody new, issues nothing that the trail does not hold, stays up, and
// goes on by itself once connections are closed (P1, P10).

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Background } from '../tools/background.ts'
import { callApi, exchange, obtainCredential } from '../tools/people-and-agents.ts'
import { openStage, SOON, type Stage } from './stage.ts'

const DESCRIPTORS = 60
const CONNECTIONS = 100

let stage: Stage
let running: Background
beforeEach(async () => {
  stage = await openStage({ agents: ['worker', 'edited'] })
  running = await stage.broker.start({ within: ['prlimit', `--nofile=${DESCRIPTORS}:${DESCRIPTORS}`, '--'] })
})
afterEach(async () => {
  await stage.broker.kill()
  await stage.close()
})

test('out of file descriptors: it stays up, and goes on by itself (P1, P10)', async () => {
  const { broker, ledger } = stage
  const worker = stage.agent('worker')
  const ask = { tool: 'desk', scopes: ['desk:read'] }
  const held = await obtainCredential(broker.issuer, worker, broker.ownerToken, ask)
  const edited = await obtainCredential(broker.issuer, stage.agent('edited'), broker.ownerToken, ask)
  for (const { token } of [held, edited]) ledger.received(token)
  const mint = async () => {
    const answer = ledger.noted(await exchange(broker.issuer, held.sessionToken, held.grant))
    if (typeof answer.body.access_token === 'string') ledger.received(answer.body.access_token)
    return answer.status
  }

  let answered = 0
  const sockets: Socket[] = Array.from({ length: CONNECTIONS }, () => {
    const socket = connect(Number(new URL(broker.issuer).port), '127.0.0.1')
    socket.on('error', () => socket.destroy())
    socket.once('data', () => answered++)
    socket.write('GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n')
    return socket
  })
  await Promise.all(sockets.map((socket) => Promise.race([once(socket, 'connect'), once(socket, 'close')])))
  await Promise.allSettled(Array.from({ length: 20 }, () => Promise.race([mint(), wait(3000)])))
  stage.write('edited', 'desk:comment')
  await wait(500)
  expect(answered, 'it ran out').toBeLessThan(CONNECTIONS)
  expect(running.isOver(), running.output()).toBe(false)
  for (const socket of sockets) socket.destroy()

  await expect.poll(mint, SOON).toBe(200)
  await expect.poll(() => stage.isActive(edited.token), SOON).toBe(false)
  const path = `/credentials/${held.credential}/revoke`
  ledger.taken('credential', held.credential, await callApi(broker.issuer, broker.adminToken, path, {}))
  expect(await stage.isActive(held.token)).toBe(false)
  await ledger.audit()
  expect(running.isOver()).toBe(false)
})
