// What each tool answers, as JSON Schema. Clients validate by it and models do not read it, so it says shapes and no more.
// A refusal carries structuredContent as well, and clients of 2025 validate that too: every schema admits `{error}`.

type Schema = { readonly [key: string]: unknown }
type OutputSchema = { type: 'object'; [key: string]: unknown }

const text: Schema = { type: 'string' }
const texts: Schema = { type: 'array', items: text }
const details: Schema = { type: 'object', additionalProperties: texts }

const object = (required: Record<string, Schema>, optional: Record<string, Schema> = {}): Schema => ({
  type: 'object',
  properties: { ...required, ...optional },
  required: Object.keys(required),
})

const grant = object(
  {
    id: text,
    tool: text,
    scopes: texts,
    expiresAt: text,
    delivery: { type: 'string', enum: ['exchange', 'inline', 'proxy'] },
    use: object({ resource: text, how: text }, { tools: texts }),
  },
  { details },
)

const request = object(
  {
    id: text,
    words: text,
    tool: text,
    scopes: texts,
    status: text,
    owners: texts,
    expiresAt: text,
  },
  { details, decidedReason: text },
)

const error = object(
  {
    code: text,
    message: text,
    hint: text,
    retryable: { type: 'boolean' },
  },
  {
    nextTool: text,
    didYouMean: text,
    manifestPatch: text,
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
    approveUrl: text,
    retryAfterSeconds: { type: 'integer' },
  },
  ['status', 'grant'],
  ['status', 'request', 'approveUrl', 'retryAfterSeconds'],
)

export const OUTPUTS = {
  list_access: output(
    {
      agent: text,
      access: {
        type: 'array',
        items: object(
          {
            tool: text,
            description: text,
            scopes: {
              type: 'array',
              items: object({ name: text, description: text, risk: text, approval: text }),
            },
            maxDurationSeconds: { type: 'integer' },
          },
          { details },
        ),
      },
      requests: { type: 'array', items: request },
      grants: { type: 'array', items: grant },
      manifest: text,
    },
    ['agent', 'access', 'requests', 'grants', 'manifest'],
  ),
  request_access: asked,
  access_status: asked,
  issue_token: output(
    {
      tokenType: text,
      accessToken: text,
      expiresAt: text,
      resource: text,
      scopes: texts,
      use: object({ header: text, prefix: text }),
    },
    ['tokenType', 'accessToken', 'expiresAt', 'resource', 'scopes'],
  ),
  release_access: output(
    {
      status: { type: 'string', enum: ['revoking', 'revoked', 'withdrawn'] },
      receipt: text,
    },
    ['status'],
  ),
} as const
