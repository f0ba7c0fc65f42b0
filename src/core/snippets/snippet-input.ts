// What a printed configuration is made of: one tool's manifest, the issuer, and which path needs which scope. Everything that
// comes out of here is of an alphabet that no configuration language reads as its own: that is what makes printing safe.

import { LIFETIME } from '../limits.ts'
import type { ToolManifest } from '../manifest.ts'
import { err, ok, type Result } from '../result.ts'

export type Route = {
  /** Upper case; empty is any. */
  readonly methods: readonly string[]
  /** Absolute; one that ends in `/` is everything below it. */
  readonly path: string
  readonly scope: string
}

export type SnippetInput = {
  readonly tool: string
  /** The tool's name where a hyphen would be a minus: `log-store` is `log_store`. */
  readonly identifier: string
  /** The audience; where agents reach the proxy or the tool. */
  readonly resource: Place
  readonly issuer: Place
  /** Where the tool itself listens, behind a proxy; an origin. */
  readonly upstream: Place
  readonly alg: ToolManifest['token']['alg']
  readonly verifiedBy: ToolManifest['token']['verifiedBy']
  readonly maxTtlSeconds: number
  readonly leewaySeconds: number
  readonly scopes: readonly string[]
  readonly details: readonly { readonly key: string; readonly enforcedBy: 'tool' | 'guard' | 'proxy' }[]
  /** Most specific first: the first that fits decides. Never empty. */
  readonly routes: readonly Route[]
  /** The routes were not given: their paths are made from the scopes' names, to be edited. */
  readonly routesAreExamples: boolean
}

/** A URL taken apart. */
export type Place = {
  readonly url: string
  /** IPv6 in brackets. */
  readonly host: string
  readonly port: number
  readonly secure: boolean
}

const NAME = /^[a-z0-9]+(-[a-z0-9]+)*$/
const SCOPE = /^[A-Za-z0-9][A-Za-z0-9._:/-]*$/
const DETAIL_KEY = /^[A-Za-z][A-Za-z0-9_-]*$/
const URL_ALPHABET = /^https?:\/\/(\[[0-9a-f:]+\]|[A-Za-z0-9.-]+)(:\d{1,5})?(\/[A-Za-z0-9._~/-]*)?$/
const METHOD = /^[A-Z]{1,16}$/
const PATH = /^\/[A-Za-z0-9._~:@,+=/-]*$/
const ODD_PATH = /\/\/|\/\.\.?(\/|$)/
const ROUTES_MAX = 256

export const DEFAULT_UPSTREAM = 'http://127.0.0.1:3000'

/**
 * Every fault as a sentence. `routes` are written `GET,HEAD /api/v1/query=metrics:read`; without methods, any; a path that
 * ends in `/` is everything below it.
 */
export function readSnippetInput(
  tool: ToolManifest,
  issuer: string,
  {
    routes = [],
    upstream = DEFAULT_UPSTREAM,
  }: { readonly routes?: readonly string[]; readonly upstream?: string } = {},
): Result<SnippetInput, readonly string[]> {
  const faults: string[] = []
  const place = (what: string, text: string): Place => {
    const read = readPlace(text)
    if (read === null)
      faults.push(
        `${what} ${JSON.stringify(text)} has more in it than a configuration can be trusted with: letters, digits and - . _ ~ / after http(s)://`,
      )
    return read ?? { url: '', host: '', port: 0, secure: false }
  }
  const scopes = Object.keys(tool.scopes)
  const details = Object.entries(tool.details).map(([key, { enforcedBy }]) => ({ key, enforcedBy }))
  if (tool.target.type !== 'none')
    faults.push(
      `its credentials are accounts in the tool itself (target ${tool.target.type}): it sees no token of ours`,
    )
  if (!NAME.test(tool.name)) faults.push(`the tool's name ${JSON.stringify(tool.name)} is none`)
  for (const scope of scopes) if (!SCOPE.test(scope)) faults.push(`${JSON.stringify(scope)} is no scope`)
  for (const { key } of details) if (!DETAIL_KEY.test(key)) faults.push(`${JSON.stringify(key)} is no details key`)
  const { maxTtlSeconds, leewaySeconds } = tool.token
  if (!Number.isInteger(maxTtlSeconds) || !Number.isInteger(leewaySeconds) || maxTtlSeconds > LIFETIME.tokenMax)
    faults.push('the token lifetimes are none')

  const resource = place('resource', tool.resource)
  const behind = place('upstream', upstream)
  if (behind.url !== '' && new URL(behind.url).pathname !== '/') faults.push('upstream is an origin: it has no path')
  const given = routes.flatMap((text) => {
    const read = readRoute(text, scopes)
    if (read.ok) return [read.value]
    faults.push(`route ${JSON.stringify(text)} ${read.error}`)
    return []
  })
  if (routes.length > ROUTES_MAX) faults.push(`there are more than ${ROUTES_MAX} routes`)
  const spellings = given.flatMap(({ methods, path }) =>
    (methods.length === 0 ? ['any'] : methods).map((m) => `${m} ${path}`),
  )
  const twice = spellings.find((one, index) => spellings.indexOf(one) !== index)
  if (twice !== undefined) faults.push(`${twice} is there more than once: which scope it needs is not clear`)
  const broker = place('issuer', issuer)
  if (broker.url !== '' && new URL(broker.url).pathname !== '/') faults.push('issuer is an origin: it has no path')
  if (faults.length > 0) return err(faults)

  return ok({
    tool: tool.name,
    identifier: tool.name.replaceAll('-', '_'),
    resource,
    issuer: broker,
    upstream: behind,
    alg: tool.token.alg,
    verifiedBy: tool.token.verifiedBy,
    maxTtlSeconds,
    leewaySeconds,
    scopes,
    details,
    routes: (given.length > 0 ? given : exampleRoutes(scopes, new URL(resource.url).pathname)).sort(bySpecificity),
    routesAreExamples: given.length === 0,
  })
}

