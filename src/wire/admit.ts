// Which class a call is of, and what it is told where there is no room for it: in the words of the edge it came to. What takes
// away, what tools ask and what says that the broker lives never waits behind agents (S17).

import type { HttpBindings } from '@hono/node-server'
import type { MiddlewareHandler } from 'hono'
import type { EdgeVariables } from '../actions/edge.ts'
import type { Settings } from '../actions/ports.ts'
import { type Admission, createAdmission, type Entering } from '../adapters/http/admission.ts'
import { problemAnswer, problemResponse } from '../adapters/http/problem-to-http.ts'
import { httpRefusal } from '../adapters/mcp/http-refusal.ts'
import { problemToOauth } from '../adapters/oauth/problem-to-oauth.ts'
import { ADMISSION } from '../core/limits.ts'
import { problem } from '../core/problem.ts'

type DoorEnv = { Variables: EdgeVariables; Bindings: HttpBindings }

export type CallClass = 'agents' | 'checks' | 'people'

const CHECKS = new Set(['/forward-auth', '/oauth/introspect', '/guard/lease', '/guard/feed'])
const ALWAYS = new Set(['/healthz', '/readyz'])

/** By what the call says of itself, unverified: `path` as it is routed. Null is served always: it costs nothing. */
export function classOf(path: string, authorization: string | undefined): CallClass | null {
  if (ALWAYS.has(path)) return null
  if (CHECKS.has(path) || path.startsWith('/.well-known/')) return 'checks'
  if (path === '/mcp' || path === '/oauth/token') return 'agents'
  // A session's token; whoever takes away, or looks after the house, has a secret of another shape.
  const isAgents = path.startsWith('/v1/') && /^bearer +ey/i.test(authorization ?? '')
  return isAgents ? 'agents' : 'people'
}

/** The same for a check that is answered beside the front door. */
export type ChecksRoom = {
  enter(): Entering
  /** What the front door would have said, to a call that was turned away. */
  turnedAway(requestId: string): ReturnType<typeof problemAnswer>
}

/** `refused` hears of each call that was turned away. */
export function createDoorman(
  settings: Pick<Settings, 'issuer'>,
  monotonic: () => number,
  refused: (of: CallClass) => void,
): {
  readonly admission: Admission<CallClass>
  readonly admit: MiddlewareHandler<DoorEnv>
  readonly checks: ChecksRoom
} {
  const { waitMs, placeMs, ...rooms } = ADMISSION
  const admission = createAdmission<CallClass>(rooms, { waitMs, placeMs }, monotonic)
  const answer = (path: string, requestId: string): Response => {
    if (path === '/mcp') return httpRefusal(settings, requestId, overloaded)
    if (!path.startsWith('/oauth/')) return problemResponse(overloaded, requestId)
    const { status, headers, body } = problemToOauth({ problem: overloaded }, requestId)
    // A body that is text, and headers that are plain, cost a tenth of what Response.json does: here that counts.
    return new Response(JSON.stringify(body), { status, headers: { 'Content-Type': 'application/json', ...headers } })
  }
  return {
    admission,
    async admit(c, next) {
      const { incoming, outgoing } = c.env
      const of = classOf(c.req.path, incoming.headers.authorization)
      if (of === null) return next()
      const entering = admission.enter(of)
      const leave = entering instanceof Promise ? await entering : entering
      if (leave !== null && !outgoing.destroyed) return next().finally(leave)
      // Who has gone while waiting hears nothing, and takes no place.
      leave?.()
      refused(of)
      return answer(c.req.path, c.get('requestId'))
    },
    checks: {
      enter: () => admission.enter('checks'),
      turnedAway(requestId) {
        refused('checks')
        return problemAnswer(overloaded, requestId)
      },
    },
  }
}

const overloaded = problem('overloaded', 'Too many calls are waiting to be served, so this one was not looked at.', {
  retryable: true,
  retryAfterSeconds: 1,
  hint: 'Try again after the Retry-After, and then at longer intervals.',
})
