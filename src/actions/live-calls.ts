// Calls that are under way: how many an agent has, and whether each may go on. A commit that touches what a call rests on
// has it judged again, and one whose right has ended is cut within milliseconds (P5).

import { setTimeout as delay } from 'node:timers/promises'
import { PROXY } from '../core/limits.ts'
import { type Key, keyOf } from '../core/model.ts'
import { type Problem, problem } from '../core/problem.ts'
import { err, ok, type Result } from '../core/result.ts'
import type { Deps } from './ports.ts'

export type LiveCall = {
  readonly restsOn: readonly Key[]
  readonly endsAt: number
  /** Null: it may go on. */
  again(): Promise<Problem | null>
  cut(why: Problem): void
}

export type LiveCalls = {
  /** A place among the agent's calls, to be given back; `rate_limited` where there is none. */
  enter(agent: string): Result<() => void, Problem>
  /** Until the returned function is called. */
  watch(call: LiveCall): () => void
  close(): Promise<void>
}

const RETRY_MS = 500

export function createLiveCalls(
  deps: Pick<Deps, 'store' | 'clock' | 'log'>,
  { callsPerAgent, recheckMs }: { readonly callsPerAgent: number; readonly recheckMs: number } = PROXY,
): LiveCalls {
  const open = new Map<string, number>()
  const byKey = new Map<Key, Set<LiveCall>>()
  const all = new Set<LiveCall>()
  const stop = new AbortController()

  const check = async (call: LiveCall) => {
    let why: Problem | null
    try {
      why = deps.clock.now() >= call.endsAt ? ended() : await call.again()
    } catch (thrown) {
      deps.log.error({ error: String(thrown) }, 'a call under way could not be judged again')
      why = problem('stale_view', 'It is not known whether this call may go on.')
    }
    if (why !== null && all.has(call)) call.cut(why)
  }
  const checkAll = (calls: Iterable<LiveCall>) => {
    for (const call of new Set(calls)) void check(call)
  }

  const follow = async () => {
    while (!stop.signal.aborted) {
      try {
        const { seq } = await deps.store.read([])
        checkAll(all)
        for await (const fed of deps.store.changes(seq, stop.signal)) {
          if (fed.type === 'reload') checkAll(all)
          if (fed.type !== 'change' || all.size === 0) continue
          for (const { kind, row } of fed.change.put) checkAll(byKey.get(keyOf(kind, row.id)) ?? [])
        }
      } catch (thrown) {
        if (!stop.signal.aborted) deps.log.error({ error: String(thrown) }, 'the log cannot be followed for calls')
      }
      checkAll(all)
      await delay(RETRY_MS, undefined, { ref: false, signal: stop.signal }).catch(() => undefined)
    }
  }
  const followed = follow()
  const sweep = setInterval(() => checkAll(all), recheckMs).unref()

  return {
    enter(agent) {
      const now = open.get(agent) ?? 0
      if (now >= callsPerAgent)
        return err(
          problem('rate_limited', `${callsPerAgent} calls of this agent are under way already.`, {
            retryable: true,
            retryAfterSeconds: 1,
            hint: 'Wait until one of them is over.',
          }),
        )
      open.set(agent, now + 1)
      return ok(() => {
        const left = (open.get(agent) ?? 1) - 1
        if (left <= 0) open.delete(agent)
        else open.set(agent, left)
      })
    },
    watch(call) {
      all.add(call)
      for (const key of call.restsOn) byKey.set(key, (byKey.get(key) ?? new Set()).add(call))
      // What was committed since it was judged was not watched for yet.
      void check(call)
      const end = setTimeout(() => call.cut(ended()), Math.max(0, call.endsAt - deps.clock.now())).unref()
      return () => {
        clearTimeout(end)
        all.delete(call)
        for (const key of call.restsOn) {
          const calls = byKey.get(key)
          calls?.delete(call)
          if (calls?.size === 0) byKey.delete(key)
        }
      }
    },
    async close() {
      clearInterval(sweep)
      stop.abort()
      await followed
    },
  }
}

const ended = () => problem('unauthenticated', 'The credential of this call has expired.', { detail: 'expired' })
