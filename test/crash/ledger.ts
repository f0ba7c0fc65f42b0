// What clients hold and were told, kept where no crash of the broker reaches; and the audit of the broker against it:
// nothing that was issued is missing on the trail, nothing that was taken away is alive (P1, P5, P6, P9).

import { setImmediate as breath } from 'node:timers/promises'
import { decodeJwt } from 'jose'
import { expect } from 'vitest'
import { z } from 'zod'
import { digest, type Json } from '../../src/core/canonical.ts'
import { parseVerifierKey } from '../../src/core/checkpoint.ts'
import { verifyExport } from '../../src/core/verify-export.ts'
import type { Initialised } from '../tools/broker-process.ts'
import { type Answered, callApi, idOf } from '../tools/people-and-agents.ts'

const CHECKED_AT_ONCE = 8
/** Of tokens and agents that an audit has looked at before. */
const SAMPLE = 10

const Claims = z.looseObject({
  jti: z.string(),
  sub: z.string(),
  sid: z.string(),
  grant_id: z.string(),
  exp: z.number(),
})
type Held = { readonly token: string; readonly claims: z.infer<typeof Claims> }

const Line = z.object({
  record: z.object({
    kind: z.string(),
    subject: z.record(z.string(), z.unknown()),
    body: z.record(z.string(), z.unknown()),
  }),
})

export type Audited = { readonly records: number; readonly tokens: number; readonly dead: number }

export type Ledger = {
  /** A client holds this token. */
  received(token: string): Held['claims']
  /** The answer to an act of taking away: what it took is dead, if it was said to be done. */
  taken(what: 'session' | 'grant' | 'credential' | 'agent', id: string, answer: Answered): void
  /** A tool was told that this is dead, by jti: for good. */
  sawDead(jti: string): void
  /** As a lock's answer says: these are dead for good, by jti. */
  takenTogether(jtis: readonly string[], answer: Answered): void
  /** What this agent holds by now, by jti. */
  heldBy(agent: string): readonly string[]
  /** An answer that no client should ever see is remembered for the audit. */
  noted<A extends Answered>(answer: A): A
  readonly tokens: readonly Held[]
  audit(): Promise<Audited>
}

type Ends = {
  readonly broker: Initialised
  readonly key: string
  readonly isActive: (token: string) => Promise<boolean | null>
}

