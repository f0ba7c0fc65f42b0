// Which headers cross the proxy, and in which words. Towards the tool only what is known to be harmless goes on, for a
// tool may believe any other (who is calling, which tenant, another method); towards the agent nothing that sets a cookie,
// speaks for the broker's origin, or asks for a credential.

import { valuesIn } from '../../actions/raw-header.ts'

type Headers = readonly string[]
type Pair = readonly [name: string, value: string]

/** RFC 9110 section 7.6.1, and what older proxies took for hop-by-hop. */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
])

/** What any HTTP client may say without changing who it is or what it asks for. */
const USUAL = new Set([
  'accept',
  'accept-charset',
  'accept-encoding',
  'accept-language',
  'content-disposition',
  'content-encoding',
  'content-language',
  'content-md5',
  'content-range',
  'content-type',
  'idempotency-key',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'prefer',
  'range',
  'traceparent',
  'tracestate',
  'user-agent',
])

/** Of the tool's answer: what acts on the broker's origin in a browser, or is about a credential that is not the agent's. */
const KEPT_BACK = new Set([
  'set-cookie',
  'set-cookie2',
  'www-authenticate',
  'authentication-info',
  'alt-svc',
  'cache-control',
  'expires',
  'pragma',
  'clear-site-data',
  'content-location',
  'content-security-policy',
  'content-security-policy-report-only',
  'cross-origin-embedder-policy',
  'cross-origin-opener-policy',
  'cross-origin-resource-policy',
  'expect-ct',
  'location',
  'nel',
  'origin-agent-cluster',
  'permissions-policy',
  'public-key-pins',
  'refresh',
  'report-to',
  'reporting-endpoints',
  'service-worker-allowed',
  'sourcemap',
  'strict-transport-security',
  'via',
  'x-content-type-options',
  'x-frame-options',
  'x-request-id',
  'x-sourcemap',
])

/** Sent with every answer: a page of the tool's that a browser were to show is nobody's, and runs nothing. */
const ALWAYS: readonly Pair[] = [
  ['Content-Security-Policy', "sandbox; default-src 'none'; frame-ancestors 'none'"],
  ['Cross-Origin-Resource-Policy', 'same-origin'],
  ['Via', '1.1 hallpass'],
]

function* pairs(raw: Headers): Generator<Pair> {
  for (let at = 0; at + 1 < raw.length; at += 2) yield [raw[at]!, raw[at + 1]!]
}

/** Names that this hop's `Connection` claims for itself. */
const claimed = (raw: Headers): ReadonlySet<string> =>
  new Set(valuesIn(raw, 'connection').flatMap((value) => value.split(',').map((name) => name.trim().toLowerCase())))

/** Headers of the agent's request that go on, as names and values by turns. `pass`: names in lower case. */
export function towardsTool(raw: Headers, pass: readonly string[]): string[] {
  const connection = claimed(raw)
  const kept: string[] = []
  for (const [name, value] of pairs(raw)) {
    const lower = name.toLowerCase()
    if (HOP_BY_HOP.has(lower) || connection.has(lower)) continue
    if (USUAL.has(lower) || pass.includes(lower)) kept.push(name, value)
  }
  kept.push('Via', '1.1 hallpass')
  return kept
}

/** What a side-car passes on of its own caller's request: all but this hop's, what it writes, and other credentials. */
export function withoutOwn(raw: Headers, header: string): string[] {
  const connection = claimed(raw)
  const own = new Set(['host', 'authorization', 'cookie', 'content-length', 'expect', 'origin', header.toLowerCase()])
  const kept: string[] = []
  for (const [name, value] of pairs(raw)) {
    const lower = name.toLowerCase()
    if (HOP_BY_HOP.has(lower) || connection.has(lower) || own.has(lower) || lower.startsWith('sec-')) continue
    kept.push(name, value)
  }
  return kept
}

/** Headers of the tool's answer that go on; `Location` and what frames the body are the caller's. */
export function towardsAgent(raw: Headers): string[] {
  const connection = claimed(raw)
  const kept: string[] = []
  for (const [name, value] of pairs(raw)) {
    const lower = name.toLowerCase()
    if (HOP_BY_HOP.has(lower) || KEPT_BACK.has(lower) || connection.has(lower)) continue
    if (lower.startsWith('access-control-') || lower.startsWith('x-hallpass-')) continue
    kept.push(name, value)
  }
  for (const pair of ALWAYS) kept.push(...pair)
  return kept
}

/** Whether the tool says the credential back that it was called with. */
export const saysBack = (raw: Headers, forms: readonly string[]): boolean =>
  raw.some((text) => forms.some((form) => text.includes(form)))

/**
 * Where a redirect leads as a path of the proxy's; null where it leaves the upstream.
 * @param base the upstream's URL, without a slash at its end. @param path the path of the call, below it.
 */
export function redirectedTo(location: string, base: string, path: string, mount: string): string | null {
  if (!URL.canParse(location, base + path)) return null
  const to = new URL(location, base + path)
  const { origin, pathname } = new URL(base)
  const below = pathname === '/' ? '' : pathname
  if (to.origin !== origin || to.username !== '' || to.password !== '') return null
  if (to.pathname !== below && !to.pathname.startsWith(`${below}/`)) return null
  return mount + to.pathname.slice(below.length) + to.search + to.hash
}
