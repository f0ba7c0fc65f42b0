// Locks: set by owners on what is theirs, lifted by admins (S12).

import { z } from '@hono/zod-openapi'
import { listRows } from '../../actions/list-rows.ts'
import { liftLock, setLock, stands } from '../../actions/lock.ts'
import { TEXT } from '../../core/limits.ts'
import type { Lock } from '../../core/model.ts'
import { problem } from '../../core/problem.ts'
import { err, ok } from '../../core/result.ts'
import { listOf, lock, receipt } from './answers.ts'
import { byId, durationSeconds, page, reason, why } from './inputs.ts'
import { presentLock, presentReceipt } from './present-rows.ts'
import { type Route, route } from './route.ts'

const KINDS = ['agent', 'tool', 'owner', 'everything'] as const

const aboutOf = ({ kind, name }: Lock) => ({
  agent: kind === 'agent' ? name : null,
  tool: kind === 'tool' ? name : null,
})

export const lockRoutes: readonly Route[] = [
  route({
    method: 'get',
    path: '/locks',
    acts: ['lock.see'],
    says: 'Locks, newest first; those that stand unless `all` is true.',
    query: z.strictObject({ ...page, all: z.enum(['true', 'false']).default('false') }),
    answer: listOf(lock),
    async run({ deps, caller, reader }, { query: { limit, after, all } }) {
      const listed = await listRows(deps, caller, {
        kind: 'lock',
        act: 'lock.see',
        about: aboutOf,
        keep: (row) => all === 'true' || stands(row, reader.now),
        after,
        limit,
        newestFirst: true,
      })
      if (!listed.ok) return listed
      return ok({ items: listed.value.rows.map((row) => presentLock(row, reader.now)), next: listed.value.next })
    },
  }),
  route({
    method: 'post',
    path: '/locks',
    acts: ['lock.set'],
    says: 'Locks an agent, a tool, an owner or everything: kills the credentials, suspends the grants.',
    body: z.strictObject({
      kind: z.enum(KINDS),
      name: z.string().min(1).max(TEXT.email).optional(),
      reason,
      forSeconds: durationSeconds.optional(),
      revokeGrants: z.boolean().default(false),
    }),
    status: 201,
    answer: z.strictObject({ lock, receipt }),
    async run({ deps, context }, { body }) {
      if (body.kind !== 'everything' && body.name === undefined)
        return err(problem('invalid_request', `Name the ${body.kind} to lock.`))
      const done = await setLock(deps, context, {
        kind: body.kind,
        name: body.name ?? 'everything',
        reason: body.reason,
        forSeconds: body.forSeconds ?? null,
        revokeGrants: body.revokeGrants,
      })
      if (!done.ok) return done
      const now = deps.clock.now()
      return ok({ lock: presentLock(done.value.lock, now), receipt: presentReceipt(done.value.revocation, now) })
    },
  }),
  route({
    method: 'delete',
    path: '/locks/{id}',
    acts: ['lock.lift', 'lock.lift_own'],
    says: 'Lifts a lock; no session and no credential comes back.',
    params: byId,
    body: why,
    answer: lock,
    async run({ deps, context }, { params, body }) {
      const done = await liftLock(deps, context, { lock: params.id, reason: body.reason ?? null })
      return done.ok ? ok(presentLock(done.value, deps.clock.now())) : done
    },
  }),
]
