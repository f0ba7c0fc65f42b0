// An agent asks. Granted at once where the manifest wants no approval, pending where an owner has to say yes.
// The agent can never settle what it asked for (P4).

import { decide } from '../core/decision.ts'
import { judgeGrant, judgeSession } from '../core/judge.ts'
import { LIFETIME, OPEN } from '../core/limits.ts'
import type { Details } from '../core/manifest.ts'
import type { AccessRequest, Grant } from '../core/model.ts'
import { type Problem, problem } from '../core/problem.ts'
import { personal, rfc3339 } from '../core/record.ts'
import { err, ok, type Result } from '../core/result.ts'
import { approvalHash } from './approval-hash.ts'
import type { AgentCaller } from './authenticate-session.ts'
import { ownersOf } from './authorize.ts'
import { grantFrom, liveGrants, readApprovers, sameAsk } from './grants.ts'
import { loadWorld } from './load-world.ts'
import type { Deps } from './ports.ts'
import { type PresentedGrant, type PresentedRequest, presentGrant, presentRequest } from './present.ts'
import { recordOf, transact } from './transact.ts'

/** Validated by the edge: scopes and detail values sorted and unique. */
export type AskInput = {
  readonly tool: string
  readonly scopes: readonly string[]
  readonly reason: string
  readonly durationSeconds: number | null
  readonly details: Details
}

export type AskOutcome =
  | { readonly status: 'granted'; readonly grant: PresentedGrant }
  | {
      readonly status: 'pending'
      readonly request: PresentedRequest
      readonly approveUrl: string
      readonly retryAfterSeconds: number
    }

/** How long an agent should wait before it looks again, seconds. */
const RETRY_AFTER_SECONDS = 30

export const approveUrl = (issuer: string, requestId: string) => `${issuer}/requests/${requestId}`

export const pendingOutcome = (
  deps: Pick<Deps, 'settings'>,
  request: AccessRequest,
  owners: readonly string[],
  now: number,
): AskOutcome => ({
  status: 'pending',
  request: presentRequest(request, owners, now),
  approveUrl: approveUrl(deps.settings.issuer, request.id),
  retryAfterSeconds: RETRY_AFTER_SECONDS,
})

export async function requestAccess(
  deps: Deps,
  caller: AgentCaller,
  input: AskInput,
  requestId: string,
): Promise<Result<AskOutcome, Problem>> {
  const asked = await askFor(deps, caller, input, requestId)
  return asked.ok ? ok(asked.value.outcome) : asked
}

export type Asked = {
  readonly outcome: AskOutcome
  /** This call made the request that waits. */
  readonly isNew: boolean
}

/**
 * As `requestAccess`; `showing` is kept with the request, if this makes one. One after the other for one agent: of two that
 * ask the same at once, the second finds what the first made.
 */
export const askFor = (
  deps: Deps,
  caller: AgentCaller,
  input: AskInput,
  requestId: string,
  showing?: AccessRequest['showing'],
): Promise<Result<Asked, Problem>> =>
  deps.toolCalls.inOrder(`ask ${caller.agent}`, () => ask(deps, caller, input, requestId, showing))

