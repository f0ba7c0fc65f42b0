// kill -9 at random moments under load: agents mint and ask, owners say yes and no, an admin takes away, locks and
// decommissions, manifests are edited; each kill is followed by a restart and an audit (P1, P5, P6, P9).
// HALLPASS_CRASH_ROUNDS says how many kills.

import { setTimeout as wait } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Answered, callApi, exchange, idOf, type Json, openSession } from '../tools/people-and-agents.ts'
import { names, openStage, type Stage } from './stage.ts'

const ROUNDS = Number(process.env.HALLPASS_CRASH_ROUNDS ?? 25)
/** The kill comes at a random moment after at most so many answers, or so long. */
const MOST_ANSWERS = 80
const LONGEST_LOAD_MS = 4000
const MINTERS = names('minter', 4)
const ASKERS = names('asker', 12)
const LEAVERS = names('leaver', ROUNDS)

let stage: Stage
beforeAll(async () => {
  stage = await openStage({ agents: [...MINTERS, ...ASKERS, ...LEAVERS, 'edited'] })
  for (const name of MINTERS) stage.write(name, 'desk:read', 'approval: none')
})
afterAll(async () => {
  await stage?.close()
})

let answers = 0
const noted = async (call: Promise<Answered>): Promise<Answered> => {
  const answer = stage.ledger.noted(await call)
  answers++
  return answer
}
const api = (bearer: string, path: string, body?: Json, method?: string) =>
  noted(callApi(stage.broker.issuer, bearer, path, body, method))
const admin = (path: string, body?: Json, method?: string) => api(stage.broker.adminToken, path, body, method)
const owner = (path: string, body?: Json) => api(stage.broker.ownerToken, path, body)
const chance = (share: number): boolean => Math.random() < share
const durationOf = () => 600 + Math.floor(Math.random() * 10)

async function mint(session: string, grant: string): Promise<string | null> {
  const { body } = await noted(exchange(stage.broker.issuer, session, grant))
  if (typeof body.access_token !== 'string') return null
  return stage.ledger.received(body.access_token).jti
}

/** A live grant for the agent, through its owner where one is asked; null where it was refused. */
async function grantFor(session: string, scope: string): Promise<string | null> {
  const asked = await api(session, '/requests', {
    tool: 'desk',
    scopes: [scope],
    reason: 'INC-4711',
    durationSeconds: durationOf(),
  })
  if (asked.body.status === 'granted') return idOf(asked.body.grant)
  if (asked.body.status !== 'pending') return null
  const request = idOf(asked.body.request)
  if (chance(0.2)) {
    await owner(`/requests/${request}/deny`, { reason: 'not now' })
    return null
  }
  const approved = await owner(`/requests/${request}/approve`, {})
  return approved.status === 200 ? idOf(approved.body.grant) : null
}

/** What one client does over and over until the broker is gone. */
type Client = (session: (name: string) => Promise<string>) => Promise<void>

const minter =
  (name: string): Client =>
  async (session) => {
    const token = await session(name)
    const grant = await grantFor(token, 'desk:read')
    for (let left = 20; grant !== null && left > 0; left--) if ((await mint(token, grant)) === null) return
  }

const asker =
  (name: string): Client =>
  async (session) => {
    const token = await session(name)
    const grant = await grantFor(token, chance(0.5) ? 'desk:read' : 'desk:comment')
    if (grant === null) return
    const jti = await mint(token, grant)
    if (jti !== null && chance(0.5))
      stage.ledger.taken('credential', jti, await admin(`/credentials/${jti}/revoke`, { reason: 'drill' }))
    if (chance(0.4)) stage.ledger.taken('grant', grant, await admin(`/grants/${grant}/revoke`, { reason: 'drill' }))
  }

const revoker: Client = async () => {
  const held = stage.ledger.tokens.filter(({ claims }) => ASKERS.includes(claims.sub) || MINTERS.includes(claims.sub))
  const one = held[Math.floor(Math.random() * held.length)]
  if (one !== undefined && chance(0.3)) {
    const { sid } = one.claims
    stage.ledger.taken('session', sid, await admin(`/sessions/${sid}/revoke`, { reason: 'drill' }))
  }
  await wait(30)
}

