// What each tool answers, as JSON Schema. A refusal carries structuredContent as well, and clients of 2025 validate that
// too: so every schema admits `{error}`.

import { PROBLEM_CODES } from '../../core/problem.ts'

type Schema = { readonly [key: string]: unknown }
type OutputSchema = { type: 'object'; [key: string]: unknown }

const text = (description?: string): Schema => ({
  type: 'string',
  ...(description === undefined ? {} : { description }),
})
const texts: Schema = { type: 'array', items: { type: 'string' } }
const instant = text('RFC 3339')
const details: Schema = { type: 'object', additionalProperties: texts }

const object = (required: Record<string, Schema>, optional: Record<string, Schema> = {}): Schema => ({
  type: 'object',
  properties: { ...required, ...optional },
  required: Object.keys(required),
})

const grant = object(
  {
    id: text(),
    tool: text(),
    scopes: texts,
    expiresAt: instant,
    delivery: { type: 'string', enum: ['exchange', 'inline', 'proxy'] },
    use: object({ resource: text('Where the tool is'), how: text('What to do with the grant') }),
  },
  { details },
)

const request = object(
  {
    id: text(),
    words: text('What you, the owner and the approval page all see'),
    tool: text(),
    scopes: texts,
    status: text(),
    owners: { ...texts, description: 'Who can approve it' },
    expiresAt: instant,
  },
  { details, decidedReason: text() },
)

const error = object(
  {
    code: { type: 'string', enum: [...PROBLEM_CODES] },
    message: text(),
    hint: text('What to do next'),
    retryable: { type: 'boolean', description: 'Whether the same call may succeed later' },
  },
  {
    nextTool: text('The tool to call next'),
    didYouMean: text(),
    manifestPatch: text('The edit that would allow it: for an owner to consider, never yours to apply'),
  },
)

/** Either an error or one of `answers`: the fields that each of them must have. */
const output = (properties: Record<string, Schema>, ...answers: readonly (readonly string[])[]): OutputSchema => ({
  type: 'object',
  properties: { ...properties, error },
  anyOf: [...answers, ['error']].map((required) => ({ required })),
})

const asked = output(
  {
    status: { type: 'string', enum: ['granted', 'pending'] },
    grant,
    request,
    approveUrl: text('For an owner, who has to sign in there. It is no approval in itself.'),
    retryAfterSeconds: { type: 'integer' },
  },
  ['status', 'grant'],
  ['status', 'request', 'approveUrl', 'retryAfterSeconds'],
)

export const OUTPUTS = {
  list_access: output(
    {
      agent: text(),
      access: {
        type: 'array',
        items: object(
          {
            tool: text(),
            description: text(),
            scopes: {
              type: 'array',
              items: object({ name: text(), description: text(), risk: text(), approval: text('Who has to approve') }),
            },
            maxDurationSeconds: { type: 'integer' },
          },
          { details },
        ),
      },
      requests: { type: 'array', items: request },
      grants: { type: 'array', items: grant },
      manifest: text('Revision in force'),
    },
    ['agent', 'access', 'requests', 'grants', 'manifest'],
  ),
  request_access: asked,
  access_status: asked,
  issue_token: output(
    {
      tokenType: text('Bearer, or N_A where `use` says how it is sent'),
      accessToken: text(),
      expiresAt: instant,
      resource: text(),
      scopes: texts,
      use: object({ header: text('The header to send it in'), prefix: text('What stands before it there') }),
    },
    ['tokenType', 'accessToken', 'expiresAt', 'resource', 'scopes'],
  ),
  release_access: output(
    {
      status: { type: 'string', enum: ['revoking', 'revoked', 'withdrawn'] },
      receipt: text('Id of the receipt that proves the revocation'),
    },
    ['status'],
  ),
} as const
