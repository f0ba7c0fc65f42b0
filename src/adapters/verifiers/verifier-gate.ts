// The tool that asks, by the verifier token in its own header, exactly once (S14). `Authorization` is never looked at here:
// at forward-auth it is the agent's.

import { authenticateVerifier, type VerifierAct, type VerifierCaller } from '../../actions/authenticate-verifier.ts'
import type { Edge } from '../../actions/edge.ts'
import { problem } from '../../core/problem.ts'
import { err, ok, type Result } from '../../core/result.ts'
import { type Asking, type Refused, refused } from './refusal.ts'

const VERIFIER_HEADER = 'x-hallpass-verifier'

export async function verifierGate(
  edge: Edge,
  asking: Asking,
  act: VerifierAct,
): Promise<Result<VerifierCaller, Refused>> {
  const [token, ...more] = asking.header(VERIFIER_HEADER)
  if (token === undefined || more.length > 0)
    return err(
      stranger(
        edge,
        asking,
        problem('unauthenticated', "The tool's verifier token belongs in X-Hallpass-Verifier, once.", {
          hint: "Make one with `hallpass verifier token TOOL`, on the broker's host.",
        }),
      ),
    )
  const found = await authenticateVerifier(edge.deps, token, act)
  if (found.ok) {
    const limited = edge.limiters.check.take(found.value.tool)
    return limited.ok ? ok(found.value) : err(refused(limited.error))
  }
  const { problem: reason, caller } = found.error
  if (caller === null) return err(stranger(edge, asking, reason))
  await edge.refusals.note({ caller, requestId: asking.requestId }, reason, act)
  return err(refused(reason))
}

/** One more who proved nothing: counted, not recorded, and slowed down by address (S17). */
function stranger(edge: Edge, { remote }: Asking, reason: Refused['problem']): Refused {
  edge.refusals.stranger(reason.code)
  const taken = edge.limiters.stranger.take(remote)
  return refused(taken.ok ? reason : taken.error)
}
