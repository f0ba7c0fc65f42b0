// Requests: an agent asks and takes back, an owner sees what exactly is asked and settles it (P4, S8).

import { z } from '@hono/zod-openapi'
import { authorize } from '../../actions/authorize.ts'
import { describeRequest } from '../../actions/describe-request.ts'
import { listRows, ownedBy } from '../../actions/list-rows.ts'
import { statusOf } from '../../actions/present.ts'
import { withdrawRequest } from '../../actions/release-access.ts'
import { requestAccess } from '../../actions/request-access.ts'
import { approveRequest, denyRequest } from '../../actions/settle-request.ts'
import { waitFor } from '../../actions/wait-for.ts'
import { keyOf } from '../../core/model.ts'
import { problem } from '../../core/problem.ts'
import { err, ok } from '../../core/result.ts'
import { asked, grant, listOf, request } from './answers.ts'
import { byId, details, durationSeconds, id, name, page, reason, scopes, waitSeconds, whose, why } from './inputs.ts'
import { presentFullGrant } from './present-rows.ts'
import { type Route, route } from './route.ts'

const STATUSES = ['pending', 'approved', 'denied', 'withdrawn', 'expired'] as const

export const requestRoutes: readonly Route[] = [
  route({
    method: 'get',
    path: '/requests',
    acts: ['request.see'],
    says: 'Requests, newest first; `status=pending` are those that wait.',
    query: z.strictObject({ ...page, ...whose, session: id.optional(), status: z.enum(STATUSES).optional() }),
    answer: listOf(request),
    async run({ deps, caller, reader }, { query: { limit, after, owner, status, agent, tool, session } }) {
      const owned = owner === undefined ? null : ownedBy(reader, owner)
      const listed = await listRows(deps, caller, {
        kind: 'request',
        act: 'request.see',
        about: (row) => ({ agent: row.agent, tool: row.tool }),
        where: {
          ...(agent === undefined ? {} : { agent }),
          ...(tool === undefined ? {} : { tool }),
          ...(session === undefined ? {} : { session }),
          ...(status === undefined ? {} : { state: status === 'expired' ? 'pending' : status }),
          ...(status === 'pending' ? { expiresAfter: reader.now } : {}),
        },
        keep: async (row) =>
          (status === undefined || statusOf(row, reader.now) === status) && (owned === null || (await owned(row))),
        after,
        limit,
        newestFirst: true,
      })
      if (!listed.ok) return listed
      return ok({
        items: await Promise.all(listed.value.rows.map((row) => describeRequest(deps, row))),
        next: listed.value.next,
      })
    },
  }),
  route({
    method: 'post',
    path: '/requests',
    acts: ['request.make'],
    says: 'An agent asks, with its session token: granted at once (200), or pending until an owner decides (202).',
    body: z.strictObject({
      tool: name,
      scopes,
      reason,
      durationSeconds: durationSeconds.optional(),
      details: details.default({}),
    }),
    answer: asked,
    statusFor: ({ status }) => (status === 'pending' ? 202 : 200),
    async run({ edge, deps, caller, context, reader }, { body }) {
      if (caller.role !== 'agent')
        return err((await authorize(reader, caller, 'request.make')) ?? problem('forbidden', 'Only an agent asks.'))
      const slowed = edge.limiters.ask.take(caller.agent)
      if (!slowed.ok) return slowed
      return requestAccess(deps, caller, { ...body, durationSeconds: body.durationSeconds ?? null }, context.requestId)
    },
  }),
  route({
    method: 'get',
    path: '/requests/{id}',
    acts: ['request.see'],
    says: 'One request; `wait` holds the call until it is settled or expires. An approved one carries its grant.',
    params: byId,
    query: z.strictObject({ wait: waitSeconds }),
    answer: request,
    async run({ deps, caller, reader, signal }, { params, query }) {
      const row = (await reader.read([keyOf('request', params.id)])).get('request', params.id)
      const refused = await authorize(reader, caller, 'request.see', {
        agent: row?.agent ?? null,
        tool: row?.tool ?? null,
      })
      if (refused !== null) return err(refused)
      if (row === undefined) return err(problem('invalid_request', 'There is no such request.', { missing: true }))
      const waitMs = Math.min(query.wait * 1000, Math.max(0, row.expiresAt - reader.now))
      await waitFor(deps, { kind: 'request', id: row.id, done: ({ state }) => state !== 'pending' }, waitMs, signal)
      const rows = await deps.store.read([keyOf('request', row.id)])
      const now = rows.get('request', row.id) ?? row
      const given =
        now.grant === null ? undefined : (await deps.store.read([keyOf('grant', now.grant)])).get('grant', now.grant)
      const at = { ...reader, now: deps.clock.now() }
      return ok({
        ...(await describeRequest(deps, now)),
        ...(given === undefined ? {} : { grant: await presentFullGrant(at, given, deps.settings.issuer) }),
      })
    },
  }),
  route({
    method: 'post',
    path: '/requests/{id}/approve',
    acts: ['request.approve'],
    says: 'An owner says yes, or yes to less; `hash` binds it to what was shown.',
    params: byId,
    body: z.strictObject({
      hash: z
        .string()
        .regex(/^[0-9a-f]{64}$/, 'must be the hash that was shown')
        .optional(),
      scopes: scopes.optional(),
      durationSeconds: durationSeconds.optional(),
    }),
    answer: z.strictObject({ request, grant }),
    async run({ deps, context, reader }, { params, body }) {
      const done = await approveRequest(deps, context, {
        request: params.id,
        hash: body.hash ?? null,
        scopes: body.scopes ?? null,
        durationSeconds: body.durationSeconds ?? null,
      })
      if (!done.ok) return done
      return ok({
        request: await describeRequest(deps, done.value.request),
        grant: await presentFullGrant({ ...reader, now: deps.clock.now() }, done.value.grant, deps.settings.issuer),
      })
    },
  }),
  route({
    method: 'post',
    path: '/requests/{id}/deny',
    acts: ['request.deny'],
    says: 'An owner of the agent or of the tool says no.',
    params: byId,
    body: why,
    answer: request,
    async run({ deps, context }, { params, body }) {
      const done = await denyRequest(deps, context, { request: params.id, reason: body.reason ?? null })
      return done.ok ? ok(await describeRequest(deps, done.value)) : done
    },
  }),
  route({
    method: 'post',
    path: '/requests/{id}/withdraw',
    acts: ['request.withdraw'],
    says: 'The agent takes back what it asked for.',
    params: byId,
    answer: request,
    async run({ deps, caller, context, reader }, { params }) {
      const row = (await reader.read([keyOf('request', params.id)])).get('request', params.id)
      const refused = await authorize(reader, caller, 'request.withdraw', { agent: row?.agent ?? null })
      if (refused !== null) return err(refused)
      if (caller.role !== 'agent') return err(problem('forbidden', 'Only an agent withdraws.'))
      const done = await withdrawRequest(deps, caller, params.id, context.requestId)
      return done.ok ? ok(await describeRequest(deps, done.value)) : done
    },
  }),
]
