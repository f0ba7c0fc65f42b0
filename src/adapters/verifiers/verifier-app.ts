// What tools ask of the broker: may this request pass (forward-auth), what is dead before its time (feed), and may I answer
// by myself for ten seconds (lease). Everything here needs the tool's own verifier token (S14).

import { Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import type { Edge, EdgeVariables } from '../../actions/edge.ts'
import { type Guards, StoreUnavailable } from '../../actions/ports.ts'
import { problem } from '../../core/problem.ts'
import { createDenialFeed } from './denial-feed.ts'
import { createForwardAuth, type ForwardAuth } from './forward-auth.ts'
import { createGuardLeases } from './guard-leases.ts'
import { createGuardRoutes } from './guard-routes.ts'
import { askingOf, type Refused, refusal, refusalOf, refused, respond } from './refusal.ts'

/** The one path that a proxy asks at each of its requests. */
export const FORWARD_AUTH = '/forward-auth'

const LEASE_BYTES = 4 * 1024

export type VerifierApp = {
  readonly app: Hono<{ Variables: EdgeVariables }>
  /** What `app` answers at {@link FORWARD_AUTH}. Never rejects. */
  readonly forwardAuth: ForwardAuth
  /** For `Deps.guards`, which the edge's own deps may reach only after this. */
  readonly guards: Guards
  /** Ends all connections and stops following the log. */
  close(): Promise<void>
}

export function createVerifierApp(edge: Edge): VerifierApp {
  const feed = createDenialFeed(edge.deps, ({ put }) => {
    if (put.some(({ kind }) => kind === 'bearer')) recheck()
  })
  const guards = createGuardLeases(feed, edge.deps.clock)
  const routes = createGuardRoutes(edge, feed, guards)
  const recheck = () => {
    routes.recheck().catch((thrown) => edge.deps.log.error({ err: thrown }, 'the guards could not be looked after'))
  }

  const app = new Hono<{ Variables: EdgeVariables }>()
  const decide = createForwardAuth(edge)
  const forwardAuth: ForwardAuth = (asking, query) =>
    decide(asking, query).catch((thrown: unknown) => refusalOf(asking.requestId, broken(asking.requestId, thrown)))
  app.get(FORWARD_AUTH, async (c) => respond(await forwardAuth(askingOf(c), queryOf(c.req.url))))
  app.get('/guard/feed', routes.feed)
  const tooLong = refused(problem('invalid_request', `The body is longer than ${LEASE_BYTES} bytes.`))
  app.post('/guard/lease', bodyLimit({ maxSize: LEASE_BYTES, onError: (c) => refusal(c, tooLong) }), routes.lease)
  app.onError((error, c) => refusal(c, broken(c.get('requestId'), error)))

  function broken(requestId: string, thrown: unknown): Refused {
    const error = thrown instanceof Error ? thrown : new Error(String(thrown))
    edge.deps.log.error(
      { requestId, error: error.name, message: error.message, stack: error.stack },
      'a request failed',
    )
    return refused(
      error instanceof StoreUnavailable
        ? problem('audit_unavailable', 'The store cannot be used, so nothing is answered.', { retryAfterSeconds: 2 })
        : problem('internal', 'Something broke here. The request may not pass.'),
    )
  }

  return {
    app,
    forwardAuth,
    guards,
    async close() {
      routes.close()
      await feed.close()
    },
  }
}

const queryOf = (url: string): string => {
  const at = url.indexOf('?')
  return at === -1 ? '' : url.slice(at + 1)
}
