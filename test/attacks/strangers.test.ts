// Strangers in a flood from the very address that everybody has behind a reverse proxy: under other names, and in the name
// of an agent that wants in. Agents get in all the same, and signatures are looked at no oftener than may be (S17).

import { readFileSync } from 'node:fs'
import { generateKeyPair, importPKCS8, SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createRateLimiter } from '../../src/actions/rate-limit.ts'
import { createClientDoor } from '../../src/adapters/oauth/client-door.ts'
import { type SampleBroker, startSampleBroker } from '../../src/commands/sample-broker.ts'
import { RATE } from '../../src/core/limits.ts'
import { createHarness, type Harness } from '../support/harness.ts'
import { bearer, FORM, form, send } from './wire.ts'

type Key = Parameters<SignJWT['sign']>[0]
const PROXY = '127.9.8.7'

describe('over the wire', () => {
  let broker: SampleBroker
  let nobody: Key
  beforeAll(async () => {
    broker = await startSampleBroker()
    nobody = (await generateKeyPair('ES256')).privateKey
  })
  afterAll(() => broker?.close())

  const assertion = (name: string, key: Key) =>
    new SignJWT({ jti: crypto.randomUUID() })
      .setProtectedHeader({ alg: 'ES256' })
      .setIssuer(name)
      .setSubject(name)
      .setAudience(broker.url)
      .setIssuedAt()
      .setExpirationTime('4m')
      .sign(key)
  const authenticate = async (name: string, key: Key) =>
    send(`${broker.url}/oauth/token`, {
      headers: FORM,
      body: form({
        grant_type: 'client_credentials',
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        client_assertion: await assertion(name, key),
      }),
      from: PROXY,
    })
  const honest = async (name: string) =>
    authenticate(name, await importPKCS8(readFileSync(broker.agents[name]!.keyPath, 'utf8'), 'ES256'))
  const nonsense = () => send(`${broker.url}/v1/whoami`, { headers: bearer('eyJ.eyJ.x'), from: PROXY })
  const drain = async () => {
    let last = 0
    while (last !== 429) last = (await nonsense()).status
  }
  /** Until `stop`, twelve at a time. */
  const flood = (one: () => Promise<unknown>, stop: AbortSignal) =>
    Promise.all(
      Array.from({ length: 12 }, async () => {
        while (!stop.aborted) await one()
      }),
    )

  test('an agent that proved itself from there opens new sessions, and uses them, through the whole flood (S17)', async () => {
    expect((await honest('triage-bot')).status).toBe(200)
    await drain()
    const stop = new AbortController()
    let n = 0
    const flooding = flood(() => authenticate(`stranger-${n++}`, nobody), stop.signal)
    for (let i = 0; i < 10; i++) {
      const opened = await honest('triage-bot')
      expect(opened.status, opened.text).toBe(200)
      const token = String(opened.json.access_token)
      expect((await send(`${broker.url}/v1/grants`, { headers: bearer(token), from: PROXY })).status).toBe(200)
      const headers = ['Content-Type', 'application/json', 'Accept', 'application/json, text/event-stream']
      const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list', params: {} })
      const listed = await send(`${broker.url}/mcp`, { headers: [...bearer(token), ...headers], body, from: PROXY })
      expect(listed.status, listed.text).toBe(200)
    }
    stop.abort()
    await flooding
  }, 60_000)
})

describe('at the door', () => {
  let h: Harness
  beforeAll(async () => {
    h = await createHarness()
  })
  afterAll(() => h.close())
  const doorOf = () => {
    const limiters = { stranger: createRateLimiter(RATE.strangerPerAddress, h.disk.clock) }
    return createClientDoor({ deps: h.deps, limiters: limiters as Parameters<typeof createClientDoor>[0]['limiters'] })
  }
  const tries = (door: ReturnType<typeof doorOf>, count: number, name: (i: number) => string) =>
    Array.from({ length: count }, (_, i) => door.knock(PROXY, name(i))).filter(({ ok }) => ok).length

  test('however many knock under however many names, checks are bounded, at once and by the second (S17)', () => {
    const door = doorOf()
    const { strangerPerAddress: own, claimedName: name, claimedByAnybody: all } = RATE
    const atOnce = own.capacity + name.capacity * name.maxKeys + all.capacity
    expect(tries(door, 20_000, (i) => `bot-${i}`)).toBe(atOnce)
    h.disk.clock.advance(1)
    const bySecond = own.refillPerSecond + name.refillPerSecond * name.maxKeys + all.refillPerSecond
    expect(tries(door, 20_000, (i) => `bot-${i}`)).toBeLessThanOrEqual(bySecond)
  })

  test.each([
    ['other names', (i: number) => `stranger-${i}`],
    ['its own name', () => 'bot'],
  ] as const)(
    'an agent that nobody remembers gets in within a minute of 2,000 strangers a second under %s (S17)',
    (_, as) => {
      // It tries once a second. Five brokers, so that it is no luck.
      for (let broker = 0; broker < 5; broker++) {
        const door = doorOf()
        tries(door, 5_000, as)
        let seconds = 0
        for (let isIn = false; !isIn; seconds++) {
          expect(seconds).toBeLessThan(60)
          const mine = Math.floor(Math.random() * 1000)
          for (let ms = 0; ms < 1000; ms++) {
            h.disk.clock.advance(0.001)
            // Before, between or after the two of this millisecond.
            const before = Math.floor(Math.random() * 3)
            tries(door, before, () => as(Math.floor(Math.random() * 1e9)))
            if (ms === mine) isIn = door.knock(PROXY, 'bot').ok
            tries(door, 2 - before, () => as(Math.floor(Math.random() * 1e9)))
          }
        }
      }
    },
    60_000,
  )

  test('who claims to be another uses up nothing of what that one proved from elsewhere, and little from here (S17)', () => {
    const door = doorOf()
    const proved = door.knock('10.0.0.1', 'bot')
    if (proved.ok) proved.value.proved()
    tries(door, 20_000, () => 'bot')
    expect(Array.from({ length: 5 }, () => door.knock('10.0.0.1', 'bot').ok)).toEqual([true, true, true, true, true])
    // A good one costs nothing: as many as it likes.
    for (let i = 0; i < 1000; i++) {
      const again = door.knock('10.0.0.1', 'bot')
      expect(again.ok).toBe(true)
      if (again.ok) again.value.proved()
    }
    // From the same address, in its name: after a second there is a turn again.
    tries(door, 20_000, () => 'bot')
    h.disk.clock.advance(1)
    expect(tries(door, 10, () => 'bot')).toBe(10)
  })
})
