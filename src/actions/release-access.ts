// An agent gives back what it holds or takes back what it asked for: its own rows only (S7).

import { move } from '../core/lifecycle.ts'
import type { AccessRequest, Revocation } from '../core/model.ts'
import { type Problem, problem } from '../core/problem.ts'
import { err, ok, type Result } from '../core/result.ts'
import type { AgentCaller } from './authenticate-session.ts'
import { finishRevocation } from './finish-revocation.ts'
import type { Deps } from './ports.ts'
import { statusOf } from './present.ts'
import { takeGrant } from './revoke.ts'
import { recordOf, transact } from './transact.ts'

export async function releaseGrant(
  deps: Deps,
  caller: AgentCaller,
  grantId: string,
  requestId: string,
): Promise<Result<Revocation, Problem>> {
  const context = { caller, requestId }
  const done = await transact<Revocation>(deps, 'narrowing', async (look) => {
    const grant = await look.row('grant', grantId)
    if (grant === undefined || grant.agent !== caller.agent) return err(notYours('grant'))
    if (grant.state !== 'active') {
      const before = grant.revocation === null ? undefined : await look.row('revocation', grant.revocation)
      return before === undefined
        ? err(problem('grant_revoked', 'This grant has ended already.'))
        : ok({ value: before, records: [] })
    }
    return ok(takeGrant(deps, context, look, grant, null, 'grant released'))
  })
  if (!done.ok) return done
  return ok(await finishRevocation(deps, done.value.value))
}

export async function withdrawRequest(
  deps: Deps,
  caller: AgentCaller,
  id: string,
  requestId: string,
): Promise<Result<AccessRequest, Problem>> {
  const context = { caller, requestId }
  const done = await transact<AccessRequest>(deps, 'narrowing', async (look) => {
    const request = await look.row('request', id)
    if (request === undefined || request.agent !== caller.agent) return err(notYours('request'))
    if (request.state === 'withdrawn') return ok({ value: request, records: [] })
    if (request.state !== 'pending')
      return err(
        problem('conflict', `This request is ${statusOf(request, look.now)} already.`, {
          hint:
            request.state === 'approved'
              ? 'Give back what was granted by its grantId: list_access shows it.'
              : 'There is nothing left to give back.',
        }),
      )
    const withdrawn: AccessRequest = { ...move('request', request, 'withdrawn'), decidedAt: look.now }
    const subject = { agent: request.agent, tool: request.tool, session: request.session, request: request.id }
    return ok({
      value: withdrawn,
      put: [{ kind: 'request' as const, row: withdrawn }],
      records: [recordOf(context, look.now, 'request.withdrawn', subject, { because: 'asked' })],
    })
  })
  return done.ok ? ok(done.value.value) : done
}

const notYours = (what: string) =>
  problem('invalid_request', `You have no such ${what}.`, {
    missing: true,
    hint: 'Call list_access to see yours.',
    nextTool: 'list_access',
  })
