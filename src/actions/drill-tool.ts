// A fire drill: makes a canary account in a tool, uses it, takes it away as any other is taken, and says how long each took.
// The canary is nobody's; its secret reaches nobody, and it has the least right that the tool's manifest can say.

import { CANARY, orderOf } from '../core/account-name.ts'
import type { DRILL_OUTCOMES } from '../core/drift.ts'
import { DRILL_OVER, type DrillStatus, deadAfter, drillStatus, lowestRisk, wentWell } from '../core/drill-schedule.ts'
import { isLocked, judgeInstallation } from '../core/judge.ts'
import { move } from '../core/lifecycle.ts'
import type { Details, DrillSchedule } from '../core/manifest.ts'
import { type Account, keyOf } from '../core/model.ts'
import { type Problem, problem } from '../core/problem.ts'
import { rfc3339 } from '../core/record.ts'
import { err, ok, type Result } from '../core/result.ts'
import { rightsFor } from '../core/rights.ts'
import type { Secret } from '../core/secret.ts'
import type { Target } from '../core/target.ts'
import { asFailure, leaving, leavingRecord, toolProblem } from './account-rows.ts'
import { authorize } from './authorize.ts'
import { loadWorld } from './load-world.ts'
import { createFailed, knownAccount, type Made, makeInTool, planAccount } from './make-account.ts'
import type { Context, Deps } from './ports.ts'
import { type Look, recordOf, transact } from './transact.ts'
import { waitFor } from './wait-for.ts'

export type DrillInput = {
  readonly tool: string
  /** Null: the one of the lowest risk. */
  readonly scope: string | null
  readonly details: Details
}

export type Drilled = {
  readonly tool: string
  /** The canary's, in the tool. */
  readonly name: string
  readonly scope: string
  readonly outcome: (typeof DRILL_OUTCOMES)[number]
  readonly provisionMilliseconds: number | null
  readonly firstUseMilliseconds: number | null
  /** From taking it away to its secret refused; of a tool that cannot be probed, to its being read back gone. */
  readonly deadAfterMilliseconds: number | null
}

type Planned = { readonly account: Account; readonly target: Target; readonly scope: string }

/** How long a canary may live whatever happens to this process: past that the reaper takes it. */
const CANARY_MS = 60_000

/** One at a time for each tool. A tool that does not make the canary is a refusal; one that is slow to kill it is an outcome. */
export const drillTool = (
  deps: Deps,
  context: Context,
  input: DrillInput,
  signal: AbortSignal,
): Promise<Result<Drilled, Problem>> =>
  deps.toolCalls.inOrder(`drill ${input.tool}`, async () => {
    const grant = deps.ids.next('drl')
    // From the intent on it is this drill's turn at the account: the reaper takes what is planned and nobody's turn.
    const first = await deps.toolCalls.inOrder(orderOf({ grant }), async () => {
      const done = await transact<Planned>(deps, 'normal', (look) => plan(deps, context, look, input, grant))
      return done.ok ? ok({ planned: done.value.value, made: await make(deps, context, done.value.value) }) : done
    })
    if (!first.ok) return first
    const { planned, made } = first.value
    if (!made.ok) {
      await tell(deps, context, ended(planned, 'not made', {}))
      return made
    }
    const { secret, afterMilliseconds: provisionMilliseconds } = made.value
    const used = await use(deps, planned, secret)
    const gone = await takeAway(
      deps,
      context,
      planned,
      used === 'unusable' ? DRILL_OVER.unusable : DRILL_OVER.well,
      signal,
    )
    const deadAt = gone?.probedAt ?? gone?.readBackAt ?? null
    const outcome = deadAt === null ? 'outstanding' : used === 'unusable' ? 'unusable' : 'dead'
    const drilled = ended(planned, outcome, {
      provisionMilliseconds,
      firstUseMilliseconds: used === 'unusable' ? null : used,
      deadAfterMilliseconds: deadAt === null ? null : Math.max(0, deadAt - (gone?.leavingSince ?? deadAt)),
    })
    await tell(deps, context, drilled)
    return ok(drilled)
  })

const ended = (
  { account, scope }: Planned,
  outcome: Drilled['outcome'],
  took: Partial<Pick<Drilled, 'provisionMilliseconds' | 'firstUseMilliseconds' | 'deadAfterMilliseconds'>>,
): Drilled => ({
  tool: account.tool,
  name: account.name,
  scope,
  outcome,
  provisionMilliseconds: null,
  firstUseMilliseconds: null,
  deadAfterMilliseconds: null,
  ...took,
})

