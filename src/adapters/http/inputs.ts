// The parts that calls are made of, each with its limit: names, ids, cursors, scopes, details, durations, times.

import { z } from '@hono/zod-openapi'
import { OPEN, PAGE, TEXT, WAIT_SECONDS_MAX } from '../../core/limits.ts'

const DAY_SECONDS = 86_400

const wholeNumber = (min: number, max: number, description: string) =>
  z
    .string()
    .regex(/^\d{1,15}$/, 'must be a whole number')
    .transform(Number)
    .pipe(z.number().min(min).max(max))
    .openapi({ type: 'integer', minimum: min, maximum: max, description })

export const name = z
  .string()
  .max(TEXT.name)
  .regex(/^[a-z0-9]+(-[a-z0-9]+)*$/, 'must be a name: lower-case letters, digits and single hyphens')
export const id = z
  .string()
  .max(128)
  .regex(/^[A-Za-z0-9_-]+$/, 'must be an id')
export const email = z
  .string()
  .max(TEXT.email)
  .regex(/^[^\s@]+@[^\s@]+$/, 'must be an e-mail address')
  .transform((text) => text.toLowerCase())
export const reason = z.string().trim().min(1).max(TEXT.reason)
export const scope = z
  .string()
  .min(1)
  .max(128)
  .regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/, 'must be a scope')
/** A tool's name at its own MCP server. */
export const mcpName = z
  .string()
  .min(1)
  .max(64)
  .regex(/^[A-Za-z0-9_.-]+$/, 'must be the name of an MCP tool')
export const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'must be a digest: 64 hexadecimal digits')
/** Sorted and unique, as actions expect them. */
export const scopes = z
  .array(scope)
  .min(1)
  .max(OPEN.scopesPerRequest)
  .transform((all) => [...new Set(all)].sort())
export const details = z
  .record(
    z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/, 'must be the key of a detail'),
    z
      .array(z.string().min(1).max(256))
      .min(1)
      .max(OPEN.valuesPerDetail)
      .transform((all) => [...new Set(all)].sort()),
  )
  .refine((all) => Object.keys(all).length <= OPEN.detailsPerRequest, 'has too many details')
export const durationSeconds = z
  .int()
  .min(1)
  .max(366 * DAY_SECONDS)
export const instant = z.iso
  .datetime({ offset: true, error: 'must be a time as in RFC 3339' })
  .transform((text) => Date.parse(text))
  .openapi({ type: 'string', format: 'date-time' })

export const byId = z.strictObject({ id })
export const byName = z.strictObject({ name })
export const page = {
  limit: wholeNumber(1, PAGE.max, 'Rows of one page.').default(PAGE.default),
  after: id.optional().openapi({ description: 'The `next` of the page before.' }),
}
export const waitSeconds = wholeNumber(0, WAIT_SECONDS_MAX, 'Seconds to wait for a change.').default(0)
export const index = (description: string) => wholeNumber(0, Number.MAX_SAFE_INTEGER, description)
/** Whose rows: of this agent, of this tool, of agents and tools that this person owns. */
export const whose = { agent: name.optional(), tool: name.optional(), owner: email.optional() }
export const why = z.strictObject({ reason: reason.optional() })
