// GET /forward-auth: may this request pass? Asked by a proxy at each call, so it is lean. What the route needs comes from the
// proxy's literal configuration alone; no `X-Forwarded-*` and nothing else that a client can send decides (S14).

import { LRUCache } from 'lru-cache'
import type { VerifierCaller } from '../../actions/authenticate-verifier.ts'
import { checkCredential } from '../../actions/check-credential.ts'
import type { Edge } from '../../actions/edge.ts'
import { OPEN, TEXT } from '../../core/limits.ts'
import type { Details } from '../../core/manifest.ts'
import { keyOf } from '../../core/model.ts'
import { type Problem, problem } from '../../core/problem.ts'
import { normalizeResource } from '../../core/resource-url.ts'
import { err, ok, type Result } from '../../core/result.ts'
import { sliceId } from '../../core/slice.ts'
import { type Answer, type Asking, type Refused, refusalOf, refused } from './refusal.ts'
import { verifierGate } from './verifier-gate.ts'

const ROUTE = 'GET /forward-auth'

/** What a proxy's route asks for. */
export type Asked = {
  /** Normalized. */
  readonly resource: string
  /** All of them are needed. */
  readonly scopes: readonly string[]
  /** Keys of details that the route itself holds requests to (S9). */
  readonly enforces: readonly string[]
}

const SCOPE = /^[A-Za-z0-9][A-Za-z0-9._:/-]*$/
const DETAIL = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/
const PARAMETERS = new Set(['resource', 'scope', 'enforces'])

const misconfigured = (message: string): Result<never, Problem> =>
  err(
    problem('invalid_request', message, {
      hint: 'The proxy asks for /forward-auth?resource=…&scope=… with each written once, literally.',
    }),
  )

/** The query, strictly: each parameter once, none unknown, `resource` and `scope` there. */
export function readAsked(query: string): Result<Asked, Problem> {
  const given = new Map<string, string>()
  for (const [name, value] of new URLSearchParams(query)) {
    if (!PARAMETERS.has(name)) return misconfigured('There is a parameter that /forward-auth does not know.')
    if (given.has(name)) return misconfigured(`${name} is there more than once.`)
    given.set(name, value)
  }
  const resource = normalizeResource(given.get('resource') ?? '')
  if (!resource.ok) return misconfigured(`resource ${resource.error}.`)
  const scopes = (given.get('scope') ?? '').split(' ').filter((scope) => scope !== '')
  if (scopes.length === 0) return misconfigured('scope is missing.')
  if (
    scopes.length > OPEN.scopesPerRequest ||
    !scopes.every((scope) => scope.length <= TEXT.label && SCOPE.test(scope))
  )
    return misconfigured('scope is not a list of scope names.')
  const enforces = (given.get('enforces') ?? '').split(',').filter((key) => key !== '')
  if (enforces.length > OPEN.detailsPerRequest || !enforces.every((key) => DETAIL.test(key)))
    return misconfigured('enforces is not a list of details keys.')
  return ok({ resource: resource.value, scopes, enforces })
}

/** What a query asks for is the same for ever; a proxy's configuration has a handful of them. */
const MAX_QUERIES = 1_000

/** `query` is the URL's, without the question mark. */
export type ForwardAuth = (asking: Asking, query: string) => Promise<Answer>

