// From documents that are right each by itself to manifests that fit together: references, limits that depend on
// another document, defaults. A gone name takes away and never gives: what rests on it is dropped, with a warning (P3).

import { formatDuration, parseDurationSeconds } from './duration.ts'
import type {
  AccessEntry,
  Details,
  KnownNames,
  RoleManifest,
  TeamManifest,
  ToolManifest,
  ToolScope,
} from './manifest.ts'
import type { Faults } from './manifest-faults.ts'
import { oneOf, quoted, suggestion } from './manifest-faults.ts'
import { linkMcp } from './manifest-mcp.ts'
import { linkScopeRules, linkUpstream, unfitForProxy } from './manifest-proxy.ts'
import type { Read, ReadSet } from './manifest-read.ts'
import type { AccessDocument } from './manifest-schema.ts'
import {
  DEFAULT_TOKEN_TTL_SECONDS,
  MAX_GRANT_SECONDS,
  MAX_LEEWAY_SECONDS,
  MAX_TOKEN_TTL_SECONDS,
} from './manifest-schema.ts'
import { linkTarget, unfitForRight } from './manifest-target.ts'
import type { Path, YamlDocument } from './manifest-yaml.ts'
import { fieldOf } from './manifest-yaml.ts'
import type { OwnRecipes } from './own-recipe.ts'
import type { Recipe } from './recipe.ts'
import { isOnOrigin, normalizeResource } from './resource-url.ts'

export type Linking = {
  readonly read: ReadSet
  readonly known: KnownNames | null
  readonly issuerOrigin: string | null
  readonly recipes: ReadonlyMap<string, Recipe> | undefined
  /** Those that lie beside the manifests. */
  readonly own: OwnRecipes
  /** False where a file could not be read: names that seem unknown may be in it, so they are not called so. */
  readonly complete: boolean
  readonly faults: Faults
}

/** Values sorted and each once. */
export const sortedUnique = (values: Iterable<string>): string[] => [...new Set(values)].sort()

/** An object without a prototype, so that no inherited name can be looked up in it. */
const dictionary = <T>(entries: Iterable<readonly [string, T]>): Readonly<Record<string, T>> => {
  const result: Record<string, T> = Object.create(null)
  for (const [key, value] of entries) result[key] = value
  return result
}

const NOUNS = { Tool: 'tools', Role: 'roles', Team: 'teams' } as const

/** Whether a name is in the set; if not, it is a warning where it once was, else a fault. */
export const refersTo = (
  kind: keyof typeof NOUNS,
  name: string,
  yaml: YamlDocument,
  path: Path,
  linking: Linking,
): boolean => {
  const { read, known, faults, complete } = linking
  if (read.declared[kind].has(name)) return true
  const noun = kind.toLowerCase()
  if (known?.[NOUNS[kind]].has(name)) {
    faults.warn(yaml.place(path), () => `the ${noun} ${quoted(name)} is gone: this grants nothing; remove it`)
  } else if (complete) {
    const declared = read.declared[kind].keys()
    faults.add(
      yaml.place(path),
      () => `unknown ${noun} ${quoted(name)}${suggestion(name, declared, `: write a ${kind} of that name`)}`,
    )
  }
  return false
}

/** Owners in lower case, without the teams that are gone. */
export const linkOwners = (owners: readonly string[], yaml: YamlDocument, linking: Linking): string[] =>
  sortedUnique(
    owners
      .filter(
        (owner, index) =>
          !owner.startsWith('team/') || refersTo('Team', owner.slice(5), yaml, ['spec', 'owners', index], linking),
      )
      .map((owner) => owner.toLowerCase()),
  )

/** The seconds of a duration within its limits; at a fault, the limit. */
const seconds = (
  text: string,
  limits: { min: number; max: number },
  yaml: YamlDocument,
  path: Path,
  faults: Faults,
): number => {
  const value = parseDurationSeconds(text) ?? 0
  if (value >= limits.min && value <= limits.max) return value
  faults.add(yaml.place(path), () =>
    value > limits.max
      ? `${fieldOf(path)} is ${text}, and the most is ${formatDuration(limits.max)}`
      : `${fieldOf(path)} is ${text}, and the least is ${formatDuration(limits.min)}`,
  )
  return limits.max
}

export const linkTool = (tool: Read<'Tool'>, linking: Linking): ToolManifest => {
  const { yaml, document, name, source } = tool
  const { spec } = document
  const { faults, issuerOrigin } = linking
  const resource = normalizeResource(spec.resource)
  const resourcePath = ['spec', 'resource']
  if (!resource.ok) faults.add(yaml.place(resourcePath), `"resource" ${resource.error}`)
  else if (issuerOrigin !== null && isOnOrigin(resource.value, issuerOrigin)) {
    const message = `"resource" ${quoted(resource.value)} is on Hallpass's own origin: a tool must have one of its own`
    faults.add(yaml.place(resourcePath), message)
  }
  const limit = (text: string, min: number, max: number, field: string) =>
    seconds(text, { min, max }, yaml, ['spec', 'token', field], faults)
  const upstream = linkUpstream(tool, linking)
  const mcp = linkMcp(tool, linking)
  return {
    kind: 'Tool',
    name,
    labels: document.metadata.labels,
    owners: linkOwners(spec.owners, yaml, linking),
    category: spec.category,
    resource: resource.ok ? resource.value : spec.resource,
    scopes: dictionary<ToolScope>(Object.entries(linkScopeRules(tool, linking))),
    details: dictionary(Object.entries(spec.details)),
    token: {
      alg: spec.token.alg,
      maxTtlSeconds: limit(spec.token.maxTtl, 1, MAX_TOKEN_TTL_SECONDS, 'maxTtl'),
      verifiedBy: spec.token.verifiedBy,
      leewaySeconds: limit(spec.token.leeway, 0, MAX_LEEWAY_SECONDS, 'leeway'),
    },
    target: linkTarget(tool, linking),
    ...(upstream === null ? {} : { upstream }),
    ...(mcp === null ? {} : { mcp }),
    source,
  }
}

