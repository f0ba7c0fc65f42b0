// One request under /tools as it came over the wire, read strictly: whatever another program could frame, address or
// switch differently is refused before anybody is asked anything.

import type { IncomingMessage } from 'node:http'
import type { Call } from '../../actions/admit-call.ts'
import { valuesIn } from '../../actions/raw-header.ts'
import { readCallTarget } from '../../core/call-target.ts'
import { HTTP } from '../../core/limits.ts'
import { PROXY_METHODS } from '../../core/path-rule.ts'
import { problem } from '../../core/problem.ts'
import { err, ok, type Result } from '../../core/result.ts'
import { type Refused, refused } from './refusal.ts'

export type ReadCall = {
  readonly call: Call
  readonly token: string
  /** How the body is framed: its length, in chunks, or none. */
  readonly body: number | 'chunked' | null
}

const PLACE = /^\/tools\/([a-z0-9]+(?:-[a-z0-9]+)*)([/?].*)?$/s
const BEARER = /^bearer +([A-Za-z0-9._~+/=-]+)$/i

const no = (status: number, message: string, hint?: string): Result<never, Refused> =>
  err(refused(problem('invalid_request', message, hint === undefined ? {} : { hint }), status))

export function readCall(incoming: IncomingMessage, requestId: string): Result<ReadCall, Refused> {
  const { method = '', url = '', rawHeaders } = incoming
  if (url.length > HTTP.urlBytes) return no(414, `The URL is longer than ${HTTP.urlBytes} bytes.`)
  const [, tool = '', rest = '/'] = PLACE.exec(url) ?? []
  if (tool === '' || tool.length > 63) return no(404, 'There is no tool here.', 'Tools are at /tools/NAME/.')
  if (!PROXY_METHODS.some((known) => known === method)) return no(405, 'This method does not go through the proxy.')
  if (valuesIn(rawHeaders, 'upgrade').length > 0)
    return no(501, 'The proxy switches to no other protocol.', 'WebSockets do not go through Hallpass: use plain HTTP.')
  const token = tokenOf(valuesIn(rawHeaders, 'authorization'))
  if (!token.ok) return token
  const body = bodyOf(rawHeaders)
  if (!body.ok) return body
  if ((method === 'GET' || method === 'HEAD') && body.value !== null && body.value !== 0)
    return no(400, `A ${method} through the proxy has no body.`)
  const target = readCallTarget(rest)
  if (!target.ok)
    return no(400, `The path ${target.error}.`, 'Send it plainly: what could be read in two ways is refused.')
  return ok({ call: { tool, method, target: target.value, requestId }, token: token.value, body: body.value })
}

/** The one Bearer (RFC 6750 section 2.1). */
function tokenOf(values: readonly string[]): Result<string, Refused> {
  const [value = '', ...more] = values
  const [, token] = BEARER.exec(value) ?? []
  if (token !== undefined && more.length === 0) return ok(token)
  return err(
    refused(
      problem('unauthenticated', 'The proxy wants one Hallpass token in the Authorization header.', {
        hint: 'Redeem a grant with delivery proxy at the token endpoint, then send "Authorization: Bearer <token>".',
      }),
    ),
  )
}

/** RFC 9112 section 6: one framing, written in one way. Node refuses most of the rest before this. */
function bodyOf(raw: readonly string[]): Result<ReadCall['body'], Refused> {
  const coding = valuesIn(raw, 'transfer-encoding')
  const length = valuesIn(raw, 'content-length')
  if (coding.length + length.length > 1) return no(400, 'The body is framed in more than one way.')
  if (coding[0] !== undefined)
    return coding[0].toLowerCase() === 'chunked'
      ? ok('chunked')
      : no(400, 'The body is in a coding that is not passed on.')
  if (length[0] === undefined) return ok(null)
  return /^\d{1,15}$/.test(length[0]) ? ok(Number(length[0])) : no(400, 'The length of the body is not a number.')
}
