// Who may what, modelled naively and apart from the product: authority is sets of people, keys and points, an edit leaves
// what both sides hold, and only people who were there before may accept the rest (S1–S3). It imports no rule of ours.

import type { AccessEntry, AgentManifest, Manifest, ManifestSet, ToolManifest } from '../../src/core/manifest.ts'

export const SCOPES = ['read', 'comment', 'close'] as const
const SCOPE_SETS = [1, 2, 3, 4, 5, 6, 7].map((bits) => SCOPES.filter((_, i) => (bits >> i) & 1).toSorted())
/** Values of the one detail there is, `queue`; null is any queue. */
export const QUEUES: readonly (readonly string[] | null)[] = [null, ['a'], ['b'], ['a', 'b']]
export const LEVELS = ['none', 'owner'] as const
export const GRANT_FOR = [600, 7200, 36_000] as const
export const TOKEN_TTL = [60, 300] as const
export const DELIVERIES = ['inline', 'exchange'] as const

/** The smallest thing that may be allowed: exactly this asked, approved so, for so long, delivered so. */
export type Point = {
  readonly id: number
  readonly scopes: readonly string[]
  readonly queues: readonly string[] | null
  readonly level: (typeof LEVELS)[number]
  readonly grantFor: number
  readonly ttl: number
  readonly delivery: (typeof DELIVERIES)[number]
}

export const POINTS: readonly Point[] = SCOPE_SETS.flatMap((scopes) =>
  QUEUES.flatMap((queues) =>
    LEVELS.flatMap((level) =>
      GRANT_FOR.flatMap((grantFor) =>
        TOKEN_TTL.flatMap((ttl) => DELIVERIES.map((delivery) => ({ scopes, queues, level, grantFor, ttl, delivery }))),
      ),
    ),
  ),
).map((point, id) => ({ id, ...point }))

const within = (few: readonly string[], many: readonly string[]) => few.every((one) => many.includes(one))

/** What one access entry allows, of what its tool declares; all of it where the tool is not there. */
function pointsOf(entry: AccessEntry, tool: ToolManifest | undefined): number[] {
  const scopes = entry.scopes.filter((scope) => tool === undefined || Object.hasOwn(tool.scopes, scope))
  const queues = entry.details.queue
  if (tool !== undefined && queues !== undefined && !Object.hasOwn(tool.details, 'queue')) return []
  return POINTS.filter(
    (point) =>
      within(point.scopes, scopes) &&
      (queues === undefined || (point.queues !== null && within(point.queues, queues))) &&
      (entry.approval === 'none' || point.level === 'owner') &&
      entry.grantForSeconds >= point.grantFor &&
      entry.tokenTtlSeconds >= point.ttl &&
      (entry.delivery === 'inline' || point.delivery === 'exchange'),
  ).map(({ id }) => id)
}

/** Access ends after this UTC day; null is never. */
const reviewEnd = (day: string | null) => (day === null ? Number.POSITIVE_INFINITY : Date.parse(day) + 86_400_000)

export type AgentPart = {
  readonly of: 'agent'
  readonly name: string
  readonly owners: readonly string[]
  readonly keys: readonly string[]
  readonly reviewEnd: number
  readonly stopped: boolean
}
export type ToolPart = {
  readonly of: 'tool'
  readonly name: string
  readonly owners: readonly string[]
  readonly resource: string
  readonly scopes: Readonly<Record<string, { readonly risk: number; readonly level: number }>>
  readonly details: readonly string[]
  readonly maxTtl: number
}
export type TeamPart = { readonly of: 'team'; readonly name: string; readonly members: readonly string[] }
export type AccessPart = {
  readonly of: 'access'
  readonly agent: string
  readonly tool: string
  readonly points: readonly number[]
}
export type Part = AgentPart | ToolPart | TeamPart | AccessPart
export type Parts = Map<string, Part | null>

const RISKS = ['low', 'medium', 'high']

export const agentPart = ({
  name,
  owners,
  keys,
  reviewBy,
  state,
}: Omit<AgentManifest, 'kind' | 'access'>): AgentPart => ({
  of: 'agent',
  name,
  owners,
  keys: keys.map(({ kid }) => kid),
  reviewEnd: reviewEnd(reviewBy),
  stopped: state === 'decommissioned',
})

export const toolPart = ({ name, owners, resource, scopes, details, token }: Omit<ToolManifest, 'kind'>): ToolPart => ({
  of: 'tool',
  name,
  owners,
  resource,
  scopes: Object.fromEntries(
    Object.entries(scopes).map(([scope, { risk, approval }]) => [
      scope,
      { risk: RISKS.indexOf(risk), level: approval === 'none' ? 0 : 1 },
    ]),
  ),
  details: Object.keys(details),
  maxTtl: token.maxTtlSeconds,
})

