// A small ticket desk behind the guard: two routes, two scopes, and the queues that a credential is limited to.
// It must never touch a ticket before it has asked whether the credential permits the ticket's queue.
import { Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { honoGuard, permits, refusalResponse } from '../../src/guard/index.js'

const sampleTickets = () => [
  { id: 'INC-1', queue: 'incidents', subject: 'Checkout answers 502', comments: [] },
  { id: 'INC-2', queue: 'incidents', subject: 'Disk nearly full on db-3', comments: [] },
  { id: 'HR-1', queue: 'hr', subject: 'Parental leave in spring', comments: [] },
]
const MAX_COMMENT_CHARS = 2_000
const MAX_COMMENTS = 1_000
/** The desk as a fetch-style app, with tickets of its own in memory. */
export const createTicketDesk = (guard) => {
  const tickets = sampleTickets()
  const app = new Hono()
  app.get('/tickets', honoGuard(guard, { scopes: ['ticket:read'] }), (c) => {
    const { details } = c.get('hallpass')
    const queue = c.req.query('queue')
    if (queue !== undefined && !permits(details, 'queue', queue)) return refusalResponse(guard.refuseDetails('queue'))
    const visible = tickets.filter((ticket) => permits(details, 'queue', ticket.queue))
    return c.json({ tickets: queue === undefined ? visible : visible.filter((ticket) => ticket.queue === queue) })
  })
  app.post(
    '/tickets/:id/comments',
    honoGuard(guard, { scopes: ['ticket:comment'] }),
    bodyLimit({ maxSize: 16 * 1024 }),
    async (c) => {
      const { agent, details } = c.get('hallpass')
      const ticket = tickets.find(({ id }) => id === c.req.param('id'))
      if (!ticket) return c.json({ message: 'There is no such ticket.' }, 404)
      if (!permits(details, 'queue', ticket.queue)) return refusalResponse(guard.refuseDetails('queue'))
      const body = await c.req.json().catch(() => undefined)
      const text = typeof body === 'object' && body !== null && 'text' in body ? body.text : undefined
      if (typeof text !== 'string' || text.trim() === '' || text.length > MAX_COMMENT_CHARS) {
        return c.json({ message: `Send {"text": "…"}, at most ${MAX_COMMENT_CHARS} characters.` }, 400)
      }
      if (ticket.comments.length >= MAX_COMMENTS) return c.json({ message: 'This ticket takes no more comments.' }, 409)
      ticket.comments.push({ by: agent, text })
      return c.json({ ticket: ticket.id, comments: ticket.comments.length }, 201)
    },
  )
  return app
}