/** The scopes of an entry that its tool has; those that it once had are dropped with a warning. */
const linkScopes = (
  entry: AccessDocument,
  tool: ToolManifest,
  yaml: YamlDocument,
  path: Path,
  linking: Linking,
): string[] =>
  entry.scopes.filter((scope, index) => {
    if (Object.hasOwn(tool.scopes, scope)) return true
    const place = yaml.place([...path, 'scopes', index])
    const on = `on tool ${quoted(tool.name)}`
    if (linking.known?.scopes?.get(tool.name)?.has(scope)) {
      linking.faults.warn(place, () => `the scope ${quoted(scope)} ${on} is gone: this grants nothing; remove it`)
    } else {
      const scopes = Object.keys(tool.scopes)
      linking.faults.add(
        place,
        () => `unknown scope ${quoted(scope)} ${on}${suggestion(scope, scopes, `; it has ${oneOf(scopes)}`)}`,
      )
    }
    return false
  })

/** Details with keys that the tool declares, or null where a key is gone: without its limit the entry would be broader. */
const linkDetails = (
  entry: AccessDocument,
  tool: ToolManifest,
  yaml: YamlDocument,
  path: Path,
  linking: Linking,
): Details | null => {
  let gone = false
  for (const key of Object.keys(entry.details)) {
    if (Object.hasOwn(tool.details, key)) continue
    const place = yaml.keyPlace([...path, 'details', key])
    const on = `on tool ${quoted(tool.name)}`
    if (linking.known?.details?.get(tool.name)?.has(key)) {
      gone = true
      linking.faults.warn(
        place,
        () => `the details key ${quoted(key)} ${on} is gone: this entry grants nothing; remove the key`,
      )
    } else {
      const keys = Object.keys(tool.details)
      const otherwise = keys.length === 0 ? '; it declares none' : `; it declares ${oneOf(keys)}`
      linking.faults.add(place, () => `unknown details key ${quoted(key)} ${on}${suggestion(key, keys, otherwise)}`)
    }
  }
  for (const { path: at, message } of unfitForRight(tool, entry.details))
    linking.faults.add(yaml.place([...path, 'details', ...at]), message)
  if (gone) return null
  return Object.fromEntries(Object.entries(entry.details).map(([key, values]) => [key, sortedUnique(values)]))
}

/** An access entry with its defaults, or null where it grants nothing: its tool, all its scopes, or a details key are gone. */
const linkEntry = (
  entry: AccessDocument,
  yaml: YamlDocument,
  path: Path,
  tools: ReadonlyMap<string, ToolManifest>,
  linking: Linking,
): AccessEntry | null => {
  const { faults } = linking
  const grantForSeconds = seconds(
    entry.grantFor,
    { min: 1, max: MAX_GRANT_SECONDS },
    yaml,
    [...path, 'grantFor'],
    faults,
  )
  if (!refersTo('Tool', entry.tool, yaml, [...path, 'tool'], linking)) return null
  const tool = tools.get(entry.tool)
  if (!tool) return null
  const scopes = sortedUnique(linkScopes(entry, tool, yaml, path, linking))
  const details = linkDetails(entry, tool, yaml, path, linking)
  const { maxTtlSeconds } = tool.token
  const tokenTtlSeconds =
    entry.tokenTtl === undefined
      ? Math.min(DEFAULT_TOKEN_TTL_SECONDS, maxTtlSeconds)
      : (parseDurationSeconds(entry.tokenTtl) ?? 0)
  const ttlPath = [...path, 'tokenTtl']
  if (tokenTtlSeconds > maxTtlSeconds) {
    faults.add(yaml.place(ttlPath), () => {
      const most = `the most that tool ${quoted(tool.name)} allows is ${formatDuration(maxTtlSeconds)}`
      return `"tokenTtl" is ${entry.tokenTtl}, and ${most} (its token.maxTtl)`
    })
  } else if (tokenTtlSeconds < 1) faults.add(yaml.place(ttlPath), '"tokenTtl" is 0, and the least is 1s')
  if (scopes.length === 0 || details === null) return null
  const { approval, delivery } = entry
  if (delivery === 'proxy') unfitForProxy(tool, scopes, yaml, path, faults)
  return {
    tool: tool.name,
    scopes,
    details,
    approval,
    grantForSeconds,
    tokenTtlSeconds,
    delivery,
    source: yaml.place(path),
  }
}

export const linkAccess = (
  entries: readonly AccessDocument[],
  yaml: YamlDocument,
  tools: ReadonlyMap<string, ToolManifest>,
  linking: Linking,
): AccessEntry[] =>
  entries
    .map((entry, index) => linkEntry(entry, yaml, ['spec', 'access', index], tools, linking))
    .filter((entry) => entry !== null)

export const linkRole = (
  role: Read<'Role'>,
  tools: ReadonlyMap<string, ToolManifest>,
  linking: Linking,
): RoleManifest => ({
  kind: 'Role',
  name: role.name,
  labels: role.document.metadata.labels,
  access: linkAccess(role.document.spec.access, role.yaml, tools, linking),
  source: role.source,
})

export const linkTeam = (team: Read<'Team'>): TeamManifest => ({
  kind: 'Team',
  name: team.name,
  labels: team.document.metadata.labels,
  members: sortedUnique(team.document.spec.members.map((member) => member.toLowerCase())),
  source: team.source,
})