export function createForwardAuth(edge: Edge): ForwardAuth {
  const queries = new LRUCache<string, Result<Asked, Problem>>({ max: MAX_QUERIES })
  const askedBy = (query: string) => {
    const known = queries.get(query)
    if (known !== undefined) return known
    const read = readAsked(query)
    queries.set(query, read)
    return read
  }

  return async (asking, query) => {
    const verifier = await verifierGate(edge, asking, 'forward_auth')
    if (!verifier.ok) return refusalOf(asking.requestId, verifier.error)
    const { tool } = verifier.value
    const asked = askedBy(query)
    if (!asked.ok) return refuse(asking, verifier.value, refused(asked.error))
    const { resource, scopes, enforces } = asked.value
    const value = (await edge.deps.store.read([keyOf('slice', sliceId.tool(tool))])).get(
      'slice',
      sliceId.tool(tool),
    )?.value
    if (value?.of !== 'tool' || value.resource !== resource) return refuse(asking, verifier.value, foreign(tool))

    const token = credentialOf(asking.header('authorization'))
    if (!token.ok) {
      edge.refusals.stranger('unauthenticated')
      return refusalOf(asking.requestId, token.error)
    }
    const checked = await checkCredential(edge.deps, edge.verify, tool, token.value)
    if (!checked.ok) return refuse(asking, verifier.value, deadToken(checked.error), token.value)
    const { credential } = checked.value
    if (!scopes.every((scope) => credential.scopes.includes(scope)))
      return refuse(asking, verifier.value, insufficientScope(scopes), token.value)
    const unheld = Object.keys(credential.details).find((key) => !enforces.includes(key))
    if (unheld !== undefined) return refuse(asking, verifier.value, unenforced(unheld), token.value)
    return {
      status: 200,
      headers: {
        'Cache-Control': 'no-store',
        'X-Hallpass-Agent': credential.agent,
        'X-Hallpass-Session': credential.session,
        'X-Hallpass-Grant': credential.grant,
        'X-Hallpass-Scope': credential.scopes.join(' '),
        'X-Hallpass-Details': headerJson(credential.details),
      },
      body: null,
    }
  }

  /** The verifier is known, and so is whoever a token of ours names: both belong on the trail. */
  async function refuse(
    { requestId }: Asking,
    caller: VerifierCaller,
    refusedAs: Refused,
    token?: string,
  ): Promise<Answer> {
    const claims = token === undefined ? undefined : await edge.verify(token)
    if (claims === null) edge.refusals.stranger(refusedAs.problem.code)
    else if (refusedAs.problem.code !== 'stale_view') {
      const about = { tool: caller.tool, ...(claims === undefined ? {} : { agent: String(claims.sub) }) }
      // Not waited for: a tool that asks is told the moment it is so, whatever the disk does.
      void edge.refusals.note({ caller, requestId }, refusedAs.problem, ROUTE, about)
    }
    return refusalOf(requestId, refusedAs)
  }
}

/** The one Bearer of the agent's request (RFC 6750 section 2.1). */
function credentialOf(values: readonly string[]): Result<string, Refused> {
  const [value, ...more] = values
  if (value === undefined)
    return err({
      problem: problem('unauthenticated', 'This tool wants a Hallpass credential in the Authorization header.', {
        hint: 'Ask Hallpass for access (request_access), then send "Authorization: Bearer <credential>".',
      }),
      status: 401,
      challenge: 'Bearer realm="hallpass"',
    })
  const [, token] = /^bearer +([A-Za-z0-9._~+/=-]+)$/i.exec(value) ?? []
  if (more.length > 0 || token === undefined)
    return err({
      problem: problem('unauthenticated', 'The request has no single Bearer credential.', {
        hint: 'Send one Authorization header with the scheme Bearer and one credential.',
      }),
      status: 401,
      challenge: 'Bearer realm="hallpass", error="invalid_request"',
    })
  return ok(token)
}

const deadToken = (reason: Problem): Refused =>
  reason.code === 'stale_view'
    ? refused(reason)
    : {
        problem: {
          ...reason,
          hint: reason.hint ?? 'Redeem your grant again, or ask with request_access if it is gone.',
        },
        status: 401,
        challenge: `Bearer realm="hallpass", error="invalid_token", error_description="${quotable(reason.message)}"`,
      }

/** RFC 6750 section 3: printable ASCII without quotes; a proxy that drops our body still passes this on. */
const quotable = (text: string): string => text.replaceAll('"', "'").replace(/[^\x20-\x21\x23-\x5b\x5d-\x7e]/g, '?')

const insufficientScope = (needed: readonly string[]): Refused => ({
  problem: problem('scope_not_in_manifest', `This needs the scope ${needed.join(' ')}.`, {
    hint: `Ask Hallpass for ${needed.join(', ')} with request_access; an owner may have to approve it.`,
  }),
  status: 403,
  challenge: `Bearer realm="hallpass", error="insufficient_scope", scope="${needed.join(' ')}"`,
})

const unenforced = (key: string): Refused => ({
  problem: problem(
    'details_not_allowed',
    `The credential is limited in "${key}", and this route does not hold requests to it.`,
    {
      hint: "The tool's operator: enforce it at the proxy and say so with enforces=, or use the guard.",
    },
  ),
  status: 403,
  challenge: 'Bearer realm="hallpass", error="insufficient_scope"',
})

const foreign = (tool: string): Refused => ({
  problem: problem('forbidden', `resource is not the one of ${tool}, whose verifier token this is.`, {
    hint: "The tool's operator: resource= and the verifier token must be of the same tool.",
  }),
  status: 403,
})

/** As JSON in plain ASCII, so that no value can end the header or change in a proxy's hands. */
const headerJson = (details: Details): string =>
  JSON.stringify(details).replace(/[^\x20-\x7e]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
