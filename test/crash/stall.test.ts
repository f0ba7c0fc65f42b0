// A writer that stalls for 30 s, in its COMMIT or stopped whole: whatever is answered then is right or a refusal, what
// was asked meanwhile is judged by the time at which it is answered, and it goes on by itself (P2, P9, P10, STORE rule 6).

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Background } from '../tools/background.ts'
import { type Answered, callApi, exchange, type Held, obtainCredential } from '../tools/people-and-agents.ts'
import { AT_COMMIT, openStage, SOON, type Stage } from './stage.ts'

const STALL_MS = 30_000
const SHORT_LIFE = 'tokenTtl: 20s, grantFor: 24s'

let stage: Stage
let running: Background
let order: string
beforeEach(async () => {
  stage = await openStage({ agents: ['short', 'long', 'taken'], access: { short: SHORT_LIFE } })
  order = join(stage.folder, 'order.json')
  running = await stage.broker.start({ preload: [AT_COMMIT], env: { CRASH_ORDER: order } })
})
afterEach(async () => {
  running.signal('SIGCONT')
  await stage.broker.kill()
  await stage.close()
})

async function obtain(name: string): Promise<Held> {
  const { broker, ledger } = stage
  const held = await obtainCredential(broker.issuer, stage.agent(name), broker.ownerToken, {
    tool: 'desk',
    scopes: ['desk:read'],
  })
  ledger.received(held.token)
  return held
}

/** A connection that waited for so long may be reset: that is a refusal too. */
const orReset = <T>(answer: Promise<T>): Promise<T | null> => answer.catch(() => null)

async function mint({ sessionToken, grant }: Held): Promise<Answered> {
  const answer = stage.ledger.noted(await exchange(stage.broker.issuer, sessionToken, grant))
  if (typeof answer.body.access_token === 'string') stage.ledger.received(answer.body.access_token)
  return answer
}

const revoke = (held: Held) =>
  callApi(stage.broker.issuer, stage.broker.adminToken, `/credentials/${held.credential}/revoke`, { reason: 'drill' })

test('stopped for 30 s: what it is asked meanwhile is judged when it wakes (P2, STORE rule 6)', async () => {
  const [long, taken] = [await obtain('long'), await obtain('taken')]
  await expect.poll(() => stage.isActive(long.token), SOON).toBe(true)
  const short = await obtain('short')
  const stoppedAt = performance.now()
  running.signal('SIGSTOP')
  const minted = orReset(mint(short))
  const active = orReset(stage.isActive(short.token))
  const revoked = orReset(revoke(taken))
  await wait(STALL_MS - (performance.now() - stoppedAt))
  running.signal('SIGCONT')
  expect(await active, 'it expired in its sleep').not.toBe(true)
  expect(await minted, 'its grant ended in its sleep').not.toMatchObject({ status: 200 })
  await revoked
  await expect.poll(() => stage.isActive(short.token).catch(() => null), SOON).toBe(false)
  stage.ledger.taken('credential', taken.credential, await revoke(taken))
  expect(await stage.isActive(taken.token)).toBe(false)
  expect((await mint(long)).status).toBe(200)
  await stage.ledger.audit()
})

test('a COMMIT that takes 30 s: nobody is told of it before, and what is taken away meanwhile is dead (P1, P5, P10)', async () => {
  const [long, taken] = [await obtain('long'), await obtain('taken')]
  const stalledAt = performance.now()
  writeFileSync(order, JSON.stringify({ commit: 1, act: 'stall', milliseconds: STALL_MS }))
  const minting = orReset(mint(long))
  await wait(500)
  let isTold = false
  const revoking = orReset(revoke(taken)).then((answer) => {
    if (answer === null) return
    stage.ledger.taken('credential', taken.credential, answer)
    isTold = true
  })
  const seen: (boolean | null)[] = []
  const looking = (async () => {
    while (performance.now() - stalledAt < STALL_MS + 1000) {
      const wasTold = isTold
      const active = await orReset(stage.isActive(taken.token))
      if (wasTold) seen.push(active)
      await wait(200)
    }
  })()
  await minting
  expect(performance.now() - stalledAt).toBeGreaterThan(STALL_MS - 1000)
  await revoking
  await looking
  if (!isTold) stage.ledger.taken('credential', taken.credential, await revoke(taken))
  expect(await stage.isActive(taken.token)).toBe(false)
  expect(seen).not.toContain(true)
  expect((await mint(long)).status).toBe(200)
  await stage.ledger.audit()
})
