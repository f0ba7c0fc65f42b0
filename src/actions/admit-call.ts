// One call to a tool through the proxy: judged as forward-auth judges, by the rules of the token's scopes, and on the trail
// before the tool sees it (P1). What it was judged by is asserted by the record's commit, so a revocation comes first or after.

import type { CallTarget } from '../core/call-target.ts'
import { withoutValues } from '../core/call-target.ts'
import { judgeCall } from '../core/judge-call.ts'
import type { ToolUpstream } from '../core/manifest.ts'
import { type Key, keyOf } from '../core/model.ts'
import { type Problem, problem } from '../core/problem.ts'
import { personal, type Subject } from '../core/record.ts'
import { err, ok, type Result } from '../core/result.ts'
import type { AgentCaller, Claims } from './authenticate-session.ts'
import { type Checked, checkClaims } from './check-credential.ts'
import { worldKeys } from './load-world.ts'
import type { Deps } from './ports.ts'
import { type Look, recordOf, transact } from './transact.ts'

export type Call = {
  readonly tool: string
  readonly method: string
  readonly target: CallTarget
  readonly requestId: string
}

export type AdmittedCall = Pick<Checked, 'credential' | 'grant' | 'tool' | 'endsAt'> & {
  readonly caller: AgentCaller
  readonly subject: Subject
  readonly upstream: ToolUpstream
  /** Rows whose change may end the call. */
  readonly restsOn: readonly Key[]
}

type Deciding = Pick<Deps, 'store' | 'clock' | 'ids'>

/** @param claims of a token whose signature was checked. */
export async function admitCall(deps: Deciding, claims: Claims, call: Call): Promise<Result<AdmittedCall, Problem>> {
  const done = await transact<AdmittedCall>(deps, 'normal', async (look) => {
    const judged = await judge(deps, claims, call, look)
    if (!judged.ok) return judged
    const { admitted, scope } = judged.value
    const record = recordOf(
      { caller: admitted.caller, requestId: call.requestId },
      look.now,
      'tool.called',
      admitted.subject,
      { method: call.method, target: personal(withoutValues(call.target)), scope },
    )
    return ok({ value: admitted, notAfter: admitted.endsAt, records: [record] })
  })
  return done.ok ? ok(done.value.value) : done
}

/** May a call that is under way go on? Null: it may. */
export async function judgeAgain(
  deps: Deciding,
  claims: Claims,
  call: Call,
  before: AdmittedCall,
): Promise<Problem | null> {
  const judged = await judge(deps, claims, call, deps.store)
  if (!judged.ok) return judged.error
  return judged.value.admitted.upstream.url === before.upstream.url ? null : moved()
}

const moved = () => problem('tool_locked', 'The tool is elsewhere now.', { detail: 'its upstream changed' })

async function judge(deps: Deciding, claims: Claims, call: Call, reader: Pick<Look, 'read'>) {
  const checked = await checkClaims(deps, claims, call.tool, 'proxy', reader)
  if (!checked.ok) return checked
  const { credential, session, grant, tool, endsAt } = checked.value
  const { upstream } = tool
  if (upstream === undefined)
    return err(
      problem('unknown_tool', `${call.tool} is not reached through Hallpass any more.`, { detail: 'no upstream' }),
    )
  const allowed = judgeCall(tool, credential, call.method, call.target)
  if (!allowed.ok) return allowed
  const restsOn = [
    ...worldKeys(credential.agent, tool.name),
    keyOf('credential', credential.id),
    keyOf('session', session.id),
    keyOf('grant', grant.id),
    ...grant.approvers.map((email) => keyOf('person', email)),
  ]
  const caller = { role: 'agent', agent: credential.agent, session: session.id } as const
  const subject = {
    agent: credential.agent,
    tool: credential.tool,
    session: credential.session,
    grant: credential.grant,
    credential: credential.id,
  }
  return ok({ admitted: { subject, credential, grant, tool, endsAt, caller, upstream, restsOn }, scope: allowed.value })
}
