// How the whole house stands, for those who watch it: what is outstanding, waiting, overdue, locked, stale.
// Each list is cut at its first hundred and says how many there are.

import { DRIFTS, type Drift } from '../core/drift.ts'
import { formatDuration } from '../core/duration.ts'
import { isLocked, reviewEnd } from '../core/judge.ts'
import type { Kind, Rows } from '../core/model.ts'
import type { Problem } from '../core/problem.ts'
import { rfc3339 } from '../core/record.ts'
import { err, ok, type Result } from '../core/result.ts'
import type { ToolValue } from '../core/slice.ts'
import { authorize } from './authorize.ts'
import { isDrillFailing, lastDrill } from './drill-tool.ts'
import { readerOf } from './list-rows.ts'
import { stands } from './lock.ts'
import type { Caller, Deps, Where } from './ports.ts'
import { isClockBehind } from './readiness.ts'
import { presentRevocation } from './revoke.ts'
import { expiringVerifiers } from './revoke-bearer.ts'
import { presentReconciled } from './see-tools.ts'
import { definitionsStanding } from './standing-definitions.ts'
import { toolsInForce } from './tools-in-force.ts'

const SHOWN = 100
const COUNT_MAX = 10_000

export type Status = Awaited<ReturnType<typeof statusNow>>

export async function readStatus(deps: Deps, caller: Caller): Promise<Result<Status, Problem>> {
  const refused = await authorize(readerOf(deps), caller, 'status.read')
  return refused === null ? ok(await statusNow(deps)) : err(refused)
}

export type Load = {
  readonly waitingRequests: number
  readonly openRevocations: number
  readonly outstandingRevocations: number
  /** By state. */
  readonly accounts: Readonly<Record<'planned' | 'present' | 'leaving', number>>
  /** What was last found in the tools, by kind, and how many tools could not be looked through. */
  readonly drift: Readonly<Record<Drift, number>>
  readonly toolsUnread: number
  /** Accounts on their way out for longer than one may take. */
  readonly accountsOutstanding: number
  /** Tool with accounts → whether it is left alone for now, after failures. */
  readonly leftAlone: ReadonlyMap<string, boolean>
  /** What tools' MCP servers say that nobody accepted, and tools whose server could not be asked the last time. */
  readonly definitions: Readonly<Record<'waiting' | 'suspended', number>>
  readonly serversUnread: number
  /** Tool with accounts → whether its last drill failed, or one is overdue. */
  readonly drillsFailing: ReadonlyMap<string, boolean>
}

/** What metrics show of it; each counted up to 10,000. */
export async function readLoad(deps: Pick<Deps, 'store' | 'clock' | 'drifts' | 'looks' | 'toolCalls'>): Promise<Load> {
  const now = deps.clock.now()
  const { limits, health } = deps.toolCalls
  const leaving = await all(deps, 'account', { state: 'leaving' })
  const inForce = await toolsInForce(deps)
  const tools = [...inForce].filter(([, { target }]) => target.type !== 'none')
  const servers = await serversOf(deps, inForce)
  const sum = (of: 'waiting' | 'suspended') => servers.reduce((all, one) => all + one[of], 0)
  const open = await all(deps, 'revocation', { state: 'open' })
  const accounts = async (state: string) => (await all(deps, 'account', { state })).length
  const seen = [...deps.drifts.values()]
  const found = (drift: Drift) => seen.flatMap(({ findings }) => findings).filter((one) => one.drift === drift).length
  return {
    accounts: {
      planned: await accounts('planned'),
      present: await accounts('present'),
      leaving: leaving.length,
    },
    accountsOutstanding: leaving.filter(({ leavingSince }) => now - (leavingSince ?? now) > limits.goneMs).length,
    definitions: { waiting: sum('waiting'), suspended: sum('suspended') },
    serversUnread: servers.filter(({ failure }) => failure !== undefined).length,
    leftAlone: new Map(tools.map(([tool]) => [tool, health(tool).state === 'open'])),
    drillsFailing: new Map(
      await Promise.all(
        tools.map(async ([tool, { target }]): Promise<[string, boolean]> => {
          const schedule = target.type === 'none' ? undefined : target.drill
          return [tool, await isDrillFailing(deps, tool, schedule)]
        }),
      ),
    ),
    drift: Object.fromEntries(DRIFTS.map((drift) => [drift, found(drift)])) as Record<Drift, number>,
    toolsUnread: seen.filter(({ failure }) => failure !== null).length,
    waitingRequests: (await all(deps, 'request', { state: 'pending', expiresAfter: now })).length,
    openRevocations: open.length,
    outstandingRevocations: open.filter((row) => presentRevocation(row, now).status === 'outstanding').length,
  }
}

