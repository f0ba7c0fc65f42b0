// The one way to a broker: over HALLPASS_URL with HALLPASS_TOKEN, or over the local socket as the operator. A token goes
// nowhere in the clear off loopback, and never into a message or an argument.

import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { join, resolve } from 'node:path'
import { isLoopbackHost } from '../config.ts'
import { type Act, cellOf, MATRIX_ROWS, type MatrixRow } from '../core/matrix.ts'
import { keptPathOf, readKept } from './kept-tokens.ts'
import { listOf, objectOf, textOf } from './show.ts'
import { Stop } from './stop.ts'

/** Silence for longer than this ends a call (milliseconds); long polls add what they wait. */
const TIMEOUT_MS = 30_000
/** What one answer may weigh; an export is streamed and has no such limit. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024

type Env = Readonly<Record<string, string | undefined>>

export type Place =
  /** `kept`: the token is what login kept. */
  | { readonly by: 'url'; readonly url: URL; readonly token: string | null; readonly kept?: true }
  | { readonly by: 'socket'; readonly path: string; readonly token: string | null }

export type Call = {
  readonly method?: 'GET' | 'POST' | 'DELETE'
  readonly path: string
  readonly query?: Readonly<Record<string, string | number | undefined>>
  readonly body?: unknown
  /** `application/x-www-form-urlencoded` instead of a JSON body. */
  readonly form?: Readonly<Record<string, string>>
  /** Which row of the matrix it is: a refusal then names the kinds of token that may. */
  readonly act?: Act
  /** How long the broker was asked to wait before it answers. */
  readonly waitSeconds?: number
  readonly signal?: AbortSignal
}

export type Remote = {
  readonly place: Place
  /** The parsed JSON of a good answer; anything else is a {@link Stop} with exit code 2. */
  call(call: Call): Promise<unknown>
  text(call: Call): Promise<string>
  stream(call: Call): Promise<IncomingMessage>
  /** Every row of a paged list, in order, at most `max`. */
  all(call: Call, max?: number): Promise<readonly unknown[]>
}

export const socketPathOf = (env: Env, cwd: string): string =>
  join(resolve(cwd, (env.HALLPASS_DATA ?? '').trim() || 'data'), 'run', 'hallpass.sock')

/** Over the local socket alone, whatever the environment says: for what the API never does (S10). */
export const operatorRemote = (env: Env, cwd: string): Remote =>
  remoteAt({ by: 'socket', path: socketPathOf(env, cwd), token: null })

/**
 * Where the environment points; then what login kept, for HALLPASS_URL or else for the last broker. Without a token only
 * the local socket knows who is calling; a token without a URL goes to the local socket too, which nobody but the
 * broker's own user can have made.
 */
export function remoteFrom(env: Env, cwd: string): Remote {
  const token = (env.HALLPASS_TOKEN ?? '').trim() || null
  const url = (env.HALLPASS_URL ?? '').trim()
  if (token !== null && url !== '') return remoteAt({ by: 'url', url: brokerUrl(url), token })
  const set = (name: string, value: unknown) => `${name}: ${value === null || value === '' ? 'not set' : 'set'}`
  const looked = [`${set('HALLPASS_URL', url)}, ${set('HALLPASS_TOKEN', token)} (both are needed)`]
  if (token !== null) return remoteAt({ by: 'socket', path: socketPathOf(env, cwd), token }, looked)

  const { current, tokens } = readKept(keptPathOf(env))
  const origin = url === '' ? current : brokerUrl(url).origin
  if (origin !== null && Object.hasOwn(tokens, origin))
    return remoteAt({ by: 'url', url: brokerUrl(origin), token: tokens[origin]!, kept: true })
  looked.push(
    `${keptPathOf(env)}: ${origin === null ? 'no token' : `no token for ${origin}`} (hallpass login keeps one)`,
  )
  return remoteAt({ by: 'socket', path: socketPathOf(env, cwd), token }, looked)
}

