// Runs the ticket desk on loopback. Configuration comes from the environment; the verifier token is never printed.
import { serve } from '@hono/node-server'
import { createGuard } from '../../src/guard/index.ts'
import { createTicketDesk } from './ticket-desk.ts'

const { HALLPASS_ISSUER, HALLPASS_VERIFIER, TICKETS_RESOURCE, TICKETS_PORT } = process.env

if (!HALLPASS_VERIFIER) {
  console.error('HALLPASS_VERIFIER is not set. On the broker’s host, make one with: hallpass verifier token tickets')
  process.exit(1)
}

const guard = createGuard({
  issuer: HALLPASS_ISSUER ?? 'http://127.0.0.1:8420',
  resource: TICKETS_RESOURCE ?? 'https://tickets.example.com',
  verifierToken: HALLPASS_VERIFIER,
  mode: 'offline',
  logger: { info: console.log, warn: console.error },
})

const server = serve(
  { fetch: createTicketDesk(guard).fetch, hostname: '127.0.0.1', port: Number(TICKETS_PORT ?? 8430) },
  ({ port }) => console.log(`ticket desk on http://127.0.0.1:${port}`),
)

const stop = async () => {
  server.close()
  await guard.close()
}
process.once('SIGINT', stop)
process.once('SIGTERM', stop)
