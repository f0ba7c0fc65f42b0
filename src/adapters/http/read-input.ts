// What a request brings, read within limits and checked against its schema: anything unknown, doubled or too long is
// refused. It never repeats a value that was sent.

import type { z } from '@hono/zod-openapi'
import { type Problem, problem } from '../../core/problem.ts'
import { err, ok, type Result } from '../../core/result.ts'
import { safeText } from '../../core/safe-text.ts'

export type Refused = { readonly problem: Problem; readonly status?: number }

const refuse = (message: string, status?: number): { readonly ok: false; readonly error: Refused } =>
  err({ problem: problem('invalid_request', message), ...(status === undefined ? {} : { status }) })

/** Each parameter once; `cursor` is another name of `after`. */
export function readQuery(url: string): Result<Record<string, string>, Refused> {
  const query = new URL(url).searchParams
  const found = new Map<string, string>()
  for (const [sent, value] of query) {
    const name = sent === 'cursor' ? 'after' : sent
    if (found.has(name)) return refuse(`The parameter ${safeText(name, 60)} is there twice.`)
    found.set(name, value)
  }
  return ok(Object.fromEntries(found))
}

/** JSON of at most `maxBytes`; nothing at all is `{}`. */
export async function readBody(request: Request, maxBytes: number): Promise<Result<unknown, Refused>> {
  const tooLong = () => refuse(`The body may be ${maxBytes} bytes long.`, 413)
  if (Number(request.headers.get('content-length') ?? 0) > maxBytes) return tooLong()
  const chunks: Uint8Array[] = []
  let length = 0
  if (request.body !== null)
    for await (const chunk of request.body) {
      length += chunk.length
      if (length > maxBytes) return tooLong()
      chunks.push(chunk)
    }
  if (length === 0) return ok({})
  if (!/^application\/json *(;|$)/i.test(request.headers.get('content-type') ?? ''))
    return refuse('The body must be sent as application/json.', 415)
  try {
    return ok(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks)), noPrototype))
  } catch {
    // Neither the parser's message nor the text: both repeat what was sent.
    return refuse('The body is not JSON in UTF-8.')
  }
}

/** A schema would drop this key in silence, and with it a limit that was asked for. */
function noPrototype(key: string, value: unknown): unknown {
  if (key === '__proto__') throw new SyntaxError('a key that nothing takes')
  return value
}

/** The checked value, or the first faults by place. */
export function check<S extends z.ZodType>(schema: S, value: unknown, where: string): Result<z.output<S>, Refused> {
  const parsed = schema.safeParse(value)
  if (parsed.success) return ok(parsed.data)
  const faults = parsed.error.issues
    .slice(0, 3)
    .map(
      (issue) =>
        `${issue.path.length === 0 ? where : safeText(issue.path.join('.'), 80)}: ${safeText(issue.message, 200)}`,
    )
  return refuse(`This call cannot be read. ${faults.join('; ')}.`)
}
