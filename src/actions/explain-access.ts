// `can`: yes or no, and why, for a person: manifest file and line, revision, approval, locks. It changes nothing.

import { decide } from '../core/decision.ts'
import { judgeGrant } from '../core/judge.ts'
import { type Problem, problem } from '../core/problem.ts'
import { rfc3339 } from '../core/record.ts'
import { err, ok, type Result } from '../core/result.ts'
import { authorize } from './authorize.ts'
import { readApprovers } from './grants.ts'
import { loadWorld } from './load-world.ts'
import type { Context, Deps } from './ports.ts'

export type Explanation = {
  /** `yes`: a live grant holds it; `needs approval` or `may ask`: the manifest allows asking; `no`. */
  readonly answer: 'yes' | 'may ask' | 'needs approval' | 'no'
  readonly why: string
  readonly code?: string
  readonly hint?: string
  readonly manifest?: { readonly file: string; readonly line: number; readonly role: string | null }
  readonly revision: string | null
  readonly approval?: string
  readonly grants: readonly {
    readonly id: string
    readonly approvedBy: readonly string[]
    readonly expiresAt: string
  }[]
  readonly manifestPatch?: string
}

export async function explainAccess(
  deps: Deps,
  context: Context,
  input: { readonly agent: string; readonly tool: string; readonly scope: string },
): Promise<Result<Explanation, Problem>> {
  const reader = { now: deps.clock.now(), read: deps.store.read.bind(deps.store) }
  const refused = await authorize(reader, context.caller, 'can.ask', { agent: input.agent, tool: input.tool })
  if (refused !== null) return err(refused)
  if (input.scope.length === 0) return err(problem('invalid_request', 'Name a scope.'))
  const world = await loadWorld(reader, input.agent, input.tool)
  const revision = world.installation?.revision ?? null
  const decision = decide(world, { tool: input.tool, scopes: [input.scope], details: {}, durationSeconds: null })
  const within = decision.ok ? decision : decideWithin(world, input)
  if (!within.ok) {
    const { code, message, hint, manifestPatch } = within.error
    return ok({
      answer: 'no',
      why: message,
      code,
      ...(hint === undefined ? {} : { hint }),
      ...(manifestPatch === undefined ? {} : { manifestPatch }),
      revision,
      grants: [],
    })
  }
  const held = await deps.store.list({
    kind: 'grant',
    where: { agent: input.agent, tool: input.tool, state: 'active' },
    limit: 500,
  })
  const grants: Explanation['grants'][number][] = []
  for (const grant of held.rows.filter((row) => row.scopes.includes(input.scope))) {
    const judged = judgeGrant(world, grant, await readApprovers(reader, grant.approvers))
    if (judged.ok) grants.push({ id: grant.id, approvedBy: grant.approvers, expiresAt: rfc3339(judged.value.endsAt) })
  }
  const { entitlement, approval } = within.value
  const { source, role } = entitlement
  const limits = Object.keys(entitlement.details).length === 0 ? '' : ` within ${JSON.stringify(entitlement.details)}`
  return ok({
    answer: grants.length > 0 ? 'yes' : approval === 'none' ? 'may ask' : 'needs approval',
    why: `${source.file}:${source.line} allows ${input.scope} on ${input.tool}${limits}${role === null ? '' : ` through the role ${role}`}; approval: ${approval}`,
    manifest: { file: source.file, line: source.line, role },
    revision,
    approval,
    grants,
  })
}

/** Asked without details, an access that is only given within some is still an access: take the entry's own. */
function decideWithin(world: Parameters<typeof decide>[0], input: { readonly tool: string; readonly scope: string }) {
  const entry = world.access?.entitlements.find((entitlement) => entitlement.scopes.includes(input.scope))
  return decide(world, {
    tool: input.tool,
    scopes: [input.scope],
    details: entry?.details ?? {},
    durationSeconds: null,
  })
}
