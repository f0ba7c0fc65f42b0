// An agent that proved its key for something other than a session: the proof works once all the same (S18).

import { type Problem, problem } from '../core/problem.ts'
import { err, ok, type Result } from '../core/result.ts'
import { loadWorld } from './load-world.ts'
import { onceOf, type Proof } from './open-session.ts'
import type { Deps } from './ports.ts'
import { recordOf, transact } from './transact.ts'

/** Uses the proof up. A locked agent may still prove itself: taking its own away always works. */
export async function useAssertion(
  deps: Pick<Deps, 'store' | 'clock' | 'ids'>,
  proof: Proof,
  requestId: string,
): Promise<Result<void, Problem>> {
  const context = { caller: { role: 'agent', agent: proof.agent, session: '' }, requestId } as const
  const done = await transact(deps, 'normal', async (look) => {
    const { identity } = await loadWorld(look, proof.agent, null)
    if (identity === null || !identity.keys.some((key) => key.kid === proof.key))
      return err(problem('unauthenticated', 'This key is not (or no longer) one of the agent.'))
    return ok({
      value: undefined,
      once: [onceOf(proof)],
      notAfter: proof.expiresAt,
      records: [recordOf(context, look.now, 'agent.proved', { agent: proof.agent }, { kid: proof.key })],
    })
  })
  return done.ok ? ok(undefined) : done
}