/** The broker's origin; https off loopback, for a token goes with it. */
export function brokerUrl(text: string): URL {
  if (!URL.canParse(text))
    throw new Stop(1, 'HALLPASS_URL is not a URL', [
      'It is the address of the broker, such as https://hallpass.example.com.',
    ])
  const url = new URL(text)
  const isLocal = url.protocol === 'http:' && isLoopbackHost(url.hostname)
  if (url.protocol !== 'https:' && !isLocal)
    throw new Stop(1, 'HALLPASS_URL must be https:// off loopback: a token would go over the wire in the clear')
  if (url.username !== '' || url.password !== '')
    throw new Stop(1, 'HALLPASS_URL must not carry a user name or password')
  return new URL(url.origin)
}

export function remoteAt(place: Place, looked: readonly string[] = []): Remote {
  const stream = async (call: Call): Promise<IncomingMessage> => {
    const answer = await send(place, call, looked)
    if ((answer.statusCode ?? 0) >= 200 && (answer.statusCode ?? 0) < 300) return answer
    throw refusal(answer, await bodyOf(answer), place, call)
  }
  const text = async (call: Call) => bodyOf(await stream(call))
  const call = async (given: Call): Promise<unknown> => {
    const body = await text(given)
    return body === '' ? null : parsed(body)
  }
  return {
    place,
    stream,
    text,
    call,
    async all(given, max = 10_000) {
      const rows: unknown[] = []
      let after: string | undefined
      do {
        const page = objectOf(await call({ ...given, query: { limit: Math.min(500, max), ...given.query, after } }))
        rows.push(...listOf(page.items))
        after = textOf(page.next) || undefined
      } while (after !== undefined && rows.length < max)
      return rows.slice(0, max)
    },
  }
}

function send(place: Place, call: Call, looked: readonly string[]): Promise<IncomingMessage> {
  const query = Object.entries(call.query ?? {}).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, String(value)] as [string, string]],
  )
  const path = query.length === 0 ? call.path : `${call.path}?${new URLSearchParams(query)}`
  const content =
    call.form !== undefined
      ? { type: 'application/x-www-form-urlencoded', bytes: Buffer.from(new URLSearchParams(call.form).toString()) }
      : call.body !== undefined
        ? { type: 'application/json', bytes: Buffer.from(JSON.stringify(call.body)) }
        : null
  const options: RequestOptions = {
    method: call.method ?? (content === null ? 'GET' : 'POST'),
    path,
    headers: {
      Accept: 'application/json, application/problem+json;q=0.9, */*;q=0.1',
      ...(content === null ? {} : { 'Content-Type': content.type, 'Content-Length': content.bytes.length }),
      ...(place.token !== null ? { Authorization: `Bearer ${place.token}` } : {}),
      ...(place.by === 'socket' ? { Host: 'localhost' } : {}),
    },
    agent: false,
    timeout: TIMEOUT_MS + (call.waitSeconds ?? 0) * 1000,
    ...(call.signal === undefined ? {} : { signal: call.signal }),
    ...(place.by === 'socket'
      ? { socketPath: place.path }
      : {
          hostname: place.url.hostname.replace(/^\[(.*)\]$/, '$1'),
          port: place.url.port || (place.url.protocol === 'https:' ? 443 : 80),
        }),
  }
  const open = place.by === 'url' && place.url.protocol === 'https:' ? httpsRequest : httpRequest
  return new Promise((fulfil, reject) => {
    const request = open(options, fulfil)
    request.once('timeout', () => request.destroy(new Error('it did not answer in time')))
    request.once('error', (error) => reject(unreachable(error, place, looked)))
    request.end(content?.bytes)
  })
}

async function bodyOf(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of answer) {
    const bytes = Buffer.from(chunk)
    length += bytes.length
    if (length > MAX_ANSWER_BYTES) throw new Stop(2, 'the answer is too large to be read')
    chunks.push(bytes)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body)
  } catch {
    throw new Stop(2, 'the answer is not JSON: what listens there is no Hallpass broker')
  }
}