async function plan(deps: Deps, context: Context, look: Look, input: DrillInput, grant: string) {
  const refused = await authorize(look, context.caller, 'tool.drill', { tool: input.tool })
  if (refused !== null) return err(refused)
  const world = await loadWorld(look, CANARY, input.tool)
  const value = world.toolValue
  if (value === null)
    return err(
      problem('unknown_tool', `There is no tool "${input.tool}".`, {
        missing: true,
        hint: 'See `hallpass tool list`.',
      }),
    )
  const barred = judgeInstallation(world)
  if (barred !== null) return err(barred)
  if (isLocked(world.tool, look.now))
    return err(
      problem('tool_locked', `${input.tool} is locked: nothing is made in it.`, { hint: 'Lift the lock first.' }),
    )
  if (value.target.type === 'none')
    return err(
      problem('invalid_request', `${input.tool} verifies our tokens itself: there is no account to drill with.`, {
        hint: `Try it with \`hallpass tool check ${input.tool}\`: what is revoked is among what it sends.`,
      }),
    )
  const scope = input.scope ?? lowestRisk(value.scopes)
  const rights = rightsFor(value.target, [scope], input.details)
  if (!rights.ok)
    return err({ ...rights.error, hint: 'Name it with --scope, and its details with --detail KEY=VALUE.' })
  let target: Target
  let words: readonly string[]
  try {
    target = deps.targets.of(value.target)
    words = target.canonical(rights.value)
  } catch (thrown) {
    return err(toolProblem(asFailure(thrown), input.tool))
  }
  const { account, record } = planAccount(deps, context, look.now, world.installation, {
    agent: CANARY,
    tool: input.tool,
    grant,
    generation: 1,
    connection: value.target,
    rights: words,
    until: look.now + CANARY_MS,
  })
  return ok({
    value: { account, target, scope },
    put: [{ kind: 'account' as const, row: account }],
    records: [record],
  })
}

async function make(deps: Deps, context: Context, { account, target }: Planned): Promise<Result<Made, Problem>> {
  try {
    const made = await makeInTool(deps, account, target, `Hallpass: fire drill, gone by ${rfc3339(account.until)}`)
    const done = await transact<null>(deps, 'normal', async (look) => {
      const row = await look.row('account', account.id)
      if (row?.state !== 'planned' && row?.state !== 'leaving') return ok({ value: null, records: [] })
      const { known, record } = knownAccount(deps, context, look.now, row, made)
      return ok({
        value: null,
        put: [{ kind: 'account' as const, row: row.state === 'planned' ? move('account', known, 'present') : known }],
        records: [record],
      })
    })
    return done.ok ? ok(made) : done
  } catch (thrown) {
    return createFailed(deps, context, account, thrown)
  }
}

/** Milliseconds of its first use, as an agent would; null where the tool cannot be probed. */
async function use(deps: Deps, { account, target }: Planned, secret: Secret): Promise<number | null | 'unusable'> {
  if (!target.capabilities.probes) return null
  const startedAt = deps.clock.monotonic()
  try {
    const verdict = await deps.toolCalls.call(account.tool, 'lookMs', (signal) => target.probe(secret, signal))
    return verdict === 'dead' ? 'unusable' : Math.max(0, Math.round(deps.clock.monotonic() - startedAt))
  } catch (thrown) {
    deps.log.warn({ tool: account.tool, why: asFailure(thrown).why }, 'a canary could not be used')
    return 'unusable'
  }
}

/** By the way that every account goes. Null: not confirmed within the time that one may take. */
async function takeAway(
  deps: Deps,
  context: Context,
  { account }: Planned,
  because: string,
  signal: AbortSignal,
): Promise<Account | null> {
  const { id } = account
  await transact<null>(deps, 'narrowing', async (look) => {
    const row = await look.row('account', id)
    if (row?.state !== 'present') return ok({ value: null, records: [] })
    const next = leaving(row, look.now, { because, revocation: null, unsettledMs: null })
    return ok({
      value: null,
      put: [{ kind: 'account' as const, row: next }],
      records: [leavingRecord(context, look.now, next, because)],
    })
  })
  deps.targets.wake()
  const { goneMs } = deps.toolCalls.limits
  await waitFor(deps, { kind: 'account', id, done: ({ state }) => state === 'gone' }, goneMs, signal)
  const row = (await deps.store.read([keyOf('account', id)])).get('account', id)
  return row?.state === 'gone' ? row : null
}

async function tell(deps: Deps, context: Context, { tool, ...body }: Drilled): Promise<void> {
  if (body.outcome !== 'dead') deps.log.error({ tool, outcome: body.outcome }, 'a drill did not end as it should')
  await transact(deps, 'normal', async (look) =>
    ok({ value: null, records: [recordOf(context, look.now, 'tool.drilled', { tool }, body)] }),
  )
}

export type LastDrill = {
  readonly at: string
  readonly status: DrillStatus
  readonly deadAfterMilliseconds: number | null
}

/** Of one tool, from its latest canary; null: there was none. */
export async function lastDrill(deps: Pick<Deps, 'store'>, tool: string): Promise<LastDrill | null> {
  const row = await latestCanary(deps, tool)
  return row === undefined
    ? null
    : { at: rfc3339(row.createdAt), status: drillStatus(row), deadAfterMilliseconds: deadAfter(row) }
}

async function latestCanary({ store }: Pick<Deps, 'store'>, tool: string): Promise<Account | undefined> {
  const where = { agent: CANARY, tool }
  return (await store.list({ kind: 'account', where, limit: 1, newestFirst: true })).rows[0]
}

/**
 * Whether a tool's drills need somebody: its last one did not end as it should, or its manifest wants one and none was
 * made for as long. A drill that is under way is no failure until it takes longer than one may.
 */
export async function isDrillFailing(
  deps: Pick<Deps, 'store' | 'clock' | 'toolCalls'>,
  tool: string,
  schedule: DrillSchedule | undefined,
): Promise<boolean> {
  const now = deps.clock.now()
  const { goneMs } = deps.toolCalls.limits
  const row = await latestCanary(deps, tool)
  if (row === undefined) return schedule !== undefined
  const allowedMs = CANARY_MS + goneMs
  if (row.state !== 'gone') return now >= row.createdAt + allowedMs
  if (!wentWell(row, goneMs)) return true
  return schedule !== undefined && now >= row.createdAt + schedule.everySeconds * 1000 + allowedMs
}
