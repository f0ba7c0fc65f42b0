// An agent's own request, by its id, for whoever waits for it. Another agent's is as unknown as one that never was (S7).

import { TASK } from '../core/limits.ts'
import { type AccessRequest, type Instant, keyOf } from '../core/model.ts'
import type { AgentCaller } from './authenticate-session.ts'
import type { Deps } from './ports.ts'

/** From then on nobody who waits for it is told anything of it. */
export const knownUntil = ({ expiresAt }: Pick<AccessRequest, 'expiresAt'>): Instant =>
  expiresAt + TASK.keptSeconds * 1000

/** Anything may come as an id. */
const ID = /^req_[0-9a-f]{32}$/

/** Null: unknown, another agent's, or past `knownUntil`. */
export async function ownRequest(
  deps: Pick<Deps, 'store' | 'clock'>,
  caller: AgentCaller,
  id: string,
): Promise<AccessRequest | null> {
  if (!ID.test(id)) return null
  const request = (await deps.store.read([keyOf('request', id)])).get('request', id)
  return request?.agent === caller.agent && deps.clock.now() < knownUntil(request) ? request : null
}
