// One short commit after which every decision for the agent refuses, for ever (P6). Rows and confirmations follow.

import { mayMove, move } from '../core/lifecycle.ts'
import { type Agent, type Revocation, raised } from '../core/model.ts'
import { type Problem, problem } from '../core/problem.ts'
import { personal } from '../core/record.ts'
import { err, ok, type Result } from '../core/result.ts'
import { authorize } from './authorize.ts'
import { finishRevocation } from './finish-revocation.ts'
import type { Context, Deps } from './ports.ts'
import { newRevocation } from './revoke.ts'
import { recordOf, transact } from './transact.ts'

export async function decommissionAgent(
  deps: Deps,
  context: Context,
  input: { readonly agent: string; readonly reason: string | null },
): Promise<Result<Revocation, Problem>> {
  const done = await transact<Revocation>(deps, 'narrowing', async (look) => {
    const refused = await authorize(look, context.caller, 'agent.decommission', { agent: input.agent })
    if (refused !== null) return err(refused)
    const agent = await look.row('agent', input.agent)
    if (agent === undefined) return err(problem('unknown_agent', 'No agent of this name was ever in force.'))
    if (!mayMove('agent', agent.state, 'decommissioning')) {
      const before = agent.decommission === null ? undefined : await look.row('revocation', agent.decommission)
      if (before !== undefined) return ok({ value: before, records: [] })
      return err(problem('agent_decommissioned', `${agent.id} is decommissioned already.`))
    }
    const revocation = newRevocation(deps, context, look.now, {
      act: 'decommissioned',
      target: `agent/${agent.id}`,
      agent: agent.id,
      tool: null,
      reason: input.reason,
      takes: [{ agent: agent.id }],
    })
    const ending: Agent = {
      ...raised(move('agent', agent, 'decommissioning'), look.now, true),
      decommission: revocation.id,
    }
    return ok({
      value: revocation,
      put: [
        { kind: 'agent' as const, row: ending },
        { kind: 'revocation' as const, row: revocation },
      ],
      records: [
        recordOf(
          context,
          look.now,
          'agent.decommissioning',
          { agent: agent.id, revocation: revocation.id },
          {
            ...(input.reason === null ? {} : { reason: personal(input.reason) }),
          },
        ),
      ],
    })
  })
  if (!done.ok) return done
  deps.notifier.notify({ type: 'agent.cut', agent: input.agent })
  return ok(await finishRevocation(deps, done.value.value))
}
