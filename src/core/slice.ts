// The units of authority (S1): what one agent is, what it may reach on one tool, who is in a team, what a tool is.
// Compiled from manifests; compared by digest; roles vanish into the access they give.

import type { AccessEntry, AgentManifest, Details, TeamManifest, ToolManifest } from './manifest.ts'

/** One flattened access entry: lives and dies as a whole (S9). `digest` covers every field but `source`. */
export type Entitlement = AccessEntry & {
  readonly digest: string
  /** The role it came through, or null. Not part of the digest. */
  readonly role: string | null
}

export type AgentValue = { readonly of: 'agent' } & Pick<
  AgentManifest,
  'name' | 'labels' | 'purpose' | 'owners' | 'keys' | 'roles' | 'reviewBy' | 'state' | 'source'
>
export type AccessValue = {
  readonly of: 'access'
  readonly agent: string
  readonly tool: string
  /** None covers another; sorted by digest. */
  readonly entitlements: readonly Entitlement[]
}
export type TeamValue = { readonly of: 'team' } & Pick<TeamManifest, 'name' | 'members' | 'source'>
export type ToolValue = { readonly of: 'tool' } & Omit<ToolManifest, 'kind'>

export type SliceValue = AgentValue | AccessValue | TeamValue | ToolValue

export const sliceId = {
  agent: (name: string) => `agent/${name}`,
  access: (agent: string, tool: string) => `access/${agent}/${tool}`,
  team: (name: string) => `team/${name}`,
  tool: (name: string) => `tool/${name}`,
} as const

/** Does `outer` allow all that `inner` allows? Keys AND, values OR, an absent key is unrestricted. */
export const detailsCover = (outer: Details, inner: Details): boolean =>
  Object.entries(outer).every(
    ([key, allowed]) => Object.hasOwn(inner, key) && inner[key]!.every((value) => allowed.includes(value)),
  )
