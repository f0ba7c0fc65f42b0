// Guards that are cut off, held up, lied to or that lie: "revoked" is said when no guard can accept any more, and never
// before (P5, S15). The whole broker and the guard of the package, with an attacker on the wire between them.

import { readFileSync } from 'node:fs'
import { decodeJwt, importPKCS8, SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { SAMPLE_OWNERS, type SampleBroker, startSampleBroker } from '../../src/commands/sample-broker.ts'
import { createGuard, type Guard } from '../../src/guard/index.ts'
import { testDatabase } from '../support/test-store.ts'
import { bearer, FORM, form, send } from './wire.ts'

const TICKETS = 'http://127.0.0.1:8431'
const JSON_TYPE = ['Content-Type', 'application/json'] as const

let broker: SampleBroker
let verifier: string
let owner: string
let session: string

beforeAll(async () => {
  broker = await startSampleBroker(await testDatabase())
  verifier = await broker.verifierToken('tickets')
  owner = await broker.ownerToken(SAMPLE_OWNERS.agents)
  const key = await importPKCS8(readFileSync(broker.agents['triage-bot']!.keyPath, 'utf8'), 'ES256')
  const assertion = await new SignJWT({ jti: crypto.randomUUID() })
    .setProtectedHeader({ alg: 'ES256' })
    .setIssuer('triage-bot')
    .setSubject('triage-bot')
    .setAudience(broker.url)
    .setIssuedAt()
    .setExpirationTime('1m')
    .sign(key)
  const opened = await post('/oauth/token', {
    grant_type: 'client_credentials',
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion: assertion,
  })
  session = String(opened.json.access_token)
})
afterAll(() => broker?.close())

const post = (path: string, fields: Readonly<Record<string, string>>) =>
  send(`${broker.url}${path}`, { headers: FORM, body: form(fields) })
const api = (path: string, by: string, body?: object) =>
  send(`${broker.url}/v1${path}`, {
    headers: [...bearer(by), ...JSON_TYPE],
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })

let asked = 0
async function credential(): Promise<{ readonly token: string; readonly grant: string }> {
  asked++
  const ask = { tool: 'tickets', scopes: ['ticket:read'], details: { queue: ['incidents'] }, reason: 'INC-1' }
  const waits = await api('/requests', session, { ...ask, durationSeconds: 600 + asked })
  const { id } = waits.json.request as { id: string }
  const yes = await api(`/requests/${id}/approve`, owner, {})
  const grant = (yes.json.grant as { id: string }).id
  const minted = await post('/oauth/token', {
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token: session,
    subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    grant_id: grant,
  })
  return { token: String(minted.json.access_token), grant }
}
const lease = (guard: string, ackSeq: unknown, by = verifier) =>
  send(`${broker.url}/guard/lease`, {
    headers: ['X-Hallpass-Verifier', by, ...JSON_TYPE],
    body: JSON.stringify({ guard, ackSeq }),
  })

/** What an attacker on the wire does with a guard's traffic. `feed` sees each piece of the feed on its way. */
type Wire = {
  feed?: (piece: Uint8Array, pass: (piece: Uint8Array) => void) => void
  lease?: (send: () => Promise<Response>) => Promise<Response>
}
function guardBehind(wire: Wire): Guard {
  const through: typeof fetch = async (input, init) => {
    const url = String(input)
    if (url.includes('/guard/lease') && wire.lease !== undefined) return wire.lease(() => fetch(input, init))
    const answer = await fetch(input, init)
    if (!url.includes('/guard/feed') || answer.body === null) return answer
    const reader = answer.body.getReader()
    const body = new ReadableStream<Uint8Array>({
      async start(controller) {
        let isOver = false
        const pass = (piece: Uint8Array) => {
          if (!isOver) controller.enqueue(piece)
        }
        init?.signal?.addEventListener('abort', () => {
          if (!isOver) controller.error(new TypeError('aborted'))
          isOver = true
        })
        for (;;) {
          const read = await reader.read().catch(() => null)
          if (read === null || read.done) break
          if (wire.feed === undefined) pass(read.value)
          else wire.feed(read.value, pass)
        }
        if (!isOver) controller.close()
        isOver = true
      },
      cancel: () => reader.cancel().catch(() => undefined),
    })
    return new Response(body, { status: answer.status, headers: answer.headers })
  }
  return createGuard({
    issuer: broker.url,
    resource: TICKETS,
    verifierToken: verifier,
    mode: 'offline',
    fetch: through,
  })
}

test('with guards cut off, delayed and frozen, "revoked" is said when none accepts any more, and not before (P5, S15)', async () => {
  let isHostile = false
  let beat = '0'
  let told = 0
  const wires: Readonly<Record<string, Wire>> = {
    honest: {},
    'its feed silently cut': { feed: (piece, pass) => (isHostile ? undefined : pass(piece)) },
    'its feed two seconds late': {
      feed: (piece, pass) => (isHostile ? void setTimeout(pass, 2000, piece) : pass(piece)),
    },
    'an old beat of its feed played again and again, its leases renewed without an acknowledgement': {
      feed: (piece, pass) => {
        if (isHostile) return pass(new TextEncoder().encode(`data: {"n":${++told},"seq":${beat}}\n\n`))
        const text = new TextDecoder().decode(piece)
        beat = text.match(/(?<="seq":)\d+/g)?.at(-1) ?? beat
        told = Number(text.match(/(?<="n":)\d+/g)?.at(-1) ?? told)
        pass(piece)
      },
    },
    'its leases lost': { lease: (pass) => (isHostile ? Promise.reject(new TypeError('cut')) : pass()) },
  }
  const guards = Object.entries(wires).map(([name, wire]) => ({ name, guard: guardBehind(wire) }))
  try {
    for (const { guard } of guards) expect(await guard.ready()).toBe(true)
    const { token, grant } = await credential()
    const accepting = async () =>
      (
        await Promise.all(
          guards.map(async ({ name, guard }) =>
            (await guard.verify(`Bearer ${token}`, { scopes: [] })).ok ? name : '',
          ),
        )
      ).filter((name) => name !== '')
    expect(await accepting()).toHaveLength(guards.length)

    isHostile = true
    const taken = await api(`/grants/${grant}/revoke`, broker.adminToken, { reason: 'found' })
    const receipt = String(taken.json.id ?? (taken.json.receipt as { id?: string } | undefined)?.id)
    const started = performance.now()
    const outlived: string[] = []
    let status = ''
    while (performance.now() - started < 25_000) {
      // The receipt first: whoever accepts after it was read as revoked makes it a lie.
      status = String((await api(`/receipts/${receipt}`, broker.adminToken)).json.status)
      const still = await accepting()
      if (status === 'revoked') {
        expect(still).toEqual([])
        break
      }
      outlived.push(...still)
      await new Promise((resolve) => setTimeout(resolve, 60))
    }
    expect(status).toBe('revoked')
    // The attack is real: who was cut off did accept for a while, and the broker did not say otherwise.
    expect(outlived).toContain('its feed silently cut')
    expect(outlived).toContain(
      'an old beat of its feed played again and again, its leases renewed without an acknowledgement',
    )
    for (let more = 0; more < 20; more++) {
      expect(await accepting()).toEqual([])
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  } finally {
    for (const { guard } of guards) await guard.close()
  }
}, 60_000)

describe('a false acknowledgement', () => {
  test.each([
    ['of the far future', Number.MAX_SAFE_INTEGER, 409],
    ['of a little more than there is', null, 409],
    ['below nothing', -1, 400],
    ['of a part', 1.5, 400],
    ['as text', '7', 400],
    ['of no number', Number.NaN, 400],
    ['beyond what a number holds exactly', 2 ** 53 + 2, 400],
  ])('%s is refused (S15)', async (_, ackSeq, expected) => {
    const size = (await broker.running.broker.deps.store.tree()).size
    const said = await lease('liar', ackSeq ?? size + 1000)
    expect(said.status).toBe(expected)
  })

  test('by another tool’s verifier, an owner, an admin or a credential confirms nothing (S13, S14)', async () => {
    const metrics = await broker.verifierToken('metrics')
    const { token, grant } = await credential()
    const guard = `victim-${crypto.randomUUID()}`
    // A guard of tickets holds a lease and has acknowledged nothing of what comes.
    const before = Number((await lease(guard, 0)).json.seq)
    const taken = await api(`/grants/${grant}/revoke`, broker.adminToken, { reason: 'found' })
    const receipt = String(taken.json.id ?? (taken.json.receipt as { id?: string } | undefined)?.id)
    const size = (await broker.running.broker.deps.store.tree()).size
    expect(size).toBeGreaterThan(before)
    for (const by of [owner, broker.adminToken, token, session, 'hp_verify_nothing'])
      expect([401, 403], by.slice(0, 9)).toContain((await lease(guard, size, by)).status)
    // The other tool's verifier may speak for a guard of its own by that name, and for nobody else.
    expect((await lease(guard, before, metrics)).status).toBe(200)
    expect((await api(`/receipts/${receipt}`, broker.adminToken)).json.status).not.toBe('revoked')
  })
})

test.each([
  ['a position far ahead', 'data: {"seq":9007199254740990}\n\n'],
  ['sync that was not', 'data: {"seq":9007199254740990,"synced":true}\n\n'],
  ['a denial without an end', 'data: {"seq":1,"deny":{"jti":"x"}}\n\n'],
  ['two things at once', 'data: {"seq":1,"deny":{"jti":"x"},"reset":true,"until":"2026-01-01T00:00:00Z"}\n\n'],
  ['words', 'data: revoke nothing\n\n'],
])(
  'a feed into which %s was forged makes a guard refuse or deny more, and never accept what was taken (S15, P10)',
  async (_, event) => {
    let forged = ''
    const guard = guardBehind({
      feed: (piece, pass) => {
        if (forged !== '') pass(new TextEncoder().encode(forged))
        forged = ''
        pass(piece)
      },
    })
    try {
      expect(await guard.ready()).toBe(true)
      const { token, grant } = await credential()
      const accepts = async () => (await guard.verify(`Bearer ${token}`, { scopes: [] })).ok
      expect(await accepts()).toBe(true)
      forged = event
      const taken = await api(`/grants/${grant}/revoke`, broker.adminToken, { reason: 'found' })
      expect(taken.status).toBe(200)
      await expect.poll(accepts, { timeout: 11_000 }).toBe(false)
      for (let more = 0; more < 20; more++) expect(await accepts()).toBe(false)
      // It mends by itself: what is minted now is accepted, what was taken is not.
      await expect.poll(() => guard.ready(100), { timeout: 11_000 }).toBe(true)
      const fresh = await credential()
      expect((await guard.verify(`Bearer ${fresh.token}`, { scopes: [] })).ok).toBe(true)
      expect(await accepts()).toBe(false)
    } finally {
      await guard.close()
    }
  },
  40_000,
)

test.each([
  ['grants', '"grant_id"'],
  // The one event there is of it.
  ['credentials', '"jti"'],
])(
  'a proxy that cuts one event of %s out of the feed: the guard sees the gap, starts over, and accepts nothing that was taken past its lease (S15, P10)',
  async (kind, member) => {
    let isHostile = false
    const cut: string[] = []
    let connections = 0
    const guard = guardBehind({
      // One whole event, the first that is worth it; all that came before and comes after is passed on as it is.
      feed: (piece, pass) => {
        const events = new TextDecoder().decode(piece).split(/(?<=\n\n)/)
        if (events.some((event) => event.includes('"reset"'))) connections++
        const doomed = isHostile && cut.length === 0 ? events.find((event) => event.includes(member)) : undefined
        if (doomed !== undefined) cut.push(doomed)
        const rest = events.filter((event) => event !== doomed).join('')
        if (rest !== '') pass(new TextEncoder().encode(rest))
      },
    })
    try {
      expect(await guard.ready()).toBe(true)
      const { token, grant } = await credential()
      const accepts = async () => (await guard.verify(`Bearer ${token}`, { scopes: [] })).ok
      expect(await accepts()).toBe(true)
      isHostile = true
      const id = kind === 'grants' ? grant : String(decodeJwt(token).jti)
      const taken = await api(`/${kind}/${id}/revoke`, broker.adminToken, { reason: 'found' })
      const receipt = String(taken.json.id ?? (taken.json.receipt as { id?: string } | undefined)?.id)
      await expect.poll(() => cut.length, { timeout: 10_000 }).toBe(1)
      const isRevoked = async () => (await api(`/receipts/${receipt}`, broker.adminToken)).json.status === 'revoked'
      await expect.poll(isRevoked, { timeout: 25_000 }).toBe(true)
      for (let more = 0; more < 20; more++) expect(await accepts()).toBe(false)
      expect(guard.status().lastFault).toMatch(/lost an event/)
      expect(connections).toBe(2)
      await expect.poll(() => guard.ready(100), { timeout: 11_000 }).toBe(true)
      expect((await guard.verify(`Bearer ${(await credential()).token}`, { scopes: [] })).ok).toBe(true)
      expect(await accepts()).toBe(false)
    } finally {
      await guard.close()
    }
  },
  60_000,
)
