// What is measured, in a registry of its own. Labels are routes, codes, statuses and tools in force: never anything that a
// caller chose, an agent, an id or a secret.

import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { CallMeter } from '../../actions/call-meter.ts'
import type { Edge } from '../../actions/edge.ts'
import type { Refusals } from '../../actions/note-refusals.ts'
import { type Deps, StoreUnavailable } from '../../actions/ports.ts'
import { readLoad } from '../../actions/read-status.ts'
import type { ProblemCode } from '../../core/problem.ts'
import type { Occupied } from './admission.ts'
import { createCallMeter } from './call-metrics.ts'

export type Metrics = {
  request(route: string, status: number): void
  refusal(code: ProblemCode): void
  /** A call for which there was no room. */
  turnedAway(of: string): void
  readonly calls: CallMeter
  /** The text of `/metrics`, with what waits and what is open as it is now. */
  text(): Promise<string>
  readonly contentType: string
}

const NAMES = { prefix: 'hallpass_' }

/**
 * Follows the log until the store closes: what was minted and what was taken away is counted for all edges. `occupied`: the calls
 * that are served and that wait, by class, where they are limited.
 */
export function createMetrics(
  deps: Pick<Deps, 'store' | 'clock' | 'log' | 'drifts' | 'looks' | 'toolCalls'>,
  occupied: () => Readonly<Record<string, Occupied>> = () => ({}),
): Metrics {
  const registry = new Registry()
  const registers = [registry]
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
    new Counter({ name: NAMES.prefix + name, help, labelNames: [...labelNames], registers })
  const gauge = <L extends string>(name: string, help: string, ...labelNames: L[]) =>
    new Gauge({ name: NAMES.prefix + name, help, labelNames, registers })
  const requests = counter('http_requests_total', 'Calls of the API, by route and status.', ['route', 'status'])
  const refusals = counter('refusals_total', 'Refused calls of the API, by problem code.', ['code'])
  const turnedAway = counter('turned_away_total', 'Calls for which there was no room, by class.', ['class'])
  const mints = counter('credentials_minted_total', 'Credentials minted since this process started.', [])
  const seconds = new Histogram({
    name: `${NAMES.prefix}revocation_seconds`,
    help: 'From taking away to the last confirmation.',
    buckets: [0.005, 0.025, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3900],
    registers,
  })
  const open = gauge('revocations_open', 'Revocations that are not confirmed by every tool yet.')
  const outstanding = gauge('revocations_outstanding', 'Revocations whose confirmation is late.')
  const waiting = gauge('requests_waiting', 'Requests that wait for an owner.')
  const served = gauge('calls_served', 'Calls that are being served now, by class.', 'class')
  const queued = gauge('calls_waiting', 'Calls that wait to be served, by class.', 'class')

  const accounts = gauge('accounts', 'Accounts in tools that are not gone, by state.', 'state')
  const drift = gauge('tool_drift', 'What tools held beside what they should, when last looked through.', 'finding')
  const unread = gauge('tools_unread', 'Tools with accounts that could not be looked through the last time.')

  const late = gauge('accounts_outstanding', 'Accounts on their way out for longer than one may take.')
  const leftAlone = gauge('tool_left_alone', 'Whether a tool is left alone for now, after failures (1).', 'tool')
  const drills = gauge('tool_drill_failing', "Whether a tool's last drill failed, or one is overdue (1).", 'tool')

  const definitions = gauge('mcp_definitions', "What tools' MCP servers say that nobody accepted, by state.", 'state')
  const unasked = gauge('mcp_servers_unread', 'Tools whose MCP server could not be asked the last time.')

  follow(deps, {
    minted: () => mints.inc(),
    revoked: (milliseconds) => seconds.observe(milliseconds / 1000),
  }).catch((thrown: unknown) => {
    // A closed store is how this ends.
    if (thrown instanceof StoreUnavailable) return
    deps.log.warn(
      { error: thrown instanceof Error ? thrown.message : String(thrown) },
      'metrics stopped following the log',
    )
  })

  return {
    request: (route, status) => requests.inc({ route, status: String(status) }),
    refusal: (code) => refusals.inc({ code }),
    turnedAway: (of) => turnedAway.inc({ class: of }),
    calls: createCallMeter(registry),
    contentType: registry.contentType,
    async text() {
      const load = await readLoad(deps)
      open.set(load.openRevocations)
      outstanding.set(load.outstandingRevocations)
      waiting.set(load.waitingRequests)
      for (const [name, { atOnce, waiting: left }] of Object.entries(occupied())) {
        served.set({ class: name }, atOnce)
        queued.set({ class: name }, left)
      }
      for (const [state, count] of Object.entries(load.accounts)) accounts.set({ state }, count)
      for (const [finding, count] of Object.entries(load.drift)) drift.set({ finding }, count)
      unread.set(load.toolsUnread)
      late.set(load.accountsOutstanding)
      for (const [state, count] of Object.entries(load.definitions)) definitions.set({ state }, count)
      unasked.set(load.serversUnread)
      leftAlone.reset()
      for (const [tool, isOpen] of load.leftAlone) leftAlone.set({ tool }, Number(isOpen))
      drills.reset()
      for (const [tool, isFailing] of load.drillsFailing) drills.set({ tool }, Number(isFailing))
      return registry.metrics()
    },
  }
}

async function follow(
  deps: Pick<Deps, 'store'>,
  on: { minted(): void; revoked(milliseconds: number): void },
): Promise<void> {
  const { signal } = new AbortController()
  for (;;) {
    const { size } = await deps.store.tree()
    for await (const feed of deps.store.changes(size, signal)) {
      if (feed.type === 'reload') break
      if (feed.type !== 'change') continue
      for (const { kind, row } of feed.change.put) {
        if (kind === 'credential' && row.state === 'issued') on.minted()
        if (kind === 'revocation' && row.completedAt !== null) on.revoked(row.completedAt - row.at)
      }
    }
  }
}

/** The refusals of every edge that notes them here, counted too. */
export const countedRefusals = (refusals: Refusals, metrics: Pick<Metrics, 'refusal'>): Edge['refusals'] => ({
  ...refusals,
  note(context, problem, route, about) {
    metrics.refusal(problem.code)
    return refusals.note(context, problem, route, about)
  },
  stranger(code) {
    metrics.refusal(code)
    refusals.stranger(code)
  },
})
