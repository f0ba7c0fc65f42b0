// What became of calls, on the trail a moment later and many in one commit, so that no agent waits for it: a crash loses
// at most these, never that a call was made (admit-call.ts).

import type { CallEnd } from '../core/call-end.ts'
import { PROXY } from '../core/limits.ts'
import type { AuditRecord, Subject } from '../core/record.ts'
import { ok } from '../core/result.ts'
import type { AgentCaller } from './authenticate-session.ts'
import type { Deps } from './ports.ts'
import { outsideTraces } from './tracing.ts'
import { recordOf, transact } from './transact.ts'

export type EndOfCall = {
  readonly status: number | null
  readonly ended: CallEnd
  readonly sentBytes: number
  readonly receivedBytes: number
  readonly afterMilliseconds: number
}

/** A call that is on the trail. */
export type CallMade = { readonly caller: AgentCaller; readonly subject: Subject }

export type CallEnds = {
  note(call: CallMade, requestId: string, end: EndOfCall): void
  /** Writes what waits; resolves when it is durable, or given up. */
  flush(): Promise<void>
}

type Waiting = { readonly call: CallMade; readonly requestId: string; readonly end: EndOfCall }

export function createCallEnds(deps: Pick<Deps, 'store' | 'clock' | 'ids' | 'log'>): CallEnds {
  let waiting: Waiting[] = []
  let timer: NodeJS.Timeout | undefined
  let writing: Promise<void> = Promise.resolve()

  const recordFor = ({ call, requestId, end }: Waiting, at: number): AuditRecord => {
    return recordOf({ caller: call.caller, requestId }, at, 'tool.answered', call.subject, { ...end })
  }
  const write = async () => {
    while (waiting.length > 0) {
      const some = waiting.splice(0, PROXY.endsAtOnce)
      const done = await transact(deps, 'normal', async ({ now }) =>
        ok({ value: null, records: some.map((one) => recordFor(one, now)) }),
      )
      if (!done.ok) deps.log.error({ code: done.error.code, calls: some.length }, 'ends of calls are not on the trail')
    }
  }
  const flush = () => {
    clearTimeout(timer)
    timer = undefined
    writing = writing
      .then(() => outsideTraces(write))
      .catch((thrown: unknown) => {
        deps.log.error({ error: String(thrown) }, 'ends of calls are not on the trail')
      })
    return writing
  }
  return {
    note(call, requestId, end) {
      if (waiting.length >= PROXY.endsWaiting) {
        deps.log.error({ calls: waiting.length }, 'too many ends of calls wait for the trail: the oldest are left out')
        waiting = waiting.slice(PROXY.endsAtOnce)
      }
      waiting.push({ call, requestId, end })
      if (waiting.length === PROXY.endsAtOnce) void flush()
      else timer ??= setTimeout(() => void flush(), PROXY.endsAfterMs)
    },
    flush,
  }
}
