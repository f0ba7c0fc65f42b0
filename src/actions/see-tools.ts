// Tools in force as those who look after them see them: what they are, what is held in them, when they were last looked
// through. And to look through one now.

import type { Act } from '../core/matrix.ts'
import { keyOf } from '../core/model.ts'
import { type Problem, problem } from '../core/problem.ts'
import { rfc3339 } from '../core/record.ts'
import { err, ok, type Result } from '../core/result.ts'
import { sliceId, type ToolValue } from '../core/slice.ts'
import { liveAccounts } from './account-rows.ts'
import { authorize } from './authorize.ts'
import { lastDrill } from './drill-tool.ts'
import { listRows } from './list-rows.ts'
import type { Caller, Context, Deps, Reconciled } from './ports.ts'
import { reconcileTool } from './reconcile-tool.ts'
import { definitionsStanding } from './standing-definitions.ts'

export type ToolView = Awaited<ReturnType<typeof viewOf>>

export async function listTools(
  deps: Deps,
  caller: Caller,
  input: { readonly limit: number; readonly after?: string | undefined },
): Promise<Result<{ readonly items: readonly ToolView[]; readonly next: string | null }, Problem>> {
  const inForce = new Map<string, ToolValue>()
  const listed = await listRows(deps, caller, {
    kind: 'tool',
    act: 'tool.see',
    about: ({ id }) => ({ tool: id }),
    keep: async ({ id }) => {
      const value = await toolInForce(deps, id)
      if (value !== null) inForce.set(id, value)
      return value !== null
    },
    ...input,
  })
  if (!listed.ok) return listed
  const accounts = new Map<string, number>()
  for (const { tool } of await liveAccounts(deps)) accounts.set(tool, (accounts.get(tool) ?? 0) + 1)
  const items = await Promise.all(
    listed.value.rows.map(({ id }) => viewOf(deps, inForce.get(id)!, accounts.get(id) ?? 0)),
  )
  return ok({ items, next: listed.value.next })
}

async function toolInForce(deps: Pick<Deps, 'store'>, name: string): Promise<ToolValue | null> {
  const id = sliceId.tool(name)
  const value = (await deps.store.read([keyOf('slice', id)])).get('slice', id)?.value
  return value?.of === 'tool' ? value : null
}

async function viewOf(deps: Deps, value: ToolValue, accounts: number) {
  const { name, category, resource, token, target } = value
  const last = deps.drifts.get(name)
  const mcp = await definitionsStanding(deps, value)
  return {
    name,
    category,
    resource,
    target: target.type,
    ...(target.type === 'none'
      ? { verifiedBy: token.verifiedBy }
      : {
          url: target.url,
          accounts,
          reachable: deps.toolCalls.health(name).state === 'closed',
          drill: await lastDrill(deps, name),
        }),
    ...(mcp === null ? {} : { mcp }),
    ...(last === undefined ? {} : { reconciled: presentReconciled(last) }),
  }
}

export const presentReconciled = ({ at, managed, findings, failure }: Reconciled) => ({
  at: rfc3339(at),
  managed,
  findings: findings.slice(0, 100).map(({ drift, name, account, rights, did, detail }) => ({
    finding: drift,
    name,
    ...(account === null ? {} : { account }),
    rights,
    did,
    ...(detail === undefined ? {} : { detail }),
  })),
  found: findings.length,
  ...(failure === null ? {} : { failure }),
})

const ACT: Act = 'tool.reconcile'

/** Looks through a tool now; an admin's act, and its owner's. */
export async function reconcileToolNow(
  deps: Deps,
  context: Context,
  name: string,
): Promise<Result<Reconciled, Problem>> {
  const reader = { now: deps.clock.now(), read: deps.store.read.bind(deps.store) }
  const refused = await authorize(reader, context.caller, ACT, { tool: name })
  if (refused !== null) return err(refused)
  const done = await reconcileTool(deps, context, name)
  if (done !== null) return ok(done)
  return err(
    (await toolInForce(deps, name)) === null
      ? problem('unknown_tool', `There is no tool "${name}".`, { missing: true, hint: 'See `hallpass tool list`.' })
      : problem('invalid_request', `${name} verifies our tokens itself: there are no accounts in it to look through.`),
  )
}
