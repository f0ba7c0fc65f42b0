// The order in which every call of the API is checked: who, how often, what was sent, then the act. Each refusal of
// somebody known is on the trail before it is answered; strangers are counted (P8, S17).

import type { HttpBindings } from '@hono/node-server'
import type { Context as HonoContext } from 'hono'
import { type ApiCaller, authenticateCaller, type Presented } from '../../actions/authenticate-caller.ts'
import type { Edge, EdgeVariables } from '../../actions/edge.ts'
import type { Caller } from '../../actions/ports.ts'
import { rawHeader } from '../../actions/raw-header.ts'
import { servedSpan } from '../../actions/tracing.ts'
import { BODY_BYTES, HTTP } from '../../core/limits.ts'
import { type Problem, problem } from '../../core/problem.ts'
import { err, ok, type Result } from '../../core/result.ts'
import type { Metrics } from './metrics.ts'
import { problemResponse, statusOfProblem } from './problem-to-http.ts'
import { type Refused, readBody, readQuery } from './read-input.ts'
import { type ApiParts, callOf, type Route } from './route.ts'

export type ApiEnv = { Variables: EdgeVariables; Bindings: Partial<HttpBindings> }
type Http = HonoContext<ApiEnv>

/** What the call presents itself with, read where Node hides nothing. */
function presented(c: Http): Presented {
  return {
    authorizations: rawHeader(c, 'authorization'),
    operator: c.get('operator') ?? null,
    remote: c.get('remote') ?? 'unknown',
  }
}

/** The caller, within their rate; a refusal is noted or counted already. */
export async function callerOf(c: Http, edge: Edge, routeName: string): Promise<Result<ApiCaller, Refused>> {
  const who = await authenticateCaller(edge, presented(c))
  if (!who.ok) {
    const { problem: refused, known } = who.error
    if (known !== null) await note(c, edge, known, refused, routeName)
    // Not found is no answer to "who are you".
    const status = statusOfProblem(refused)
    return err({ problem: refused, status: status === 404 ? 401 : status })
  }
  const slowed = limited(edge, who.value)
  if (slowed === null) return ok(who.value)
  await note(c, edge, who.value, slowed, routeName)
  return err({ problem: slowed })
}

function limited({ limiters }: Edge, caller: ApiCaller): Problem | null {
  if (caller.role === 'operator') return null
  const taken = caller.role === 'agent' ? limiters.call.take(caller.agent) : limiters.api.take(caller.bearer)
  return taken.ok ? null : taken.error
}

const note = (c: Http, edge: Edge, caller: Caller, refused: Problem, routeName: string, about = {}) =>
  edge.refusals.note({ caller, requestId: c.get('requestId') }, refused, routeName, about)

/** Answers one call of one route. */
export function answer(edge: Edge, parts: ApiParts, metrics: Metrics, route: Route) {
  const name = `${route.method.toUpperCase()} /v1${route.path}`
  return async (c: Http): Promise<Response> => {
    const response = await respond(c)
    metrics.request(name, response.status)
    return response
  }

  async function respond(c: Http): Promise<Response> {
    const requestId = c.get('requestId')
    const refuse = ({ problem: refused, status = statusOfProblem(refused) }: Refused) =>
      problemResponse(refused, requestId, status)
    const who = await callerOf(c, edge, name)
    if (!who.ok) return refuse(who.error)
    const call = callOf(edge, parts, who.value, requestId, c.req.raw.signal)
    const about = { 'hallpass.request_id': requestId, 'hallpass.role': who.value.role }
    const done = await servedSpan(name, about, () => runRoute(c))
    if (done.ok) return done.value
    await note(c, edge, who.value, done.error.problem, name, aboutOf(c))
    return refuse(done.error)

    async function runRoute(http: Http): Promise<Result<Response, Refused>> {
      if (http.req.url.length > HTTP.urlBytes)
        return err({ problem: problem('invalid_request', 'The address is too long.'), status: 414 })
      const query = readQuery(http.req.url)
      if (!query.ok) return query
      const body =
        route.method === 'get'
          ? ok({})
          : await readBody(http.req.raw, route.body === null ? BODY_BYTES.console : route.bodyBytes)
      if (!body.ok) return body
      const ran = await route.run(call, { params: http.req.param(), query: query.value, body: body.value })
      if (!ran.ok) return ran
      const { value, status } = ran.value
      if (value instanceof Response) return ok(value)
      return ok(new Response(JSON.stringify(value), { status, headers: JSON_HEADERS }))
    }
  }
}

const JSON_HEADERS = { 'content-type': 'application/json', 'cache-control': 'no-store' }

/** The agent or tool that a refused call named, where it is a name at all. */
function aboutOf(c: Http): { agent?: string } {
  const name = c.req.param('name')
  return name !== undefined && /^[a-z0-9-]{1,63}$/.test(name) ? { agent: name } : {}
}
