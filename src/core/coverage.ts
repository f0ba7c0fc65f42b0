// Does a grant still live under what is in force (S9)? One single entitlement must cover it in every field.

import { approvalOf, covering } from './judge.ts'
import { APPROVAL_LEVELS, DELIVERIES } from './manifest.ts'
import type { Grant } from './model.ts'
import type { AccessValue, ToolValue } from './slice.ts'

/** Scopes, details, the approval it was given at, and its delivery; time is judged at each use. */
export const grantCovered = (grant: Grant, access: AccessValue | null, tool: ToolValue | null): boolean =>
  tool !== null &&
  covering(
    { now: 0, installation: null, agent: null, identity: null, tool: null, access, toolValue: tool },
    grant.scopes,
    grant.details,
  ).some(
    (entitlement) =>
      APPROVAL_LEVELS.indexOf(approvalOf(entitlement, grant.scopes, tool)) <= APPROVAL_LEVELS.indexOf(grant.approval) &&
      DELIVERIES.indexOf(entitlement.delivery) <= DELIVERIES.indexOf(grant.delivery),
  )
