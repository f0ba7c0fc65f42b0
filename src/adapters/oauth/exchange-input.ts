// The parameters of a token exchange (RFC 8693 section 2.1), strictly: what we would not honour is refused, never ignored.

import { z } from 'zod'
import { DETAILS_TYPE } from '../../core/claims.ts'
import { OPEN, TEXT } from '../../core/limits.ts'
import type { Details } from '../../core/manifest.ts'
import { problem } from '../../core/problem.ts'
import { normalizeResource } from '../../core/resource-url.ts'
import { err, ok, type Result } from '../../core/result.ts'
import { type Form, invalidRequest } from './form.ts'
import type { Refused } from './problem-to-oauth.ts'

export const ACCESS_TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:access_token'
const TOKEN_TYPES = new Set([ACCESS_TOKEN_TYPE, 'urn:ietf:params:oauth:token-type:jwt'])

export type ExchangeInput = {
  readonly subjectToken: string
  /** The tool's resource, normalized. */
  readonly resource: string | null
  /** The tool's name, or its resource. */
  readonly audience: string | null
  readonly grant: string | null
  /** Sorted, unique; null is all that the grant gives. */
  readonly scopes: readonly string[] | null
  readonly details: Details | null
}

export function readExchange(form: Form): Result<ExchangeInput, Refused> {
  const subjectToken = form.get('subject_token')
  if (subjectToken === undefined) return err(invalidRequest('subject_token is missing.', "It is your session's token."))
  if (!TOKEN_TYPES.has(form.get('subject_token_type') ?? ''))
    return err(invalidRequest(`subject_token_type must be ${ACCESS_TOKEN_TYPE}.`))
  if (form.has('actor_token') || form.has('actor_token_type'))
    return err(invalidRequest('actor_token is not accepted: an agent acts for itself alone.'))
  if (!TOKEN_TYPES.has(form.get('requested_token_type') ?? ACCESS_TOKEN_TYPE))
    return err({
      problem: problem('invalid_request', `Only ${ACCESS_TOKEN_TYPE} is issued.`),
      error: 'invalid_request',
    })
  const scopes = readScope(form.get('scope'))
  if (!scopes.ok) return scopes
  const details = readDetails(form.get('authorization_details'))
  if (!details.ok) return details
  const resource = form.get('resource')
  const normalized = resource === undefined ? null : normalizeResource(resource)
  if (normalized !== null && !normalized.ok)
    return err({ problem: problem('unknown_tool', `resource ${normalized.error}.`), error: 'invalid_target' })
  return ok({
    subjectToken,
    resource: normalized === null ? null : normalized.value,
    audience: form.get('audience') ?? null,
    grant: form.get('grant_id') ?? null,
    scopes: scopes.value,
    details: details.value,
  })
}

const SCOPE = /^[A-Za-z0-9][A-Za-z0-9._:/-]*$/

/** RFC 6749 section 3.3. Null where none is named. */
function readScope(text: string | undefined): Result<readonly string[] | null, Refused> {
  if (text === undefined) return ok(null)
  const scopes = [...new Set(text.split(' '))].sort()
  const isFine = (scope: string) => scope.length <= TEXT.label && SCOPE.test(scope)
  if (scopes.length > OPEN.scopesPerRequest || !scopes.every(isFine))
    return err({
      problem: problem('scope_not_in_manifest', 'scope is not a list of scope names with single spaces between.'),
      error: 'invalid_scope',
    })
  return ok(scopes)
}

const value = z.string().min(1).max(TEXT.label)
const constraints = z
  .record(z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/), z.array(value).min(1).max(OPEN.valuesPerDetail))
  .refine((record) => Object.keys(record).length <= OPEN.detailsPerRequest)
const authorizationDetails = z.array(z.strictObject({ type: z.literal(DETAILS_TYPE), constraints })).max(1)

/** RFC 9396 section 5: an unknown type or field is refused. Null where nothing is narrowed. */
function readDetails(text: string | undefined): Result<Details | null, Refused> {
  if (text === undefined) return ok(null)
  const read = authorizationDetails.safeParse(parseJson(text))
  if (!read.success)
    return err({
      problem: problem(
        'details_not_allowed',
        `authorization_details must be at most one object of type ${DETAILS_TYPE}.`,
        {
          hint: `Like [{"type":"${DETAILS_TYPE}","constraints":{"queue":["incidents"]}}], with keys that list_access shows.`,
        },
      ),
      error: 'invalid_authorization_details',
    })
  const given = read.data[0]?.constraints
  return ok(
    given === undefined
      ? null
      : Object.fromEntries(Object.entries(given).map(([key, values]) => [key, [...new Set(values)].sort()])),
  )
}

/** Null where it is no JSON. `__proto__` is refused here: a schema would drop it, and with it a limit someone asked for. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text, (key, value) => {
      if (key === '__proto__') throw new SyntaxError('a key that no tool declares')
      return value
    })
  } catch (thrown) {
    if (thrown instanceof SyntaxError) return null
    throw thrown
  }
}
