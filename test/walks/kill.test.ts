// kill -9 in the middle of each of the three walks, then restart: the walk finishes or is refused, whatever a client
// received is on the trail, nothing that was taken away comes back, and the trail verifies (P1, P6, P9).

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { decodeJwt } from 'jose'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { freePort, stopAll } from '../tools/background.ts'
import { bearerIn, type Initialised, initialiseBroker } from '../tools/broker-process.ts'
import {
  type AgentIdentity,
  callApi,
  createIdentity,
  exchange,
  idOf,
  obtainCredential,
  openSession,
} from '../tools/people-and-agents.ts'

const OWNER = 'lead@example.com'
const ROUNDS = 3
const NAMES = ['asker', 'narrowed', ...Array.from({ length: ROUNDS }, (_, i) => `leaver-${i}x`)]

let folder: string
let broker: Initialised
let verifier: string
const agents = new Map<string, AgentIdentity>()

const agentManifest = (name: string, scopes: string) => `apiVersion: hallpass/v1
kind: Agent
metadata: { name: ${name} }
spec:
  purpose: Walks until it is killed
  owners: [${OWNER}]
  identity: [{ publicKeyFile: keys/${name}.pub.pem }]
  access: [{ tool: desk, scopes: [${scopes}] }]
`
const write = (name: string, scopes = 'desk:read, desk:comment') =>
  writeFileSync(join(folder, `scopes/agents/${name}.yaml`), agentManifest(name, scopes))

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'hallpass-kill-'))
  mkdirSync(join(folder, 'scopes/agents/keys'), { recursive: true })
  writeFileSync(
    join(folder, 'scopes/desk.yaml'),
    `apiVersion: hallpass/v1
kind: Tool
metadata: { name: desk }
spec:
  owners: [${OWNER}]
  category: ticketing
  resource: https://desk.example.com
  scopes:
    desk:read: { description: Read, risk: low }
    desk:comment: { description: Comment, risk: low }
  token: { verifiedBy: asks }
`,
  )
  for (const name of NAMES) {
    const identity = await createIdentity(name)
    agents.set(name, identity)
    writeFileSync(join(folder, `scopes/agents/keys/${name}.pub.pem`), identity.publicPem)
    write(name)
  }
  broker = await initialiseBroker(folder, await freePort(), OWNER)
  await broker.start()
  verifier = bearerIn(await broker.hallpass('verifier', 'token', 'desk'), 'verify')
  writeFileSync(join(folder, 'hallpass.pub'), await broker.hallpass('audit', 'key'))
  await broker.stop()
}, 60_000)
beforeEach(() => broker.start())
afterAll(async () => {
  await stopAll()
  rmSync(folder, { recursive: true, force: true })
})

const isActive = async (token: string): Promise<boolean> => {
  const response = await fetch(`${broker.issuer}/oauth/introspect`, {
    method: 'POST',
    headers: { 'x-hallpass-verifier': verifier },
    body: new URLSearchParams({ token }),
  })
  return JSON.stringify(await response.json()) !== '{"active":false}'
}

/** Restarts after the kill, exports the trail, verifies it offline, and answers the jtis that it holds. */
async function afterRestart(): Promise<ReadonlySet<string>> {
  await broker.start()
  await broker.hallpass('audit', 'export', '-o', 'trail.jsonl')
  expect(await broker.hallpass('audit', 'verify', 'trail.jsonl', '--key', 'hallpass.pub')).toMatch(
    /^OK [\d,]+ records, no gap/,
  )
  const issued = readFileSync(join(folder, 'trail.jsonl'), 'utf8').matchAll(/"credential":"([^"]+)"[^}]*\}/g)
  return new Set([...issued].map(([, jti = '']) => jti))
}

/** Accepts, as the owner, until the widened access is in force. */
async function acceptWhatWaits(): Promise<void> {
  const canAsk = async () => {
    const { body } = await callApi(broker.issuer, broker.ownerToken, '/revisions')
    const [newest] = z.object({ items: z.array(z.object({ id: z.string() })) }).parse(body).items
    if (newest !== undefined) await callApi(broker.issuer, broker.ownerToken, `/revisions/${newest.id}/accept`, {})
    const can = await callApi(broker.issuer, broker.ownerToken, '/can?agent=narrowed&tool=desk&scope=desk%3Acomment')
    return can.body.answer
  }
  await expect.poll(canAsk, { timeout: 5000, interval: 100 }).not.toBe('no')
}

