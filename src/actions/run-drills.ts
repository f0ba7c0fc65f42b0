// Drills on the schedules of the manifests: one begins at each look, so that many tools do not drill together, and a
// tool is drilled only where nothing of it is locked and its last canary is gone. It decides nothing that `drillTool` does not.

import { CANARY } from '../core/account-name.ts'
import { drillPause, nextDrillAt } from '../core/drill-schedule.ts'
import { isLocked } from '../core/judge.ts'
import { DRILL } from '../core/limits.ts'
import type { DrillSchedule } from '../core/manifest.ts'
import { keyOf } from '../core/model.ts'
import { keeper } from './account-rows.ts'
import { drillTool } from './drill-tool.ts'
import type { Deps } from './ports.ts'
import { toolsInForce } from './tools-in-force.ts'

export type Drills = {
  /** Begins the drill that is due longest, if there is one and room for it; `ended` resolves once it has. */
  round(): Promise<{ readonly ended: Promise<void> }>
  /** Nothing new begins; waits a moment for what is under way. What is left of it the next process takes away. */
  stop(): Promise<void>
}

type Due = { readonly tool: string; readonly drill: DrillSchedule; readonly at: number }

const NOTHING = { ended: Promise.resolve() }

export function createDrills(deps: Deps): Drills {
  const running = new Map<string, Promise<void>>()
  /** Tools where it did not come to a canary, which nothing stored tells. Lost at a restart: then they are tried once more. */
  const refused = new Map<string, { readonly failures: number; readonly until: number }>()
  const stopping = new AbortController()
  let isStopping = false

  async function due(): Promise<Due | undefined> {
    const now = deps.clock.now()
    const scheduled = [...(await toolsInForce(deps))].flatMap(([tool, { target }]) =>
      target.type === 'none' || target.drill === undefined ? [] : [{ tool, drill: target.drill }],
    )
    for (const tool of refused.keys()) if (!scheduled.some((one) => one.tool === tool)) refused.delete(tool)
    const locks = await deps.store.read(['installation/self', ...scheduled.map(({ tool }) => keyOf('tool', tool))])
    if (isLocked(locks.get('installation', 'self'), now)) return undefined
    const all: Due[] = []
    for (const { tool, drill } of scheduled) {
      if (running.has(tool) || isLocked(locks.get('tool', tool), now)) continue
      if (deps.clock.monotonic() < (refused.get(tool)?.until ?? 0)) continue
      const where = { agent: CANARY, tool }
      const { rows } = await deps.store.list({ kind: 'account', where, limit: DRILL.looked, newestFirst: true })
      const at = nextDrillAt(rows, drill.everySeconds * 1000, deps.toolCalls.limits.goneMs)
      if (at !== null && now >= at) all.push({ tool, drill, at })
    }
    return all.sort((one, other) => one.at - other.at || (one.tool < other.tool ? -1 : 1))[0]
  }

  async function run({ tool, drill: { everySeconds, scope, details } }: Due): Promise<void> {
    const context = keeper(deps.ids.next('tsk'))
    const done = await drillTool(deps, context, { tool, scope, details }, stopping.signal)
    if (done.ok) {
      refused.delete(tool)
      if (done.value.outcome !== 'dead')
        deps.log.warn({ tool, outcome: done.value.outcome }, 'a drill on schedule failed; it is tried again')
      return
    }
    const failures = (refused.get(tool)?.failures ?? 0) + 1
    refused.set(tool, { failures, until: deps.clock.monotonic() + drillPause(failures, everySeconds * 1000) })
    deps.log.warn({ tool, code: done.error.code, failures }, 'a drill on schedule was not made; it is tried again')
  }

  async function endedOrLate(): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, DRILL.stopMs)
    })
    await Promise.race([Promise.all(running.values()), late])
    clearTimeout(timer)
  }

  return {
    async round() {
      if (isStopping || running.size >= DRILL.atOnce) return NOTHING
      const next = await due()
      if (next === undefined || isStopping || running.has(next.tool)) return NOTHING
      const { tool } = next
      const ended = run(next)
        .catch((thrown: unknown) => {
          // Of a process that has ended, the store says no to whatever is left.
          if (!isStopping) deps.log.error({ tool, error: String(thrown) }, 'a drill on schedule broke')
        })
        .finally(() => running.delete(tool))
      running.set(tool, ended)
      return { ended }
    },
    async stop() {
      isStopping = true
      await endedOrLate()
      stopping.abort()
      await endedOrLate()
    },
  }
}
