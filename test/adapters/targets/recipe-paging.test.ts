// A recipe with client-credentials and cursors, against a real authorization server and a real HTTP server that goes on for
// ever, in circles, elsewhere: every list ends, and no secret leaves its origin.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { httpCall } from '../../../src/adapters/targets/http-call.ts'
import { recipeTarget } from '../../../src/adapters/targets/recipe.ts'
import { parseRecipe } from '../../../src/core/recipe-parse.ts'
import { Secret } from '../../../src/core/secret.ts'

const RECIPE = `recipe: sample
about: Accounts that are listed by cursor
capabilities: { scope: exact, expires: false, lists: true, revokes: true, probes: true, deadWithinMilliseconds: 0 }
presents: { header: authorization, prefix: 'Bearer ' }
auth: { kind: client-credentials, path: /token, scope: 'accounts:admin' }
rights:
  grant: { text: '{right}', parts: { right: [reader, writer] } }
find:
  - get: /accounts
    pages: { cursor: after, next: /next }
    each: /accounts
    as: { id: /id, name: /name, secret: /key }
    yields: account
remove:
  - delete: /accounts/{id}
probe: { get: /me, alive: [200], dead: [401] }
`
/** It comes without types. */
const OIDC_PROVIDER: string = 'oidc-provider'
type Provider = {
  callback(): (asked: IncomingMessage, answer: ServerResponse) => void
  readonly ClientCredentials: { find(token: string): Promise<unknown> }
}

/** As odd as an id and a secret may be: RFC 6749 section 2.3.1 encodes both. */
const CLIENT = { id: 'hallpass app', secret: 'a+b%2F:c/ &=' }

type Page = { readonly accounts?: unknown; readonly next?: unknown }
let pages: (after: string | null, asked: number) => Page | string
let heard: { readonly path: string; readonly authorization: string }[]
let token: ((answer: ServerResponse) => void) | null

let api: Server
let issuer: Server
let foreign: Server
let foreignHeard: string[]
let url: string

const listen = async (server: Server): Promise<string> => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

beforeAll(async () => {
  foreignHeard = []
  foreign = createServer((asked, answer) => {
    foreignHeard.push(`${asked.method} ${asked.url} ${asked.headers.authorization}`)
    answer.end('{"accounts":[]}')
  })
  await listen(foreign)
  let authorization: (asked: IncomingMessage, answer: ServerResponse) => void = () => {}
  issuer = createServer((asked, answer) => authorization(asked, answer))
  const issuerUrl = await listen(issuer)
  const { default: makeProvider } = await import(OIDC_PROVIDER)
  const provider: Provider = new makeProvider(issuerUrl, {
    clients: [
      {
        client_id: CLIENT.id,
        client_secret: CLIENT.secret,
        grant_types: ['client_credentials'],
        redirect_uris: [],
        response_types: [],
        token_endpoint_auth_method: 'client_secret_basic',
        scope: 'accounts:admin',
      },
    ],
    scopes: ['accounts:admin'],
    features: { clientCredentials: { enabled: true }, devInteractions: { enabled: false } },
  })
  authorization = provider.callback()
  let asks = 0
  api = createServer(async (asked, answer) => {
    const at = new URL(asked.url ?? '', 'http://api')
    heard.push({ path: at.pathname, authorization: asked.headers.authorization ?? '' })
    if (at.pathname === '/token') {
      if (token !== null) return token(answer)
      // One origin to whoever asks: the authorization server answers behind it.
      return authorization(asked, answer)
    }
    const bearer = (asked.headers.authorization ?? '').replace('Bearer ', '')
    if ((await provider.ClientCredentials.find(bearer)) === undefined && token === null) {
      answer.writeHead(401).end('{}')
      return
    }
    if (at.pathname === '/accounts') asks += 1
    const page = pages(at.searchParams.get('after'), asks)
    answer.end(typeof page === 'string' ? page : JSON.stringify(page))
  })
  url = await listen(api)
})
beforeEach(() => {
  heard = []
  token = null
  pages = () => ({ accounts: [] })
})
afterAll(() => {
  for (const server of [api, issuer, foreign]) {
    server.close()
    server.closeAllConnections()
  }
})

function target(secret = `${CLIENT.id}:${CLIENT.secret}`, timeoutMs = 15_000) {
  const recipe = parseRecipe('sample.yaml', new TextEncoder().encode(RECIPE))
  if (!recipe.ok) throw new Error(JSON.stringify(recipe.error))
  return recipeTarget({
    url,
    secret: async () => new Secret(secret),
    call: httpCall({ timeoutMs, maxBytes: 4 * 1024 * 1024 }),
    recipe: recipe.value,
    values: {},
  })
}
const signal = () => AbortSignal.timeout(30_000)
const account = (id: number) => ({ id, name: `a-${id}`, key: 'k' })
const list = () => target().list(10_000, signal())

