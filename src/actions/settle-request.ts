// An owner says yes, yes to less, or no. Judged again now, bound to exactly what was shown, used once (P4, S8).

import { decide } from '../core/decision.ts'
import { keyLeft } from '../core/judge.ts'
import { move } from '../core/lifecycle.ts'
import { OPEN } from '../core/limits.ts'
import { type AccessRequest, type Grant, NEW_LOCKABLE } from '../core/model.ts'
import { type Problem, problem } from '../core/problem.ts'
import { personal, rfc3339 } from '../core/record.ts'
import { err, ok, type Result } from '../core/result.ts'
import { approvalHash } from './approval-hash.ts'
import { authorize } from './authorize.ts'
import { grantFrom, liveGrants } from './grants.ts'
import { loadWorld } from './load-world.ts'
import type { Context, Deps } from './ports.ts'
import { statusOf } from './present.ts'
import { mutable } from './request-access.ts'
import { type Look, recordOf, transact } from './transact.ts'

export type Approval = {
  readonly request: string
  /** What the owner was shown. Null: what was asked, under the entitlement it was asked under. */
  readonly hash: string | null
  /** Less than was asked; null is all of it. */
  readonly scopes: readonly string[] | null
  readonly durationSeconds: number | null
}

/** The pending request, or why it can no longer be settled. */
async function pending(look: Look, id: string): Promise<Result<AccessRequest, Problem>> {
  const request = await look.row('request', id)
  if (request === undefined)
    return err(problem('invalid_request', 'There is no such request.', { detail: id, missing: true }))
  const status = statusOf(request, look.now)
  if (status === 'pending') return ok(request)
  return err(
    status === 'expired'
      ? problem('request_expired', 'This request expired before it was settled, which means no.', {
          hint: 'The agent can ask again.',
        })
      : problem('conflict', `This request was ${status} already.`, { hint: 'A request is settled once.' }),
  )
}

