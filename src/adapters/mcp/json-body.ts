// The body of a request, read within its limits: bytes first, then nesting, and only then parsed.

import { readRequestBody } from '@modelcontextprotocol/server'
import { BODY_BYTES } from '../../core/limits.ts'
import { type Problem, problem } from '../../core/problem.ts'
import { err, ok, type Result } from '../../core/result.ts'

/** The deepest honest call is a filter in a batch: far below. */
const MAX_DEPTH = 32

export type BadBody = { readonly problem: Problem; readonly status: number; readonly rpcCode?: number }

/** JSON-RPC 2.0 section 5.1. */
const PARSE_ERROR = -32700

const bad = (status: number, message: string, rpcCode?: number): { readonly ok: false; readonly error: BadBody } =>
  err({ problem: problem('invalid_request', message), status, ...(rpcCode === undefined ? {} : { rpcCode }) })

/** The parsed body of a POST; undefined for any other method, whose body is not read. */
export async function readJsonBody(request: Request): Promise<Result<unknown, BadBody>> {
  if (request.method !== 'POST') return ok(undefined)
  const type = request.headers.get('content-type')?.split(';', 1)[0]?.trim().toLowerCase()
  if (type !== 'application/json') return bad(415, 'The body must be application/json.')
  const read = await readBody(request)
  if (read.tooLarge) return bad(413, `The body is over ${BODY_BYTES.mcp} bytes.`)
  if (isTooDeep(read.text)) return bad(400, `The body nests deeper than ${MAX_DEPTH} levels.`, PARSE_ERROR)
  const value = parsed(read.text)
  return value === undefined ? bad(400, 'The body is not JSON.', PARSE_ERROR) : ok(value)
}

/**
 * A body whose length is declared is as long as declared: Node's parser sees to that, and reading it as text spares making
 * a web stream of it. Any other is counted as it comes.
 */
function readBody(request: Request): Promise<{ tooLarge: true } | { tooLarge: false; text: string }> {
  const { headers } = request
  const length = headers.get('content-length')
  const isDeclared = length !== null && /^\d{1,9}$/.test(length) && !headers.has('transfer-encoding')
  return isDeclared && Number(length) <= BODY_BYTES.mcp
    ? request.text().then((text) => ({ tooLarge: false, text }))
    : readRequestBody(request, BODY_BYTES.mcp)
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Counts brackets outside of strings; what is not JSON at all is the parser's to say. */
function isTooDeep(text: string): boolean {
  let depth = 0
  let inString = false
  for (let i = 0; i < text.length; i++) {
    const char = text.charCodeAt(i)
    if (inString) {
      if (char === BACKSLASH) i++
      else if (char === QUOTE) inString = false
    } else if (char === QUOTE) inString = true
    else if (char === OPEN_BRACE || char === OPEN_BRACKET) {
      if (++depth > MAX_DEPTH) return true
    } else if (char === CLOSE_BRACE || char === CLOSE_BRACKET) depth--
  }
  return false
}

const BACKSLASH = 0x5c
const QUOTE = 0x22
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d
