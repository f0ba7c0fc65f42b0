// The shapes of what the API answers. Strict: what is not named here is not sent, so no hash of a secret can slip in.

import { z } from '@hono/zod-openapi'
import { PROBLEM_CODES } from '../../core/problem.ts'

const time = z.string().openapi({ format: 'date-time' })
const strings = z.array(z.string()).readonly()
const details = z.record(z.string(), strings)
const count = z.int()

export const listOf = <S extends z.ZodType>(item: S) =>
  z.strictObject({ items: z.array(item).readonly(), next: z.string().nullable() })

export const problemBody = z
  .strictObject({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    code: z.enum(PROBLEM_CODES),
    hint: z.string().optional(),
    requestId: z.string(),
    retryable: z.boolean().optional(),
    retryAfterSeconds: z.number().optional(),
    nextTool: z.string().optional(),
    didYouMean: z.string().optional(),
    manifestPatch: z.string().optional(),
  })
  .openapi('Problem')

const access = z.strictObject({
  tool: z.string(),
  scopes: strings,
  details: details.optional(),
  approval: z.string(),
  grantForSeconds: z.number(),
  tokenTtlSeconds: z.number(),
  delivery: z.string(),
  role: z.string().nullable(),
  manifest: z.strictObject({ file: z.string(), line: z.int() }),
})

export const agent = z
  .strictObject({
    name: z.string(),
    status: z.enum(['active', 'locked', 'overdue', 'absent', 'decommissioning', 'decommissioned']),
    purpose: z.string().optional(),
    labels: z.record(z.string(), z.string()).optional(),
    owners: strings,
    people: strings,
    keys: z.array(z.strictObject({ kid: z.string(), alg: z.string() })).readonly(),
    roles: strings,
    reviewBy: z.string().optional(),
    manifest: z.strictObject({ file: z.string(), line: z.int() }).optional(),
    locks: strings,
    receipt: z.string().optional(),
  })
  .openapi('Agent')
export const agentWithAccess = z
  .strictObject({ ...agent.shape, access: z.array(access).readonly() })
  .openapi('AgentWithAccess')

export const session = z
  .strictObject({
    id: z.string(),
    agent: z.string(),
    key: z.string(),
    openedAt: time,
    expiresAt: time,
    status: z.enum(['open', 'expired', 'suspended', 'revoked']),
    receipt: z.string().optional(),
  })
  .openapi('Session')

/** As MCP shows a grant; the same in every answer. */
const agentsGrant = z
  .strictObject({
    id: z.string(),
    tool: z.string(),
    scopes: strings,
    details: details.optional(),
    expiresAt: time,
    delivery: z.string(),
    use: z.strictObject({ resource: z.string(), how: z.string() }),
  })
  .openapi('GrantInUse')

export const grant = z
  .strictObject({
    ...agentsGrant.shape,
    agent: z.string(),
    session: z.string(),
    requestId: z.string().optional(),
    approval: z.string(),
    approvedBy: strings,
    createdAt: time,
    status: z.enum(['active', 'expired', 'suspended', 'superseded', 'revoked']),
    receipt: z.string().optional(),
  })
  .openapi('Grant')

export const credential = z
  .strictObject({
    id: z.string(),
    agent: z.string(),
    session: z.string(),
    grant: z.string(),
    tool: z.string(),
    resource: z.string(),
    scopes: strings,
    details: details.optional(),
    kid: z.string(),
    issuedAt: time,
    expiresAt: time,
    status: z.enum(['live', 'expired', 'revoking', 'outstanding', 'revoked']),
    receipt: z.string().optional(),
  })
  .openapi('Credential')

const basicRequest = {
  id: z.string(),
  words: z.string(),
  tool: z.string(),
  scopes: strings,
  details: details.optional(),
  status: z.enum(['pending', 'approved', 'denied', 'withdrawn', 'expired']),
  owners: strings,
  decidedReason: z.string().optional(),
  expiresAt: time,
}

export const request = z
  .strictObject({
    ...basicRequest,
    agent: z.string(),
    purpose: z.string().nullable(),
    session: z.string(),
    reason: z.string(),
    scopeInfo: z.array(z.strictObject({ name: z.string(), description: z.string(), risk: z.string() })).readonly(),
    durationSeconds: z.number(),
    delivery: z.string(),
    createdAt: time,
    hash: z
      .string()
      .nullable()
      .openapi({ description: 'What an approval names; null where nothing is left to approve.' }),
    approveUrl: z.string(),
    decidedBy: z.string().optional(),
    decidedAt: time.optional(),
    grantId: z.string().optional(),
    receipt: z.string().optional(),
    grant: grant.optional(),
  })
  .openapi('AccessRequest')

export const asked = z
  .discriminatedUnion('status', [
    z.strictObject({ status: z.literal('granted'), grant: agentsGrant }),
    z.strictObject({
      status: z.literal('pending'),
      request: z.strictObject(basicRequest),
      approveUrl: z.string(),
      retryAfterSeconds: z.number(),
    }),
  ])
  .openapi('Asked')

export const receipt = z
  .strictObject({
    id: z.string(),
    act: z.string(),
    target: z.string(),
    by: z.string(),
    reason: z.string().optional(),
    at: time,
    status: z.enum(['revoking', 'outstanding', 'revoked']),
    state: z.enum(['open', 'complete']),
    counts: z.strictObject({ sessions: count, requests: count, grants: count, credentials: count }),
    confirmations: z
      .array(
        z.strictObject({
          tool: z.string(),
          verifiedBy: z.string(),
          credentials: count,
          status: z.string(),
          deadBy: time.optional(),
          confirmedAt: time.optional(),
          how: z.string().nullable().optional(),
          afterMilliseconds: z.number().optional(),
        }),
      )
      .readonly(),
    completedAt: time.optional(),
    afterMilliseconds: z.number().optional(),
  })
  .openapi('Receipt')

export const sessionRevoked = z
  .strictObject({ ...receipt.shape, note: z.string(), lockCommand: z.string() })
  .openapi('SessionRevoked')

export const lock = z
  .strictObject({
    id: z.string(),
    kind: z.enum(['agent', 'tool', 'owner', 'everything']),
    name: z.string(),
    reason: z.string(),
    by: z.strictObject({ role: z.string(), id: z.string() }),
    setAt: time,
    until: time.optional(),
    status: z.enum(['standing', 'expired', 'lifted']),
    liftedBy: z.string().optional(),
    liftedAt: time.optional(),
    receipt: z.string(),
  })
  .openapi('Lock')

export const widening = z
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

export const status = z
  .strictObject({
    version: z.string(),
    initialized: z.boolean(),
    fresh: z.boolean(),
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
export const rotation = z.strictObject({ kid: z.string(), signsFrom: time }).openapi('Rotation')