function readPlace(text: string): Place | null {
  if (text.length > 500 || !URL_ALPHABET.test(text) || !URL.canParse(text)) return null
  const url = new URL(text)
  if (ODD_PATH.test(text.slice(text.indexOf('//') + 2))) return null
  const secure = url.protocol === 'https:'
  return {
    url: text.replace(/\/+$/, ''),
    host: url.hostname,
    port: url.port === '' ? (secure ? 443 : 80) : Number(url.port),
    secure,
  }
}

function readRoute(text: string, scopes: readonly string[]): Result<Route, string> {
  const [, methods = '', path = '', scope = ''] = /^(?:([A-Z,]+) +)?(\/[^ ]*)=([^ =]+)$/.exec(text.trim()) ?? []
  if (path === '') return err('is not written like GET,HEAD /api/v1/query=metrics:read')
  const named = methods === '' ? [] : methods.split(',')
  if (!named.every((method) => METHOD.test(method))) return err('has a method that is none')
  if (path.length > 500 || !PATH.test(path) || ODD_PATH.test(path))
    return err('has a path with more than letters, digits and . _ ~ : @ , + = / -, a doubled slash or a dot segment')
  if (!scopes.includes(scope)) return err(`names a scope that the manifest does not: ${scopes.join(', ')}`)
  return ok({ methods: [...new Set(named)], path, scope })
}

/** A path a scope, so that what is printed holds at once and lets nothing unmentioned through. */
function exampleRoutes(scopes: readonly string[], base: string): Route[] {
  const taken = new Set<string>()
  return scopes.map((scope) => {
    const stem = `${base.replace(/\/$/, '')}/${scope
      .split(/[^A-Za-z0-9-]+/)
      .filter((part) => part !== '')
      .join('/')}`
    let path = `${stem}/`
    for (let count = 2; taken.has(path); count += 1) path = `${stem}/${count}/`
    taken.add(path)
    return { methods: [], path, scope }
  })
}

const isBelow = ({ path }: Route): boolean => path.endsWith('/')

function bySpecificity(a: Route, b: Route): number {
  if (isBelow(a) !== isBelow(b)) return isBelow(a) ? 1 : -1
  if (a.path.length !== b.path.length) return b.path.length - a.path.length
  if (a.path !== b.path) return a.path < b.path ? -1 : 1
  return (a.methods.length === 0 ? 1 : 0) - (b.methods.length === 0 ? 1 : 0)
}

/** A regular expression (PCRE, RE2, POSIX extended) for a request target, or for its path alone. Without backslashes. */
export const routePattern = (route: Route, of: 'target' | 'path'): string => {
  const path = route.path.replaceAll('.', '[.]').replaceAll('+', '[+]')
  return isBelow(route) ? `^${path}` : `^${path}${of === 'target' ? '([?]|$)' : '$'}`
}

/** A request target whose path has more than one spelling, so that the tool could read another path than the proxy did. */
export const ODD_TARGET = '^[^?]*([^?A-Za-z0-9/._~:@,+=-]|//|/[.][.]?(/|[?]|$))'
/** The same for a path alone. */
export const ODD_SPELLING = '[^A-Za-z0-9/._~:@,+=-]|//|/[.][.]?(/|$)'

/** What the proxy's question is: literal, so that nothing of the caller's decides (S14). */
export const questionPath = ({ resource }: SnippetInput, scope: string): string =>
  `/forward-auth?resource=${resource.url}&scope=${scope}`

export const jwksUrl = ({ issuer }: SnippetInput): string => `${issuer.url}/.well-known/jwks.json`

export const scopesOf = ({ routes }: SnippetInput): readonly string[] => [...new Set(routes.map(({ scope }) => scope))]

export const isEverythingBelow = isBelow
