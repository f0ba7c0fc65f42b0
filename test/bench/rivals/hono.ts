// A bare Hono no-op on @hono/node-server. `bare` is the least that an HTTP answer costs in this stack and reads nothing it is sent;
// `form` reads the form and answers JSON as a token endpoint must, and does nothing else.

import { serve } from '@hono/node-server'
import { Hono } from 'hono'

const app = new Hono()
const token = { access_token: `eyJ${'a'.repeat(700)}`, token_type: 'Bearer', expires_in: 120, scope: 'metrics:read' }
if (process.argv[2] === 'form')
  app.post('/oauth/token', async (c) => {
    const form = new URLSearchParams(await c.req.text())
    return form.has('grant_type') ? c.json(token, 200, { 'Cache-Control': 'no-store' }) : c.json({}, 400)
  })
app.all('*', (c) => c.text('ok'))
serve({ fetch: app.fetch, port: Number(process.argv[3]), hostname: '127.0.0.1' })
