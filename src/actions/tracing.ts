// What a trace shows of the broker's work: which step, of whom, for how long, and the code of a refusal. Never a secret, a
// reason, an address or any other text that somebody wrote. Without a tracer that an operator loaded it does next to nothing.

import {
  type Attributes,
  type Context,
  context,
  createTraceState,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  trace,
} from '@opentelemetry/api'
import { readTraceParent, readTraceState } from '../core/trace-parent.ts'
import { VERSION } from '../core/version.ts'

const tracer = trace.getTracer('hallpass', VERSION)

/** Runs `act` as a part of the trace that the caller says it belongs to; where it says none, as it is. */
export function withinTrace<T>(traceparent: unknown, tracestate: unknown, act: () => T): T {
  if (traceparent === undefined) return act()
  const parent = readTraceParent(traceparent)
  if (parent === null) return act()
  const state = readTraceState(tracestate)
  const remote = trace.setSpanContext(context.active(), {
    traceId: parent.traceId,
    spanId: parent.parentId,
    traceFlags: parent.isSampled ? TraceFlags.SAMPLED : TraceFlags.NONE,
    ...(state === null ? {} : { traceState: createTraceState(state) }),
    isRemote: true,
  })
  return context.with(remote, act)
}

/** Runs `act` as a part of no trace: work for many callers that one of them happened to start. */
export const outsideTraces = <T>(act: () => T): T => context.with(ROOT_CONTEXT, act)

/** The trace that is under way here, for the log; null: none. */
export const currentTraceId = (): string | null => trace.getSpanContext(context.active())?.traceId ?? null

/** A call that came in and whose caller is known: strangers make no spans. */
export const servedSpan = <T>(name: string, attributes: Attributes, act: () => Promise<T>): Promise<T> =>
  spanned(name, SpanKind.SERVER, attributes, act)

/** A step within one; outside of any it is none. */
export const stepSpan = <T>(name: string, attributes: Attributes, act: () => Promise<T>): Promise<T> =>
  trace.getSpanContext(context.active()) === undefined ? act() : spanned(name, SpanKind.INTERNAL, attributes, act)

/** A call to somebody else. `act` hears what to send along as `traceparent`; null: nothing. */
export const calledSpan = <T>(
  name: string,
  attributes: Attributes,
  act: (traceparent: string | null) => Promise<T>,
): Promise<T> => spanned(name, SpanKind.CLIENT, attributes, act)

function spanned<T>(
  name: string,
  kind: SpanKind,
  attributes: Attributes,
  act: (traceparent: string | null) => Promise<T>,
): Promise<T> {
  const around = context.active()
  const span = tracer.startSpan(name, { kind, attributes }, around)
  return span.isRecording() ? recorded(span, around, act) : act(null)
}

async function recorded<T>(span: Span, around: Context, act: (traceparent: string | null) => Promise<T>): Promise<T> {
  try {
    const value = await context.with(trace.setSpan(around, span), () => act(traceparentOf(span)))
    const code = refusalIn(value)
    if (code !== null) span.setAttribute('hallpass.refused', code)
    return value
  } catch (thrown) {
    // Its message may hold anything.
    span.setAttribute('error.type', thrown instanceof Error ? thrown.name : 'unknown')
    span.setStatus({ code: SpanStatusCode.ERROR })
    throw thrown
  } finally {
    span.end()
  }
}

function traceparentOf(span: Span): string {
  const { traceId, spanId, traceFlags } = span.spanContext()
  return `00-${traceId}-${spanId}-${(traceFlags & 0xff).toString(16).padStart(2, '0')}`
}

/** The code of a refusal, of a Result or of an edge's own answer that holds one. */
function refusalIn(value: unknown): string | null {
  if (typeof value !== 'object' || value === null || !('ok' in value) || value.ok !== false || !('error' in value))
    return null
  const { error } = value
  const inside = typeof error === 'object' && error !== null && 'problem' in error ? error.problem : error
  const code = typeof inside === 'object' && inside !== null && 'code' in inside ? inside.code : null
  return typeof code === 'string' ? code : null
}