describe('client credentials (RFC 6749 section 4.4)', () => {
  test('are exchanged once an operation, by an authorization server that is not ours; the secret goes there alone (S5)', async () => {
    pages = () => ({ accounts: [account(1)] })
    expect(await list()).toEqual([{ name: 'a-1', external: '1', active: true, rights: [] }])
    expect(heard.map(({ path }) => path)).toEqual(['/token', '/accounts'])
    expect(heard[0]?.authorization).toMatch(/^Basic /)
    expect(heard[1]?.authorization).toMatch(/^Bearer [\w-]{20,}$/)
  })

  test('that are wrong are a refusal, and nothing more is asked', async () => {
    const thrown: unknown = await target(`${CLIENT.id}:another`)
      .list(10, signal())
      .catch((error: unknown) => error)
    expect(thrown).toMatchObject({ why: 'refused', mayHaveActed: false })
    expect(String(thrown)).not.toContain('another')
    expect(heard.map(({ path }) => path)).toEqual(['/token'])
  })

  test.each([
    ['no JSON', 'ok'],
    ['no token', '{"token_type":"Bearer"}'],
    ['another type', '{"access_token":"t","token_type":"mac"}'],
    ['a header of its own', '{"access_token":"t\\r\\nHost: mallory","token_type":"Bearer"}'],
    ['what no header holds', '{"access_token":"t\\u00e4","token_type":"Bearer"}'],
    ['a book', JSON.stringify({ access_token: 'x'.repeat(9000), token_type: 'Bearer' })],
  ])('answered with %s are not believed, and nothing more is asked', async (_, answered) => {
    token = (answer) => void answer.end(answered)
    await expect(list()).rejects.toMatchObject({ why: 'garbled', mayHaveActed: false })
    expect(heard.map(({ path }) => path)).toEqual(['/token'])
  })

  test('are not carried along a redirect to another origin (S5, S21)', async () => {
    const { port } = foreign.address() as AddressInfo
    token = (answer) => void answer.writeHead(307, { location: `http://127.0.0.1:${port}/token` }).end()
    await expect(list()).rejects.toMatchObject({ why: 'refused' })
    expect(foreignHeard).toEqual([])
  })
})

describe('a list that goes on by cursor', () => {
  test('is read to its end, be it absent, null or empty', async () => {
    for (const end of [undefined, null, '']) {
      pages = (after) =>
        after === null ? { accounts: [account(1)], next: 'b' } : { accounts: [account(2)], next: end }
      expect((await list()).map(({ name }) => name)).toEqual(['a-1', 'a-2'])
    }
  })

  test('finds an account on its last page, and sees it gone from there', async () => {
    pages = (after) =>
      after === '49' ? { accounts: [account(7)] } : { accounts: [], next: String(Number(after ?? 0) + 1) }
    expect(await target().look({ name: 'a-7' }, signal())).toMatchObject({ name: 'a-7' })
    pages = (after) => (after === '49' ? { accounts: [] } : { accounts: [], next: String(Number(after ?? 0) + 1) })
    expect(await target().look({ name: 'a-7' }, signal())).toBeNull()
  })

  test.each<[string, (after: string | null, asked: number) => Page | string, string]>([
    ['where it is', () => ({ accounts: [], next: 'a' }), 'garbled'],
    [
      'in a circle',
      (after) => ({ accounts: [account(1)], next: { a: 'b', b: 'c', c: 'a' }[after ?? ''] ?? 'a' }),
      'garbled',
    ],
    ['for ever, with nothing on it', (_, asked) => ({ accounts: [], next: `p${asked}` }), 'refused'],
    [
      'for ever, with more and more',
      (_, asked) => ({
        accounts: Array.from({ length: 5_000 }, (_, at) => account(asked * 5_000 + at)),
        next: `p${asked}`,
      }),
      'refused',
    ],
    ['at a place that is a book', () => ({ accounts: [], next: 'x'.repeat(100_000) }), 'garbled'],
    ['at a place that is no text', () => ({ accounts: [], next: { url: '/accounts' } }), 'garbled'],
    ['with rows that are none', () => ({ accounts: 7, next: 'a' }), 'garbled'],
    ['with a row that lacks its id', () => ({ accounts: [{ name: 'x' }] }), 'garbled'],
    ['with half a document', () => '{"accounts":[', 'garbled'],
    ['with a page past every limit', () => `{"accounts":["${'x'.repeat(5 * 1024 * 1024)}"]}`, 'garbled'],
  ])(
    '%s ends, and nothing of it is believed',
    async (_, answers, why) => {
      pages = answers
      await expect(list()).rejects.toMatchObject({ why })
      expect(heard.length).toBeLessThan(2_100)
    },
    60_000,
  )

  test('to another origin stays a word in the query of its own: nobody else is asked (S5)', async () => {
    const { port } = foreign.address() as AddressInfo
    const elsewhere = [
      `http://127.0.0.1:${port}/accounts?after=2`,
      `//127.0.0.1:${port}/accounts`,
      `@127.0.0.1:${port}/`,
      '../../admin?x=1#y',
      'a&name=root',
    ]
    const seen: (string | null)[] = []
    pages = (after) => {
      seen.push(after)
      return { accounts: [], next: elsewhere[seen.length - 1] }
    }
    expect(await list()).toEqual([])
    expect(seen).toEqual([null, ...elsewhere])
    expect(foreignHeard).toEqual([])
    expect(new Set(heard.map(({ path }) => path))).toEqual(new Set(['/token', '/accounts']))
  })

  test('that is let drip ends with its deadline', async () => {
    pages = (_, asked) => ({ accounts: [], next: `p${asked}` })
    await expect(target().list(10, AbortSignal.timeout(50))).rejects.toMatchObject({ why: 'timeout' })
  })
})
