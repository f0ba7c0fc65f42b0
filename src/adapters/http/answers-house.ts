// The shapes of what the API answers about the house: revisions, the trail, status, tokens and keys. Strict, like those
// of answers.ts.

import { z } from '@hono/zod-openapi'
import { DRIFTS, DRILL_OUTCOMES } from '../../core/drift.ts'
import { DRILL_STATUSES } from '../../core/drill-schedule.ts'
import { INSPECTED } from '../../core/inspected.ts'
import { TARGET_TYPES, VERIFIED_BY } from '../../core/manifest.ts'
import { count, receipt, strings, time } from './answers.ts'

const widening = z
  .strictObject({
    id: z.string(),
    revision: z.string(),
    slice: z.string(),
    diff: strings,
    needs: z
      .array(z.strictObject({ as: z.string(), of: z.string(), eligible: strings, givenBy: z.string().optional() }))
      .readonly(),
    status: z.enum(['waiting', 'accepted', 'declined', 'void']),
    mayAccept: z.boolean(),
    decidedBy: z.string().optional(),
    decidedAt: time.optional(),
    createdAt: time,
  })
  .openapi('Widening')

export const revision = z
  .strictObject({
    id: z.string(),
    digest: z.string(),
    base: z.string().nullable(),
    proposedBy: z.string(),
    proposedAt: time,
    status: z.enum(['proposed', 'in force', 'replaced']),
    narrowings: strings,
    warnings: strings,
    widenings: z.array(widening).readonly(),
    waiting: count,
  })
  .openapi('Revision')

export const applied = z
  .strictObject({ revision, changed: z.boolean(), receipts: z.array(receipt).readonly() })
  .openapi('AppliedRevision')
export const settled = z
  .strictObject({
    settled: z.array(widening).readonly(),
    others: z.array(widening).readonly(),
    receipts: z.array(receipt).readonly(),
  })
  .openapi('SettledRevision')

const change = z.strictObject({ slice: z.string(), lines: strings })
export const plan = z
  .strictObject({
    digest: z.string(),
    inForce: z.string().nullable(),
    narrowings: z.array(change).readonly(),
    widenings: z
      .array(
        z.strictObject({
          slice: z.string(),
          diff: strings,
          needs: z.array(z.strictObject({ as: z.string(), of: z.string(), eligible: strings })).readonly(),
        }),
      )
      .readonly(),
    orphaned: z.array(z.strictObject({ of: z.string(), name: z.string(), fallback: z.string() })).readonly(),
    faults: strings,
    warnings: strings,
    dies: z.strictObject({ sessions: strings, grants: strings, credentials: strings }),
  })
  .openapi('Plan')

export const auditEntry = z
  .strictObject({
    index: z.int(),
    v: z.int(),
    kind: z.string(),
    at: time,
    actor: z.strictObject({ type: z.string(), id: z.string() }),
    subject: z.record(z.string(), z.string()),
    request: z.string().nullable(),
    body: z.record(z.string(), z.unknown()),
  })
  .openapi('AuditRecord')

export const proof = z
  .strictObject({ index: z.int(), size: z.int(), leaf: z.string(), root: z.string(), proof: strings })
  .openapi('InclusionProof')

export const reconciled = z
  .strictObject({
    at: time,
    managed: count,
    findings: z
      .array(
        z.strictObject({
          finding: z.enum(DRIFTS),
          name: z.string(),
          account: z.string().optional(),
          rights: strings,
          did: z.enum(['reported', 'removed', 'healed', 'failed']),
          detail: z.string().optional(),
        }),
      )
      .readonly()
      .openapi({ description: 'The first hundred; `found` counts all.' }),
    found: count,
    failure: z.string().optional(),
  })
  .openapi('Reconciled')

const lastDrill = z.strictObject({
  at: time,
  status: z.enum(DRILL_STATUSES),
  deadAfterMilliseconds: count.nullable(),
})
export const drilled = z
  .strictObject({
    tool: z.string(),
    name: z.string(),
    scope: z.string(),
    outcome: z.enum(DRILL_OUTCOMES),
    provisionMilliseconds: count.nullable(),
    firstUseMilliseconds: count.nullable(),
    deadAfterMilliseconds: count.nullable(),
  })
  .openapi('Drilled')

export const inspected = z
  .strictObject({
    found: z.enum(INSPECTED),
    id: z.string().nullable(),
    agent: z.string().nullable(),
    owners: strings,
    tool: z.string().nullable(),
    session: z.string().nullable(),
    grant: z.string().nullable(),
    scopes: strings,
    issuedAt: time.nullable(),
    expiresAt: time.nullable(),
    approval: z.string().nullable(),
    approvedBy: strings,
    manifest: z.strictObject({ file: z.string(), line: z.int(), role: z.string().nullable() }).nullable(),
    alive: z.boolean(),
    places: z.array(z.strictObject({ where: z.string(), alive: z.boolean().nullable(), how: z.string() })).readonly(),
    receipt: receipt.optional(),
  })
  .openapi('Inspected')

const standing = {
  server: z.string().openapi({ description: 'URL, or `command:NAME`.' }),
  pinned: count,
  waiting: count.openapi({ description: 'Never accepted, or taken back.' }),
  suspended: count.openapi({ description: 'Accepted once, and described otherwise since.' }),
  missing: count.openapi({ description: 'Named by the manifest, and not by the server.' }),
  failure: z.string().optional(),
}

const definition = z
  .strictObject({
    name: z.string(),
    shown: z.string().openapi({ description: 'As agents see it.' }),
    scope: z.string(),
    status: z.enum(['unseen', 'waiting', 'pinned', 'suspended']),
    digest: z.string().nullable().openapi({ description: 'What an acceptance must name; null where nothing waits.' }),
    fault: z.string().optional().openapi({ description: 'Why it cannot be accepted.' }),
    missing: z.boolean().optional().openapi({ description: 'The server does not have it.' }),
    diff: strings,
    pinnedBy: z.string().optional(),
    pinnedAt: time.optional(),
  })
  .openapi('McpDefinition')
