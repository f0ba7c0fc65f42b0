// RFC 7662 for a tool about its own tokens. Whatever is not live here and now is exactly {"active":false}; where the
// broker cannot know, it says so instead.

import { authenticateVerifier, type VerifierCaller } from '../../actions/authenticate-verifier.ts'
import { checkCredential } from '../../actions/check-credential.ts'
import type { Edge } from '../../actions/edge.ts'
import { rawHeader } from '../../actions/raw-header.ts'
import { authorizationDetails } from '../../core/claims.ts'
import { problem } from '../../core/problem.ts'
import { err, ok, type Result } from '../../core/result.ts'
import { type OauthContext, stranger } from './authenticate-client.ts'
import { type Form, invalidRequest } from './form.ts'
import type { Refused } from './problem-to-oauth.ts'

const ROUTE = 'POST /oauth/introspect'
const INACTIVE = { active: false }

export async function introspect(edge: Edge, c: OauthContext, form: Form): Promise<Result<object, Refused>> {
  const verifier = await verifierOf(edge, c)
  if (!verifier.ok) return verifier
  const { tool } = verifier.value
  const limited = edge.limiters.check.take(tool)
  if (!limited.ok) return err({ problem: limited.error })
  const token = form.get('token')
  if (token === undefined) return err(invalidRequest('token is missing.'))

  const checked = await checkCredential(edge.deps, edge.verify, tool, token)
  if (!checked.ok) {
    if (checked.error.code === 'stale_view') return err({ problem: checked.error })
    const claims = await edge.verify(token)
    if (claims === null) edge.refusals.stranger('unauthenticated')
    else {
      const context = { caller: verifier.value, requestId: c.get('requestId') }
      // Not waited for: a tool that asks is told the moment it is so, whatever the disk does.
      void edge.refusals.note(context, checked.error, ROUTE, { agent: String(claims.sub), tool })
    }
    return ok(INACTIVE)
  }
  const { credential, endsAt, claims, session, grant } = checked.value
  const details = authorizationDetails(credential.details)
  return ok({
    active: true,
    scope: credential.scopes.join(' '),
    client_id: credential.agent,
    sub: credential.agent,
    aud: credential.resource,
    iss: edge.deps.settings.issuer,
    exp: Math.floor(endsAt / 1000),
    iat: claims.iat,
    jti: credential.id,
    sid: session.id,
    grant_id: grant.id,
    token_type: 'Bearer',
    manifest: claims.manifest,
    ...(grant.request === null ? {} : { approval_id: grant.request }),
    ...(details === undefined ? {} : { authorization_details: details }),
  })
}

/** The verifier token from its own header, or as stock clients send it; from exactly one of them. */
async function verifierOf(edge: Edge, c: OauthContext): Promise<Result<VerifierCaller, Refused>> {
  const own = rawHeader(c, 'x-hallpass-verifier')
  const authorization = rawHeader(c, 'authorization')
  if (own.length + authorization.length > 1) return err(invalidRequest('The verifier authenticates more than once.'))
  const challenge = { 'WWW-Authenticate': 'Basic realm="hallpass"' }
  const token = own[0] ?? bearerOf(authorization[0] ?? '')
  if (token === null)
    return err({
      ...stranger(
        edge,
        c,
        problem('unauthenticated', "Introspection needs the tool's verifier token.", {
          hint: 'Send it in X-Hallpass-Verifier, as the password of Basic, or as Bearer.',
        }),
      ),
      headers: challenge,
    })
  const verifier = await authenticateVerifier(edge.deps, token, 'introspect')
  if (verifier.ok) return verifier
  const { problem: refusal, caller } = verifier.error
  if (caller === null) return err({ ...stranger(edge, c, refusal), headers: challenge })
  await edge.refusals.note({ caller, requestId: c.get('requestId') }, refusal, ROUTE)
  return err({ problem: refusal })
}

/** RFC 6750 section 2.1, or RFC 6749 section 2.3.1: the password of Basic, form-encoded; the user name is not looked at. */
function bearerOf(header: string): string | null {
  const [, scheme, rest] = /^(basic|bearer) +([A-Za-z0-9._~+/=-]+)$/i.exec(header) ?? []
  if (scheme === undefined || rest === undefined) return null
  if (scheme.toLowerCase() === 'bearer') return rest
  const [, password] = /^[^:]*:(.*)$/s.exec(Buffer.from(rest, 'base64').toString('utf8')) ?? []
  if (password === undefined) return null
  try {
    return decodeURIComponent(password.replaceAll('+', ' '))
  } catch (thrown) {
    if (thrown instanceof URIError) return null
    throw thrown
  }
}
