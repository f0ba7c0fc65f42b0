// A tool's proxy delivery, linked: where calls go, which secret is put in, what each scope allows, and that whatever the
// proxy must hold an agent to is in a rule (S9). It resolves nothing, and repeats nothing that could be a secret (S5).

import type { ToolManifest, ToolScope, ToolUpstream } from './manifest.ts'
import { type Faults, oneOf, quoted, suggestion } from './manifest-faults.ts'
import { detailsOfArguments } from './manifest-mcp.ts'
import type { Read } from './manifest-read.ts'
import type { Path, YamlDocument } from './manifest-yaml.ts'
import { detailsHeld, type PathRule, readPattern, ruleText } from './path-rule.ts'
import { isOnOrigin, normalizeResource } from './resource-url.ts'
import { isSecretReference } from './secret-reference.ts'

type Linking = { readonly issuerOrigin: string | null; readonly faults: Faults }

const PATH = ['spec', 'upstream'] as const
const MIB = 1024 * 1024
const BODY_MAX = 1024 * MIB
/** More than a scope is ever read through. */
const RULES_MAX = 256

/** Headers that the proxy writes or removes itself, and those by which a call is taken for another than it was judged as. */
const OWN_HEADERS =
  /^(host|connection|keep-alive|te|trailer|transfer-encoding|content-length|upgrade|expect|via|cookie|authorization|proxy-.*|forwarded|x-forwarded-.*|x-hallpass-.*|x-(http-)?method(-override)?|x-original-(url|method)|x-rewrite-url)$/

/** The upstream with its defaults; null where there is none. */
export function linkUpstream(tool: Read<'Tool'>, { issuerOrigin, faults }: Linking): ToolUpstream | null {
  const { yaml, document } = tool
  const { upstream, target, details, scopes } = document.spec
  const add = (path: Path, message: string) => faults.add(yaml.place([...PATH, ...path]), message)
  if (upstream === undefined) {
    for (const [scope, { allow }] of Object.entries(scopes))
      if (allow !== undefined)
        faults.add(
          yaml.keyPlace(['spec', 'scopes', scope, 'allow']),
          '"allow" is for the proxy, and the tool has no "upstream": say where calls go, or remove it',
        )
    return null
  }
  const url = normalizeResource(upstream.url)
  if (!url.ok) add(['url'], `"url" ${url.error}`)
  else if (issuerOrigin !== null && isOnOrigin(url.value, issuerOrigin))
    add(['url'], `"url" ${quoted(url.value)} is on Hallpass's own origin: it is where the tool is`)
  const { secret, header, prefix } = upstream
  if (secret !== undefined && !isSecretReference(secret))
    add(['secret'], '"secret" must be a reference, env:HALLPASS_TOOL_NAME or file:NAME: never the secret itself')
  for (const [field, value] of Object.entries({ secret, header, prefix })) {
    if (value === undefined) continue
    if (target.type !== 'none')
      faults.add(
        yaml.keyPlace([...PATH, field]),
        `"${field}" is for a tool without accounts: here the grant's own account is presented, as its target says`,
      )
    else if (secret === undefined)
      faults.add(yaml.keyPlace([...PATH, field]), `"${field}" says how a secret is presented, and there is no "secret"`)
  }
  if (header !== undefined && OWN_HEADERS.test(header.toLowerCase()) && header.toLowerCase() !== 'authorization')
    add(['header'], `"header" ${quoted(header)} is one that Hallpass writes or removes itself`)
  for (const [index, name] of upstream.pass.entries())
    if (OWN_HEADERS.test(name.toLowerCase()) || name.toLowerCase() === header?.toLowerCase())
      add(['pass', index], `${quoted(name)} is never passed on: Hallpass writes or removes it itself`)
  const [, number = '', unit] = /^(\d+)(KiB|MiB)$/.exec(upstream.maxBody) ?? []
  const bodyBytes = Number(number) * (unit === 'MiB' ? MIB : 1024)
  if (bodyBytes > BODY_MAX) add(['maxBody'], `"maxBody" is ${upstream.maxBody}, and the most is 1024MiB`)
  const held = new Set([
    ...Object.values(scopes).flatMap(({ allow = [] }) => rulesOf(allow).flatMap(detailsHeld)),
    ...detailsOfArguments(document.spec.mcp),
  ])
  for (const [key, { enforcedBy }] of Object.entries(details))
    if (enforcedBy === 'proxy' && !held.has(key))
      faults.add(
        yaml.keyPlace(['spec', 'details', key]),
        `no rule holds calls to {${key}}, so the proxy cannot hold an agent to it: name it in a path or query of "allow", or say who does`,
      )
  return {
    url: url.ok ? url.value : upstream.url,
    secret: secret ?? null,
    header: header ?? 'Authorization',
    prefix: prefix ?? 'Bearer ',
    pass: [...new Set(upstream.pass.map((name) => name.toLowerCase()))].sort(),
    bodyBytes: Math.min(bodyBytes, BODY_MAX),
  }
}

