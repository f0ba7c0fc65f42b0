// The guard in front of a handler: fetch-style servers and Hono. A handler behind it runs only for an allowed request.
import type { Context, MiddlewareHandler } from 'hono'
import type { GuardAccess } from './access.ts'
import type { Guard, Need } from './create-guard.ts'
import { refusalResponse } from './refusal.ts'

/** Wraps a fetch-style handler. `need` is fixed, or worked out from the request (never from its Authorization header). */
export const guardFetch =
  (
    guard: Guard,
    need: Need | ((request: Request) => Need),
    handler: (request: Request, access: GuardAccess) => Response | Promise<Response>,
  ): ((request: Request) => Promise<Response>) =>
  async (request) => {
    const result = await guard.verify(request, typeof need === 'function' ? need(request) : need)
    return result.ok ? handler(request, result) : refusalResponse(result)
  }

export type GuardVariables = { hallpass: GuardAccess }

export type HonoNeed = {
  readonly scopes: readonly string[] | ((c: Context) => readonly string[])
  readonly details?: (c: Context) => Readonly<Record<string, string>>
}

/** Hono middleware: handlers after it read `c.get('hallpass')`. */
export const honoGuard =
  (guard: Guard, need: HonoNeed): MiddlewareHandler<{ Variables: GuardVariables }> =>
  async (c, next) => {
    const scopes = typeof need.scopes === 'function' ? need.scopes(c) : need.scopes
    const result = await guard.verify(c.req.raw, need.details ? { scopes, details: need.details(c) } : { scopes })
    if (!result.ok) return refusalResponse(result)
    c.set('hallpass', result)
    await next()
  }
