// `can`: yes or no, and why, for a person: manifest file and line, revision, approval, locks. It changes nothing.

import { decide } from '../core/decision.ts'
import { type Approvers, judgeGrant, type World } from '../core/judge.ts'
import { type Grant, type Instant, keyOf, type Person } from '../core/model.ts'
import { type Problem, problem } from '../core/problem.ts'
import { rfc3339 } from '../core/record.ts'
import { err, ok, type Result } from '../core/result.ts'
import { authorize } from './authorize.ts'
import { readApprovers } from './grants.ts'
import { readAsOf } from './history.ts'
import { loadWorld, worldFrom, worldKeys } from './load-world.ts'
import type { Context, Deps, Page } from './ports.ts'

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

/**
 * Now; or at the instant `at`, from the rows as they were then and from what became of each grant since. A time of which
 * nothing was kept, and one that is still to come, is refused.
 */
export async function explainAccess(
  deps: Deps,
  context: Context,
  input: { readonly agent: string; readonly tool: string; readonly scope: string; readonly at?: Instant },
): Promise<Result<Explanation, Problem>> {
  const present = { now: deps.clock.now(), read: deps.store.read.bind(deps.store) }
  const refused = await authorize(present, context.caller, 'can.ask', { agent: input.agent, tool: input.tool })
  if (refused !== null) return err(refused)
  if (input.scope.length === 0) return err(problem('invalid_request', 'Name a scope.'))
  if (input.at === undefined)
    return explain(deps, input, await loadWorld(present, input.agent, input.tool), async (grant) => ({
      grant,
      approvers: await readApprovers(present, grant.approvers),
    }))

  const { at } = input
  if (at > present.now) return err(problem('invalid_request', 'That time is still to come.'))
  const rows = await readAsOf(deps, at, worldKeys(input.agent, input.tool))
  if (!rows.ok) return rows
  return explain(deps, input, worldFrom(rows.value, at, input.agent, input.tool), (grant) => grantAsOf(deps, at, grant))
}

type GrantThen = { readonly grant: Grant; readonly approvers: Approvers }

/** Null: not given yet, or taken away by then. */
async function grantAsOf(deps: Deps, at: Instant, grant: Grant): Promise<GrantThen | null> {
  if (grant.createdAt > at) return null
  const { revocation } = grant
  const taken =
    revocation === null
      ? undefined
      : (await deps.store.read([keyOf('revocation', revocation)])).get('revocation', revocation)
  if (grant.state !== 'active' && (taken === undefined || taken.at <= at)) return null
  const people = await readAsOf(
    deps,
    at,
    grant.approvers.map((email) => keyOf('person', email)),
  )
  if (!people.ok) return null
  const approvers = new Map<string, Person>()
  for (const email of grant.approvers) {
    const person = people.value.get('person', email)
    if (person !== undefined) approvers.set(email, person)
  }
  return { grant: { ...grant, state: 'active', revocation: null }, approvers }
}

async function explain(
  deps: Pick<Deps, 'store'>,
  input: { readonly agent: string; readonly tool: string; readonly scope: string },
  world: World,
  asOf: (grant: Grant) => Promise<GrantThen | null>,
): Promise<Result<Explanation, Problem>> {
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
  const grants: Explanation['grants'][number][] = []
  let after: string | null = null
  do {
    const page: Page<'grant'> = await deps.store.list({
      kind: 'grant',
      where: { agent: input.agent, tool: input.tool, expiresAfter: world.now },
      limit: 500,
      ...(after === null ? {} : { after }),
    })
    for (const row of page.rows.filter(({ scopes }) => scopes.includes(input.scope))) {
      const then = await asOf(row)
      const judged = then === null ? null : judgeGrant(world, then.grant, then.approvers)
      if (judged?.ok) grants.push({ id: row.id, approvedBy: row.approvers, expiresAt: rfc3339(judged.value.endsAt) })
    }
    after = page.next
  } while (after !== null)
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
