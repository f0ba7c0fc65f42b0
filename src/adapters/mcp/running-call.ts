// A call of an upstream tool that is under way, whichever request it is served by: of 2026-07-28, a question of its server ends
// one request, and the answer comes with the next.

import type { McpAnswer, McpAsk, McpProgress, UpstreamResult } from '../../actions/ports.ts'
import type { UpstreamTools } from '../../actions/upstream-tools.ts'
import { UPSTREAM_MCP } from '../../core/limits.ts'
import { toolOfShown } from '../../core/manifest-mcp.ts'
import { answerTo, type Question, readQuestion } from '../../core/mcp-question.ts'
import type { Problem } from '../../core/problem.ts'
import type { Result } from '../../core/result.ts'
import type { Call } from './call.ts'
import type { Meanwhile } from './meanwhile.ts'

export type Put = { readonly question: Question; answer(given: McpAnswer): void }

export type RunningCall = {
  /** Until it is over or something is asked. A client that leaves meanwhile ends it. */
  next(
    call: Call,
    meanwhile: Meanwhile,
  ): Promise<{ readonly asked: Put } | { readonly over: Result<UpstreamResult, Problem> }>
  stop(): void
}

const CANCEL: McpAnswer = { action: 'cancel' }

export function runCall(
  upstreamTools: Pick<UpstreamTools, 'call'>,
  issuer: string,
  { caller, requestId }: Call,
  shown: string,
  given: { readonly [name: string]: unknown },
  first: Meanwhile,
): RunningCall {
  const stop = new AbortController()
  let progressed: (progress: McpProgress) => void = first.onProgress
  let asked: Put | null = null
  let wake: () => void = () => {}
  let asks = 0

  const put = async (ask: McpAsk, signal: AbortSignal): Promise<McpAnswer> => {
    const question = ++asks > UPSTREAM_MCP.asksPerCall ? null : readQuestion(toolOfShown(shown) ?? '', ask, issuer)
    if (question === null) return CANCEL
    // What its client does not understand, and what nobody answers in time, is no answer.
    const answer = await (first.askNow === null ? later(question, signal) : first.askNow(question, signal)).catch(
      () => CANCEL,
    )
    return answer.action === 'accept' && question.mode === 'form'
      ? { action: 'accept', content: answerTo(question, answer.content) }
      : { action: answer.action }
  }
  const later = (question: Question, signal: AbortSignal): Promise<McpAnswer> =>
    new Promise((resolve) => {
      const answer = (given: McpAnswer) => {
        signal.removeEventListener('abort', gone)
        resolve(given)
      }
      const gone = () => answer(CANCEL)
      signal.addEventListener('abort', gone, { once: true })
      asked = { question, answer }
      wake()
    })

  const result = upstreamTools.call(caller, {
    shown,
    given,
    requestId,
    signal: stop.signal,
    onProgress: (progress) => progressed(progress),
    ask: first.modes.length === 0 ? null : { modes: first.modes, put },
  })
  // Nobody may be there to hear how it ends.
  result.catch(() => undefined)

  return {
    async next({ cut }, { signal, onProgress }) {
      progressed = onProgress
      const left = AbortSignal.any([signal, cut])
      const leave = () => stop.abort()
      left.addEventListener('abort', leave, { once: true })
      if (left.aborted) leave()
      const question = new Promise<void>((resolve) => {
        wake = resolve
        if (asked !== null) resolve()
      })
      try {
        const over = await Promise.race([result, question])
        if (over !== undefined) return { over }
        const taken = asked!
        asked = null
        return { asked: taken }
      } finally {
        left.removeEventListener('abort', leave)
        progressed = () => {}
      }
    },
    stop: () => stop.abort(),
  }
}
