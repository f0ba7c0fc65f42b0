// Builds the whole broker and opens its doors: the listener for everyone, the local socket for the operator, the watcher
// of the manifests, and the rounds. Everything that is connected is connected here.

import { chmodSync, readFileSync, rmSync } from 'node:fs'
import { createServer as createHttpServer, type RequestListener, type Server } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { getRequestListener } from '@hono/node-server'
import { createTokenVerifier } from '../actions/authenticate-session.ts'
import type { Edge } from '../actions/edge.ts'
import { createToolsetReader } from '../actions/list-access.ts'
import { createRefusals } from '../actions/note-refusals.ts'
import type { Deps, Guards, Log } from '../actions/ports.ts'
import { createRateLimiter } from '../actions/rate-limit.ts'
import { reapAccounts } from '../actions/reap-accounts.ts'
import { reconcileTargets } from '../actions/reconcile-targets.ts'
import { reconcileTools } from '../actions/reconcile-tool.ts'
import { ensureKeys, tendKeys } from '../actions/rotate-keys.ts'
import { createDrills } from '../actions/run-drills.ts'
import { createTakingAway } from '../actions/take-accounts-away.ts'
import { recordOf, transact } from '../actions/transact.ts'
import { createUpstreamTools, UPSTREAM_TOOLS } from '../actions/upstream-tools.ts'
import { createConsoleApp } from '../adapters/console/console-app.ts'
import { createApiApp } from '../adapters/http/api-app.ts'
import { countedRefusals, createMetrics } from '../adapters/http/metrics.ts'
import { createMcpApp } from '../adapters/mcp/mcp-app.ts'
import { createOauthApp } from '../adapters/oauth/oauth-app.ts'
import { createProxy } from '../adapters/proxy/proxy.ts'
import { shippedRecipes } from '../adapters/targets/shipped-recipes.ts'
import { programOpener, readCommands } from '../adapters/upstream-mcp/read-commands.ts'
import { createUpstreamMcp } from '../adapters/upstream-mcp/upstream-mcp.ts'
import { createVerifierApp } from '../adapters/verifiers/verifier-app.ts'
import type { Config } from '../config.ts'
import { DRILL, HTTP, RATE, TARGET } from '../core/limits.ts'
import { err, ok, type Result } from '../core/result.ts'
import { VERSION } from '../core/version.ts'
import { createDoorman } from './admit.ts'
import { followManifests } from './follow-manifests.ts'
import { createFrontDoor, type FrontDoor } from './front-door.ts'
import { createNotices } from './notices.ts'
import { type Broker, openBroker } from './open-broker.ts'
import { startRounds } from './rounds.ts'
import { besideForCalls, besideTheFrontDoor } from './side-door.ts'
import { keepTraceContext } from './trace-context.ts'

export type Running = {
  readonly address: {
    readonly issuer: string
    readonly mcpUrl: string
    readonly consoleUrl: string
    readonly dataPath: string
    readonly socketPath: string
  }
  readonly broker: Broker
  close(): Promise<void>
}

/** Moves keys along, and makes those that a tool has come to want before anybody needs them. */
async function lookAfterKeys(deps: Deps): Promise<void> {
  await tendKeys(deps)
  await ensureKeys(deps, deps.keys)
}

