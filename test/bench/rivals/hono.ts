// A bare Hono no-op on @hono/node-server: the least that an HTTP answer costs in this stack. It reads nothing it is sent.

import { serve } from '@hono/node-server'
import { Hono } from 'hono'

const app = new Hono()
app.all('*', (c) => c.text('ok'))
serve({ fetch: app.fetch, port: Number(process.argv[3]), hostname: '127.0.0.1' })