export const definitions = z
  .strictObject({
    tool: z.string(),
    lookedAt: time.optional(),
    failure: z.string().optional().openapi({ description: 'Why the server could not be asked.' }),
    definitions: z.array(definition).readonly(),
  })
  .openapi('McpDefinitions')
export const pinned = z
  .strictObject({ pinned: z.array(z.strictObject({ name: z.string(), digest: z.string() })).readonly() })
  .openapi('PinnedDefinitions')
export const withdrawn = z.strictObject({ withdrawn: strings }).openapi('WithdrawnDefinitions')

export const tool = z
  .strictObject({
    name: z.string(),
    category: z.enum(['ticketing', 'observability']),
    resource: z.string(),
    target: z.enum(TARGET_TYPES),
    verifiedBy: z.enum(VERIFIED_BY).optional(),
    url: z.string().optional(),
    accounts: count.optional(),
    reachable: z.boolean().optional(),
    mcp: z.strictObject(standing).optional(),
    reconciled: reconciled.optional(),
    drill: lastDrill.nullable().optional(),
  })
  .openapi('Tool')

export const status = z
  .strictObject({
    version: z.string(),
    initialized: z.boolean(),
    fresh: z.boolean(),
    room: z.boolean().openapi({ description: 'False while the disk is full: only what takes away is written.' }),
    clock: z.strictObject({ now: time, highest: time, behind: z.boolean() }),
    locked: z.boolean(),
    revision: z.string().nullable(),
    scopesMode: z.enum(['watch', 'push']),
    manifestFaults: strings,
    records: count,
    root: z.string(),
    outstanding: z.strictObject({ count, items: z.array(receipt).readonly() }),
    revoking: z.strictObject({ count }),
    waiting: z.strictObject({ requests: count, widenings: count }),
    overdue: z.strictObject({
      count,
      items: z.array(z.strictObject({ agent: z.string(), reviewBy: z.string() })).readonly(),
    }),
    locks: z.strictObject({
      count,
      items: z
        .array(z.strictObject({ id: z.string(), kind: z.string(), name: z.string(), until: time.optional() }))
        .readonly(),
    }),
    signingKey: z.strictObject({ kid: z.string(), since: time }).nullable(),
    tools: z.array(z.strictObject({ tool: z.string(), reachable: z.boolean(), ...reconciled.shape })).readonly(),
    drills: z
      .array(
        z.strictObject({
          tool: z.string(),
          last: lastDrill.nullable(),
          every: z.string().nullable().openapi({ description: 'As its manifest schedules it; null: never.' }),
          failing: z.boolean().openapi({ description: 'The last one failed, or one is overdue.' }),
        }),
      )
      .readonly(),
    mcp: z.array(z.strictObject({ tool: z.string(), ...standing })).readonly(),
    verifiersExpiring: z.array(z.strictObject({ id: z.string(), tool: z.string(), expiresAt: time })).readonly(),
  })
  .openapi('Status')

export const explanation = z
  .strictObject({
    answer: z.enum(['yes', 'may ask', 'needs approval', 'no']),
    why: z.string(),
    code: z.string().optional(),
    hint: z.string().optional(),
    manifest: z.strictObject({ file: z.string(), line: z.int(), role: z.string().nullable() }).optional(),
    revision: z.string().nullable(),
    approval: z.string().optional(),
    grants: z.array(z.strictObject({ id: z.string(), approvedBy: strings, expiresAt: time })).readonly(),
    manifestPatch: z.string().optional(),
  })
  .openapi('Explanation')

export const whoami = z
  .strictObject({
    role: z.enum(['agent', 'owner', 'admin', 'auditor', 'publisher', 'operator']),
    subject: z.string(),
    session: z.string().optional(),
    token: z.string().optional().openapi({ description: 'Id of the bearer, never the bearer.' }),
    expiresAt: time.optional(),
  })
  .openapi('Whoami')

const bearerKind = z.enum(['owner', 'admin', 'auditor', 'publisher', 'verifier'])
export const bearer = z
  .strictObject({
    id: z.string(),
    kind: bearerKind,
    subject: z.string(),
    madeBy: z.string(),
    createdAt: time,
    expiresAt: time,
    revokedAt: time.optional(),
    status: z.enum(['valid', 'expired', 'revoked']),
    warning: z.string().optional(),
  })
  .openapi('Bearer')
export const madeBearer = z
  .strictObject({ id: z.string(), kind: bearerKind, subject: z.string(), expiresAt: time, token: z.string() })
  .openapi('MadeBearer')
export const key = z
  .strictObject({
    kid: z.string(),
    use: z.enum(['tokens', 'audit']),
    alg: z.string(),
    status: z.enum(['published', 'signing', 'retiring', 'retired']),
    createdAt: time,
    signsFrom: time,
    retiresAt: time.optional(),
    publicJwk: z.record(z.string(), z.string()),
  })
  .openapi('Key')
export const rotation = z
  .strictObject({
    kid: z.string(),
    signsFrom: time,
    withdrawn: strings.optional(),
    receipt: receipt.optional(),
  })
  .openapi('Rotation')
export const clockReset = z
  .strictObject({
    before: time.openapi({ description: 'The highest time seen before.' }),
    mark: time.openapi({ description: 'The highest time seen from here on.' }),
    grantsToo: z
      .boolean()
      .openapi({ description: 'Grants were ended as well: one was given at a time still to come.' }),
    receipt,
  })
  .openapi('ClockReset')
