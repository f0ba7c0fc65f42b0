// What the bridge says for itself, in the words and shapes that the broker would use: a model that called a tool reads a
// refusal with a hint, anything else gets a JSON-RPC error. No token and no key is in any of them.

import { refused } from '../../adapters/mcp/answers.ts'
import { PROBLEM_CODES, type Problem, type ProblemCode, problem } from '../../core/problem.ts'
import { objectOf, textOf } from '../show.ts'
import { Stop } from '../stop.ts'
import { Away } from './broker-channel.ts'
import { errorFor, isMessage, type Message, modernVersionOf, type Request, RPC, toolCalledBy } from './json-rpc.ts'

const RETRYABLE: ReadonlySet<string> = new Set<ProblemCode>([
  'overloaded',
  'stale_view',
  'audit_unavailable',
  'conflict',
  'rate_limited',
])

const codeOf = (code: string): ProblemCode => PROBLEM_CODES.find((one) => one === code) ?? 'internal'

/** Whatever stopped a request, as a refusal that its client can do something about (P8). */
export function problemOf(thrown: unknown): Problem {
  if (thrown instanceof Away)
    return problem('overloaded', `The broker cannot be reached (${thrown.message}).`, {
      retryable: true,
      hint: thrown.wasSent
        ? 'It left in the middle: look with list_access what became of it, then try again.'
        : 'Nothing was asked or changed. Try again in a while; tell your user if it lasts.',
    })
  if (thrown instanceof Stop) {
    const code = codeOf(thrown.problem?.code ?? 'unauthenticated')
    return problem(code, thrown.message, {
      retryable: RETRYABLE.has(code),
      hint: thrown.hints[0] ?? 'Tell your user: this agent cannot sign in.',
    })
  }
  return problem('internal', 'The bridge to the broker broke here.', { hint: 'Try again; tell your user if it lasts.' })
}

/** The body of an HTTP refusal: a JSON-RPC error, or a problem document (RFC 9457). */
export function problemIn(body: string, status: number): Problem | Away {
  const said = objectOf(jsonOf(body))
  const inside = objectOf(objectOf(said.error).data)
  const fields = isMessage(said) ? inside : said
  const code = textOf(fields.code)
  const message = textOf(fields.message) || textOf(fields.detail) || textOf(objectOf(said.error).message)
  if (code === '' && status >= 500) return new Away(`it answered ${status}`, true)
  const hint = textOf(fields.hint)
  return problem(code === '' ? 'invalid_request' : codeOf(code), message || `The broker answered ${status}.`, {
    retryable: fields.retryable === true || RETRYABLE.has(code),
    ...(hint === '' ? {} : { hint }),
  })
}

/** The error that is meant for this very request; null: the refusal has none. */
export function errorIn(body: string, { id }: Request): Message | null {
  const said = jsonOf(body)
  return isMessage(said) && said.id === id && said.error !== undefined ? said : null
}

export function refusalFor(request: Request, what: Problem): Message {
  if (toolCalledBy(request) === null) {
    const { code, message, hint, retryable } = what
    return errorFor(request.id, RPC.server, hint === undefined ? message : `${message} ${hint}`, {
      code,
      message,
      ...(hint === undefined ? {} : { hint }),
      retryable: retryable ?? false,
    })
  }
  const isModern = modernVersionOf(request) !== null
  return {
    jsonrpc: '2.0',
    id: request.id,
    result: { ...refused(what), ...(isModern ? { resultType: 'complete' } : {}) },
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