/** Calls that fail since the broker was killed are what is being tested. */
const orKilled = <T>(call: Promise<T>): Promise<T | null> => call.catch(() => null)

test.each(Array.from({ length: ROUNDS }, (_, i) => i))(
  'ask, round %i: what a client received is on the trail, and the walk goes on (P1, P9)',
  async (round) => {
    const agent = agents.get('asker')!
    const received: string[] = []
    const walking = (async () => {
      for (let step = 0; ; step++) {
        const session = await openSession(broker.issuer, agent)
        const asked = await callApi(broker.issuer, session, '/requests', {
          tool: 'desk',
          scopes: ['desk:read'],
          reason: `INC-${round}-${step}`,
          durationSeconds: 60 + round * 100 + step,
        })
        const request = idOf(asked.body.request)
        const approved = await callApi(broker.issuer, broker.ownerToken, `/requests/${request}/approve`, {})
        const minted = await exchange(broker.issuer, session, idOf(approved.body.grant))
        received.push(String(minted.body.access_token))
      }
    })().catch(() => null)
    await expect.poll(() => received.length, { timeout: 15_000, interval: 5 }).toBeGreaterThan(0)
    await wait(round * 37)
    await broker.kill()
    await walking
    const onTrail = await afterRestart()
    expect(received.length).toBeGreaterThan(0)
    for (const token of received) expect(onTrail).toContain(decodeJwt(token).jti)
    expect(await isActive(received.at(-1)!)).toBe(true)
    await obtainCredential(broker.issuer, agent, broker.ownerToken, { tool: 'desk', scopes: ['desk:comment'] })
    await broker.stop()
  },
)

test.each(Array.from({ length: ROUNDS }, (_, i) => i))(
  're-scope, round %i: a narrowing that was written is in force after the restart (P3, P9)',
  async (round) => {
    const agent = agents.get('narrowed')!
    write('narrowed')
    await acceptWhatWaits()
    const { token } = await obtainCredential(broker.issuer, agent, broker.ownerToken, {
      tool: 'desk',
      scopes: ['desk:comment'],
    })
    expect(await isActive(token)).toBe(true)
    write('narrowed', 'desk:read')
    await wait(round * 60)
    await broker.kill()
    const onTrail = await afterRestart()
    expect(onTrail).toContain(decodeJwt(token).jti)
    await expect.poll(() => isActive(token), { timeout: 3000, interval: 20 }).toBe(false)
    await broker.stop()
  },
)

describe('decommission', () => {
  test.each(Array.from({ length: ROUNDS }, (_, i) => i))(
    'round %i: the agent is decommissioned after the restart, or was never touched and can be (P6, P9)',
    async (round) => {
      const name = `leaver-${round}x`
      const { token } = await obtainCredential(broker.issuer, agents.get(name)!, broker.ownerToken, {
        tool: 'desk',
        scopes: ['desk:read'],
      })
      const asking = orKilled(
        callApi(broker.issuer, broker.adminToken, `/agents/${name}/decommission`, { reason: 'retired' }),
      )
      await wait(round * 4)
      await broker.kill()
      const answered = await asking
      await afterRestart()
      const stateOf = async () => (await callApi(broker.issuer, broker.adminToken, `/agents/${name}`)).body.status
      if (answered?.status === 200) expect(await stateOf()).not.toBe('active')
      if ((await stateOf()) === 'active')
        await callApi(broker.issuer, broker.adminToken, `/agents/${name}/decommission`, { reason: 'retired' })
      await expect.poll(stateOf, { timeout: 5000, interval: 50 }).toBe('decommissioned')
      expect(await isActive(token)).toBe(false)
      await expect(openSession(broker.issuer, agents.get(name)!)).rejects.toThrow()
      await broker.stop()
    },
  )
})
