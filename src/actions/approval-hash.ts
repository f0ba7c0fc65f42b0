// What an approval binds (S8): exactly what was shown, under exactly this entitlement.

import { digest } from '../core/canonical.ts'
import type { Delivery, Details } from '../core/manifest.ts'

export type Shown = {
  readonly agent: string
  readonly tool: string
  readonly scopes: readonly string[]
  readonly details: Details
  readonly durationSeconds: number
  readonly delivery: Delivery
  /** Digest of the entitlement it would be granted under. */
  readonly entitlement: string
}

/** Hex SHA-256 over the canonical form. */
export const approvalHash = ({ agent, tool, scopes, details, durationSeconds, delivery, entitlement }: Shown): string =>
  digest({ agent, tool, scopes: [...scopes], details: { ...details }, durationSeconds, delivery, entitlement })
