// Puts one sample tool on a free port of loopback. The port has to be known before the broker starts (it goes into the
// tool's manifest), the guard can be made only after: until then the tool refuses everything.
import { serve } from '@hono/node-server'
import { createGuard, type Guard } from '../guard/index.ts'
import { expectThat } from './steps.ts'

export type ServedTool = {
  readonly resource: string
  /** Puts the tool behind its guard; resolves once the guard can answer. */
  open(options: { readonly issuer: string; readonly verifierToken: string }): Promise<void>
  close(): Promise<void>
}

type FetchApp = { fetch(request: Request): Response | Promise<Response> }

export async function serveTool(
  create: (guard: Guard) => FetchApp,
  mode: 'offline' | 'introspect',
): Promise<ServedTool> {
  let app: FetchApp = { fetch: () => new Response('Not open yet.', { status: 503 }) }
  let guard: Guard | null = null
  const listening = await new Promise<{ readonly server: ReturnType<typeof serve>; readonly port: number }>(
    (resolve) => {
      const server = serve({ fetch: (request) => app.fetch(request), hostname: '127.0.0.1', port: 0 }, ({ port }) =>
        resolve({ server, port }),
      )
    },
  )
  const resource = `http://127.0.0.1:${listening.port}`
  return {
    resource,
    async open({ issuer, verifierToken }) {
      guard = createGuard({ issuer, resource, verifierToken, mode })
      expectThat(await guard.ready(), `the guard of ${resource} to see the broker`, guard.status())
      app = create(guard)
    },
    async close() {
      await guard?.close()
      await new Promise<void>((resolve) => {
        listening.server.close(() => resolve())
        if ('closeAllConnections' in listening.server) listening.server.closeAllConnections()
      })
    },
  }
}
