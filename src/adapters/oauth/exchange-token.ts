// Token exchange (RFC 8693): a session's token and a live grant become a tool's credential. Only a session token is a
// subject_token (S13), and one exchange is under one grant (S9).

import type { AgentCaller } from '../../actions/authenticate-session.ts'
import { authenticateSession } from '../../actions/authenticate-session.ts'
import type { Edge } from '../../actions/edge.ts'
import { type FindTool, findGrant } from '../../actions/find-grant.ts'
import { issueCredential } from '../../actions/issue-credential.ts'
import type { Proof } from '../../actions/open-session.ts'
import { servedSpan } from '../../actions/tracing.ts'
import { useAssertion } from '../../actions/use-assertion.ts'
import { authorizationDetails, proxyUrl } from '../../core/claims.ts'
import { keyOf } from '../../core/model.ts'
import { problem } from '../../core/problem.ts'
import { err, ok, type Result } from '../../core/result.ts'
import { type OauthContext, stranger } from './authenticate-client.ts'
import { ACCESS_TOKEN_TYPE, type ExchangeInput, readExchange } from './exchange-input.ts'
import { type Form, invalidRequest } from './form.ts'
import { asClient } from './grant-session.ts'
import type { Refused } from './problem-to-oauth.ts'

/** `caller` is who was refused, once that is known. */
export type RefusedCaller = Refused & { readonly caller?: AgentCaller; readonly tool?: string }

export async function exchangeToken(
  edge: Edge,
  toolNamed: FindTool,
  c: OauthContext,
  form: Form,
  proof: Proof | null,
): Promise<Result<object, RefusedCaller>> {
  const { deps } = edge
  const requestId = c.get('requestId')
  const input = readExchange(form)
  if (!input.ok) return input
  const session = await authenticateSession(deps, edge.verify, input.value.subjectToken)
  if (!session.ok) return err(await badSubject(edge, c, input.value.subjectToken, session.error))
  const caller = session.value
  const about = { 'hallpass.request_id': requestId, 'hallpass.agent': caller.agent }
  return servedSpan('POST /oauth/token token-exchange', about, () =>
    exchangeFor(edge, toolNamed, caller, { form, proof, requestId, wanted: input.value }),
  )
}

type Exchange = {
  readonly form: Form
  readonly proof: Proof | null
  readonly requestId: string
  readonly wanted: ExchangeInput
}

async function exchangeFor(
  edge: Edge,
  toolNamed: FindTool,
  caller: AgentCaller,
  { form, proof, requestId, wanted }: Exchange,
): Promise<Result<object, RefusedCaller>> {
  const { deps } = edge
  const refuse = (refused: Refused, tool?: string) =>
    err({ ...refused, caller, ...(tool === undefined ? {} : { tool }) })

  const limited = edge.limiters.mint.take(caller.agent)
  if (!limited.ok) return refuse({ problem: limited.error })
  if ((form.get('client_id') ?? caller.agent) !== caller.agent || (proof?.agent ?? caller.agent) !== caller.agent)
    return refuse(invalidRequest('The client is not the agent of the subject_token.'))
  if (proof !== null) {
    const used = await useAssertion(deps, proof, requestId)
    if (!used.ok) return refuse({ problem: asClient(used.error) })
  }

  const target = await targetOf(edge, toolNamed, caller, wanted)
  if (!target.ok) return refuse(target.error)
  const { tool, grant } = target.value
  const isProxied = wanted.resource === null ? null : proxiedTool(deps.settings.issuer, wanted.resource) !== null
  const found = grant !== null ? ok({ id: grant }) : await findGrant(deps, caller, { ...wanted, tool, isProxied })
  if (!found.ok) return refuse({ problem: found.error }, tool)
  const issued = await issueCredential(
    deps,
    caller,
    { grant: found.value.id, scopes: wanted.scopes, details: wanted.details, via: 'exchange' },
    requestId,
  )
  if (!issued.ok) return refuse({ problem: issued.error }, tool)

  const { credential, token, use } = issued.value
  const details = authorizationDetails(credential.details)
  return ok({
    access_token: token,
    issued_token_type: ACCESS_TOKEN_TYPE,
    // RFC 8693 section 2.2.1: not a token that is sent as a bearer; `hallpass_use` says how.
    ...(use === null ? { token_type: 'Bearer' } : { token_type: 'N_A', hallpass_use: use }),
    expires_in: Math.max(0, Math.floor((credential.expiresAt - deps.clock.now()) / 1000)),
    scope: credential.scopes.join(' '),
    ...(details === undefined ? {} : { authorization_details: details }),
    grant_id: credential.grant,
  })
}

/** RFC 8693 section 2.2.2: an invalid subject_token is `invalid_request`. One we signed names who is refused. */
async function badSubject(
  edge: Edge,
  c: OauthContext,
  token: string,
  refusal: Refused['problem'],
): Promise<RefusedCaller> {
  const isToken = refusal.code === 'unauthenticated' || refusal.code === 'session_revoked'
  const error = isToken ? ({ error: 'invalid_request' } as const) : {}
  const claims = await edge.verify(token)
  if (claims === null) {
    const refused = stranger(edge, c, refusal)
    return refused.problem === refusal ? { ...refused, ...error } : refused
  }
  return {
    problem: refusal,
    ...error,
    caller: { role: 'agent', agent: String(claims.sub), session: String(claims.sid) },
  }
}

type Target = { readonly tool: string; readonly grant: string | null }

const noTarget = (message: string, hint: string): Result<never, Refused> =>
  err({ problem: problem('unknown_tool', message, { hint, nextTool: 'list_access' }), error: 'invalid_target' })

/** RFC 8707: a tool that is called through the broker is named by where it is called. Null: no such place. */
const proxiedTool = (issuer: string, named: string): string | null => {
  const start = proxyUrl(issuer, '')
  return named.startsWith(start) ? named.slice(start.length).replace(/\/$/, '') : null
}

/** The one tool that is meant; what names it twice must agree. */
async function targetOf(
  { deps }: Edge,
  toolNamed: FindTool,
  caller: AgentCaller,
  input: ExchangeInput,
): Promise<Result<Target, Refused>> {
  const names: string[] = []
  for (const named of [input.resource, input.audience]) {
    if (named === null) continue
    const proxied = proxiedTool(deps.settings.issuer, named)
    const tool = await toolNamed(proxied ?? named)
    if (tool === null) return noTarget('There is no such tool.', 'Name it by its resource, or as audience by its name.')
    names.push(tool)
  }
  if (input.grant !== null) {
    const row = (await deps.store.read([keyOf('grant', input.grant)])).get('grant', input.grant)
    if (row === undefined || row.agent !== caller.agent)
      return err({
        problem: problem('grant_expired', 'You hold no such grant.', {
          hint: 'Call list_access to see your grants.',
          nextTool: 'list_access',
        }),
      })
    names.push(row.tool)
  }
  const [tool, ...others] = names
  if (tool === undefined) return noTarget('No tool is named.', 'Send resource, audience or grant_id.')
  if (others.some((other) => other !== tool))
    return noTarget('resource, audience and grant_id name different tools.', 'One token is for one tool.')
  return ok({ tool, grant: input.grant })
}
