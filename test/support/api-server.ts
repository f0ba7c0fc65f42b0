// The API and the owners' page behind a real server, over a real store, with one token of each kind.

import { type IncomingMessage, request as nodeRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createAdaptorServer } from '@hono/node-server'
import { createTokenVerifier } from '../../src/actions/authenticate-session.ts'
import type { Edge } from '../../src/actions/edge.ts'
import { createToolsetReader } from '../../src/actions/list-access.ts'
import { makeBearer } from '../../src/actions/make-bearer.ts'
import { createRefusals } from '../../src/actions/note-refusals.ts'
import { openSession } from '../../src/actions/open-session.ts'
import type { Settings } from '../../src/actions/ports.ts'
import { createRateLimiter, type Rate } from '../../src/actions/rate-limit.ts'
import { createConsoleApp } from '../../src/adapters/console/console-app.ts'
import { createApiApp } from '../../src/adapters/http/api-app.ts'
import { RATE } from '../../src/core/limits.ts'
import type { ManifestSet } from '../../src/core/manifest.ts'
import type { BearerKind } from '../../src/core/model.ts'
import type { Target } from '../../src/core/target.ts'
import { createFrontDoor } from '../../src/wire/front-door.ts'
import { createHarness, type Harness } from './harness.ts'
import { agent, entry, setOf, team, tool } from './manifest-set.ts'
import { operator, silentLog, unwrap } from './store-on-disk.ts'

/** alice owns bot, bob owns other; tina owns tickets, mia owns metrics; carol is in the team that owns bot too. */
export const SET = setOf(
  agent('bot', {
    owners: ['alice@example.com', 'team/helpers'],
    access: [
      entry('tickets', ['read', 'comment'], { details: { queue: ['incidents'] } }),
      entry('metrics', ['read'], { approval: 'none' }),
    ],
  }),
  agent('other', {
    owners: ['bob@example.com'],
    access: [entry('tickets', ['read']), entry('metrics', ['read'], { approval: 'none' })],
  }),
  team('helpers', ['carol@example.com']),
  tool('tickets'),
  tool('metrics', { owners: ['mia@example.com'], category: 'observability' }),
)

export type Said = {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  readonly json: Readonly<Record<string, unknown>>
}

export type ApiServer = {
  readonly harness: Harness
  readonly edge: Edge
  readonly url: string
  /** A new bearer, made as the operator does. */
  bearer(kind: BearerKind, subject: string): Promise<string>
  /** A new session's token. */
  session(name: string): Promise<{ readonly id: string; readonly token: string }>
  /** `as` null: no token. `operator`: by the other door. */
  call(method: string, path: string, as: string | null, body?: unknown, headers?: Record<string, string>): Promise<Said>
  asOperator(method: string, path: string, body?: unknown): Promise<Said>
  /** Headers as given, doubled ones too. */
  raw(
    method: string,
    path: string,
    headers: readonly string[],
  ): Promise<{ readonly status: number; readonly text: string }>
  close(): Promise<void>
}

export async function apiServer(
  more: Partial<Settings> = {},
  limits: Partial<Record<keyof typeof RATE, Rate>> = {},
  { set = SET, tools }: { readonly set?: ManifestSet; readonly tools?: ReadonlyMap<string, Target> } = {},
): Promise<ApiServer> {
  const harness = await createHarness(more, tools)
  await harness.start(set)
  const { deps } = harness
  const rate: Record<keyof typeof RATE, Rate> = { ...RATE, ...limits }
  const limiter = (of: keyof typeof RATE) => createRateLimiter(rate[of], deps.clock)
  const edge: Edge = {
    deps,
    verify: createTokenVerifier(deps),
    toolsetOf: createToolsetReader(deps),
    refusals: createRefusals(deps),
    limiters: {
      ask: limiter('askPerAgent'),
      token: limiter('tokenPerClient'),
      mint: limiter('mintPerAgent'),
      call: limiter('callPerAgent'),
      stranger: limiter('strangerPerAddress'),
      api: limiter('apiPerBearer'),
      check: limiter('checkPerTool'),
    },
    allowedHosts: ['127.0.0.1'],
  }
  const { keys } = harness
  const api = createApiApp(edge, { keys, config: { secretsPath: null } })
  const page = createConsoleApp(edge)
  const door = (isOperator: boolean) =>
    createFrontDoor(
      { log: silentLog, ids: deps.ids, allowedHosts: isOperator ? null : ['127.0.0.1'], operator: isOperator },
      (app) => {
        app.route('/', api)
        if (!isOperator) app.route('/', page)
      },
    )
  const open = async (isOperator: boolean) => {
    const server = createAdaptorServer({ fetch: door(isOperator).fetch })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()))
    return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
  }
  const everyone = await open(false)
  const socket = await open(true)

  const send = async (
    base: string,
    method: string,
    path: string,
    as: string | null,
    body?: unknown,
    headers: Record<string, string> = {},
  ) => {
    const answer = await fetch(`${base}${path}`, {
      method,
      redirect: 'manual',
      headers: {
        ...(as === null ? {} : { authorization: `Bearer ${as}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    const text = await answer.text()
    const isJson = /json$/.test((answer.headers.get('content-type') ?? '').split(';')[0] ?? '')
    return { status: answer.status, headers: answer.headers, text, json: isJson ? JSON.parse(text) : {} }
  }

  return {
    harness,
    edge,
    url: everyone.url,
    bearer: async (kind, subject) => unwrap(await makeBearer(deps, operator, { kind, subject })).secret.reveal(),
    async session(name) {
      const proof = { agent: name, key: `${name}-key`, jti: deps.ids.next('jti'), expiresAt: deps.clock.now() + 60_000 }
      const { session, token } = unwrap(await openSession(deps, proof, 'req_session'))
      return { id: session.id, token }
    },
    call: (...of) => send(everyone.url, ...of),
    asOperator: (method, path, body) => send(socket.url, method, path, null, body),
    raw: (method, path, headers) =>
      new Promise((resolve, reject) => {
        const host = new URL(everyone.url).host
        const request = nodeRequest(
          `${everyone.url}${path}`,
          { method, headers: ['Host', host, ...headers] },
          (answer: IncomingMessage) => {
            let text = ''
            answer.setEncoding('utf8')
            answer.on('data', (chunk: string) => {
              text += chunk
            })
            answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text }))
          },
        )
        request.on('error', reject)
        request.end()
      }),
    async close() {
      for (const { server } of [everyone, socket]) {
        if ('closeAllConnections' in server) server.closeAllConnections()
        await new Promise<void>((resolve) => server.close(() => resolve()))
      }
      await harness.close()
    },
  }
}
