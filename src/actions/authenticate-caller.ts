// Who calls the API or the owners' page: a bearer, a session token, or the operator by the local socket. Nothing but the
// one Authorization header counts, and a verifier's token never does (S13).

import { TOKEN_BYTES_MAX } from '../core/limits.ts'
import { type Problem, problem } from '../core/problem.ts'
import { err, ok, type Result } from '../core/result.ts'
import { authenticateBearer } from './authenticate-bearer.ts'
import { authenticateSession } from './authenticate-session.ts'
import type { Edge } from './edge.ts'
import type { Caller } from './ports.ts'

export type ApiCaller = Exclude<Caller, { role: 'verifier' }>

/** `known`: whoever was refused proved who they are, so the refusal belongs on the trail; null is a stranger. */
export type NotAuthenticated = { readonly problem: Problem; readonly known: Caller | null }

export type Presented = {
  /** Every Authorization header as it was sent: two of them are refused. */
  readonly authorizations: readonly string[]
  readonly operator: Extract<Caller, { role: 'operator' }> | null
  /** Remote address, or `socket`. */
  readonly remote: string
}

/**
 * A token that is sent counts before the socket it came by. Strangers are counted, and slowed per address before a
 * signature is checked; a well-formed bearer is looked up first, which costs one hash, so that nobody at the same address
 * can shut an owner out of the kill switch (S17).
 */
export async function authenticateCaller(
  edge: Pick<Edge, 'deps' | 'verify' | 'refusals' | 'limiters'>,
  { authorizations, operator, remote }: Presented,
): Promise<Result<ApiCaller, NotAuthenticated>> {
  const stranger = (refused: Problem) => {
    const slowed = edge.limiters.stranger.take(remote)
    const answer = slowed.ok ? refused : slowed.error
    edge.refusals.stranger(answer.code)
    return err({ problem: answer, known: null })
  }
  if (authorizations.length === 0)
    return operator === null ? stranger(unauthenticated('No token was sent.', 'no Authorization header')) : ok(operator)
  const token = bearerIn(authorizations)
  if (token === null)
    return stranger(
      unauthenticated('The Authorization header must be sent once, as "Bearer" and a token.', 'malformed'),
    )

  if (token.startsWith('hp_')) {
    const caller = await authenticateBearer(edge.deps, token)
    if (!caller.ok) return stranger(caller.error)
    if (caller.value.role !== 'verifier') return ok(caller.value)
    const refused = unauthenticated(
      'A verifier token is not accepted here: it is for introspection, forward-auth and the guard feed.',
      'a verifier token',
    )
    return err({ problem: refused, known: caller.value })
  }

  const isKnown = edge.verify.knows(token)
  const slowed = isKnown ? ok(undefined) : edge.limiters.stranger.take(remote)
  if (!slowed.ok) {
    edge.refusals.stranger(slowed.error.code)
    return err({ problem: slowed.error, known: null })
  }
  const agent = await authenticateSession(edge.deps, edge.verify, token)
  if (agent.ok) {
    if (!isKnown) giveBack(edge, remote)
    return agent
  }
  edge.verify.forget(token)
  edge.refusals.stranger(agent.error.code)
  return err({ problem: agent.error, known: null })
}

/** One honest call costs its address nothing. */
const giveBack = (edge: Pick<Edge, 'limiters'>, remote: string) => edge.limiters.stranger.take(remote, -1)

/** RFC 6750 section 2.1; exactly one header with exactly one token. */
function bearerIn([header, ...others]: readonly string[]): string | null {
  if (header === undefined || others.length > 0 || header.length > TOKEN_BYTES_MAX + 7) return null
  return /^bearer ([A-Za-z0-9._~+/-]+=*)$/i.exec(header)?.[1] ?? null
}

const unauthenticated = (message: string, detail: string): Problem =>
  problem('unauthenticated', message, {
    hint: "Send Authorization: Bearer and a token: an owner's, admin's, auditor's or publisher's from the broker's operator, or an agent's session token.",
    detail,
  })
