import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { expect, test, vi } from 'vitest'
import { ADMISSION } from '../../src/core/limits.ts'
import { createDoorman } from '../../src/wire/admit.ts'
import { createFrontDoor, type FrontDoor } from '../../src/wire/front-door.ts'
import { besideTheFrontDoor } from '../../src/wire/side-door.ts'
import { silentLog } from '../support/store-on-disk.ts'

const ISSUER = 'https://hallpass.example.com'
const PATH = '/forward-auth?resource=https://tickets.example.com/&scope=read'

/** A side door whose checks are answered once `answer` is called. */
function stage() {
  let now = 0
  const turnedAway: string[] = []
  const { admission, admit, checks } = createDoorman(
    { issuer: ISSUER },
    () => now,
    (of) => turnedAway.push(of),
  )
  const asked: (() => void)[] = []
  const front: FrontDoor = {
    log: silentLog,
    ids: { next: (kind) => `${kind}_1` },
    allowedHosts: ['hallpass.example.com'],
    operator: false,
    admit,
    checks,
  }
  const ask = () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    asked.push(resolve)
    return promise.then(() => ({ status: 200, headers: {}, body: null }))
  }
  const listener = besideTheFrontDoor(front, ask, () => {
    throw new Error('a plain check went to the front door')
  })
  const socket = new Socket()
  function call() {
    const incoming = Object.assign(new IncomingMessage(socket), { method: 'GET', url: PATH })
    incoming.headers.host = 'hallpass.example.com'
    const outgoing = new ServerResponse(incoming)
    const head = vi.spyOn(outgoing, 'writeHead')
    const { promise, resolve } = Promise.withResolvers<{ status: number; headers: unknown; body: unknown }>()
    outgoing.end = (body: unknown) => {
      resolve({ status: outgoing.statusCode, headers: head.mock.calls[0]?.[1], body })
      return outgoing
    }
    listener(incoming, outgoing)
    return { answer: promise, outgoing }
  }
  const atFrontDoor = () => {
    const incoming = new IncomingMessage(socket)
    const env = { incoming, outgoing: new ServerResponse(incoming) }
    return createFrontDoor(front, () => {}).request(
      `${ISSUER}${PATH}`,
      { headers: { host: 'hallpass.example.com' } },
      env,
    )
  }
  return {
    ...{ admission, asked, turnedAway, call, atFrontDoor },
    pass: (milliseconds: number) => {
      now += milliseconds
    },
  }
}

test('a check beside the front door waits for a place, and is turned away where too many wait, as the front door would (S17)', async () => {
  const { atOnce, waiting } = ADMISSION.checks
  const { admission, asked, turnedAway, call, atFrontDoor } = stage()
  const calls = Array.from({ length: atOnce + waiting }, call)
  expect(asked).toHaveLength(atOnce)
  expect(admission.occupied().checks).toEqual({ atOnce, waiting })

  const refused = await call().answer
  expect(refused.status).toBe(503)
  const inFront = await atFrontDoor()
  expect(inFront.status).toBe(503)
  expect(refused.body).toBe(await inFront.text())
  expect(refused.headers).toMatchObject({
    'Retry-After': inFront.headers.get('retry-after'),
    'Cache-Control': 'no-store',
  })
  expect(turnedAway).toEqual(['checks', 'checks'])

  for (let next = 0; next < asked.length; next++) {
    asked[next]!()
    await new Promise(setImmediate)
  }
  const statuses = await Promise.all(calls.map(async ({ answer }) => (await answer).status))
  expect(new Set(statuses)).toEqual(new Set([200]))
  expect(admission.occupied().checks).toEqual({ atOnce: 0, waiting: 0 })
  admission.close()
})

test('a check whose caller went while it waited is not looked at, and takes no place (S17)', async () => {
  const { admission, asked, call } = stage()
  const calls = Array.from({ length: ADMISSION.checks.atOnce + 1 }, call)
  calls.at(-1)!.outgoing.destroy()
  for (const answer of asked) answer()
  await calls[0]!.answer
  await new Promise(setImmediate)
  expect(asked).toHaveLength(ADMISSION.checks.atOnce)
  expect(admission.occupied().checks).toEqual({ atOnce: 0, waiting: 0 })
  admission.close()
})
