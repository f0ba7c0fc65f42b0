// Real clients, each in every way to wait that it has: ask, wait, the owner approves, use; with the broker killed in the
// middle of the wait, and with the client killed there. What was asked is asked once, and nobody but the owner says yes.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { exportPKCS8, exportSPKI, generateKeyPair } from 'jose'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { freePort, stopAll } from '../tools/background.ts'
import { bearerIn, type Initialised, initialiseBroker } from '../tools/broker-process.ts'
import { callApi, expectDone } from '../tools/people-and-agents.ts'
import { type AgentProcess, CLIENTS, killAgents, startAgent } from './agents.ts'
import { findPeers } from './peers.ts'

const OWNER = 'lead@example.com'
type Client = (typeof CLIENTS)[number]
const WITHIN = { timeout: 30_000, interval: 50 }
const nameOf = (client: string) => client.replaceAll(' ', '-')

let folder: string
let broker: Initialised
let verifier: string

beforeAll(async () => {
  findPeers()
  folder = mkdtempSync(join(tmpdir(), 'hallpass-clients-'))
  mkdirSync(join(folder, 'scopes/keys'), { recursive: true })
  writeFileSync(
    join(folder, 'scopes/desk.yaml'),
    `apiVersion: hallpass/v1
kind: Tool
metadata: { name: desk }
spec:
  owners: [${OWNER}]
  category: ticketing
  resource: https://desk.example.com
  scopes: { desk:read: { description: Read, risk: low } }
  token: { verifiedBy: asks }
`,
  )
  for (const name of CLIENTS.map(nameOf)) {
    const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true })
    writeFileSync(join(folder, `${name}.pem`), await exportPKCS8(privateKey), { mode: 0o600 })
    writeFileSync(join(folder, `scopes/keys/${name}.pub.pem`), await exportSPKI(publicKey))
    writeFileSync(
      join(folder, `scopes/${name}.yaml`),
      `apiVersion: hallpass/v1
kind: Agent
metadata: { name: ${name} }
spec:
  purpose: Waits for its owner
  owners: [${OWNER}]
  identity: [{ publicKeyFile: keys/${name}.pub.pem }]
  access: [{ tool: desk, scopes: [desk:read], delivery: inline }]
`,
    )
  }
  broker = await initialiseBroker(folder, await freePort(), OWNER)
  await broker.start()
  verifier = bearerIn(await broker.hallpass('verifier', 'token', 'desk'), 'verify')
})
afterAll(async () => {
  await stopAll()
  rmSync(folder, { recursive: true, force: true })
})

/** Each walk asks for a duration of its own. */
const PLAIN = 600
const BROKER_KILLED = 601
const CLIENT_KILLED = 602

const start = (client: Client, durations: readonly number[], resume?: Parameters<typeof startAgent>[0]['resume']) => {
  const agent = nameOf(client)
  const keyPath = join(folder, `${agent}.pem`)
  const orders = {
    client,
    issuer: broker.issuer,
    agent,
    keyPath,
    durations,
    ...(resume === undefined ? {} : { resume }),
  }
  return startAgent(orders, folder)
}
const Requests = z.object({ items: z.array(z.object({ id: z.string(), agent: z.string(), status: z.string() })) })

/** Its one request that waits. */
async function waitingOf(client: string): Promise<string> {
  return vi.waitFor(async () => {
    const { body } = await callApi(broker.issuer, broker.ownerToken, '/requests?limit=500')
    const { items } = Requests.parse(body)
    const found = items.filter(({ agent, status }) => agent === nameOf(client) && status === 'pending')
    expect(found).toHaveLength(1)
    return found[0]?.id ?? ''
  }, WITHIN)
}

const isActive = async (token: string): Promise<boolean> => {
  const response = await fetch(`${broker.issuer}/oauth/introspect`, {
    method: 'POST',
    headers: { 'x-hallpass-verifier': verifier },
    body: new URLSearchParams({ token }),
  })
  return JSON.stringify(await response.json()) !== '{"active":false}'
}

const told = (client: Client) => (client.endsWith('task') ? 'task' : 'pending')

/** Every client in a process of its own, all at once. */
const agents = new Map<Client, AgentProcess>()
const agentOf = (client: Client): AgentProcess => {
  const agent = agents.get(client)
  if (agent === undefined) throw new Error(`${client} was not started`)
  return agent
}
/** Their requests, once all of them wait. */
async function allWaiting(of: number): Promise<ReadonlyMap<Client, string>> {
  const requests = new Map<Client, string>()
  for (const [client, agent] of agents) {
    expect(await agent.until('told', of)).toBe(told(client))
    requests.set(client, await waitingOf(client))
  }
  return requests
}
async function approveAll(requests: ReadonlyMap<Client, string>): Promise<void> {
  for (const request of requests.values())
    await expectDone(callApi(broker.issuer, broker.ownerToken, `/requests/${request}/approve`, {}))
}
/** It has come to a token that the tool takes. */
const expectUsed = async (client: Client, of: number) =>
  expect(await isActive(await agentOf(client).until('used', of))).toBe(true)

/** How often its client was asked to show the link: once where it can, whatever happened on the way. */
const expectShown = (client: Client, of: number, ...agents: readonly AgentProcess[]) =>
  expect(agents.flatMap(({ said }) => said.filter((line) => line.of === of && line.shown !== undefined))).toHaveLength(
    client.endsWith('link') ? 1 : 0,
  )

describe('asks, waits, is approved and uses what it got', () => {
  beforeAll(async () => {
    for (const client of CLIENTS) agents.set(client, start(client, [PLAIN, BROKER_KILLED, CLIENT_KILLED]))
    await approveAll(await allWaiting(PLAIN))
  })

  test.each(CLIENTS)('%s (P4)', async (client) => {
    await expectUsed(client, PLAIN)
    const agent = agentOf(client)
    expectShown(client, PLAIN, agent)
    expect(agent.said.filter(({ of, lost }) => of === PLAIN && lost !== undefined)).toEqual([])
  })
})

describe('the broker is killed in the middle of the wait', () => {
  let before: ReadonlyMap<Client, string>
  const after = new Map<Client, string>()
  beforeAll(async () => {
    before = await allWaiting(BROKER_KILLED)
    await broker.kill()
    await broker.start()
    for (const client of CLIENTS) after.set(client, await waitingOf(client))
    await approveAll(after)
  })

  test.each(CLIENTS)('%s waits on for the same request (P9)', async (client) => {
    expect(after.get(client)).toBe(before.get(client))
    await expectUsed(client, BROKER_KILLED)
    expectShown(client, BROKER_KILLED, agentOf(client))
  })
})

describe('the client is killed in the middle of the wait', () => {
  let before: ReadonlyMap<Client, string>
  let after: ReadonlyMap<Client, string>
  const killed = new Map<Client, AgentProcess>()
  beforeAll(async () => {
    before = await allWaiting(CLIENT_KILLED)
    for (const [client, agent] of [...agents]) {
      await agent.kill()
      killed.set(client, agent)
      agents.set(client, start(client, [CLIENT_KILLED], agent.first('reference', CLIENT_KILLED)))
    }
    after = await allWaiting(CLIENT_KILLED)
    await approveAll(after)
  })
  afterAll(killAgents)

  test.each(CLIENTS)('%s takes up the same request when it is back (P9)', async (client) => {
    expect(after.get(client)).toBe(before.get(client))
    await expectUsed(client, CLIENT_KILLED)
    const agent = agentOf(client)
    expectShown(client, CLIENT_KILLED, agent, killed.get(client) ?? agent)
  })
})