type Allow = NonNullable<Read<'Tool'>['document']['spec']['scopes'][string]['allow']>

/** One rule a method and path. */
const rulesOf = (allow: Allow): PathRule[] =>
  allow.flatMap(({ methods, paths, query = {} }) =>
    paths.flatMap((path) =>
      methods.map((method) => ({
        method,
        path,
        query: Object.fromEntries(
          Object.entries(query)
            .map(([name, detail]) => [name, detail.slice(1, -1)] as const)
            .sort(([a], [b]) => (a < b ? -1 : 1)),
        ),
      })),
    ),
  )

/** The scopes with their rules spread out, sorted and each once. */
export function linkScopeRules({ yaml, document }: Read<'Tool'>, { faults }: Linking): Record<string, ToolScope> {
  const { scopes, details } = document.spec
  const linked: [string, ToolScope][] = []
  for (const [scope, { description, risk, approval, allow }] of Object.entries(scopes)) {
    const head = { description, risk, approval }
    if (allow === undefined) {
      linked.push([scope, head])
      continue
    }
    const at = ['spec', 'scopes', scope, 'allow']
    for (const [index, rule] of allow.entries()) addRuleFaults(rule, [...at, index], yaml, Object.keys(details), faults)
    const rules = new Map(rulesOf(allow).map((rule) => [ruleText(rule), rule]))
    if (rules.size > RULES_MAX)
      faults.add(yaml.keyPlace(at), `"allow" comes to more than ${RULES_MAX} methods of paths: use * or **`)
    linked.push([scope, { ...head, allow: [...rules].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, rule]) => rule) }])
  }
  return Object.fromEntries(linked)
}

function addRuleFaults(rule: Allow[number], at: Path, yaml: YamlDocument, known: readonly string[], faults: Faults) {
  const otherwise = known.length === 0 ? '; it declares none' : `; it declares ${oneOf(known)}`
  const unknown = (key: string) =>
    `names ${quoted(key)}, which is no detail of the tool${suggestion(key, known, otherwise)}`
  for (const [index, path] of rule.paths.entries()) {
    const place = yaml.place([...at, 'paths', index])
    const pattern = readPattern(path)
    if (!pattern.ok) faults.add(place, `the path ${quoted(path)} ${pattern.error}`)
    else
      for (const key of detailsHeld({ path, query: {} }))
        if (!known.includes(key)) faults.add(place, () => `the path ${quoted(path)} ${unknown(key)}`)
  }
  for (const [name, detail] of Object.entries(rule.query ?? {})) {
    const key = detail.slice(1, -1)
    if (!known.includes(key))
      faults.add(yaml.place([...at, 'query', name]), () => `the parameter ${quoted(name)} ${unknown(key)}`)
  }
  const withBody = rule.methods.findIndex((method) => method !== 'GET' && method !== 'HEAD')
  if (rule.query !== undefined && withBody !== -1)
    faults.add(
      yaml.place([...at, 'methods', withBody]),
      '"query" holds only GET and HEAD: with a body, a tool may read the parameter from there instead',
    )
}

/** An access entry with delivery proxy, of a tool that cannot give it, or of scopes that allow nothing there. */
export function unfitForProxy(
  tool: ToolManifest,
  scopes: readonly string[],
  yaml: YamlDocument,
  path: Path,
  faults: Faults,
): void {
  const place = yaml.place([...path, 'delivery'])
  if (tool.upstream === undefined && tool.mcp === undefined)
    faults.add(
      place,
      () => `"delivery" is proxy, and tool ${quoted(tool.name)} has no "upstream" or "mcp" that calls could go to`,
    )
  else {
    const ofMcp = new Set(Object.values(tool.mcp?.tools ?? {}).map(({ scope }) => scope))
    for (const scope of scopes)
      if ((tool.scopes[scope]?.allow ?? []).length === 0 && !ofMcp.has(scope))
        faults.warn(
          place,
          () => `the scope ${quoted(scope)} allows nothing through the proxy: give it "allow" rules, or tools of "mcp"`,
        )
  }
}
