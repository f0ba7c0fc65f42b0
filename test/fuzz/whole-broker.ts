// All edges of the broker in this process, over a real store and real keys, called without sockets and without rate limits:
// a limit would keep the input from where it is read.

import { createSecretKey, randomBytes } from 'node:crypto'
import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { type CryptoKey, calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT } from 'jose'
import { createTokenVerifier } from '../../src/actions/authenticate-session.ts'
import type { Edge } from '../../src/actions/edge.ts'
import { createToolsetReader } from '../../src/actions/list-access.ts'
import { makeBearer } from '../../src/actions/make-bearer.ts'
import { createRefusals } from '../../src/actions/note-refusals.ts'
import { openSession } from '../../src/actions/open-session.ts'
import { createRateLimiter } from '../../src/actions/rate-limit.ts'
import { requestAccess } from '../../src/actions/request-access.ts'
import { createApiApp } from '../../src/adapters/http/api-app.ts'
import { createKeys } from '../../src/adapters/keys/create-keys.ts'
import { createMcpApp } from '../../src/adapters/mcp/mcp-app.ts'
import { createOauthApp } from '../../src/adapters/oauth/oauth-app.ts'
import { createVerifierApp } from '../../src/adapters/verifiers/verifier-app.ts'
import type { IdentityKey } from '../../src/core/manifest.ts'
import type { BearerKind } from '../../src/core/model.ts'
import { createFrontDoor, type FrontDoor } from '../../src/wire/front-door.ts'
import { besideTheFrontDoor } from '../../src/wire/side-door.ts'
import { createHarness } from '../support/harness.ts'
import { agent, entry, setOf, tool } from '../support/manifest-set.ts'
import { operator, silentLog, unwrap } from '../support/store-on-disk.ts'
import { mustHold } from './target.ts'

export const ISSUER = 'https://hallpass.example.com'
export const TICKETS = 'https://tickets.example.com'

export type Answer = {
  readonly status: number
  readonly text: string
  readonly json: Readonly<Record<string, unknown>>
  /** The session that it was answered in, of MCP. */
  readonly session: string | null
}
type Headers = readonly (readonly [string, string])[]

async function keyPair(): Promise<{ privateKey: CryptoKey; identity: IdentityKey }> {
  const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true })
  const { kty = '', crv = '', x = '', y = '' } = await exportJWK(publicKey)
  const jwk = { kty, crv, x, y }
  return { privateKey, identity: { kid: await calculateJwkThumbprint(jwk), alg: 'ES256', jwk } }
}

const parsed = (text: string): Readonly<Record<string, unknown>> => {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? { ...value } : {}
  } catch {
    return {}
  }
}

export type WholeBroker = Awaited<ReturnType<typeof openWholeBroker>>

