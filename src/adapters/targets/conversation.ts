// What one call of a target says to its tool: to the one origin that its secret was accepted for (S5), and what every
// failure may have left behind. Never quotes a tool's words: they may hold what it was sent.

import type { z } from 'zod'
import { normalizeResource } from '../../core/resource-url.ts'
import type { Secret } from '../../core/secret.ts'
import { TargetFailure } from '../../core/target.ts'
import type { HttpAnswer, HttpCall } from './http-call.ts'

export type TargetConfig = {
  /** Where the tool is reached, its path prefix with it. */
  readonly url: string
  /** The admin's secret, asked for at each call, so that a rotated one is heard. */
  readonly secret: () => Promise<Secret>
  readonly call: HttpCall
}

export type Asked = {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** From the tool's own root, each part of it encoded. */
  readonly path: string
  readonly query?: Readonly<Record<string, string>>
  readonly headers?: Readonly<Record<string, string>>
  readonly json?: unknown
  readonly form?: Readonly<Record<string, string>>
  /** Whether it may change something; unless said, all but GET. */
  readonly changes?: boolean
  /** Statuses besides 2xx that are an answer and no failure. */
  readonly also?: readonly number[]
}

export type Conversation = {
  /** Throws {@link TargetFailure} for any status that was not asked for. */
  ask(asked: Asked): Promise<HttpAnswer>
  /** The JSON of an answer, held to a shape. */
  read<T>(answer: HttpAnswer, shape: z.ZodType<T>): T
  /** What to throw where the tool's answers add up to something else than was asked for. */
  failure(why: TargetFailure['why'], message: string): TargetFailure
}

const RETRY_AFTER_MAX_SECONDS = 3600
/** Answers of a tool, or of what stands before it, that is there and not in order for the moment. */
const BUSY = [429, 502, 503, 504]
/** Answers that are given before anything is carried out. */
const UNTOUCHED = [401, 403, 429]

/** Throws for a URL that is none a secret may be sent to. */
export function converse({ url, call }: Pick<TargetConfig, 'url' | 'call'>, signal: AbortSignal): Conversation {
  const base = normalizeResource(url)
  if (!base.ok) throw new Error(`a tool's URL ${base.error}`)
  const { origin } = new URL(base.value)
  let acted = false

  const failure = (why: TargetFailure['why'], message: string, retryAfterSeconds: number | null = null) =>
    new TargetFailure(why, message, { mayHaveActed: acted, retryAfterSeconds })

  const target = (path: string, query: Readonly<Record<string, string>>): string => {
    const at = new URL(base.value + path)
    at.search = new URLSearchParams(query).toString()
    if (at.origin !== origin || !path.startsWith('/')) throw new Error('a path leads off the origin of its tool')
    return at.href
  }

  return {
    failure,
    async ask({ method, path, query = {}, headers = {}, json, form, changes = method !== 'GET', also = [] }) {
      const [type, body] = form
        ? ['application/x-www-form-urlencoded', new URLSearchParams(form).toString()]
        : json === undefined
          ? [null, '']
          : ['application/json', JSON.stringify(json)]
      const sent = {
        method,
        url: target(path, query),
        headers: { accept: 'application/json', ...headers, ...(type === null ? {} : { 'content-type': type }) },
        body,
      }
      const answer = await call(sent, signal).catch((thrown: unknown) => {
        if (!(thrown instanceof TargetFailure)) throw thrown
        acted ||= changes && thrown.mayHaveActed
        throw failure(thrown.why, thrown.message)
      })
      acted ||= changes && !UNTOUCHED.includes(answer.status)
      if ((answer.status >= 200 && answer.status < 300) || also.includes(answer.status)) return answer
      throw failure(
        BUSY.includes(answer.status) ? 'busy' : 'refused',
        `${method} ${path}: the tool answered ${answer.status}`,
        retryAfterSeconds(answer.headers['retry-after']),
      )
    },
    read(answer, shape) {
      const parsed = shape.safeParse(parseJson(answer.text))
      if (!parsed.success) throw failure('garbled', `an answer is not what this tool answers (${answer.status})`)
      return parsed.data
    },
  }
}

/** Undefined for what is no JSON. */
export function parseJson(text: unknown): unknown {
  if (typeof text !== 'string') return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** RFC 9110 section 10.2.3: seconds, or a date. */
function retryAfterSeconds(header: string | undefined): number | null {
  if (header === undefined) return null
  const asDate = header.endsWith(' GMT') ? Math.ceil((Date.parse(header) - Date.now()) / 1000) : Number.NaN
  const seconds = /^\d+$/.test(header) ? Number(header) : asDate
  return Number.isNaN(seconds) ? null : Math.min(Math.max(seconds, 0), RETRY_AFTER_MAX_SECONDS)
}
