// The shapes of what the API answers. Strict: what is not named here is not sent, so no hash of a secret can slip in.

import { z } from '@hono/zod-openapi'
import { PROBLEM_CODES } from '../../core/problem.ts'

export const time = z.string().openapi({ format: 'date-time' })
export const strings = z.array(z.string()).readonly()
const details = z.record(z.string(), strings)
export const count = z.int()

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
    use: z.strictObject({ resource: z.string(), how: z.string(), tools: z.array(z.string()).readonly().optional() }),
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

/** Of an account in the tool itself; after how many milliseconds, or null. */
const accountProof = z.strictObject({
  name: z.string(),
  status: z.enum(['leaving', 'gone']),
  removedAfterMilliseconds: z.number().nullable(),
  readBackAfterMilliseconds: z.number().nullable(),
  probedDeadAfterMilliseconds: z.number().nullable(),
  lastFailure: z.string().optional(),
})

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
          accounts: z.array(accountProof).readonly().optional(),
          deadBy: time.optional(),
          dueBy: time.optional(),
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
