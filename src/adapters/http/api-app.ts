// The API at /v1, and what probes and scrapers ask at the root. It only reads calls and writes answers: every decision is
// an action's. What throws is caught here once, and answered with the request's id alone.

import { Hono } from 'hono'
import { authorize } from '../../actions/authorize.ts'
import type { Edge } from '../../actions/edge.ts'
import { readerOf } from '../../actions/list-rows.ts'
import { StoreInDoubt, StoreUnavailable } from '../../actions/ports.ts'
import { isReady } from '../../actions/readiness.ts'
import { BEARER_PATTERN } from '../../core/bearer.ts'
import { type Problem, problem } from '../../core/problem.ts'
import { VERSION } from '../../core/version.ts'
import { countedRefusals, createMetrics, type Metrics } from './metrics.ts'
import { describeApi } from './openapi.ts'
import { type ApiEnv, answer, callerOf } from './pipeline.ts'
import { problemResponse } from './problem-to-http.ts'
import type { ApiParts } from './route.ts'
import { ROUTES } from './routes.ts'

export type { ApiEnv } from './pipeline.ts'
export type { ApiParts } from './route.ts'

/**
 * `shared`: metrics made by `createMetrics` by whoever counts the refusals of all edges in it (`countedRefusals`). Without it the
 * API counts its own. It follows the log until the store closes.
 */
export function createApiApp(given: Edge, parts: ApiParts, shared?: Metrics): Hono<ApiEnv> {
  const metrics = shared ?? createMetrics(given.deps)
  const edge = shared === undefined ? { ...given, refusals: countedRefusals(given.refusals, metrics) } : given
  const app = new Hono<ApiEnv>()
  const document = JSON.stringify(describeApi(edge.deps.settings.issuer, VERSION))

  app.get('/healthz', (c) => c.text('ok\n'))
  app.get('/readyz', async (c) => ((await isReady(edge.deps)) ? c.text('ok\n') : c.text('not ok\n', 503)))
  app.get('/v1/openapi.json', (c) => c.body(document, 200, { 'content-type': 'application/json' }))
  for (const route of ROUTES) {
    const path = `/v1${route.path.replace(/\{(\w+)\}/g, ':$1')}`
    app.on(route.method.toUpperCase(), path, answer(edge, parts, metrics, route))
  }
  app.get('/metrics', async (c) => {
    const requestId = c.get('requestId')
    const who = await callerOf(c, edge, 'GET /metrics')
    if (!who.ok) return problemResponse(who.error.problem, requestId, who.error.status)
    const refused = await authorize(readerOf(edge.deps), who.value, 'metrics.read')
    if (refused === null) return c.body(await metrics.text(), 200, { 'content-type': metrics.contentType })
    await edge.refusals.note({ caller: who.value, requestId }, refused, 'GET /metrics')
    return problemResponse(refused, requestId)
  })
  app.all('/v1/*', async (c) => {
    const who = await callerOf(c, edge, 'unknown')
    if (!who.ok) return problemResponse(who.error.problem, c.get('requestId'), who.error.status)
    const unknown = problem('invalid_request', 'There is nothing at this address, or not by this method.', {
      hint: 'See /v1/openapi.json for what there is.',
    })
    return problemResponse(unknown, c.get('requestId'), 404)
  })

  app.onError((thrown, c) => {
    const requestId = c.get('requestId')
    edge.deps.log.error(
      { requestId, method: c.req.method, route: c.req.routePath, ...faultOf(thrown) },
      'a call of the API failed',
    )
    return problemResponse(brokenBy(thrown), requestId)
  })
  return app
}

const brokenBy = (thrown: Error): Problem =>
  thrown instanceof StoreUnavailable || thrown instanceof StoreInDoubt
    ? problem('audit_unavailable', 'The audit trail cannot be reached, so nothing is answered or changed.', {
        retryable: true,
        retryAfterSeconds: 5,
        hint: 'Try again in a few seconds; tell an admin if it lasts.',
      })
    : problem('internal', 'Something broke here, and nothing was promised.', {
        hint: 'Give an admin this requestId: the log has the rest.',
      })

/** What went wrong, for the log; nothing that looks like a token survives. */
const faultOf = (thrown: Error) => ({
  error: thrown.name,
  stack: (thrown.stack ?? thrown.message)
    .replace(BEARER_PATTERN, '[secret]')
    .replace(/eyJ[\w-]+\.[\w-]+\.[\w-]+/g, '[secret]'),
})