export function createLedger({ broker, key: keyText, isActive }: Ends): Ledger {
  const held = new Map<string, Held>()
  const ended = {
    session: new Set<string>(),
    grant: new Set<string>(),
    credential: new Set<string>(),
    agent: new Set<string>(),
  }
  const receipts = new Set<string>()
  const seenDead = new Set<string>()
  const looked = new Set<string>()
  /** Of the trail: receipts, and agents whose decommission began. */
  const onTrail = new Set<string>()
  const begun = new Set<string>()
  const gone = new Set<string>()
  const broken: Answered[] = []
  const issued = new Map<string, string>()
  let trail: readonly string[] = []

  const isDone = ({ status }: Answered) => status >= 200 && status < 300
  const isTaken = ({ claims }: Held) =>
    ended.credential.has(claims.jti) ||
    ended.grant.has(claims.grant_id) ||
    ended.session.has(claims.sid) ||
    ended.agent.has(claims.sub)

  function noted<A extends Answered>(answer: A): A {
    if (answer.status >= 500 && answer.status !== 503) broken.push(answer)
    return answer
  }

  function receiptOf(answer: Answered): void {
    const { receipt } = answer.body
    receipts.add(idOf(receipt === undefined ? answer.body : receipt))
  }

  /** The whole log as exported, verified: nothing that was exported before is gone or other. */
  async function readTrail(): Promise<void> {
    const { status, text } = await exported()
    expect(status).toBe(200)
    const lines = text.trimEnd().split('\n')
    const key = parseVerifierKey(keyText)
    if (!key.ok) throw new Error(key.error)
    expect(await verifyExport(unhurried(lines), key.value)).toMatchObject({ ok: true })
    const records = lines.slice(0, -1)
    const differs = trail.findIndex((line, index) => line !== records[index])
    expect(differs, 'the first record that is not what it was').toBe(-1)
    for await (const line of unhurried(records.slice(trail.length))) {
      const { kind, subject, body } = Line.parse(JSON.parse(line)).record
      if (typeof subject.revocation === 'string') onTrail.add(subject.revocation)
      if (kind === 'credential.issued') issued.set(String(subject.credential), String(body.claimsHash))
      if (kind === 'agent.decommissioning') begun.add(String(subject.agent))
    }
    trail = records
  }

  const exported = () =>
    asked(async () => {
      const response = await fetch(`${broker.issuer}/v1/audit/export`, {
        headers: { authorization: `Bearer ${broker.adminToken}` },
      })
      return { status: response.status, text: await response.text() }
    })

  async function checkTokens(): Promise<number> {
    const now = Date.now() / 1000
    const living = [...held.values()].filter(({ claims }) => claims.exp > now + 5)
    const fresh = living.filter(({ claims }) => !looked.has(claims.jti))
    const before = living.filter(({ claims }) => looked.has(claims.jti))
    const chosen = [...fresh, ...shuffled(before).slice(0, SAMPLE)]
    let dead = 0
    await eachOf(chosen, async (one) => {
      const { jti } = one.claims
      const active = await asked(() => isActive(one.token))
      expect(active, 'an audited broker answers').not.toBeNull()
      if (isTaken(one)) expect(active, `${jti} was taken away and lives`).toBe(false)
      if (seenDead.has(jti)) expect(active, `${jti} was dead and lives again`).toBe(false)
      if (active === false) {
        seenDead.add(jti)
        dead++
      }
      looked.add(jti)
    })
    return dead
  }

  async function checkDecommissions(): Promise<void> {
    const stateOf = async (agent: string) =>
      (await asked(() => callApi(broker.issuer, broker.adminToken, `/agents/${agent}`))).body.status
    for (const agent of ended.agent) expect(begun).toContain(agent)
    const before = shuffled([...gone]).slice(0, SAMPLE)
    for (const agent of before) expect(await stateOf(agent), `${agent} came back`).toBe('decommissioned')
    for (const agent of [...begun].filter((one) => !gone.has(one))) {
      await expect.poll(() => stateOf(agent), { timeout: 10_000, interval: 50 }).toBe('decommissioned')
      gone.add(agent)
    }
  }

  return {
    received(token) {
      const claims = Claims.parse(decodeJwt(token))
      held.set(claims.jti, { token, claims })
      return claims
    },
    taken(what, id, answer) {
      if (!isDone(noted(answer))) return
      ended[what].add(id)
      receiptOf(answer)
    },
    takenTogether(jtis, answer) {
      if (!isDone(noted(answer))) return
      for (const jti of jtis) ended.credential.add(jti)
      receiptOf(answer)
    },
    sawDead: (jti) => void seenDead.add(jti),
    heldBy: (agent) => [...held.values()].filter(({ claims }) => claims.sub === agent).map(({ claims }) => claims.jti),
    noted,
    get tokens() {
      return [...held.values()]
    },
    async audit() {
      await readTrail()
      for (const { claims } of held.values())
        expect(issued.get(claims.jti), `the trail holds ${claims.jti}`).toBe(digest(claims as Json))
      for (const receipt of receipts) expect(onTrail.has(receipt), `the trail holds ${receipt}`).toBe(true)
      const dead = await checkTokens()
      await checkDecommissions()
      expect(broken, 'answers that no client should see').toEqual([])
      return { records: trail.length, tokens: held.size, dead }
    },
  }
}

/** A question that may be asked twice: a kept connection can close under the first. */
const asked = <T>(ask: () => Promise<T>): Promise<T> => ask().catch(ask)

/** Lets others speak in between, so that what the network says is heard in time. */
async function* unhurried(lines: readonly string[]): AsyncGenerator<string> {
  for (const [index, line] of lines.entries()) {
    if (index % 200 === 0) await breath()
    yield line
  }
}

const shuffled = <T>(items: readonly T[]): T[] =>
  items
    .map((item) => ({ item, at: Math.random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item)

async function eachOf<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const left = [...items]
  const worker = async () => {
    for (let item = left.pop(); item !== undefined; item = left.pop()) await work(item)
  }
  await Promise.all(Array.from({ length: CHECKED_AT_ONCE }, worker))
}
