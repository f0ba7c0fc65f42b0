// Calls of upstream tools whose server asks something, while the agent's client is away to find the answer (2026-07-28). What it
// has to come back with is bound to the agent and to what it called, is used once (S18), and is worth nothing after a restart.

import { hash } from 'node:crypto'
import type { Edge } from '../../actions/edge.ts'
import { UPSTREAM_MCP } from '../../core/limits.ts'
import type { Call } from './call.ts'
import type { Put, RunningCall } from './running-call.ts'

type Of = {
  readonly call: Call
  readonly shown: string
  readonly given: { readonly [name: string]: unknown }
}

export type AskedCalls = {
  /** The state to come back with; null: too many of the agent's calls wait already. */
  keep(of: Of, waiting: { readonly running: RunningCall; readonly put: Put }): string | null
  /** Null: forged, foreign, used, too old, or of another call. */
  take(of: Of, state: string): { readonly running: RunningCall; readonly put: Put } | null
  close(): void
}

type Kept = {
  readonly agent: string
  readonly of: string
  readonly waiting: { readonly running: RunningCall; readonly put: Put }
  readonly timer: NodeJS.Timeout
}

export function createAskedCalls(ids: Edge['deps']['ids'], limits = UPSTREAM_MCP): AskedCalls {
  /** By the hash of the state: to find one is to have shown it. */
  const kept = new Map<string, Kept>()

  return {
    keep({ call, shown, given }, waiting) {
      const { agent } = call.caller
      if ([...kept.values()].filter((one) => one.agent === agent).length >= limits.asksPerAgent) return null
      const state = Buffer.from(ids.random(32)).toString('base64url')
      const key = hash('sha256', state)
      const timer = setTimeout(() => {
        kept.delete(key)
        waiting.running.stop()
      }, limits.askMs)
      kept.set(key, { agent, of: whatOf(shown, given), waiting, timer: timer.unref() })
      // Taken away while nobody is there: there is nothing to come back to.
      call.cut.addEventListener('abort', () => waiting.running.stop(), { once: true })
      return state
    },
    take({ call, shown, given }, state) {
      const key = hash('sha256', state)
      const found = kept.get(key)
      if (found === undefined || found.agent !== call.caller.agent || found.of !== whatOf(shown, given)) return null
      kept.delete(key)
      clearTimeout(found.timer)
      return found.waiting
    },
    close() {
      for (const { timer, waiting } of kept.values()) {
        clearTimeout(timer)
        waiting.running.stop()
      }
      kept.clear()
    },
  }
}

/** A client sends the same again, in the same order. */
const whatOf = (shown: string, given: Of['given']): string => hash('sha256', JSON.stringify([shown, given]))
