// Sessions, grants and credentials: seen, and taken away. Also the receipts of taking away.

import { z } from '@hono/zod-openapi'
import { authorize } from '../../actions/authorize.ts'
import { listRows, ownedBy } from '../../actions/list-rows.ts'
import { type RevokeInput, revoke } from '../../actions/revoke.ts'
import { waitFor } from '../../actions/wait-for.ts'
import type { Act } from '../../core/matrix.ts'
import { keyOf, type Revocation, type Rows } from '../../core/model.ts'
import { type Problem, problem } from '../../core/problem.ts'
import { err, ok, type Result } from '../../core/result.ts'
import { credential, grant, listOf, receipt, session, sessionRevoked } from './answers.ts'
import { byId, id, page, waitSeconds, whose, why } from './inputs.ts'
import { presentCredential, presentFullGrant, presentReceipt, presentSession } from './present-rows.ts'
import { type Call, type Route, route } from './route.ts'

type Held = 'session' | 'grant' | 'credential'
type ListQuery = {
  readonly limit: number
  readonly after?: string | undefined
  readonly agent?: string | undefined
  readonly tool?: string | undefined
  readonly owner?: string | undefined
  readonly session?: string | undefined
  readonly grant?: string | undefined
}

const aboutOf = (row: Rows[Held]) => ({ agent: row.agent, tool: 'tool' in row ? row.tool : null })

async function list<K extends Held, A>(
  { deps, caller, reader }: Call,
  kind: K,
  act: Act,
  { limit, after, owner, ...columns }: ListQuery,
  show: (row: Rows[K]) => Promise<A>,
): Promise<Result<{ items: A[]; next: string | null }, Problem>> {
  const owned = owner === undefined ? null : ownedBy(reader, owner)
  const listed = await listRows(deps, caller, {
    kind,
    act,
    about: aboutOf,
    where: Object.fromEntries(Object.entries(columns).filter(([, value]) => value !== undefined)),
    keep: async (row) => owned === null || owned(aboutOf(row)),
    after,
    limit,
    newestFirst: true,
  })
  if (!listed.ok) return listed
  return ok({ items: await Promise.all(listed.value.rows.map(show)), next: listed.value.next })
}

const take = (
  { deps, context }: Call,
  kind: RevokeInput['kind'],
  of: string,
  reason: string | undefined,
): Promise<Result<Revocation, Problem>> => revoke(deps, context, { kind, id: of, reason: reason ?? null })

const { tool: _, ...withoutTool } = whose

export const holdingRoutes: readonly Route[] = [
  route({
    method: 'get',
    path: '/sessions',
    acts: ['session.see'],
    says: 'Sessions, newest first.',
    query: z.strictObject({ ...page, ...withoutTool }),
    answer: listOf(session),
    run: (call, { query }) => list(call, 'session', 'session.see', query, (row) => presentSession(call.reader, row)),
  }),
  route({
    method: 'post',
    path: '/sessions/{id}/revoke',
    acts: ['session.revoke'],
    says: 'Ends a session, its requests, its grants and every credential minted in it.',
    params: byId,
    body: why,
    answer: sessionRevoked,
    async run(call, { params, body }) {
      const done = await take(call, 'session', params.id, body.reason)
      if (!done.ok) return done
      const agent = done.value.agent ?? ''
      return ok({
        ...presentReceipt(done.value, call.deps.clock.now()),
        note: `The key of ${agent} can still open a new session: lock the agent to stop that.`,
        lockCommand: `hallpass lock agent/${agent} --reason "…"`,
      })
    },
  }),
  route({
    method: 'get',
    path: '/grants',
    acts: ['grant.see'],
    says: 'Grants, newest first.',
    query: z.strictObject({ ...page, ...whose, session: id.optional() }),
    answer: listOf(grant),
    run: (call, { query }) =>
      list(call, 'grant', 'grant.see', query, (row) => presentFullGrant(call.reader, row, call.deps.settings.issuer)),
  }),
  route({
    method: 'post',
    path: '/grants/{id}/revoke',
    acts: ['grant.revoke'],
    says: 'Takes a grant and every credential minted under it.',
    params: byId,
    body: why,
    answer: receipt,
    async run(call, { params, body }) {
      const done = await take(call, 'grant', params.id, body.reason)
      return done.ok ? ok(presentReceipt(done.value, call.deps.clock.now())) : done
    },
  }),
  route({
    method: 'get',
    path: '/credentials',
    acts: ['credential.see'],
    says: 'Minted credentials by jti, newest first; never the token.',
    query: z.strictObject({ ...page, ...whose, session: id.optional(), grant: id.optional() }),
    answer: listOf(credential),
    run: (call, { query }) =>
      list(call, 'credential', 'credential.see', query, (row) => presentCredential(call.reader, row)),
  }),
  route({
    method: 'get',
    path: '/credentials/{id}',
    acts: ['credential.see'],
    says: 'One credential by its jti.',
    params: byId,
    answer: credential,
    async run({ caller, reader }, { params }) {
      const row = (await reader.read([keyOf('credential', params.id)])).get('credential', params.id)
      const refused = await authorize(reader, caller, 'credential.see', row === undefined ? {} : aboutOf(row))
      if (refused !== null) return err(refused)
      if (row === undefined) return err(problem('invalid_request', 'There is no such credential.', { missing: true }))
      return ok(await presentCredential(reader, row))
    },
  }),
  route({
    method: 'post',
    path: '/credentials/{id}/revoke',
    acts: ['credential.revoke'],
    says: 'Takes one credential; its grant stays.',
    params: byId,
    body: why,
    answer: receipt,
    async run(call, { params, body }) {
      const done = await take(call, 'credential', params.id, body.reason)
      return done.ok ? ok(presentReceipt(done.value, call.deps.clock.now())) : done
    },
  }),
  route({
    method: 'get',
    path: '/receipts/{id}',
    acts: ['receipt.see'],
    says: 'Who confirmed what, how and when; `wait` holds the call until all is confirmed.',
    params: byId,
    query: z.strictObject({ wait: waitSeconds }),
    answer: receipt,
    async run({ deps, caller, reader, signal }, { params, query }) {
      const row = (await reader.read([keyOf('revocation', params.id)])).get('revocation', params.id)
      const refused = await authorize(reader, caller, 'receipt.see', {
        agent: row?.agent ?? null,
        tool: row?.tool ?? null,
      })
      if (refused !== null) return err(refused)
      if (row === undefined) return err(problem('invalid_request', 'There is no such receipt.', { missing: true }))
      await waitFor(
        deps,
        { kind: 'revocation', id: row.id, done: ({ state }) => state === 'complete' },
        query.wait * 1000,
        signal,
      )
      const now = (await deps.store.read([keyOf('revocation', row.id)])).get('revocation', row.id) ?? row
      return ok(presentReceipt(now, deps.clock.now()))
    },
  }),
]
