// The MCP edge, with the OAuth edge that it sends strangers to, over a real store and real keys, served on loopback, with what an agent and an owner can do around it.

import { createSecretKey, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createAdaptorServer } from '@hono/node-server'
import { Client, type ClientOptions, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { Hono } from 'hono'
import { createTokenVerifier } from '../../src/actions/authenticate-session.ts'
import type { Edge, EdgeVariables } from '../../src/actions/edge.ts'
import { createExpiryWatch } from '../../src/actions/expiry-watch.ts'
import { createToolsetReader } from '../../src/actions/list-access.ts'
import { createRefusals } from '../../src/actions/note-refusals.ts'
import { openSession } from '../../src/actions/open-session.ts'
import type { Deps } from '../../src/actions/ports.ts'
import { createRateLimiter, type Rate } from '../../src/actions/rate-limit.ts'
import { ensureKeys } from '../../src/actions/rotate-keys.ts'
import { approveRequest, denyRequest } from '../../src/actions/settle-request.ts'
import { recordOf, transact } from '../../src/actions/transact.ts'
import type { UpstreamTools } from '../../src/actions/upstream-tools.ts'
import { createKeys } from '../../src/adapters/keys/create-keys.ts'
import { createSigner } from '../../src/adapters/keys/signer.ts'
import { createMcpApp, type Extend } from '../../src/adapters/mcp/mcp-app.ts'
import { createOauthApp } from '../../src/adapters/oauth/oauth-app.ts'
import { compileSlices } from '../../src/core/compile-slices.ts'
import { RATE } from '../../src/core/limits.ts'
import type { Manifest } from '../../src/core/manifest.ts'
import { NEW_LOCKABLE, type Row } from '../../src/core/model.ts'
import { reveal } from '../../src/core/record.ts'
import { ok } from '../../src/core/result.ts'
import { fakeTargets } from '../support/fake-targets.ts'
import { agent, entry, scope, setOf, tool } from '../support/manifest-set.ts'
import { silentLog, storeOnDisk, unwrap } from '../support/store-on-disk.ts'

export const OWNER = 'alice@example.com'

/** What two agents may ask for: triage-bot of tickets and metrics, other-bot of metrics alone. */
export const manifests = (): Manifest[] => [
  tool('tickets', {
    scopes: {
      'ticket:read': scope(),
      'ticket:comment': scope({ risk: 'medium' }),
      'ticket:close': scope({ risk: 'high' }),
    },
  }),
  tool('metrics', { category: 'observability', scopes: { 'metrics:read': scope() }, details: {} }),
  agent('triage-bot', {
    access: [
      entry('tickets', ['ticket:read', 'ticket:comment'], { details: { queue: ['incidents'] }, delivery: 'inline' }),
      entry('metrics', ['metrics:read'], { approval: 'none' }),
    ],
  }),
  agent('other-bot', {
    owners: ['bob@example.com'],
    access: [entry('metrics', ['metrics:read'], { approval: 'none' })],
  }),
]

export type Rates = Partial<Record<keyof Edge['limiters'], Rate>>

export type Served = Awaited<ReturnType<typeof serveMcp>>

/**
 * `extend` is what a suite of tests of others has to find beside our tools; `upstream` connects tools' own MCP servers, looked
 * at when the test says so.
 */
export async function serveMcp(rates: Rates = {}, extend?: Extend, upstream?: (deps: Deps) => UpstreamTools) {
  const disk = await storeOnDisk()
  const { store, clock, ids } = disk
  const app = new Hono<{ Variables: EdgeVariables }>()
  const server = createAdaptorServer({ fetch: (request, env) => app.fetch(request, env) })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const settings: Deps['settings'] = {
    issuer,
    mcpUrl: `${issuer}/mcp`,
    sessionMaxSeconds: 3600,
    scopesMode: 'watch',
    requestTtlSeconds: 3600,
    supportedApprovals: ['none', 'owner'],
  }
  const kek = createSecretKey(randomBytes(32))
  unwrap(await ensureKeys({ store, clock, ids }, createKeys(kek)))
  const signer = await createSigner({ store, kek, clock, settings, log: silentLog })
  const deps: Deps = {
    store,
    signer,
    keys: createKeys(kek),
    ...fakeTargets(kek, clock),
    clock,
    ids,
    guards: { lease: () => ({ leaseSeconds: 0 }), acknowledged: () => ({ all: false, guards: 0 }) },
    expiry: createExpiryWatch(clock, store.highestTime()),
    notifier: { notify: () => {} },
    log: silentLog,
    settings,
  }
  const limiter = (name: keyof Edge['limiters'], rate: Rate) => createRateLimiter(rates[name] ?? rate, clock)
  const upstreamTools = upstream?.(deps)
  const edge: Edge = {
    ...(upstreamTools === undefined ? {} : { upstreamTools }),
    deps,
    verify: createTokenVerifier(deps),
    toolsetOf: createToolsetReader(deps),
    refusals: createRefusals(deps),
    limiters: {
      ask: limiter('ask', RATE.askPerAgent),
      token: limiter('token', RATE.tokenPerClient),
      mint: limiter('mint', RATE.mintPerAgent),
      call: limiter('call', RATE.callPerAgent),
      stranger: limiter('stranger', RATE.strangerPerAddress),
      api: limiter('api', RATE.apiPerBearer),
      check: limiter('check', RATE.checkPerTool),
    },
    allowedHosts: ['127.0.0.1', 'localhost'],
  }
  const mcp = createMcpApp(edge, extend)
  app.use('*', async (c, next) => {
    c.set('requestId', ids.next('rid'))
    c.set('remote', '127.0.0.1')
    c.set('operator', null)
    await next()
  })
  app.route('/', createOauthApp(edge))
  app.route('/', mcp.app)

  /** Puts rows as they are, whatever authority would say. */
  const put = async (...rows: Row[]) => {
    const context = { caller: { role: 'system', part: 'server' }, requestId: ids.next('tsk') } as const
    const record = (at: number) =>
      recordOf(context, at, 'server.started', {}, { version: '0.0.0', node: process.versions.node, records: 0 })
    unwrap(await transact(deps, 'normal', async ({ now }) => ok({ value: null, put: rows, records: [record(now)] })))
  }
  const inForce = (...documents: Manifest[]) =>
    put(
      ...[...compileSlices(setOf(...documents))].map(
        ([id, value]): Row => ({ kind: 'slice', row: { id, value, digest: id, resumable: null } }),
      ),
    )
  await put(
    { kind: 'installation', row: { ...NEW_LOCKABLE, id: 'self', initializedAt: clock.now(), revision: 'rev_test' } },
    ...['triage-bot', 'other-bot'].map(
      (id): Row => ({
        kind: 'agent',
        row: { ...NEW_LOCKABLE, id, state: 'active', skeleton: id, decommission: null },
      }),
    ),
    ...['tickets', 'metrics'].map((id): Row => ({ kind: 'tool', row: { ...NEW_LOCKABLE, id } })),
  )
  await inForce(...manifests())

  const owner = { role: 'owner', email: OWNER, bearer: 'brr_test' } as const
  const clients: { close(): Promise<void> }[] = []
  return {
    url: settings.mcpUrl,
    issuer,
    deps,
    edge,
    mcp,
    clock,
    folder: disk.folder,
    put,
    inForce,
    /** Opens a session as the token endpoint does, its key proved. */
    async session(name: string) {
      const proof = { agent: name, key: `${name}-key`, jti: ids.next('jti'), expiresAt: clock.now() + 60_000 }
      return unwrap(await openSession(deps, proof, ids.next('rid')))
    },
    approve: async (request: string) =>
      unwrap(
        await approveRequest(
          deps,
          { caller: owner, requestId: ids.next('rid') },
          { request, hash: null, scopes: null, durationSeconds: null },
        ),
      ),
    deny: async (request: string, reason: string) =>
      unwrap(await denyRequest(deps, { caller: owner, requestId: ids.next('rid') }, { request, reason })),
    async client(token: string, options: ClientOptions = MODERN) {
      const client = new Client({ name: 'test', version: '1.0.0' }, options)
      const requestInit = { headers: { Authorization: `Bearer ${token}` } }
      await client.connect(new StreamableHTTPClientTransport(new URL(settings.mcpUrl), { requestInit }))
      clients.push(client)
      return client
    },
    closeLater: (client: { close(): Promise<void> }) => void clients.push(client),
    trail: async () => (await store.records(0, 500)).map(({ bytes, opened }) => reveal(bytes, opened)),
    async close() {
      for (const client of clients) await client.close()
      await mcp.close()
      await upstreamTools?.close()
      await new Promise<void>((resolve) => {
        server.close(() => resolve())
        if ('closeAllConnections' in server) server.closeAllConnections()
      })
      await signer.close()
      await disk.close()
    },
  }
}

export const MODERN: ClientOptions = { versionNegotiation: { mode: { pin: '2026-07-28' } } }
export const LEGACY: ClientOptions = {}

export { openRawSession, post, rpc } from '../support/raw-mcp.ts'