export function accessPart(
  agent: string,
  name: string,
  entries: readonly AccessEntry[],
  tool?: ToolManifest,
): AccessPart | null {
  const points = [...new Set(entries.flatMap((entry) => pointsOf(entry, tool)))].sort((a, b) => a - b)
  return points.length === 0 ? null : { of: 'access', agent, tool: name, points }
}

/** What a set of documents says, part by part. */
export function partsOf(set: ManifestSet): Map<string, Part> {
  const parts = new Map<string, Part>()
  for (const { name, members } of set.teams.values()) parts.set(`team/${name}`, { of: 'team', name, members })
  for (const tool of set.tools.values()) parts.set(`tool/${tool.name}`, toolPart(tool))
  for (const agent of set.agents.values()) {
    parts.set(`agent/${agent.name}`, agentPart(agent))
    const entries = [...agent.access, ...agent.roles.flatMap((role) => set.roles.get(role)?.access ?? [])]
    for (const tool of new Set(entries.map((entry) => entry.tool))) {
      const own = entries.filter((entry) => entry.tool === tool)
      const part = accessPart(agent.name, tool, own, set.tools.get(tool))
      if (part !== null) parts.set(`access/${agent.name}/${tool}`, part)
    }
  }
  return parts
}

const both = <T>(a: readonly T[], b: readonly T[]) => a.filter((one) => b.includes(one))

/** What both hold. A tool's connection is whatever it was: it is not less, it is another. */
export function meetParts(was: Part | null, wanted: Part | null): Part | null {
  if (was === null || wanted === null) return null
  if (was.of === 'agent' && wanted.of === 'agent')
    return {
      ...was,
      owners: both(was.owners, wanted.owners),
      keys: both(was.keys, wanted.keys),
      reviewEnd: Math.min(was.reviewEnd, wanted.reviewEnd),
      stopped: was.stopped || wanted.stopped,
    }
  if (was.of === 'team' && wanted.of === 'team') return { ...was, members: both(was.members, wanted.members) }
  if (was.of === 'access' && wanted.of === 'access') {
    const points = both(was.points, wanted.points)
    return points.length === 0 ? null : { ...was, points }
  }
  if (was.of === 'tool' && wanted.of === 'tool') {
    const scopes = both(Object.keys(was.scopes), Object.keys(wanted.scopes)).map((scope) => {
      const [a, b] = [was.scopes[scope]!, wanted.scopes[scope]!]
      return [scope, { risk: Math.max(a.risk, b.risk), level: Math.max(a.level, b.level) }]
    })
    return {
      ...was,
      owners: both(was.owners, wanted.owners),
      scopes: Object.fromEntries(scopes),
      details: both(was.details, wanted.details),
      maxTtl: Math.min(was.maxTtl, wanted.maxTtl),
    }
  }
  throw new Error('two kinds of one part')
}

export const shown = (part: Part | null): string => JSON.stringify(part)

/** `less` is nothing that `more` is not: what the broker has in force must be within what the model has. */
export const isWithin = (less: Part | null, more: Part | null): boolean =>
  less === null || (more !== null && shown(meetParts(less, more)) === shown(less) && sameConnection(less, more))

const sameConnection = (a: Part, b: Part) => a.of !== 'tool' || b.of !== 'tool' || a.resource === b.resource

/** The documents that a part is made from: `Kind/name`. */
export function documentsOf(id: string, part: Part, set: ManifestSet): string[] {
  const [of, name = '', tool = ''] = id.split('/')
  const teams = (owners: readonly string[]) =>
    owners.flatMap((o) => (o.startsWith('team/') ? [`Team/${o.slice(5)}`] : []))
  if (part.of === 'agent') return [`Agent/${name}`, ...teams(part.owners)]
  if (part.of === 'tool') return [`Tool/${name}`, ...teams(part.owners)]
  if (of === 'team') return [`Team/${name}`]
  const roles = set.agents.get(name)?.roles ?? []
  return [`Agent/${name}`, `Tool/${tool}`, ...roles.map((role) => `Role/${role}`)]
}

/** People in force behind owners. */
export function people(parts: Parts, owners: readonly string[]): string[] {
  return owners.flatMap((owner) => {
    const team = parts.get(owner)
    return owner.startsWith('team/') ? (team?.of === 'team' ? team.members : []) : [owner]
  })
}

export function ownersOf(parts: Parts, id: string): string[] {
  const part = parts.get(id)
  return part?.of === 'agent' || part?.of === 'tool' ? people(parts, part.owners) : []
}

