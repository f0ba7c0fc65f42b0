// Who may send a body to `/mcp` at all: whoever shows one token that this broker signed for it. Whether its session still
// lives is judged afterwards, with the body in hand. Tokens in a URL are never read.

import { hash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { AgentCaller } from '../../actions/authenticate-session.ts'
import type { Edge } from '../../actions/edge.ts'
import { TOKEN_BYTES_MAX } from '../../core/limits.ts'
import type { Instant } from '../../core/model.ts'
import { type Problem, problem } from '../../core/problem.ts'
import { err, ok, type Result } from '../../core/result.ts'
import type { ChallengeError } from './http-refusal.ts'

export type Shown = {
  readonly token: string
  /** Its hash: what is remembered of it. */
  readonly fingerprint: string
  /** Whom the token names: nothing is said yet about whether its session lives. */
  readonly caller: AgentCaller
  readonly expiresAt: Instant
  /** Its remote was charged for it as for a stranger's. */
  readonly isCharged: boolean
}

export type GateRefusal = { readonly problem: Problem; readonly error: ChallengeError; readonly status?: number }

export interface BearerGate {
  /** `authorization`: every such header that came, doubled ones too. */
  show(authorization: readonly string[], remote: string): Promise<Result<Shown, GateRefusal>>
  /** Its session lives: the token is no stranger's from now on, and its remote gets back what it was charged. */
  welcome(shown: Shown, remote: string): void
  /** Its session is dead: the next time it is treated as a stranger's. */
  dismiss(shown: Shown): void
}

/** RFC 6750 section 2.1. The scheme's case does not matter (RFC 9110 section 11.1). */
const BEARER = /^Bearer +([A-Za-z0-9._~+/-]+=*)$/i

const missing = problem('unauthenticated', 'This needs a session token in the Authorization header.', {
  hint: 'Open a session at the token endpoint with your key (client_credentials, private_key_jwt).',
})
const doubled = problem('invalid_request', 'There is more than one Authorization header.', {
  hint: 'Send exactly one.',
})
const foreign = problem('unauthenticated', 'This is not a session token of this broker.', {
  hint: 'Open a session at the token endpoint with your key (client_credentials, private_key_jwt).',
})

/**
 * Strangers are counted, and slowed by remote address before any signature is looked at (S17). Tokens that were welcome
 * before, or whose signature is remembered since they were issued, skip that, so that strangers behind one address do not
 * shut out the agents there; they are judged like any other.
 */
export function createBearerGate(
  edge: Pick<Edge, 'deps' | 'verify' | 'refusals' | 'limiters'>,
  max = 10_000,
): BearerGate {
  const known = new LRUCache<string, true>({ max })
  const refuse = (refused: GateRefusal) => {
    edge.refusals.stranger(refused.problem.code)
    return err(refused)
  }

  return {
    async show(authorization, remote) {
      const [header] = authorization
      const token = header === undefined ? undefined : BEARER.exec(header)?.[1]
      const fingerprint = token === undefined ? '' : hash('sha256', token, 'base64')
      const isKnown =
        authorization.length === 1 && token !== undefined && (known.has(fingerprint) || edge.verify.knows(token))
      if (!isKnown) {
        const slowed = edge.limiters.stranger.take(remote)
        if (!slowed.ok) return refuse({ problem: slowed.error, error: null })
      }
      if (header === undefined) return refuse({ problem: missing, error: null })
      if (authorization.length > 1) return refuse({ problem: doubled, error: 'invalid_request' })
      if (token === undefined || token.length > TOKEN_BYTES_MAX)
        return refuse({ problem: foreign, error: 'invalid_token' })
      const claims = await edge.verify(token)
      if (
        claims === null ||
        claims.aud !== edge.deps.settings.mcpUrl ||
        typeof claims.sub !== 'string' ||
        typeof claims.sid !== 'string' ||
        typeof claims.exp !== 'number'
      ) {
        if (isKnown) edge.limiters.stranger.take(remote)
        return refuse({ problem: foreign, error: 'invalid_token' })
      }
      const caller = { role: 'agent', agent: claims.sub, session: claims.sid } as const
      return ok({ token, fingerprint, caller, expiresAt: claims.exp * 1000, isCharged: !isKnown })
    },
    welcome({ fingerprint, isCharged }, remote) {
      if (isCharged) edge.limiters.stranger.take(remote, -1)
      known.set(fingerprint, true)
    },
    dismiss({ token, fingerprint }) {
      known.delete(fingerprint)
      edge.verify.forget(token)
    },
  }
}
