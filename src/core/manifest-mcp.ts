// A tool's own MCP server, linked: where it is, which of its tools agents may be given, and under which scope and details.
// It resolves nothing, speaks to nobody, and repeats nothing that could be a secret (S5).

import type { McpMapping, ToolMcp } from './manifest.ts'
import { type Faults, oneOf, quoted, suggestion } from './manifest-faults.ts'
import type { Read } from './manifest-read.ts'
import type { Path } from './manifest-yaml.ts'
import { isOnOrigin, normalizeResource } from './resource-url.ts'
import { isSecretReference } from './secret-reference.ts'

type Linking = { readonly issuerOrigin: string | null; readonly faults: Faults }
type Mapped = NonNullable<Read<'Tool'>['document']['spec']['mcp']>['tools'][string]

const PATH = ['spec', 'mcp'] as const

/** Headers that the broker or its MCP client writes itself, and those by which a call is taken for another. */
const OWN_HEADERS =
  /^(host|connection|keep-alive|te|trailer|transfer-encoding|content-length|content-type|accept|upgrade|expect|via|cookie|proxy-.*|forwarded|x-forwarded-.*|x-hallpass-.*|x-(http-)?method(-override)?|x-original-(url|method)|x-rewrite-url|mcp-.*|last-event-id)$/

/** The longest name of a tool that every client and model takes. */
const SHOWN_MAX = 64

/** How an agent sees a tool of an upstream server: `tickets__create_issue`. No name of ours has two underscores. */
export const shownName = (tool: string, name: string): string => `${tool}__${name.replaceAll('.', '_')}`

/** The tool of ours in a name as an agent sees it; null where it is none of an upstream server's. */
export function toolOfShown(shown: string): string | null {
  const at = shown.indexOf('__')
  return at <= 0 || shown.length > SHOWN_MAX ? null : shown.slice(0, at)
}

/** Where the server is, as one text: another one is another server, and nothing that was accepted of this one holds there. */
export const placeOfMcp = ({ url, command }: Pick<ToolMcp, 'url' | 'command'>): string =>
  url ?? `command:${command ?? ''}`

/** As a person reads it, and as two are compared: `ticket:comment, queue by project`. */
export const mappingText = ({ scope, details }: McpMapping): string =>
  [scope, ...Object.entries(details).map(([detail, argument]) => `${detail} by ${argument}`)].join(', ')

const mappingOf = (mapped: Mapped): McpMapping => {
  if (typeof mapped === 'string') return { scope: mapped, details: {} }
  const details = Object.entries(mapped.details).sort(([a], [b]) => (a < b ? -1 : 1))
  return { scope: mapped.scope, details: Object.fromEntries(details) }
}

/** The details that some argument carries. */
export const detailsOfArguments = (mcp: { readonly tools: Readonly<Record<string, Mapped>> } | undefined): string[] =>
  Object.values(mcp?.tools ?? {}).flatMap((mapped) => Object.keys(mappingOf(mapped).details))

/** The server with its defaults; null where there is none. */
export function linkMcp(tool: Read<'Tool'>, { issuerOrigin, faults }: Linking): ToolMcp | null {
  const { yaml, document } = tool
  const { mcp, upstream, details, scopes } = document.spec
  if (mcp === undefined) return null
  const add = (path: Path, message: string) => faults.add(yaml.place([...PATH, ...path]), message)
  const { command, secret, header, prefix } = mcp
  if ((mcp.url === undefined) === (command === undefined))
    faults.add(yaml.keyPlace([...PATH]), '"mcp" takes either "url" or "command": one of them, not both')
  const url = mcp.url === undefined ? null : normalizeResource(mcp.url)
  if (url !== null && !url.ok) add(['url'], `"url" ${url.error}`)
  else if (url?.ok && issuerOrigin !== null && isOnOrigin(url.value, issuerOrigin))
    add(['url'], `"url" ${quoted(url.value)} is on Hallpass's own origin: it is where the tool's server is`)
  if (secret !== undefined && !isSecretReference(secret))
    add(['secret'], '"secret" must be a reference, env:HALLPASS_TOOL_NAME or file:NAME: never the secret itself')
  for (const [field, value] of Object.entries({ secret, header, prefix })) {
    if (value === undefined) continue
    if (command !== undefined)
      faults.add(
        yaml.keyPlace([...PATH, field]),
        `"${field}" goes with "url": what a command is given, the operator's configuration says`,
      )
    else if (secret === undefined)
      faults.add(yaml.keyPlace([...PATH, field]), `"${field}" says how a secret is presented, and there is no "secret"`)
  }
  if (header !== undefined && OWN_HEADERS.test(header.toLowerCase()))
    add(['header'], `"header" ${quoted(header)} is one that Hallpass writes or removes itself`)

  const shown = new Map<string, string>()
  for (const [name, mapped] of Object.entries(mcp.tools)) {
    const place = yaml.keyPlace([...PATH, 'tools', name])
    const seenAs = shownName(tool.name, name)
    if (seenAs.length > SHOWN_MAX)
      faults.add(place, `agents would see it as ${quoted(seenAs)}: that is longer than ${SHOWN_MAX} characters`)
    const other = shown.get(seenAs)
    if (other !== undefined)
      faults.add(place, `agents would see it under the same name as ${quoted(other)}: keep one of them`)
    shown.set(seenAs, name)
    const mapping = mappingOf(mapped)
    const at = [...PATH, 'tools', name]
    if (!Object.hasOwn(scopes, mapping.scope)) {
      const known = Object.keys(scopes)
      const words = suggestion(mapping.scope, known, `; the tool has ${oneOf(known)}`)
      faults.add(
        yaml.place(typeof mapped === 'string' ? at : [...at, 'scope']),
        `unknown scope ${quoted(mapping.scope)}${words}`,
      )
    }
    for (const detail of Object.keys(mapping.details)) {
      if (Object.hasOwn(details, detail)) continue
      const known = Object.keys(details)
      const words = suggestion(
        detail,
        known,
        known.length === 0 ? '; it declares none' : `; it declares ${oneOf(known)}`,
      )
      faults.add(yaml.keyPlace([...at, 'details', detail]), `${quoted(detail)} is no detail of the tool${words}`)
    }
  }
  // With an upstream it is looked at there, together with its rules.
  const held = new Set(detailsOfArguments(mcp))
  if (upstream === undefined)
    for (const [key, { enforcedBy }] of Object.entries(details))
      if (enforcedBy === 'proxy' && !held.has(key))
        faults.add(
          yaml.keyPlace(['spec', 'details', key]),
          `no argument of a tool of "mcp" carries ${key}, so the proxy cannot hold an agent to it: say which does, or who holds it`,
        )
  return {
    url: url === null ? null : url.ok ? url.value : (mcp.url ?? null),
    command: command ?? null,
    secret: secret ?? null,
    header: header ?? 'Authorization',
    prefix: prefix ?? 'Bearer ',
    tools: Object.fromEntries(
      Object.entries(mcp.tools)
        .map(([name, mapped]) => [name, mappingOf(mapped)] as const)
        .sort(([a], [b]) => (a < b ? -1 : 1)),
    ),
  }
}
