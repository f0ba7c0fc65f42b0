// The OAuth edge: discovery, tokens, introspection, revocation. It decides who speaks and in what words; what they may
// have is decided by the actions. No answer with a token may be stored, and no page of another origin may read one.

import { Hono, type MiddlewareHandler } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import type { Edge, EdgeVariables } from '../../actions/edge.ts'
import { createToolFinder, type FindTool } from '../../actions/find-grant.ts'
import { type Caller, StoreUnavailable } from '../../actions/ports.ts'
import { servedSpan } from '../../actions/tracing.ts'
import { BODY_BYTES, KEYS } from '../../core/limits.ts'
import { problem } from '../../core/problem.ts'
import { err, type Result } from '../../core/result.ts'
import { authenticateClient, type OauthContext, stranger } from './authenticate-client.ts'
import { type ClientDoor, createClientDoor } from './client-door.ts'
import { exchangeToken } from './exchange-token.ts'
import { type Form, invalidRequest, readForm } from './form.ts'
import { grantSession } from './grant-session.ts'
import { introspect } from './introspect.ts'
import { PATHS, resourceMetadata, serverMetadata, TOKEN_EXCHANGE } from './metadata.ts'
import { problemToOauth, type Refused } from './problem-to-oauth.ts'
import { revokeToken } from './revoke-token.ts'

const METADATA_SECONDS = 300

export function createOauthApp(edge: Edge): Hono<{ Variables: EdgeVariables }> {
  const { settings, signer } = edge.deps
  const door = createClientDoor(edge)
  const app = new Hono<{ Variables: EdgeVariables }>()
  const toolNamed = createToolFinder(edge.deps)
  const cached = (seconds: number) => ({ 'Cache-Control': `public, max-age=${seconds}` })

  for (const path of [PATHS.resource, `${PATHS.resource}/mcp`])
    app.get(path, (c) => c.json(resourceMetadata(settings), 200, cached(METADATA_SECONDS)))
  app.get(PATHS.server, (c) => c.json(serverMetadata(settings), 200, cached(METADATA_SECONDS)))
  app.get(PATHS.jwks, (c) => c.json(signer.jwks(), 200, cached(KEYS.jwksMaxAge)))
  app.all(PATHS.authorize, (c) => refuse(c, noCodeFlow(settings.issuer)))

  const formRoute = (
    path: string,
    answer: (c: OauthContext, form: Form) => Promise<Result<object | null, Refused>>,
  ) => {
    const maxSize = BODY_BYTES.oauth
    const tooLong = { ...invalidRequest(`The body is longer than ${maxSize} bytes.`), status: 413 } as const
    app.post(
      path,
      bounded(maxSize, (c) => refuse(c, tooLong)),
      async (c) => {
        const form = await readForm(c)
        const answered = form.ok ? await answer(c, form.value) : form
        if (!answered.ok) return refuse(c, answered.error)
        return respond(answered.value, 200, NO_STORE)
      },
    )
    app.all(path, (c) => refuse(c, invalidRequest('Only POST is answered here.')))
  }
  formRoute(PATHS.token, (c, form) => token(edge, door, toolNamed, c, form))
  formRoute(PATHS.introspect, (c, form) => introspect(edge, c, form))
  formRoute(PATHS.revoke, (c, form) => revokeToken(edge, door, c, form))

  app.onError((error, c) => {
    const requestId = c.get('requestId')
    edge.deps.log.error(
      { requestId, error: error.name, message: error.message, stack: error.stack },
      'a request failed',
    )
    return refuse(c, {
      problem:
        error instanceof StoreUnavailable
          ? problem('audit_unavailable', 'The store cannot be used, so nothing is issued.', { retryAfterSeconds: 2 })
          : problem('internal', 'Something broke here. Nothing was issued.'),
    })
  })
  return app
}

type OauthEnv = { Variables: EdgeVariables }

/**
 * As Hono's limit, but without making a web stream of a body whose length is declared: Node's parser reads exactly that many
 * bytes. Any other body is counted as it comes.
 */
function bounded(maxSize: number, refuseLonger: (c: OauthContext) => Response): MiddlewareHandler<OauthEnv> {
  const counted = bodyLimit({ maxSize, onError: refuseLonger })
  return async (c, next) => {
    const length = c.req.header('content-length') ?? ''
    if (!/^\d{1,9}$/.test(length) || c.req.header('transfer-encoding') !== undefined) return counted(c, next)
    return Number(length) > maxSize ? refuseLonger(c) : next()
  }
}

const NO_STORE = { 'Cache-Control': 'no-store', Pragma: 'no-cache' } as const

function refuse(c: OauthContext, refused: Refused): Response {
  const { status, headers, body } = problemToOauth(refused, c.get('requestId'))
  return respond(body, status, { ...NO_STORE, ...headers })
}

/** Plain headers on a plain Response: Hono's own way makes a Headers object, which is then read back into a plain one. */
const respond = (body: object | null, status: number, headers: Readonly<Record<string, string>>): Response =>
  body === null
    ? new Response(null, { status, headers })
    : new Response(JSON.stringify(body), { status, headers: { 'Content-Type': 'application/json', ...headers } })

const noCodeFlow = (issuer: string): Refused => ({
  problem: problem('invalid_request', 'This version has no authorization code flow yet.', {
    hint: `An agent uses client_credentials with private_key_jwt at ${issuer}${PATHS.token}.`,
  }),
  error: 'unauthorized_client',
})

/** The checks of the token endpoint in their order; every refusal of someone known is put on the trail. */
async function token(
  edge: Edge,
  door: ClientDoor,
  toolNamed: FindTool,
  c: OauthContext,
  form: Form,
): Promise<Result<object, Refused>> {
  const requestId = c.get('requestId')
  const grantType = form.get('grant_type')
  const route = `POST ${PATHS.token} ${grantType === TOKEN_EXCHANGE ? 'token-exchange' : 'client_credentials'}`
  const note = async (caller: Caller, { problem: refusal }: Refused, tool?: string) => {
    const about = {
      ...(caller.role === 'agent' ? { agent: caller.agent } : {}),
      ...(tool === undefined ? {} : { tool }),
    }
    await edge.refusals.note({ caller, requestId }, refusal, route, about)
  }
  if (grantType === undefined) return err(invalidRequest('grant_type is missing.'))
  if (grantType !== 'client_credentials' && grantType !== TOKEN_EXCHANGE)
    return err({
      problem: problem('invalid_request', 'This grant_type is not one of this version.', {
        hint: `Use client_credentials, or ${TOKEN_EXCHANGE}.`,
      }),
      error: 'unsupported_grant_type',
    })
  const proof = await authenticateClient(edge, door, c, form)
  if (!proof.ok) return proof

  if (grantType === TOKEN_EXCHANGE) {
    const exchanged = await exchangeToken(edge, toolNamed, c, form, proof.value)
    if (!exchanged.ok && exchanged.error.caller !== undefined)
      await note(exchanged.error.caller, exchanged.error, exchanged.error.tool)
    return exchanged
  }
  if (proof.value === null)
    return err(
      stranger(
        edge,
        c,
        problem('unauthenticated', 'The client did not authenticate.', {
          hint: 'Send client_assertion_type and client_assertion (private_key_jwt).',
        }),
      ),
    )
  const { agent } = proof.value
  const opened = await servedSpan(route, { 'hallpass.request_id': requestId, 'hallpass.agent': agent }, () =>
    grantSession(edge, form, proof.value!, requestId),
  )
  if (!opened.ok) await note({ role: 'agent', agent, session: '' }, opened.error)
  return opened
}