const locker: Client = async () => {
  const name = MINTERS[Math.floor(Math.random() * MINTERS.length)]!
  const held = stage.ledger.heldBy(name)
  stage.ledger.takenTogether(held, await admin('/locks', { kind: 'agent', name, reason: 'drill' }))
  await unlockAll()
  await wait(50)
}

async function unlockAll(): Promise<void> {
  const { items } = (await admin('/locks')).body
  for (const lock of Array.isArray(items) ? items : []) await admin(`/locks/${idOf(lock)}`, undefined, 'DELETE')
}

const editor: Client = async (session) => {
  const isWide = chance(0.5)
  stage.write('edited', isWide ? 'desk:read, desk:comment' : 'desk:read')
  await wait(150)
  if (isWide) await stage.acceptAll()
  const token = await session('edited')
  const grant = await grantFor(token, 'desk:comment')
  if (grant !== null) await mint(token, grant)
}

const leaver =
  (name: string): Client =>
  async (session) => {
    const token = await session(name)
    const grant = await grantFor(token, 'desk:read')
    if (grant !== null) await mint(token, grant)
    await wait(Math.random() * 200)
    stage.ledger.taken('agent', name, await admin(`/agents/${name}/decommission`, { reason: 'retired' }))
    await wait(500)
  }

/** All of them at once until the broker is killed; a call that fails before that is a fault. */
async function load(round: number): Promise<void> {
  const sessions = new Map<string, Promise<string>>()
  const session = (name: string) => {
    const known = sessions.get(name)
    if (known !== undefined && chance(0.95)) return known
    const opened = openSession(stage.broker.issuer, stage.agent(name))
    sessions.set(name, opened)
    return opened
  }
  const asking = [0, 1, 2].map((offset) => ASKERS[(3 * round + offset) % ASKERS.length]!)
  const clients = [...MINTERS.map(minter), ...asking.map(asker), revoker, locker, editor, leaver(LEAVERS[round]!)]
  let isKilled = false
  const faults: unknown[] = []
  const working = clients.map(async (client) => {
    while (!isKilled) {
      await client(session).catch((thrown: unknown) => {
        sessions.clear()
        if (!isKilled && !isRefusal(thrown)) faults.push(thrown)
      })
    }
  })
  const [enough, until] = [answers + Math.random() * MOST_ANSWERS, performance.now() + LONGEST_LOAD_MS]
  while (answers < enough && performance.now() < until) await wait(5)
  await wait(Math.random() * 10)
  isKilled = true
  await stage.broker.kill()
  await Promise.all(working)
  expect(faults).toEqual([])
}

/** Agents are locked and sessions revoked under their clients' hands. */
const isRefusal = (thrown: unknown): boolean => thrown instanceof Error && /^refused with 4\d\d/.test(thrown.message)

test(
  `${ROUNDS} kills at random moments under load: each restart agrees with every client (P1, P5, P6, P9)`,
  async () => {
    const sum = { records: 0, tokens: 0, dead: 0 }
    for (let round = 0; round < ROUNDS; round++) {
      await stage.broker.start()
      if (round > 0) {
        const { records, tokens, dead } = await stage.ledger.audit()
        Object.assign(sum, { records, tokens, dead: sum.dead + dead })
        await unlockAll()
      }
      if (round > 0 && round % 25 === 0) console.info(`${round} kills so far`)
      await load(round)
    }
    await stage.broker.start()
    const { records, tokens, dead } = await stage.ledger.audit()
    console.info(
      `${ROUNDS} kills: ${tokens} tokens received, ${sum.dead + dead} times one was looked at and dead, ${records} records`,
    )
    expect(tokens).toBeGreaterThan(ROUNDS)
    await stage.broker.hallpass('audit', 'export', '-o', 'trail.jsonl')
    expect(await stage.broker.hallpass('audit', 'verify', 'trail.jsonl', '--key', 'hallpass.pub')).toMatch(/^OK/)
    await stage.broker.stop()
  },
  60_000 + ROUNDS * 30_000,
)
