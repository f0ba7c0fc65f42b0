// Every refusal of an authenticated caller is on the trail with its precise reason; repeated ones become one count a
// minute; strangers are only counted (P8, S17). A trail that cannot be written never turns a refusal into a yes.

import { LRUCache } from 'lru-cache'
import type { Problem, ProblemCode } from '../core/problem.ts'
import { personal, rfc3339, type Subject } from '../core/record.ts'
import { ok } from '../core/result.ts'
import type { Caller, Context, Deps } from './ports.ts'
import { recordOf, transact } from './transact.ts'

const MINUTE_MS = 60_000

export interface Refusals {
  /**
   * Resolves once the first refusal of its kind is durable, or counted. Never throws. Who must answer at once need not wait: what
   * is being written then, `flush` waits for.
   */
  note(
    context: Context,
    problem: Problem,
    route: string,
    about?: { readonly agent?: string; readonly tool?: string },
  ): Promise<void>
  /** One more that proved nothing. */
  stranger(code: ProblemCode): void
  /** Writes the counts of whatever minute is over; called on a timer and at the end. */
  flush(all?: boolean): Promise<void>
}

type Counted = {
  readonly context: Context
  readonly code: ProblemCode
  readonly route: string
  since: number
  count: number
}

const nameOf = (caller: Caller | { readonly role: 'system'; readonly part: string }): string => {
  switch (caller.role) {
    case 'agent':
      return `agent ${caller.agent}`
    case 'owner':
      return `owner ${caller.email}`
    case 'verifier':
      return `verifier ${caller.tool}`
    case 'operator':
    case 'system':
      return caller.role
    default:
      return `${caller.role} ${caller.id}`
  }
}

export function createRefusals(deps: Pick<Deps, 'store' | 'clock' | 'ids' | 'log'>): Refusals {
  const minutes = new LRUCache<string, Counted>({ max: 10_000 })
  let strangers = { since: deps.clock.now(), codes: new Map<ProblemCode, number>() }
  const writing = new Set<Promise<void>>()

  const write = async (build: (at: number) => ReturnType<typeof recordOf>) => {
    const unwritten = (reason: object) => deps.log.error(reason, 'a refusal could not be put on the trail')
    const done = await transact(deps, 'normal', async (look) => ok({ value: null, records: [build(look.now)] })).catch(
      (thrown: unknown) => unwritten({ error: String(thrown) }),
    )
    if (done?.ok === false) unwritten({ code: done.error.code })
  }
  const writeCount = (entry: Counted) =>
    write((at) =>
      recordOf(
        entry.context,
        at,
        'refusals.counted',
        {},
        {
          code: entry.code,
          count: entry.count,
          from: rfc3339(entry.since),
          until: rfc3339(Math.min(at, entry.since + MINUTE_MS)),
          route: entry.route,
        },
      ),
    )

  async function note(context: Context, problem: Problem, route: string, about: Subject): Promise<void> {
    const key = `${nameOf(context.caller)} ${problem.code} ${route}`
    const now = deps.clock.now()
    const known = minutes.get(key)
    if (known !== undefined && now - known.since < MINUTE_MS) {
      known.count++
      return
    }
    minutes.set(key, { context, code: problem.code, route, since: now, count: 0 })
    if (known !== undefined && known.count > 0) await writeCount(known)
    await write((at) =>
      recordOf(context, at, 'refusal', about, {
        code: problem.code,
        route,
        detail: personal(problem.detail ?? problem.message),
      }),
    )
  }

  return {
    note(context, problem, route, about = {}) {
      const noted = note(context, problem, route, about)
      writing.add(noted)
      return noted.finally(() => writing.delete(noted))
    },
    stranger(code) {
      strangers.codes.set(code, (strangers.codes.get(code) ?? 0) + 1)
    },
    async flush(all = false) {
      await Promise.all(writing)
      const now = deps.clock.now()
      for (const [key, entry] of [...minutes.entries()]) {
        if (!all && now - entry.since < MINUTE_MS) continue
        minutes.delete(key)
        if (entry.count > 0) await writeCount(entry)
      }
      const counted = strangers
      if (counted.codes.size === 0 || (!all && now - counted.since < MINUTE_MS)) return
      strangers = { since: now, codes: new Map() }
      const count = [...counted.codes.values()].reduce((sum, n) => sum + n, 0)
      await write((at) =>
        recordOf(
          { caller: { role: 'system', part: 'keeper' }, requestId: deps.ids.next('tsk') },
          at,
          'strangers.counted',
          {},
          {
            count,
            from: rfc3339(counted.since),
            until: rfc3339(at),
            codes: Object.fromEntries(counted.codes),
          },
        ),
      )
    },
  }
}
