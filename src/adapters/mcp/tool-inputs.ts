// What each tool takes, from whatever a model sent to what an action may rely on. Unknown keys are refused, not dropped.

import { z } from 'zod'
import { didYouMean } from '../../core/did-you-mean.ts'
import { OPEN, TEXT, WAIT_SECONDS_MAX } from '../../core/limits.ts'
import type { Details } from '../../core/manifest.ts'
import { type Problem, problem } from '../../core/problem.ts'
import { err, ok, type Result } from '../../core/result.ts'

const sorted = (values: readonly string[]): readonly string[] => [...new Set(values)].sort()

const plain = (max: number) =>
  z
    .string()
    .min(1)
    .max(max)
    .refine((text) => text.isWellFormed() && !/\p{Cc}/u.test(text), 'has characters that no name has')

const id = z.string().regex(/^[A-Za-z0-9_-]{1,128}$/, 'is not an id')

/** As the trail can hold it: whether the tool has such a detail is judged later. */
const detailKey = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/, 'is not the name of a detail')

const detailValues = z.array(plain(TEXT.label)).min(1).max(OPEN.valuesPerDetail).transform(sorted)

const details = z
  // A record drops this key in silence, and with it a limit that was asked for.
  .custom(
    (given) => typeof given !== 'object' || given === null || !Object.hasOwn(given, '__proto__'),
    'has no __proto__',
  )
  .pipe(z.record(detailKey, detailValues))
  .refine(
    (given) => Object.keys(given).length <= OPEN.detailsPerRequest,
    `takes at most ${OPEN.detailsPerRequest} details`,
  )
  .transform((given): Details => given)

/** Models send null for what they leave out. */
const optional = <T extends z.ZodType>(schema: T) => schema.nullish().transform((value) => value ?? null)

const either = { message: 'Give either requestId or grantId: one of them, not both.' }

export const INPUTS = {
  list_access: z.strictObject({}),
  request_access: z.strictObject({
    tool: plain(TEXT.name),
    scopes: z.array(plain(TEXT.label)).min(1).max(OPEN.scopesPerRequest).transform(sorted),
    reason: z.string().trim().min(1, 'name the ticket, alert or task that you need it for').max(TEXT.reason),
    durationSeconds: optional(z.int().positive()),
    details: details.nullish().transform((given): Details => given ?? {}),
  }),
  access_status: z
    .strictObject({
      requestId: optional(id),
      grantId: optional(id),
      waitSeconds: optional(z.int().min(0).max(WAIT_SECONDS_MAX)),
    })
    .refine((input) => (input.requestId === null) !== (input.grantId === null), either),
  issue_token: z.strictObject({ grantId: id }),
  release_access: z
    .strictObject({ requestId: optional(id), grantId: optional(id) })
    .refine((input) => (input.requestId === null) !== (input.grantId === null), either),
}

export type ToolName = keyof typeof INPUTS
export const TOOL_NAMES = Object.keys(INPUTS) as ToolName[]

/** The longest a name that a caller made up is repeated to it, characters. */
const ECHO_MAX = 64

/** The input, or what is wrong with it in words that a model can act on. */
export function readInput<T>(tool: ToolName, schema: z.ZodType<T>, given: unknown): Result<T, Problem> {
  const read = schema.safeParse(given)
  if (read.success) return ok(read.data)
  const faults = read.error.issues.slice(0, 3).map(faultOf)
  const unknown = read.error.issues.flatMap((issue) => (issue.code === 'unrecognized_keys' ? issue.keys : []))[0]
  const nearest = unknown === undefined ? null : didYouMean(unknown, FIELDS[tool])
  const fields = FIELDS[tool]
  return err(
    problem('invalid_request', `${tool}: ${faults.join('; ')}.`, {
      hint:
        fields.length === 0
          ? `${tool} takes no arguments.`
          : `${tool} takes: ${fields.join(', ')}. See its inputSchema.`,
      nextTool: tool,
      ...(nearest === null ? {} : { didYouMean: nearest }),
    }),
  )
}

const FIELDS: Record<ToolName, readonly string[]> = {
  list_access: [],
  request_access: Object.keys(INPUTS.request_access.shape),
  access_status: Object.keys(INPUTS.access_status.shape),
  issue_token: Object.keys(INPUTS.issue_token.shape),
  release_access: Object.keys(INPUTS.release_access.shape),
}

function faultOf(issue: z.core.$ZodIssue): string {
  if (issue.code === 'unrecognized_keys')
    return `there is no argument ${issue.keys
      .slice(0, 3)
      .map((key) => JSON.stringify(key.slice(0, ECHO_MAX)))
      .join(', ')}`
  const message = issue.message.replace(/\.$/, '')
  const path = issue.path.map(String).join('.').slice(0, ECHO_MAX)
  return path === '' ? message : `${path}: ${message}`
}
