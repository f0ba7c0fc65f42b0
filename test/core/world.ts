// A small world for tests of decisions: one agent, one tool, one entitlement, everything alive.

import { entitlementOf } from '../../src/core/compile-slices.ts'
import type { World } from '../../src/core/judge.ts'
import type { AccessEntry } from '../../src/core/manifest.ts'
import { type Credential, type Grant, NEW_LOCKABLE, type Session } from '../../src/core/model.ts'
import type { AgentValue, Entitlement, ToolValue } from '../../src/core/slice.ts'

export const NOW = Date.parse('2026-11-24T12:00:00Z')
const source = { file: 'agents/triage-bot.yaml', line: 12, column: 7 }

export const entry = (over: Partial<AccessEntry> = {}): Entitlement =>
  entitlementOf(
    {
      tool: 'tickets',
      scopes: ['ticket:comment', 'ticket:read'],
      details: { queue: ['incidents'] },
      approval: 'owner',
      grantForSeconds: 28_800,
      tokenTtlSeconds: 300,
      delivery: 'exchange',
      source,
      ...over,
    },
    null,
  )

export const agentValue: AgentValue = {
  of: 'agent',
  name: 'triage-bot',
  labels: {},
  purpose: 'Triage',
  owners: ['lead@example.com'],
  keys: [{ kid: 'key-1', alg: 'ES256', jwk: {} }],
  roles: [],
  reviewBy: null,
  state: 'active',
  source,
}

export const toolValue: ToolValue = {
  of: 'tool',
  name: 'tickets',
  labels: {},
  owners: ['desk@example.com'],
  category: 'ticketing',
  resource: 'https://tickets.example.com',
  scopes: {
    'ticket:read': { description: 'Read', risk: 'low', approval: 'none' },
    'ticket:comment': { description: 'Comment', risk: 'medium', approval: 'none' },
    'ticket:close': { description: 'Close', risk: 'high', approval: 'none' },
  },
  details: { queue: { description: 'Queue', enforcedBy: 'tool' } },
  token: { alg: 'ES256', maxTtlSeconds: 600, verifiedBy: 'guard', leewaySeconds: 60 },
  target: { type: 'none' },
  source,
}

export const world = (over: Partial<World> = {}, entitlements: readonly Entitlement[] = [entry()]): World => ({
  now: NOW,
  installation: { ...NEW_LOCKABLE, id: 'self', initializedAt: 1, revision: 'r1' },
  agent: { ...NEW_LOCKABLE, id: 'triage-bot', state: 'active', skeleton: 'triagebot', decommission: null },
  identity: agentValue,
  access: { of: 'access', agent: 'triage-bot', tool: 'tickets', entitlements },
  tool: { ...NEW_LOCKABLE, id: 'tickets' },
  toolValue,
  ...over,
})

export const session = (over: Partial<Session> = {}): Session => ({
  id: 'ses_1',
  agent: 'triage-bot',
  key: 'key-1',
  signedBy: 'kid-1',
  openedAt: NOW - 60_000,
  expiresAt: NOW + 3_000_000,
  state: 'open',
  revocation: null,
  born: { agent: 1, installation: 1 },
  ...over,
})

export const grant = (over: Partial<Grant> = {}): Grant => ({
  id: 'grt_1',
  agent: 'triage-bot',
  session: 'ses_1',
  request: 'req_1',
  tool: 'tickets',
  scopes: ['ticket:read'],
  details: { queue: ['incidents'] },
  delivery: 'exchange',
  entitlement: entry().digest,
  askedSeconds: 28_800,
  approval: 'owner',
  approvers: ['lead@example.com'],
  approvedHash: 'h',
  createdAt: NOW - 60_000,
  expiresAt: NOW + 28_000_000,
  state: 'active',
  revocation: null,
  born: { agent: 1, tool: 1, installation: 1, approvers: [1] },
  ...over,
})

export const credential = (over: Partial<Credential> = {}): Credential => ({
  id: 'crd_1',
  agent: 'triage-bot',
  session: 'ses_1',
  grant: 'grt_1',
  tool: 'tickets',
  resource: toolValue.resource,
  scopes: ['ticket:read'],
  details: { queue: ['incidents'] },
  kid: 'k',
  claimsHash: 'h',
  issuedAt: NOW - 10_000,
  expiresAt: NOW + 290_000,
  state: 'issued',
  revocation: null,
  born: { agent: 1, tool: 1, installation: 1, approvers: [1] },
  ...over,
})
