// The tool that asks, by the verifier token in its own header, exactly once (S14). `Authorization` is never looked at here:
// at forward-auth it is the agent's.

import { authenticateVerifier, type VerifierAct, type VerifierCaller } from '../../actions/authenticate-verifier.ts'
import type { Edge } from '../../actions/edge.ts'
import { rawHeader } from '../../actions/raw-header.ts'
import { problem } from '../../core/problem.ts'
import { err, ok, type Result } from '../../core/result.ts'
import { type Refused, refused, type VerifierContext } from './refusal.ts'

const VERIFIER_HEADER = 'x-hallpass-verifier'

export async function verifierGate(
  edge: Edge,
  c: VerifierContext,
  act: VerifierAct,
): Promise<Result<VerifierCaller, Refused>> {
  const [token, ...more] = rawHeader(c, VERIFIER_HEADER)
  if (token === undefined || more.length > 0)
    return err(
      stranger(
        edge,
        c,
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
  if (caller === null) return err(stranger(edge, c, reason))
  await edge.refusals.note({ caller, requestId: c.get('requestId') }, reason, act)
  return err(refused(reason))
}

/** One more who proved nothing: counted, not recorded, and slowed down by address (S17). */
function stranger(edge: Edge, c: VerifierContext, reason: Refused['problem']): Refused {
  edge.refusals.stranger(reason.code)
  const taken = edge.limiters.stranger.take(c.get('remote'))
  return refused(taken.ok ? reason : taken.error)
}
