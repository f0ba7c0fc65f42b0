// From a bearer to the tool whose verifier asks (S14). Any other kind of bearer is refused, whoever holds it (S13).

import { type Act, may } from '../core/matrix.ts'
import { type Problem, problem } from '../core/problem.ts'
import { err, ok, type Result } from '../core/result.ts'
import { authenticateBearer, type BearerCaller } from './authenticate-bearer.ts'
import type { Caller, Deps } from './ports.ts'

export type VerifierCaller = Extract<Caller, { role: 'verifier' }>
export type VerifierAct = Extract<Act, 'introspect' | 'forward_auth' | 'feed' | 'lease'>

/** `caller` is who was refused, where that is known: their refusal belongs on the trail. */
export type NotVerifier = { readonly problem: Problem; readonly caller: BearerCaller | null }

export async function authenticateVerifier(
  deps: Pick<Deps, 'store' | 'clock'>,
  token: string,
  act: VerifierAct,
): Promise<Result<VerifierCaller, NotVerifier>> {
  const found = await authenticateBearer(deps, token)
  if (!found.ok) return err({ problem: found.error, caller: null })
  const caller = found.value
  const own = caller.role === 'verifier' ? { tool: caller.tool } : {}
  if (caller.role === 'verifier' && may(caller, act, own, { agentOwners: [], toolOwners: [] })) return ok(caller)
  return err({
    problem: problem('forbidden', "Only a tool's verifier token is good for this.", {
      hint: "Make one with `hallpass verifier token TOOL`, on the broker's host.",
      detail: `${act} with a token for ${caller.role}`,
    }),
    caller,
  })
}
