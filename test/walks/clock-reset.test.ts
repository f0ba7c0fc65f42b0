// The broker's clock ran a day ahead and was set right: it issues nothing and names the command that mends it, and after
// that command an agent works again while nothing of before does (S18).

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { decodeJwt } from 'jose'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { MOVED_CLOCK, openStage, SOON, type Stage } from '../crash/stage.ts'
import { callApi, exchange, obtainCredential, openSession } from '../tools/people-and-agents.ts'

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })

const DAY_MS = 24 * 3_600_000

let stage: Stage
let clock: string
beforeAll(async () => {
  stage = await openStage({ agents: ['worker'], access: 'approval: none' })
  clock = join(stage.folder, 'clock')
  await stage.broker.start({ preload: [MOVED_CLOCK], env: { CRASH_CLOCK: clock } })
})
afterAll(() => stage.close())

const set = async (offsetMs: number) => {
  writeFileSync(clock, String(offsetMs))
  await expect.poll(async () => Math.abs((await clockSeen()).now - Date.now() - offsetMs) < DAY_MS / 2, SOON).toBe(true)
}
const Status = z.object({ clock: z.object({ now: z.string(), highest: z.string(), behind: z.boolean() }) })
async function clockSeen() {
  const { body } = await callApi(stage.broker.issuer, stage.broker.adminToken, '/status')
  const { now, highest, behind } = Status.parse(body).clock
  return { now: Date.parse(now), highest: Date.parse(highest), behind }
}

/** By one assertion, as often as one likes. */
const presentAssertion = (assertion: string) =>
  fetch(`${stage.broker.issuer}/oauth/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'client_credentials',
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: assertion,
    }),
  })

/** The agent's own clock is the broker's. */
const obtain = (offsetMs = 0) => {
  const agent = stage.agent('worker')
  const sign = (issuer: string) => agent.sign(issuer, new Date(Date.now() + offsetMs))
  const ask = { tool: 'desk', scopes: ['desk:read'] }
  return obtainCredential(stage.broker.issuer, { ...agent, sign }, stage.broker.ownerToken, ask)
}

const refusedWith = async (args: readonly string[]) =>
  stage.broker.hallpass(...args).then(
    (said) => ({ code: 0, stdout: said, stderr: '' }),
    (thrown: unknown) => z.object({ code: z.number(), stdout: z.string(), stderr: z.string() }).parse(thrown),
  )

test('a clock that ran a day ahead and came back: `clock reset` ends what it gave, and agents work again (S18)', async () => {
  const { broker } = stage
  // Good for as long as one may be, so that it is refused for having been used.
  const used = await stage.agent('worker').sign(broker.issuer, new Date(Date.now() + 50_000))
  expect((await presentAssertion(used)).status).toBe(200)
  const before = await obtain()
  await set(DAY_MS)
  const ahead = await obtain(DAY_MS)
  await set(0)

  // Nothing is issued, and whoever looks is told what mends it.
  await expect(openSession(broker.issuer, stage.agent('worker'))).rejects.toThrow(/hallpass clock reset/)
  const refused = await exchange(broker.issuer, before.sessionToken, before.grant)
  expect(refused.status).toBe(503)
  expect(JSON.stringify(refused.body)).toContain('hallpass clock reset')
  expect((await clockSeen()).behind).toBe(true)
  expect(await refusedWith(['status'])).toMatchObject({
    code: 2,
    stdout: expect.stringContaining('hallpass clock reset'),
  })

  // Never through the API, and never unasked.
  const reset = '/operator/clock/reset'
  for (const token of [broker.adminToken, broker.ownerToken])
    expect((await callApi(broker.issuer, token, reset, {})).status).toBe(403)
  const unasked = await refusedWith(['clock', 'reset'])
  expect(unasked).toMatchObject({ code: 3, stdout: '', stderr: expect.stringContaining('--yes') })
  expect((await clockSeen()).behind).toBe(true)

  const said = z
    .object({
      before: z.string(),
      mark: z.string(),
      grantsToo: z.literal(true),
      receipt: z.object({
        status: z.literal('revoked'),
        counts: z.object({ sessions: z.number(), credentials: z.number() }),
      }),
    })
    .parse(JSON.parse(await broker.hallpass('clock', 'reset', '--yes', '--json')))
  expect(Date.parse(said.before) - Date.parse(said.mark)).toBeGreaterThan(DAY_MS / 2)
  expect(said.receipt.counts).toEqual(expect.objectContaining({ sessions: 3, credentials: 2 }))
  expect(await clockSeen()).toMatchObject({ behind: false })

  for (const { token, sessionToken, grant } of [before, ahead]) {
    expect(await stage.isActive(token)).toBe(false)
    expect((await exchange(broker.issuer, sessionToken, grant)).status).toBe(400)
    expect((await callApi(broker.issuer, sessionToken, '/whoami')).status).toBe(401)
  }
  const replayed = await presentAssertion(used)
  expect([replayed.status, await replayed.text()]).toEqual([401, expect.stringMatching(/used before/)])

  const fresh = await obtain()
  expect(await stage.isActive(fresh.token)).toBe(true)
  expect(Math.abs(Number(decodeJwt(fresh.token).iat) * 1000 - Date.now())).toBeLessThan(DAY_MS / 2)

  const trail = JSON.parse(await broker.hallpass('audit', 'list', '--kind', 'clock.reset', '--json'))
  expect(trail).toMatchObject([{ actor: { type: 'operator' }, body: { grantsToo: true } }])
  expect(await refusedWith(['clock', 'reset', '--yes'])).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/nothing to mend/),
  })
})
