// The body of an OAuth request: one form, each parameter once (RFC 6749 sections 3.2 and 4). Nothing is read from the URL.

import type { Context } from 'hono'
import { problem } from '../../core/problem.ts'
import { err, ok, type Result } from '../../core/result.ts'
import type { Refused } from './problem-to-oauth.ts'

export type Form = ReadonlyMap<string, string>

const MAX_PARAMETERS = 64

export const invalidRequest = (message: string, hint?: string): Refused => ({
  problem: problem('invalid_request', message, hint === undefined ? {} : { hint }),
})

/** A parameter without a value counts as absent (RFC 6749 section 3.2). */
export async function readForm(c: Context): Promise<Result<Form, Refused>> {
  if (!/^application\/x-www-form-urlencoded\s*(;|$)/i.test(c.req.header('content-type') ?? ''))
    return err(invalidRequest('The body must be application/x-www-form-urlencoded.'))
  const form = new Map<string, string>()
  const seen = new Set<string>()
  for (const [name, value] of new URLSearchParams(await c.req.text())) {
    if (seen.has(name)) return err(invalidRequest(`The parameter ${nameOf(name)} is there more than once.`))
    seen.add(name)
    if (seen.size > MAX_PARAMETERS) return err(invalidRequest(`More than ${MAX_PARAMETERS} parameters.`))
    if (value !== '') form.set(name, value)
  }
  return ok(form)
}

const nameOf = (name: string): string => (/^[a-z_]{1,40}$/.test(name) ? name : 'that is not one of ours')