export type Need = { readonly as: string; readonly eligible: readonly string[] | 'admin'; givenBy: string | null }

/** What an edit is judged against. */
export type Around = {
  readonly before: Parts
  readonly left: Parts
  readonly wanted: ReadonlyMap<string, Part>
  readonly named: readonly (Part | null)[]
}

/** The table of S1, who of those who are left must say yes (S2). */
export function needsOf(around: Around, id: string, wanted: Part): Need[] {
  const { before, left } = around
  const need = (as: string, eligible: readonly string[] | 'admin'): Need => ({ as, eligible, givenBy: null })
  const ofTool = (tool: string): Need => {
    const owners = ownersOf(left, `tool/${tool}`)
    return owners.length > 0 ? need(`tool/${tool}`, owners) : need(`admin/${tool}`, 'admin')
  }
  const ofAgent = (agent: string): Need[] => {
    const owners = ownersOf(left, `agent/${agent}`)
    if (owners.length > 0) return [need(`agent/${agent}`, owners)]
    const tools = around.named.flatMap((part) => (part?.of === 'access' && part.agent === agent ? [part.tool] : []))
    return tools.length > 0 ? tools.map(ofTool) : [need('nobody', [])]
  }
  const unique = (needs: Need[]) => [...new Map(needs.map((one) => [one.as, one])).values()]
  const was = left.get(id) ?? null
  if (wanted.of === 'agent') return unique(ofAgent(wanted.name))
  if (wanted.of === 'access') {
    if ((before.get(`agent/${wanted.agent}`) ?? null) === null) return [ofTool(wanted.tool)]
    const isNew = (before.get(id) ?? null) === null
    const had = was?.of === 'access' ? was.points : []
    const risky = wanted.points
      .filter((point) => !had.includes(point))
      .some((point) => POINTS[point]!.scopes.some((scope) => isRisky(around, wanted.tool, scope, had, POINTS[point]!)))
    return unique([...ofAgent(wanted.agent), ...(isNew || risky ? [ofTool(wanted.tool)] : [])])
  }
  if (wanted.of === 'team') {
    const members = people(left, [id])
    if (members.length > 0) return [need(id, members)]
    const owned = around.named.filter(
      (part) => (part?.of === 'agent' || part?.of === 'tool') && part.owners.includes(id),
    )
    return unique(
      owned.flatMap((part) =>
        part?.of === 'agent' ? ofAgent(part.name) : part?.of === 'tool' ? [ofTool(part.name)] : [],
      ),
    )
  }
  if (was?.of !== 'tool') return [need(`admin/${wanted.name}`, 'admin')]
  const added =
    Object.keys(wanted.scopes).some((scope) => !(scope in was.scopes)) ||
    wanted.details.some((d) => !was.details.includes(d))
  const connection = added || wanted.resource !== was.resource
  const rest = both(Object.keys(wanted.scopes), Object.keys(was.scopes)).some(
    (scope) => shownScope(wanted, scope) !== shownScope(was, scope),
  )
  const owned = rest || wanted.maxTtl !== was.maxTtl || wanted.owners.join() !== was.owners.join()
  return [...(connection ? [need(`admin/${wanted.name}`, 'admin')] : []), ...(owned ? [ofTool(wanted.name)] : [])]
}

const shownScope = (tool: ToolPart, scope: string) => JSON.stringify(tool.scopes[scope])

/** A high risk, before or after, in what is given more of: by itself, or for the first time together with others. */
function isRisky(around: Around, tool: string, scope: string, had: readonly number[], point: Point): boolean {
  const isHigh = [around.before.get(`tool/${tool}`), around.wanted.get(`tool/${tool}`)].some(
    (part) => part?.of === 'tool' && part.scopes[scope]?.risk === 2,
  )
  if (!isHigh) return false
  const alone = POINTS.find(
    (one) =>
      one.scopes.join() === scope &&
      (['queues', 'level', 'grantFor', 'ttl', 'delivery'] as const).every(
        (field) => JSON.stringify(one[field]) === JSON.stringify(point[field]),
      ),
  )!
  const others = point.scopes.every((other) => {
    const same = POINTS.find(
      (one) =>
        one.scopes.join() === other &&
        one.queues === point.queues &&
        one.level === point.level &&
        one.grantFor === point.grantFor &&
        one.ttl === point.ttl &&
        one.delivery === point.delivery,
    )!
    return had.includes(same.id)
  })
  return !had.includes(alone.id) || others
}

export const documentId = (document: Manifest): string => `${document.kind}/${document.name}`