async function ask(
  deps: Deps,
  caller: AgentCaller,
  input: AskInput,
  requestId: string,
  showing: AccessRequest['showing'],
): Promise<Result<Asked, Problem>> {
  const context = { caller, requestId }
  const done = await transact<Asked>(deps, 'normal', async (look) => {
    const world = await loadWorld(look, caller.agent, input.tool)
    const session = await look.row('session', caller.session)
    if (session === undefined) return err(problem('unauthenticated', 'This session is unknown here.'))
    const dead = judgeSession(world, session)
    if (dead !== null) return err(dead)
    const decision = decide(world, input)
    if (!decision.ok) return decision
    const { entitlement, approval, durationSeconds } = decision.value
    const ask = { ...input, durationSeconds }

    const owned = { agent: caller.agent, tool: input.tool }
    const live = await liveGrants(deps, owned, look.now)
    for (const grant of live.filter((row) => sameAsk(row, ask))) {
      const judged = judgeGrant(world, grant, await readApprovers(look, grant.approvers))
      if (judged.ok) {
        const grantedOutcome = {
          status: 'granted' as const,
          grant: presentGrant(grant, world.toolValue, judged.value.endsAt, deps.settings.issuer),
        }
        return ok({ value: { outcome: grantedOutcome, isNew: false }, records: [] })
      }
    }
    const owners = await ownersOf(look, 'agent', caller.agent)
    const waiting = await deps.store.list({
      kind: 'request',
      where: { agent: caller.agent, state: 'pending', expiresAfter: look.now },
      limit: 500,
    })
    const same = waiting.rows.find((row) => row.tool === input.tool && sameAsk(row, ask))
    if (same !== undefined)
      return ok({ value: { outcome: pendingOutcome(deps, same, owners, look.now), isNew: false }, records: [] })

    const shown = {
      agent: caller.agent,
      tool: input.tool,
      scopes: input.scopes,
      details: input.details,
      durationSeconds,
      delivery: entitlement.delivery,
      entitlement: entitlement.digest,
    }
    const revision = world.installation?.revision ?? 'none'
    if (approval === 'none') {
      if (live.length >= OPEN.activeGrantsPerAgentAndTool)
        return err(
          problem('rate_limited', `${caller.agent} holds ${live.length} grants on ${input.tool}; release some first.`, {
            nextTool: 'release_access',
          }),
        )
      const grant: Grant = grantFrom(deps, world, {
        ...shown,
        session: session.id,
        key: session.key,
        request: null,
        approval,
        approvers: [],
        approvedHash: null,
        askedSeconds: durationSeconds,
        at: look.now,
      })
      return ok({
        value: {
          outcome: {
            status: 'granted' as const,
            grant: presentGrant(grant, world.toolValue, grant.expiresAt, deps.settings.issuer),
          },
          isNew: false,
        },
        put: [{ kind: 'grant' as const, row: grant }],
        records: [
          recordOf(
            context,
            look.now,
            'grant.made',
            { ...owned, session: session.id, grant: grant.id },
            {
              scopes: [...grant.scopes],
              details: mutable(grant.details),
              delivery: grant.delivery,
              entitlement: grant.entitlement,
              revision,
              approvalId: null,
              expiresAt: rfc3339(grant.expiresAt),
            },
          ),
        ],
      })
    }

    if (waiting.rows.length >= OPEN.pendingRequestsPerAgent)
      return err(
        problem('rate_limited', `${caller.agent} has ${waiting.rows.length} requests waiting already.`, {
          hint: 'Wait for a decision, or withdraw one with release_access.',
          nextTool: 'release_access',
        }),
      )
    const ttlSeconds = deps.settings.requestTtlSeconds || LIFETIME.request
    const request: AccessRequest = {
      id: deps.ids.next('req'),
      ...shown,
      session: session.id,
      reason: input.reason,
      words: deps.ids.words(),
      hash: approvalHash(shown),
      ...(showing === undefined ? {} : { showing }),
      createdAt: look.now,
      expiresAt: look.now + ttlSeconds * 1000,
      state: 'pending',
      decidedBy: null,
      decidedAt: null,
      decidedReason: null,
      grant: null,
      revocation: null,
    }
    return ok({
      value: { outcome: pendingOutcome(deps, request, owners, look.now), isNew: true },
      put: [{ kind: 'request' as const, row: request }],
      records: [
        recordOf(
          context,
          look.now,
          'request.made',
          { ...owned, session: session.id, request: request.id },
          {
            scopes: [...request.scopes],
            details: mutable(request.details),
            durationSeconds,
            reason: personal(input.reason),
            delivery: request.delivery,
            approval,
            entitlement: request.entitlement,
            revision,
            binds: request.hash,
            expiresAt: rfc3339(request.expiresAt),
          },
        ),
      ],
    })
  })
  if (!done.ok) return done
  const asked = done.value.value
  if (asked.isNew && asked.outcome.status === 'pending')
    deps.notifier.notify({ type: 'request.pending', agent: caller.agent, request: asked.outcome.request.id })
  return ok(asked)
}

export const mutable = (details: Details): Record<string, string[]> =>
  Object.fromEntries(Object.entries(details).map(([key, values]) => [key, [...values]]))
