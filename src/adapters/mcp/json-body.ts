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
  const read = await readRequestBody(request, BODY_BYTES.mcp)
  if (read.tooLarge) return bad(413, `The body is over ${BODY_BYTES.mcp} bytes.`)
  if (isTooDeep(read.text)) return bad(400, `The body nests deeper than ${MAX_DEPTH} levels.`, PARSE_ERROR)
  const value = parsed(read.text)
  return value === undefined ? bad(400, 'The body is not JSON.', PARSE_ERROR) : ok(value)
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
