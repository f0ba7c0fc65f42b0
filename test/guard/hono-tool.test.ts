// The example tool, behind a real guard.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createTicketDesk } from '../../examples/hono-tool/ticket-desk.ts'
import { bearer, type FakeBroker, startBroker } from './fake-broker.ts'

let broker: FakeBroker
let desk: ReturnType<typeof createTicketDesk>
beforeAll(async () => {
  broker = await startBroker()
  desk = createTicketDesk(broker.guard())
})
afterAll(() => broker.stop())

const call = async (path: string, claims: Record<string, unknown>, body?: unknown) => {
  const headers = { authorization: bearer(await broker.mint(claims)), 'content-type': 'application/json' }
  const init = body === undefined ? { headers } : { method: 'POST', headers, body: JSON.stringify(body) }
  const response = await desk.request(path, init)
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}
const incidentsOnly = { authorization_details: [{ type: 'hallpass_details', constraints: { queue: ['incidents'] } }] }

test('tickets are listed within the queues of the credential alone (S9)', async () => {
  const ids = (answer: { body: Record<string, unknown> }) =>
    (answer.body.tickets as Array<{ id: string }>).map((t) => t.id)
  expect(ids(await call('/tickets', {}))).toEqual(['INC-1', 'INC-2', 'HR-1'])
  expect(ids(await call('/tickets', incidentsOnly))).toEqual(['INC-1', 'INC-2'])
  expect(ids(await call('/tickets?queue=incidents', incidentsOnly))).toEqual(['INC-1', 'INC-2'])
  expect(await call('/tickets?queue=hr', incidentsOnly)).toMatchObject({
    status: 403,
    body: { code: 'details_not_allowed' },
  })
})

test('a comment needs its scope and the queue of the ticket (P2)', async () => {
  const comment = { text: 'Looking into it.' }
  expect(await call('/tickets/INC-1/comments', incidentsOnly, comment)).toMatchObject({
    status: 201,
    body: { comments: 1 },
  })
  expect(await call('/tickets/HR-1/comments', incidentsOnly, comment)).toMatchObject({ status: 403 })
  expect(await call('/tickets/INC-1/comments', { scope: 'ticket:read' }, comment)).toMatchObject({
    status: 403,
    body: { code: 'insufficient_scope' },
  })
  expect(await call('/tickets/INC-1/comments', {}, { text: 7 })).toMatchObject({ status: 400 })
  expect(await call('/tickets/NO-1/comments', {}, comment)).toMatchObject({ status: 404 })
})

test('without a credential nothing is shown (P10)', async () => {
  expect((await desk.request('/tickets')).status).toBe(401)
  expect((await desk.request('/tickets/INC-1/comments', { method: 'POST' })).status).toBe(401)
})
