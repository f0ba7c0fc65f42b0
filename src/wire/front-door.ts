// The one front door: gives each request its id, refuses foreign hosts, hands it to the edge it is for, and catches
// what no edge expected. It decides nothing about authority.

import type { HttpBindings } from '@hono/node-server'
import { Hono, type MiddlewareHandler } from 'hono'
import type { EdgeVariables } from '../actions/edge.ts'
import { type Ids, type Log, StoreUnavailable } from '../actions/ports.ts'
import { withinTrace } from '../actions/tracing.ts'
import type { ChecksRoom } from './admit.ts'

type DoorEnv = { Variables: EdgeVariables; Bindings: HttpBindings }
export type FrontDoorApp = Hono<DoorEnv>

export type FrontDoor = {
  readonly log: Log
  readonly ids: Pick<Ids, 'next'>
  /** Host names, no port (DNS rebinding). Null on the local socket, where there is no name to rebind. */
  readonly allowedHosts: readonly string[] | null
  /** True on the local socket alone: whoever reaches it is the operator (S7). */
  readonly operator: boolean
  /** Whether there is room for a call; without it there always is. */
  readonly admit?: MiddlewareHandler<DoorEnv>
  /** The same beside this door. */
  readonly checks?: ChecksRoom
}

export function createFrontDoor(door: FrontDoor, mount: (app: FrontDoorApp) => void): FrontDoorApp {
  const app: FrontDoorApp = new Hono()
  const isAllowed = hostCheck(door.allowedHosts)
  app.use('*', async (c, next) => {
    const requestId = door.ids.next('rid')
    c.set('requestId', requestId)
    c.set('remote', door.operator ? 'socket' : (c.env.incoming.socket.remoteAddress ?? 'unknown'))
    c.set('operator', door.operator ? { role: 'operator' } : null)
    // On Node's own response, for every answer alike; what an edge says itself goes before `no-store`.
    const { outgoing } = c.env
    for (const [name, value] of Object.entries(alwaysSent(requestId))) outgoing.setHeader(name, value)
    if (!isAllowed(c.req.header('host') ?? ''))
      return c.json(
        {
          type: 'about:blank',
          title: 'Misdirected Request',
          status: 421,
          code: 'invalid_request',
          detail: 'This broker does not answer under this host name.',
          hint: 'An operator: add it to HALLPASS_ALLOWED_HOSTS.',
          requestId,
        },
        421,
        { 'Content-Type': 'application/problem+json' },
      )
    return withinTrace(c.req.header('traceparent'), c.req.header('tracestate'), next)
  })
  if (door.admit !== undefined) app.use('*', door.admit)
  mount(app)
  app.notFound((c) =>
    c.json(
      {
        type: 'about:blank',
        title: 'Not Found',
        status: 404,
        code: 'invalid_request',
        detail: 'There is nothing here.',
        hint: 'The API is at /v1, described at /v1/openapi.json; agents connect to /mcp.',
        requestId: c.get('requestId'),
      },
      404,
      { 'Content-Type': 'application/problem+json' },
    ),
  )
  app.onError((error, c) => {
    const requestId = c.get('requestId')
    const unavailable = error instanceof StoreUnavailable
    door.log.error({ requestId, error: error.name, message: error.message, stack: error.stack }, 'a request failed')
    const status = unavailable ? 503 : 500
    return c.json(
      {
        type: 'about:blank',
        title: unavailable ? 'Service Unavailable' : 'Internal Server Error',
        status,
        code: unavailable ? 'audit_unavailable' : 'internal',
        detail: unavailable
          ? 'The store cannot be used, so nothing is answered.'
          : 'Something broke here. Nothing was issued.',
        hint: 'Try again; give an operator this requestId if it lasts.',
        requestId,
      },
      status,
      { 'Content-Type': 'application/problem+json', ...(unavailable ? { 'Retry-After': '2' } : {}) },
    )
  })
  return app
}

/** Headers of every answer. */
export const alwaysSent = (requestId: string) => ({
  'X-Request-Id': requestId,
  'X-Content-Type-Options': 'nosniff',
  'Cache-Control': 'no-store',
})

/** Spellings of allowed hosts that were seen before; a client has one. */
const MAX_SPELLINGS = 100

/** Whether a `Host` header names one of these; any does where that is null. */
export function hostCheck(allowed: readonly string[] | null): (header: string) => boolean {
  const known = new Set<string>()
  return (header) => {
    if (allowed === null || known.has(header)) return true
    if (!allowed.includes(hostName(header))) return false
    if (known.size < MAX_SPELLINGS) known.add(header)
    return true
  }
}

function hostName(header: string): string {
  return URL.canParse(`http://${header}`) ? new URL(`http://${header}`).hostname : ''
}
