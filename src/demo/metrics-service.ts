// A small metrics service behind the guard, which asks the broker at every call. It answers in Prometheus' words, from
// numbers that it made up.
import { Hono } from 'hono'
import { type Guard, honoGuard } from '../guard/index.ts'

const SAMPLES: Readonly<Record<string, string>> = {
  up: '1',
  'http_requests_failed_ratio{service="checkout"}': '0.31',
}

/** The service as a fetch-style app: one route to query, one to delete. */
export function createMetricsService(guard: Guard) {
  const app = new Hono()
  app.get('/api/v1/query', honoGuard(guard, { scopes: ['metrics:read'] }), (c) => {
    const value = SAMPLES[c.req.query('query') ?? '']
    const result = value === undefined ? [] : [{ metric: {}, value: [Math.floor(Date.now() / 1000), value] }]
    return c.json({ status: 'success', data: { resultType: 'vector', result } })
  })
  app.post('/api/v1/admin/tsdb/delete_series', honoGuard(guard, { scopes: ['metrics:admin'] }), (c) =>
    c.body(null, 204),
  )
  return app
}