/** alice owns bot and other; tina owns tickets and metrics; bot may comment without being approved. */
export async function openWholeBroker() {
  const harness = await createHarness()
  const { deps } = harness
  const own = await keyPair()
  const access = [
    entry('tickets', ['read', 'comment'], {
      approval: 'none',
      delivery: 'inline',
      details: { queue: ['incidents', 'news'] },
    }),
    entry('metrics', ['read'], { approval: 'owner' }),
  ]
  await harness.start(
    setOf(tool('tickets'), tool('metrics'), agent('bot', { keys: [own.identity], access }), agent('other', { access })),
  )
  const limiter = () => createRateLimiter({ capacity: 1e9, refillPerSecond: 1e9, maxKeys: 1000 }, deps.clock)
  const edge: Edge = {
    deps,
    verify: createTokenVerifier(deps),
    toolsetOf: createToolsetReader(deps),
    refusals: createRefusals(deps),
    limiters: {
      ask: limiter(),
      token: limiter(),
      mint: limiter(),
      call: limiter(),
      stranger: limiter(),
      api: limiter(),
      check: limiter(),
    },
    allowedHosts: ['hallpass.example.com'],
  }
  const mcp = createMcpApp(edge)
  const verifiers = createVerifierApp(edge)
  const keys = createKeys(createSecretKey(randomBytes(32)))
  const api = createApiApp(edge, { keys, config: { secretsPath: null } })
  let broke: object | null = null
  const log = {
    ...silentLog,
    error(fields: object) {
      broke = fields
    },
  }
  const front: FrontDoor = { log, ids: deps.ids, allowedHosts: edge.allowedHosts, operator: false }
  const door = (isOperator: boolean) =>
    createFrontDoor({ ...front, operator: isOperator }, (app) => {
      if (!isOperator) for (const one of [createOauthApp(edge), verifiers.app, mcp.app]) app.route('/', one)
      app.route('/', api)
    })
  const doors = { everyone: door(false), operator: door(true) }

  /** Headers as they came over the wire, doubled ones too; what no client could send is left out. */
  async function call(
    method: string,
    path: string,
    headers: Headers,
    body: string | Uint8Array | null = null,
    through: keyof typeof doors = 'everyone',
  ): Promise<Answer> {
    const sent = new globalThis.Headers({ host: 'hallpass.example.com' })
    const rawHeaders: string[] = []
    for (const [name, value] of headers) {
      try {
        if (!sent.has(name) || name.toLowerCase() !== 'authorization') sent.append(name, value)
        rawHeaders.push(name, value)
      } catch (thrown) {
        if (!(thrown instanceof TypeError)) throw thrown
      }
    }
    const sentBody = body === null || method === 'GET' ? null : Buffer.from(body)
    // Clients declare the length or send chunks: bodies are read differently.
    if (sentBody !== null && sentBody.length % 2 === 0) sent.set('content-length', String(sentBody.length))
    const end = new AbortController()
    const request = new Request(new URL(path, ISSUER), {
      method,
      headers: sent,
      signal: end.signal,
      ...(sentBody === null ? {} : { body: sentBody }),
    })
    broke = null
    const incoming = { socket: { remoteAddress: '127.0.0.1' }, rawHeaders }
    const outgoing = new ServerResponse(new IncomingMessage(new Socket()))
    const answer = await doors[through].fetch(request, { incoming, outgoing })
    const text = (answer.headers.get('content-type') ?? '').startsWith('text/event-stream')
      ? await firstOf(answer)
      : await answer.text()
    end.abort()
    const json = parsed(text)
    mustHold(answer.status < 500, `answered ${answer.status}`, broke ?? text)
    return { status: answer.status, text, json, session: answer.headers.get('mcp-session-id') }
  }

  /** By the side door, with the path as it came over the wire; null where that leaves it to the front door. */
  function callBeside(path: string, headers: Headers): Promise<Pick<Answer, 'status' | 'text'> | null> {
    return new Promise((resolve) => {
      const incoming = Object.assign(new IncomingMessage(new Socket()), { method: 'GET', url: path })
      incoming.headers.host = 'hallpass.example.com'
      incoming.rawHeaders = headers.flat()
      const outgoing = new ServerResponse(incoming)
      outgoing.end = (body: unknown) => {
        resolve({ status: outgoing.statusCode, text: typeof body === 'string' ? body : '' })
        return outgoing
      }
      besideTheFrontDoor(front, verifiers.forwardAuth, () => resolve(null))(incoming, outgoing)
    })
  }

  const opened = async (name: string, key: string) => {
    const { session, token } = unwrap(
      await openSession(
        deps,
        { agent: name, key, jti: deps.ids.next('jti'), expiresAt: deps.clock.now() + 60_000 },
        'req_session',
      ),
    )
    return { session, token }
  }
  const bot = await opened('bot', own.identity.kid)
  const other = await opened('other', 'other-key')
  const asked = {
    tool: 'tickets',
    scopes: ['comment', 'read'],
    reason: 'INC-1',
    durationSeconds: null,
    details: { queue: ['incidents', 'news'] },
  }
  const caller = { role: 'agent', agent: 'bot', session: bot.session.id } as const
  const given = unwrap(await requestAccess(deps, caller, asked, 'req_ask'))
  if (given.status !== 'granted') throw new Error('the grant waits for an owner')
  const grant = (await harness.row('grant', given.grant.id))!
  const credential = unwrap(await harness.credential(bot.session, grant))
  const bearer = async (kind: BearerKind, subject: string) =>
    unwrap(await makeBearer(deps, operator, { kind, subject })).secret.reveal()

  return {
    harness,
    deps,
    call,
    callBeside,
    bot,
    other,
    grant,
    credential,
    bearers: {
      owner: await bearer('owner', 'alice@example.com'),
      admin: await bearer('admin', 'admin@example.com'),
      auditor: await bearer('auditor', 'audit@example.com'),
      publisher: await bearer('publisher', 'ci@example.com'),
      verifier: await bearer('verifier', 'tickets'),
    },
    /** A client assertion of bot, whatever it says, really signed. */
    assertion: async (claims: object, header: object = {}) =>
      new SignJWT({ ...claims }).setProtectedHeader({ alg: 'ES256', typ: 'JWT', ...header }).sign(own.privateKey),
    claims: () => {
      const now = Math.floor(deps.clock.now() / 1000)
      return { iss: 'bot', sub: 'bot', aud: ISSUER, iat: now, exp: now + 300, jti: crypto.randomUUID() }
    },
    async close() {
      await mcp.close()
      await verifiers.close()
      await harness.close()
    },
  }
}

/** What a stream says first: it may stay open for as long as it likes. */
async function firstOf(answer: Response): Promise<string> {
  const reader = answer.body?.getReader()
  if (reader === undefined) return ''
  const quiet = new Promise<null>((resolve) => setTimeout(() => resolve(null), 20))
  const first = await Promise.race([reader.read(), quiet])
  await reader.cancel()
  return first === null || first.value === undefined ? '' : Buffer.from(first.value).toString('utf8')
}
