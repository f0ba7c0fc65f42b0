// A request as the owner who decides it must see it: everything that the approval will bind, and the hash of that (S8).

import type { AccessRequest, Instant } from '../core/model.ts'
import { rfc3339 } from '../core/record.ts'
import { ownersOf } from './authorize.ts'
import { readerOf } from './list-rows.ts'
import { loadWorld } from './load-world.ts'
import type { Deps } from './ports.ts'
import { presentRequest, statusOf } from './present.ts'
import { approveUrl } from './request-access.ts'
import { currentHash } from './settle-request.ts'

export type DescribedRequest = Awaited<ReturnType<typeof describeRequest>>

const orAbsent = <K extends string, V>(key: K, value: V | null): { [P in K]?: V } =>
  (value === null ? {} : { [key]: value }) as { [P in K]?: V }

/** `hash` is what an approval must name now; null where nothing is left to approve. */
export async function describeRequest(deps: Deps, request: AccessRequest) {
  const reader = readerOf(deps)
  const world = await loadWorld(reader, request.agent, request.tool)
  const owners = await ownersOf(reader, 'agent', request.agent)
  const status = statusOf(request, reader.now)
  const time = (key: string, at: Instant | null) => orAbsent(key, at === null ? null : rfc3339(at))
  return {
    ...presentRequest(request, owners, reader.now),
    agent: request.agent,
    purpose: world.identity?.purpose ?? null,
    session: request.session,
    reason: request.reason,
    scopeInfo: request.scopes.map((name) => {
      const scope =
        world.toolValue !== null && Object.hasOwn(world.toolValue.scopes, name)
          ? world.toolValue.scopes[name]
          : undefined
      return {
        name,
        description: scope?.description ?? 'This scope is not on the tool any more.',
        risk: scope?.risk ?? 'high',
      }
    }),
    durationSeconds: request.durationSeconds,
    delivery: request.delivery,
    createdAt: rfc3339(request.createdAt),
    hash: status === 'pending' ? await currentHash(deps, request) : null,
    approveUrl: approveUrl(deps.settings.issuer, request.id),
    ...orAbsent('decidedBy', request.decidedBy),
    ...(time('decidedAt', request.decidedAt) as { decidedAt?: string }),
    ...orAbsent('grantId', request.grant),
    ...orAbsent('receipt', request.revocation),
  }
}