async function statusNow(deps: Deps) {
  const now = deps.clock.now()
  const inForce = await toolsInForce(deps)
  const [installation, tree, open, requests, widenings, locks, agents, keys, verifiers, room] = await Promise.all([
    deps.store.read(['installation/self']).then((snapshot) => snapshot.get('installation', 'self')),
    deps.store.tree(),
    all(deps, 'revocation', { state: 'open' }),
    all(deps, 'request', { state: 'pending', expiresAfter: now }),
    all(deps, 'widening', { state: 'waiting' }),
    all(deps, 'lock', { state: 'standing' }),
    all(deps, 'slice', {}),
    all(deps, 'key', {}),
    expiringVerifiers(deps),
    deps.store.hasRoom(),
  ])
  const receipts = open.map((row) => presentRevocation(row, now))
  const outstanding = receipts.filter((receipt) => receipt.status === 'outstanding')
  const standing = locks.filter((lock) => stands(lock, now))
  const overdue = agents.flatMap(({ value }) =>
    value?.of === 'agent' && now >= reviewEnd(value.reviewBy)
      ? [{ agent: value.name, reviewBy: value.reviewBy ?? '' }]
      : [],
  )
  const signing = keys.find((key) => key.use === 'tokens' && key.alg === 'ES256' && key.state === 'signing')
  return {
    initialized: installation?.initializedAt != null,
    fresh: deps.store.fresh(),
    room,
    clock: { now: rfc3339(now), highest: rfc3339(deps.store.highestTime()), behind: isClockBehind(deps) },
    locked: isLocked(installation, now),
    revision: installation?.revision ?? null,
    scopesMode: deps.settings.scopesMode,
    records: tree.size,
    root: Buffer.from(tree.root).toString('hex'),
    outstanding: { count: outstanding.length, items: outstanding.slice(0, SHOWN) },
    revoking: { count: receipts.length - outstanding.length },
    waiting: { requests: requests.length, widenings: widenings.length },
    overdue: { count: overdue.length, items: overdue.slice(0, SHOWN) },
    locks: {
      count: standing.length,
      items: standing
        .slice(0, SHOWN)
        .map(({ id, kind, name, until }) => ({ id, kind, name, ...(until === null ? {} : { until: rfc3339(until) }) })),
    },
    signingKey: signing === undefined ? null : { kid: signing.id, since: rfc3339(signing.signsFrom) },
    drills: await Promise.all(
      [...inForce]
        .filter(([, { target }]) => target.type !== 'none')
        .slice(0, SHOWN)
        .map(async ([tool, { target }]) => {
          const schedule = target.type === 'none' ? undefined : target.drill
          return {
            tool,
            last: await lastDrill(deps, tool),
            every: schedule === undefined ? null : formatDuration(schedule.everySeconds),
            failing: await isDrillFailing(deps, tool, schedule),
          }
        }),
    ),
    // Those that something is wrong with.
    tools: [...deps.drifts]
      .map(([tool, last]) => ({
        tool,
        reachable: deps.toolCalls.health(tool).state === 'closed',
        ...presentReconciled(last),
      }))
      .filter(({ reachable, found, failure }) => !reachable || found > 0 || failure !== undefined)
      .slice(0, SHOWN),
    // Those of which something waits or is not there.
    mcp: (await serversOf(deps, inForce))
      .filter((one) => one.waiting + one.suspended + one.missing > 0 || one.failure !== undefined)
      .slice(0, SHOWN),
    verifiersExpiring: verifiers.map(({ id, subject, expiresAt }) => ({
      id,
      tool: subject,
      expiresAt: rfc3339(expiresAt),
    })),
  }
}

async function serversOf(deps: Pick<Deps, 'store' | 'looks'>, inForce: ReadonlyMap<string, ToolValue>) {
  const all = await Promise.all(
    [...inForce].map(async ([tool, value]) => ({ tool, standing: await definitionsStanding(deps, value) })),
  )
  return all.flatMap(({ tool, standing }) => (standing === null ? [] : [{ tool, ...standing }]))
}

async function all<K extends Kind>(deps: Pick<Deps, 'store'>, kind: K, where: Where): Promise<Rows[K][]> {
  const rows: Rows[K][] = []
  let after: string | undefined
  do {
    const page = await deps.store.list({ kind, where, limit: 500, ...(after === undefined ? {} : { after }) })
    rows.push(...page.rows)
    after = page.next ?? undefined
  } while (after !== undefined && rows.length < COUNT_MAX)
  return rows
}