/** The error is a sentence for whoever starts it. */
export async function startBroker(config: Config, log: Log): Promise<Result<Running, string>> {
  keepTraceContext()
  const commands = readCommands(config.commandsPath, config.scopesPath)
  if (!commands.ok) return commands
  const notices = createNotices()
  let guards: Guards = NO_GUARDS
  const opened = await openBroker(config, log, {
    notifier: notices,
    guards: () => ({
      lease: (tool, guard, seq) => guards.lease(tool, guard, seq),
      acknowledged: (tool, seq) => guards.acknowledged(tool, seq),
    }),
  })
  if (!opened.ok) return opened
  const broker = opened.value
  const { deps } = broker
  const doorman = createDoorman(deps.settings, deps.clock.monotonic, (of) => {
    metrics.turnedAway(of)
    edge.refusals.stranger('overloaded')
  })
  const metrics = createMetrics(deps, doorman.admission.occupied)
  const plain = edgeOf(deps, config)
  const { openSecret } = broker
  const openProgram = programOpener(commands.value, openSecret)
  const { monotonic } = deps.clock
  const servers = createUpstreamMcp({ openSecret, openProgram, log, monotonic })
  const upstreamTools = createUpstreamTools(deps, servers, UPSTREAM_TOOLS, metrics.calls)
  const edge: Edge = { ...plain, refusals: countedRefusals(plain.refusals, metrics), upstreamTools }

  const mcp = createMcpApp(edge)
  const verifiers = createVerifierApp(edge)
  const proxy = createProxy(edge, openSecret, { meter: metrics.calls })
  guards = verifiers.guards
  notices.listen((notice) => {
    if (notice.type === 'agent.cut') void mcp.cut(notice.agent ?? null)
  })

  const stop = new AbortController()
  const manifests =
    config.scopesMode === 'watch'
      ? followManifests(deps, config, stop.signal)
      : { faults: () => [], stopped: Promise.resolve() }
  const parts = { keys: broker.keys, manifestFaults: manifests.faults, config, recipes: shippedRecipes() }
  const api = createApiApp(edge, parts, metrics)
  const front: FrontDoor = {
    log,
    ids: deps.ids,
    allowedHosts: config.allowedHosts,
    operator: false,
    admit: doorman.admit,
    checks: doorman.checks,
  }
  const everyone = createFrontDoor(front, (app) => {
    app.route('/', createOauthApp(edge))
    app.route('/', verifiers.app)
    app.route('/', mcp.app)
    app.route('/', api)
    app.route('/', createConsoleApp(edge))
  })
  const operator = createFrontDoor({ log, ids: deps.ids, allowedHosts: null, operator: true }, (app) => {
    app.route('/', api)
  })

  const doors: Server[] = []
  const closeAll = async () => {
    stop.abort()
    doorman.admission.close()
    for (const door of doors) await closed(door)
    await mcp.close()
    await upstreamTools.close()
    await verifiers.close()
    await proxy.close()
    await manifests.stopped
  }
  try {
    // The socket first: whoever sees the port answer may speak to both.
    rmSync(broker.folder.socket, { force: true })
    doors.push(await listen(getRequestListener(operator.fetch), config, { path: broker.folder.socket }))
    chmodSync(broker.folder.socket, 0o600)
    const beside = besideTheFrontDoor(front, verifiers.forwardAuth, getRequestListener(everyone.fetch))
    doors.push(await listen(besideForCalls(front, proxy, beside), config, { port: config.port, host: config.host }))
  } catch (thrown) {
    await closeAll()
    await broker.close()
    return err(cannotListen(thrown, config))
  }

  const takingAway = createTakingAway(deps)
  broker.targets.onWake(
    () =>
      void takingAway
        .start()
        .catch((error: unknown) => log.error({ error: String(error) }, 'accounts wait for a round')),
  )
  const drills = createDrills(deps)
  const shouted = new Set<string>()
  const rounds = startRounds(log, [
    { name: 'reconcile', everyMs: 250, run: () => reconcileTargets(deps, shouted) },
    { name: 'accounts', everyMs: 250, run: () => takingAway.start() },
    { name: 'reaper', everyMs: 2_000, run: () => reapAccounts(deps) },
    { name: 'tools', everyMs: TARGET.reconcileMs, run: () => reconcileTools(deps) },
    { name: 'drills', everyMs: DRILL.lookMs, run: () => drills.round() },
    { name: 'MCP servers', everyMs: 2_000, run: () => upstreamTools.look() },
    { name: 'keys', everyMs: 30_000, run: () => lookAfterKeys(deps) },
    { name: 'refusals', everyMs: 10_000, run: () => edge.refusals.flush() },
  ])
  await recordStart(broker)

  return ok({
    address: {
      issuer: config.issuer,
      mcpUrl: deps.settings.mcpUrl,
      consoleUrl: `${config.issuer}/`,
      dataPath: broker.folder.path,
      socketPath: broker.folder.socket,
    },
    broker,
    async close() {
      await closeAll()
      await drills.stop()
      await rounds.stop()
      await takingAway.stop()
      await edge.refusals.flush(true)
      rmSync(broker.folder.socket, { force: true })
      await broker.close()
    },
  })
}

/** Before the verifiers' edge stands: nothing is confirmed by anyone. */
const NO_GUARDS: Guards = {
  lease: () => ({ leaseSeconds: 0 }),
  acknowledged: () => ({ all: false, guards: 0 }),
}

function edgeOf(deps: Broker['deps'], config: Config): Edge {
  const limiter = (rate: (typeof RATE)[keyof typeof RATE]) => createRateLimiter(rate, deps.clock)
  return {
    deps,
    verify: createTokenVerifier(deps),
    toolsetOf: createToolsetReader(deps),
    refusals: createRefusals(deps),
    limiters: {
      ask: limiter(RATE.askPerAgent),
      token: limiter(RATE.tokenPerClient),
      mint: limiter(RATE.mintPerAgent),
      call: limiter(RATE.callPerAgent),
      stranger: limiter(RATE.strangerPerAddress),
      api: limiter(RATE.apiPerBearer),
      check: limiter(RATE.checkPerTool),
    },
    allowedHosts: config.allowedHosts,
  }
}

async function recordStart({ deps }: Broker): Promise<void> {
  const context = { caller: { role: 'system', part: 'server' } as const, requestId: deps.ids.next('tsk') }
  const { size } = await deps.store.tree()
  await transact(deps, 'normal', async (look) =>
    ok({
      value: null,
      records: [
        recordOf(
          context,
          look.now,
          'server.started',
          {},
          { version: VERSION, node: process.versions.node, records: size },
        ),
      ],
    }),
  )
}

function listen(
  listener: RequestListener,
  config: Config,
  where: { readonly port: number; readonly host: string } | { readonly path: string },
): Promise<Server> {
  const limits = {
    maxHeaderSize: HTTP.headerBytes,
    headersTimeout: HTTP.headersTimeoutMs,
    requestTimeout: HTTP.requestTimeoutMs,
  }
  // Nobody but the operator reaches the socket: there it is plain.
  const tls = 'path' in where ? null : config.tls
  const server =
    tls === null
      ? createHttpServer(limits, listener)
      : createHttpsServer({ ...limits, cert: readFileSync(tls.certPath), key: readFileSync(tls.keyPath) }, listener)
  server.maxConnections = config.maxConnections
  server.maxHeadersCount = HTTP.headerCount
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ ...where, backlog: HTTP.backlog }, () => {
      server.off('error', reject)
      resolve(server)
    })
  })
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}

function cannotListen(thrown: unknown, config: Config): string {
  const code = thrown instanceof Error && 'code' in thrown ? thrown.code : undefined
  if (code === 'EADDRINUSE')
    return `${config.host}:${config.port} is taken: stop what listens there, or set HALLPASS_PORT (and HALLPASS_ISSUER) to another.`
  return thrown instanceof Error ? thrown.message : String(thrown)
}