export async function approveRequest(
  deps: Deps,
  context: Context,
  input: Approval,
): Promise<Result<{ readonly request: AccessRequest; readonly grant: Grant }, Problem>> {
  const done = await transact(deps, 'normal', async (look) => {
    const seen = await look.row('request', input.request)
    const refused = await authorize(look, context.caller, 'request.approve', { agent: seen?.agent ?? null })
    if (refused !== null) return err(refused)
    const waiting = await pending(look, input.request)
    if (!waiting.ok) return waiting
    const request = waiting.value
    const email = context.caller.role === 'owner' ? context.caller.email : null
    if (email === null) return err(problem('forbidden', 'Only an owner approves.'))

    const scopes = input.scopes ?? request.scopes
    const durationSeconds = Math.min(input.durationSeconds ?? request.durationSeconds, request.durationSeconds)
    if (scopes.length === 0 || !scopes.every((scope) => request.scopes.includes(scope)))
      return err(
        problem('invalid_request', 'An approval can give less than was asked, never more.', {
          hint: `Choose among: ${request.scopes.join(', ')}.`,
        }),
      )

    const world = await loadWorld(look, request.agent, request.tool)
    const session = await look.row('session', request.session)
    if (session === undefined || session.state === 'revoked')
      return err(problem('session_revoked', 'The session that asked was revoked.'))
    if (keyLeft(world, session))
      return err(problem('session_revoked', 'The key of the session that asked left the manifest.'))
    const asked = decide(world, { ...request, durationSeconds: request.durationSeconds })
    const decision = decide(world, { ...request, scopes, durationSeconds })
    if (!asked.ok) return asked
    if (!decision.ok) return decision
    const { entitlement, approval } = decision.value
    const shownNow = approvalHash({
      ...request,
      entitlement: asked.value.entitlement.digest,
      delivery: asked.value.entitlement.delivery,
    })
    if (shownNow !== (input.hash ?? request.hash))
      return err(
        problem('conflict', 'What the manifest allows changed since this was shown.', {
          hint: 'Look at the request again before you decide.',
          detail: 'approval hash differs',
        }),
      )
    const level = approval === 'none' ? 'owner' : approval
    if (!deps.settings.supportedApprovals.includes(level))
      return err(problem('approval_required', `This needs approval "${level}", which this version does not have yet.`))

    const live = await liveGrants(deps, request, look.now)
    if (live.length >= OPEN.activeGrantsPerAgentAndTool)
      return err(problem('rate_limited', `${request.agent} holds ${live.length} grants on ${request.tool} already.`))

    const approved = {
      agent: request.agent,
      tool: request.tool,
      scopes,
      details: request.details,
      durationSeconds: Math.min(durationSeconds, decision.value.durationSeconds),
      delivery: entitlement.delivery,
      entitlement: entitlement.digest,
    }
    const hash = approvalHash(approved)
    const known = await look.row('person', email)
    const approver = known ?? { ...NEW_LOCKABLE, id: email }
    const grant = grantFrom(deps, world, {
      ...approved,
      session: session.id,
      key: session.key,
      request: request.id,
      approval: level,
      approvers: [approver],
      approvedHash: hash,
      askedSeconds: request.durationSeconds,
      at: look.now,
    })
    const settled: AccessRequest = {
      ...move('request', request, 'approved'),
      decidedBy: email,
      decidedAt: look.now,
      grant: grant.id,
    }
    const subject = { agent: request.agent, tool: request.tool, session: request.session, request: request.id }
    return ok({
      value: { request: settled, grant },
      put: [
        { kind: 'request' as const, row: settled },
        { kind: 'grant' as const, row: grant },
        ...(known === undefined ? [{ kind: 'person' as const, row: approver }] : []),
      ],
      once: [{ space: 'approval', value: request.id, until: Number.MAX_SAFE_INTEGER }],
      notAfter: request.expiresAt,
      records: [
        recordOf(context, look.now, 'request.approved', subject, {
          scopes: [...scopes],
          details: mutable(request.details),
          durationSeconds: approved.durationSeconds,
          approvalId: request.id,
          approver: personal(email),
          level,
          binds: hash,
        }),
        recordOf(
          context,
          look.now,
          'grant.made',
          { ...subject, grant: grant.id },
          {
            scopes: [...grant.scopes],
            details: mutable(grant.details),
            delivery: grant.delivery,
            entitlement: grant.entitlement,
            revision: world.installation?.revision ?? 'none',
            approvalId: request.id,
            expiresAt: rfc3339(grant.expiresAt),
          },
        ),
      ],
    })
  })
  return done.ok ? ok(done.value.value) : done
}

export async function denyRequest(
  deps: Deps,
  context: Context,
  input: { readonly request: string; readonly reason: string | null },
): Promise<Result<AccessRequest, Problem>> {
  const done = await transact(deps, 'narrowing', async (look) => {
    const seen = await look.row('request', input.request)
    const refused = await authorize(look, context.caller, 'request.deny', {
      agent: seen?.agent ?? null,
      tool: seen?.tool ?? null,
    })
    if (refused !== null) return err(refused)
    const waiting = await pending(look, input.request)
    if (!waiting.ok) return waiting
    const request = waiting.value
    const by = context.caller.role === 'owner' ? context.caller.email : context.caller.role
    const denied: AccessRequest = {
      ...move('request', request, 'denied'),
      decidedBy: by,
      decidedAt: look.now,
      decidedReason: input.reason,
    }
    return ok({
      value: denied,
      put: [{ kind: 'request' as const, row: denied }],
      records: [
        recordOf(
          context,
          look.now,
          'request.denied',
          { agent: request.agent, tool: request.tool, session: request.session, request: request.id },
          {
            approver: personal(by),
            ...(input.reason === null ? {} : { reason: personal(input.reason) }),
          },
        ),
      ],
    })
  })
  return done.ok ? ok(done.value.value) : done
}

/** The hash an owner must name to approve this request as it would be granted now; null where it no longer could be. */
export async function currentHash(deps: Deps, request: AccessRequest): Promise<string | null> {
  const world = await loadWorld(
    { now: deps.clock.now(), read: (keys) => deps.store.read(keys) },
    request.agent,
    request.tool,
  )
  const decision = decide(world, request)
  if (!decision.ok) return null
  const { entitlement } = decision.value
  return approvalHash({ ...request, entitlement: entitlement.digest, delivery: entitlement.delivery })
}