function unreachable(error: Error, place: Place, looked: readonly string[]): Error {
  if (error.name === 'AbortError') return error
  const code = 'code' in error ? String(error.code) : error.message
  if (place.by === 'url')
    return new Stop(2, `${place.url.origin} cannot be reached (${code})`, [
      'Is the broker running, and is HALLPASS_URL right?',
    ])
  const isAbsent = code === 'ENOENT' || code === 'ECONNREFUSED' || code === 'ENOTDIR'
  if (!isAbsent)
    return new Stop(
      code === 'EACCES' ? 1 : 2,
      `${place.path} cannot be used (${code})`,
      code === 'EACCES' ? ['It is for the user that runs the broker. Others set HALLPASS_URL and HALLPASS_TOKEN.'] : [],
    )
  return new Stop(1, 'no broker and no token to speak to one with. Looked at:', [
    ...looked,
    `${place.path} (HALLPASS_DATA): ${code === 'ECONNREFUSED' ? 'a broker was here, and is not running' : 'no broker is running here'}`,
    'On the broker’s host: `hallpass serve`. Elsewhere: export HALLPASS_URL=… HALLPASS_TOKEN=…, or `hallpass login`.',
  ])
}

function refusal(answer: IncomingMessage, body: string, place: Place, call: Call): Stop {
  const status = answer.statusCode ?? 0
  let said: unknown = null
  try {
    said = JSON.parse(body)
  } catch {
    return new Stop(2, `the broker answered ${status} ${answer.statusMessage ?? ''}`.trim())
  }
  const problem = objectOf(said)
  // An OAuth error (RFC 6749 section 5.2) where it is no problem document (RFC 9457).
  const code = textOf(problem.code) || textOf(problem.error) || String(status)
  const message =
    textOf(problem.detail) ||
    textOf(problem.message) ||
    textOf(problem.error_description) ||
    textOf(problem.title) ||
    `the broker answered ${status}`
  const requestId =
    textOf(problem.requestId) || textOf(problem.request_id) || textOf(answer.headers['x-request-id']) || null
  const hints = [textOf(problem.hint), ...(WRONG_KIND.has(code) ? whoMay(call.act, place) : [])].filter(
    (hint) => hint !== '',
  )
  return new Stop(2, message, hints, {
    code,
    requestId,
    manifestPatch: textOf(problem.manifestPatch) || textOf(problem.manifest_patch) || null,
  })
}

/** Refusals that another kind of token would not meet. */
const WRONG_KIND: ReadonlySet<string> = new Set(['forbidden', 'unauthenticated'])

const HOLDERS: Readonly<Record<MatrixRow, string>> = {
  agent: 'the agent itself',
  'agent-owner': 'an owner of the agent',
  'tool-owner': 'an owner of the tool',
  admin: 'an admin',
  operator: 'the operator (the local socket)',
  auditor: 'an auditor',
  publisher: 'a publisher',
  verifier: 'the tool’s verifier',
}

const MAKERS: Readonly<Partial<Record<MatrixRow, string>>> = {
  'agent-owner': '`hallpass owner token EMAIL`',
  'tool-owner': '`hallpass owner token EMAIL`',
  admin: '`hallpass admin token`',
  auditor: '`hallpass admin token --role auditor`',
  publisher: '`hallpass admin token --role publisher`',
}

function yours(place: Place): string {
  if (place.token === null) return 'you came over the local socket, as the operator, because HALLPASS_TOKEN is not set.'
  return place.by === 'url' && place.kept === true
    ? 'the token that `hallpass login` kept is something else.'
    : 'HALLPASS_TOKEN is something else.'
}

function whoMay(act: Act | undefined, place: Place): string[] {
  if (act === undefined) return []
  const rows = MATRIX_ROWS.filter((row) => cellOf(row, act) !== 'no')
  const makers = [...new Set(rows.flatMap((row) => MAKERS[row] ?? []))]
  return [
    `This takes ${rows.map((row) => HOLDERS[row]).join(', or ')}; ${yours(place)}`,
    ...(makers.length === 0
      ? []
      : [
          `On the broker’s host, ${makers.join(' or ')} makes one; put it in HALLPASS_TOKEN (elsewhere with HALLPASS_URL).`,
        ]),
  ]
}
