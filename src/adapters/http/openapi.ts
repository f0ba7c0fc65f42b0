// The API described from its own route table: what is not in the table is not in the document, and the other way round.

import { OpenAPIHono, type RouteConfig, type z } from '@hono/zod-openapi'
import { problemBody } from './answers.ts'
import type { Route } from './route.ts'
import { ROUTES } from './routes.ts'

const PROBLEMS = {
  400: 'The call cannot be read.',
  401: 'No token, or one that is not valid.',
  403: 'Not for this caller, or not now.',
  404: 'What was named is not there.',
  409: 'Settled, used or changed already.',
  410: 'What it rests on has ended.',
  413: 'The body is too long.',
  415: 'The body is not JSON.',
  422: 'The manifests have faults.',
  429: 'Too many calls.',
  500: 'Something broke.',
  503: 'Not ready, overloaded, or the trail cannot be written.',
} as const

const problemResponses = Object.fromEntries(
  Object.entries(PROBLEMS).map(([status, description]) => [
    status,
    { description, content: { 'application/problem+json': { schema: problemBody } } },
  ]),
)

const hasFields = (schema: z.ZodObject) => Object.keys(schema.shape).length > 0

function configOf(route: Route): RouteConfig {
  const { method, path, says, acts, params, query, body, answer, contentType, status } = route
  const content =
    contentType === null
      ? { 'application/json': { schema: answer } }
      : { [contentType]: { schema: { type: 'string' as const } } }
  const statuses = path === '/requests' && method === 'post' ? [200, 202] : [status]
  return {
    method,
    path: `/v1${path}`,
    operationId: `${method}${path.replace(/[^a-z]+([a-z])/g, (_, letter: string) => letter.toUpperCase()).replace(/[^A-Za-z]/g, '')}`,
    summary: says,
    tags: [path.split('/')[1] ?? 'house'],
    ...(acts.length === 0 ? {} : { description: `Acts (SECURITY S7): ${acts.join(', ')}.` }),
    security: [{ bearer: [] }],
    request: {
      ...(hasFields(params) ? { params } : {}),
      ...(hasFields(query) ? { query } : {}),
      ...(body === null ? {} : { body: { content: { 'application/json': { schema: body } } } }),
    },
    responses: {
      ...Object.fromEntries(statuses.map((each) => [each, { description: says, content }])),
      ...problemResponses,
    },
  }
}

/** OpenAPI 3.1 of every route. */
export function describeApi(issuer: string, version: string) {
  const app = new OpenAPIHono()
  app.openAPIRegistry.registerComponent('securitySchemes', 'bearer', {
    type: 'http',
    scheme: 'bearer',
    description:
      "A token of the broker's operator (hp_owner_, hp_admin_, hp_audit_, hp_pub_), or an agent's session token.",
  })
  for (const route of ROUTES) app.openAPIRegistry.registerPath(configOf(route))
  return app.getOpenAPI31Document({
    openapi: '3.1.0',
    info: {
      title: 'Hallpass',
      version,
      description: 'Who may call what is rule S7. Refusals are RFC 9457 problem details.',
    },
    servers: [{ url: issuer }],
  })
}
