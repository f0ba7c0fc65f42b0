// Manifest sets as the parser would hand them over, made by hand: for tests of what comes after parsing.

import { digest, type Json } from '../../src/core/canonical.ts'
import type {
  AccessEntry,
  AccountTarget,
  AgentManifest,
  IdentityKey,
  Manifest,
  ManifestSet,
  RoleManifest,
  TeamManifest,
  ToolManifest,
  ToolScope,
} from '../../src/core/manifest.ts'

const source = { file: 'set.yaml', line: 1, column: 1 }

export const key = (kid: string): IdentityKey => ({
  kid,
  alg: 'ES256',
  jwk: { kty: 'EC', crv: 'P-256', x: kid, y: kid },
})

export const entry = (tool: string, scopes: readonly string[], more: Partial<AccessEntry> = {}): AccessEntry => ({
  tool,
  scopes: [...scopes].sort(),
  details: {},
  approval: 'owner',
  grantForSeconds: 8 * 3600,
  tokenTtlSeconds: 300,
  delivery: 'exchange',
  source,
  ...more,
})

export const agent = (name: string, more: Partial<AgentManifest> = {}): AgentManifest => ({
  kind: 'Agent',
  name,
  labels: {},
  purpose: 'To be tested',
  owners: ['alice@example.com'],
  keys: [key(`${name}-key`)],
  roles: [],
  access: [],
  reviewBy: null,
  state: 'active',
  source,
  ...more,
})

export const scope = (more: Partial<ToolScope> = {}): ToolScope => ({
  description: '',
  risk: 'low',
  approval: 'none',
  ...more,
})

export const tool = (name: string, more: Partial<ToolManifest> = {}): ToolManifest => ({
  kind: 'Tool',
  name,
  labels: {},
  owners: ['tina@example.com'],
  category: 'ticketing',
  resource: `https://${name}.example.com`,
  scopes: { read: scope(), comment: scope({ risk: 'medium' }), close: scope({ risk: 'high' }) },
  details: { queue: { description: '', enforcedBy: 'tool' } },
  token: { alg: 'ES256', maxTtlSeconds: 600, verifiedBy: 'asks', leewaySeconds: 60 },
  target: { type: 'none' },
  source,
  ...more,
})

/** A tool with accounts of its own, reached at its resource. */
export const accountTool = (name: string, more: Partial<AccountTarget> = {}, of: Partial<ToolManifest> = {}) =>
  tool(name, {
    details: {},
    ...of,
    target: {
      type: 'redmine',
      url: `https://${name}.example.com`,
      secret: 'env:HALLPASS_TOOL_FAKE',
      recipe: null,
      values: {},
      rights: { read: ['Read'], comment: ['Comment', 'Read'], close: ['Close'] },
      reconcile: { ghosts: 'remove', others: 'report', overScoped: 'heal', exempt: [] },
      ...more,
    },
  })

export const role = (name: string, access: readonly AccessEntry[]): RoleManifest => ({
  kind: 'Role',
  name,
  labels: {},
  access,
  source,
})

export const team = (name: string, members: readonly string[]): TeamManifest => ({
  kind: 'Team',
  name,
  labels: {},
  members: [...members].sort(),
  source,
})

const withoutSources = (manifest: Manifest): Json => JSON.parse(JSON.stringify({ ...manifest, source: null }))

export function setOf(...manifests: readonly Manifest[]): ManifestSet {
  const of = <K extends Manifest['kind']>(kind: K) =>
    new Map(
      manifests
        .filter((manifest): manifest is Extract<Manifest, { kind: K }> => manifest.kind === kind)
        .map((manifest) => [manifest.name, manifest]),
    )
  const documentDigests = new Map(
    manifests.map((manifest) => [`${manifest.kind}/${manifest.name}`, digest(withoutSources(manifest))] as const),
  )
  return {
    digest: digest(Object.fromEntries(documentDigests)),
    agents: of('Agent'),
    tools: of('Tool'),
    roles: of('Role'),
    teams: of('Team'),
    documentDigests,
    warnings: [],
  }
}
