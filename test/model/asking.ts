// Steps by which agents open sessions and ask, and people answer: what the broker grants, the model must justify.

import { openSession } from '../../src/actions/open-session.ts'
import { withdrawRequest } from '../../src/actions/release-access.ts'
import { requestAccess } from '../../src/actions/request-access.ts'
import { approveRequest, denyRequest } from '../../src/actions/settle-request.ts'
import type { AccessRequest } from '../../src/core/model.ts'
import { POINTS } from './authority-model.ts'
import { detailsOf, heldAs, heldGrant } from './broker-words.ts'
import type { HeldSession } from './reference-model.ts'
import type { Step } from './steps.ts'
import { caller, contextOf, type Doing, must, nth, type World } from './world.ts'

export function opening({ model, clock, ids, fresh }: World, step: Extract<Step, { do: 'open' }>): Doing {
  return {
    run: (deps) =>
      openSession(
        deps,
        { agent: step.agent, key: step.key, jti: ids.next('jti'), expiresAt: clock.now() + 60_000 },
        'req_session',
      ),
    async done(now) {
      for (const { id, agent, key, expiresAt } of await fresh('session', model.sessions)) {
        const session = { id, agent, key, expiresAt, dead: false }
        must(model.isSessionAlive(session, now), `${agent} may open no session with ${key}`)
        model.sessions.set(id, session)
      }
    },
  }
}

/** Something that the model has in force for this session's agent, or its place among all that there is. */
function askable({ model }: World, session: HeldSession, pick: number) {
  const own = [...model.parts.values()].flatMap((part) =>
    part?.of === 'access' && part.agent === session.agent ? [part] : [],
  )
  const access = nth(own, pick)
  const point = access === undefined ? undefined : POINTS[nth(access.points, pick) ?? 0]
  return access === undefined || point === undefined
    ? null
    : { tool: access.tool, scopes: point.scopes, queues: point.queues }
}

export function asking(world: World, step: Extract<Step, { do: 'ask' | 'ask anything' }>): Doing | null {
  const { model, requests, sessions, fresh } = world
  const session =
    nth(
      sessions().filter(({ dead }) => !dead),
      step.session,
    ) ?? nth(sessions(), step.session)
  const wish = session === undefined ? null : step.do === 'ask' ? askable(world, session, step.point) : step
  if (session === undefined || wish === null) return null
  const { tool, scopes, queues } = wish
  const asked = { tool, scopes, details: detailsOf(queues), durationSeconds: step.seconds, reason: 'INC-1' }
  return {
    run: (deps) => requestAccess(deps, caller(session), asked, 'req_ask'),
    async done(now) {
      must(model.isSessionAlive(session, now), 'a dead session asked')
      must(model.isToolFine(session.agent, tool, now), `${tool} was asked for`)
      await adoptGrants(world, now, null)
      for (const row of await fresh('request', requests)) {
        const like = heldAs(row)
        must(model.covering({ ...like, level: 'owner' }).length > 0, 'a request beyond every entitlement waits', row)
        requests.set(row.id, row)
      }
    },
  }
}

export function approving(world: World, step: Extract<Step, { do: 'approve' }>): Doing | null {
  const { model, states, pending } = world
  const request = nth(pending(), step.request)
  if (request === undefined) return null
  const scopes = step.fewer ? request.scopes.slice(0, 1) : null
  return {
    run: (deps) =>
      approveRequest(deps, contextOf(step.who), {
        request: request.id,
        hash: null,
        scopes,
        durationSeconds: step.seconds,
      }),
    async done(now) {
      must(
        states.get(`request ${request.id}`) === 'pending' && now < request.expiresAt,
        'what does not wait was approved',
      )
      must(
        step.who !== 'admin' && model.owns(step.who, { agent: request.agent }, now),
        `${step.who} may not approve for ${request.agent}`,
      )
      must(!model.sessions.get(request.session)!.dead, 'a request of a revoked session was approved', request)
      await adoptGrants(world, now, { request, who: step.who })
    },
  }
}

async function adoptGrants(
  { model, counts, fresh }: World,
  now: number,
  approval: { readonly request: AccessRequest; readonly who: string } | null,
): Promise<void> {
  for (const row of await fresh('grant', model.grants)) {
    counts.grants++
    const grant = heldGrant(row)
    must(grant.level === (approval === null ? 'none' : 'owner'), 'approved otherwise than it says', row)
    must(grant.approver === (approval?.who ?? null), 'approved by another', row)
    const { request } = approval ?? { request: null }
    if (request !== null) {
      const isSame =
        request.agent === row.agent &&
        request.tool === row.tool &&
        JSON.stringify(request.details) === JSON.stringify(row.details)
      must(isSame && row.scopes.every((scope) => request.scopes.includes(scope)), 'more was granted than asked', row)
      must(row.expiresAt <= now + request.durationSeconds * 1000, 'longer was granted than asked', row)
    }
    model.grants.set(row.id, grant)
    const longest = Math.max(0, ...model.covering(grant).map(({ grantFor }) => grantFor))
    must(row.expiresAt <= now + longest * 1000, 'a grant beyond every entitlement', row)
    must(model.isToolFine(grant.agent, grant.tool, now), 'a grant that may not be', row)
  }
}

/** Denied by a person, or withdrawn by the agent. */
export function ending({ model, pending }: World, step: Extract<Step, { do: 'deny' | 'withdraw' }>): Doing | null {
  const request = nth(pending(), step.request)
  if (request === undefined) return null
  const session = model.sessions.get(request.session)!
  return {
    run: (deps) =>
      step.do === 'deny'
        ? denyRequest(deps, contextOf(step.who), { request: request.id, reason: null })
        : withdrawRequest(deps, caller(session), request.id, 'req_withdraw'),
    done(now) {
      const { agent, tool } = request
      const isTheirs = step.who !== 'admin' && model.owns(step.who, { agent, tool }, now)
      must(step.do === 'withdraw' || isTheirs, `${step.who} may not deny for ${agent}`)
    },
  }
}
