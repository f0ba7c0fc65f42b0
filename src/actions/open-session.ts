// An agent that proved its key gets a session and the token that names it. The proof is checked by the edge; here it is
// made single-use (S18) and the key is judged again, inside the commit.

import { sessionClaims } from '../core/claims.ts'
import { judgeAgent } from '../core/judge.ts'
import type { Session } from '../core/model.ts'
import { type Problem, problem } from '../core/problem.ts'
import { rfc3339 } from '../core/record.ts'
import { err, ok, type Result } from '../core/result.ts'
import { loadWorld } from './load-world.ts'
import type { Deps } from './ports.ts'
import { inRoom } from './session-room.ts'
import { signToken } from './sign-token.ts'
import { recordOf, transact } from './transact.ts'

/** A verified client assertion (RFC 7523): who, by which key, and what makes it single-use. */
export type Proof = {
  readonly agent: string
  readonly key: string
  readonly jti: string
  /** Milliseconds; the jti is kept past it. */
  readonly expiresAt: number
}

export type OpenedSession = { readonly session: Session; readonly token: string }

/** How long a used jti is kept past its assertion's expiry, milliseconds. */
const SKEW_MS = 120_000

/** What makes the proof single-use, whatever it is used for. */
export const onceOf = (proof: Proof) => ({
  space: 'assertion',
  value: `${proof.agent} ${proof.jti}`,
  until: proof.expiresAt + SKEW_MS,
})

/** `rate_limited` where the agent has as many sessions open as it may. */
export const openSession = (deps: Deps, proof: Proof, requestId: string): Promise<Result<OpenedSession, Problem>> =>
  inRoom(deps, proof.agent, () => open(deps, proof, requestId))

async function open(deps: Deps, proof: Proof, requestId: string): Promise<Result<OpenedSession, Problem>> {
  const context = { caller: { role: 'agent', agent: proof.agent, session: '' }, requestId } as const
  const done = await transact(deps, 'normal', async (look) => {
    const world = await loadWorld(look, proof.agent, null)
    const refused = judgeAgent(world)
    if (refused !== null) return err(refused)
    if (!world.identity!.keys.some((key) => key.kid === proof.key))
      return err(problem('unauthenticated', 'This key is not (or no longer) one of the agent.'))
    const unsigned: Omit<Session, 'signedBy'> = {
      id: deps.ids.next('ses'),
      agent: proof.agent,
      key: proof.key,
      openedAt: look.now,
      expiresAt: look.now + deps.settings.sessionMaxSeconds * 1000,
      state: 'open',
      revocation: null,
      born: { agent: world.agent!.epoch, installation: world.installation!.epoch },
    }
    const claims = sessionClaims(unsigned, deps.ids.next('jti'), deps.settings.issuer, deps.settings.mcpUrl)
    const signed = await signToken(deps, look, claims)
    if (!signed.ok) return signed
    const { token, kid } = signed.value
    const session: Session = { ...unsigned, signedBy: kid }
    return ok({
      value: { session, token },
      put: [{ kind: 'session' as const, row: session }],
      once: [onceOf(proof)],
      notAfter: proof.expiresAt,
      records: [
        recordOf(
          context,
          look.now,
          'session.opened',
          { agent: proof.agent, session: session.id },
          {
            kid: proof.key,
            expiresAt: rfc3339(session.expiresAt),
          },
        ),
      ],
    })
  })
  return done.ok ? ok(done.value.value) : done
}
