// Agents, and their end.

import { z } from '@hono/zod-openapi'
import { authorize } from '../../actions/authorize.ts'
import { decommissionAgent } from '../../actions/decommission-agent.ts'
import { listRows, ownedBy } from '../../actions/list-rows.ts'
import { waitFor } from '../../actions/wait-for.ts'
import { keyOf } from '../../core/model.ts'
import { problem } from '../../core/problem.ts'
import { err, ok } from '../../core/result.ts'
import { agent, agentWithAccess, listOf, receipt } from './answers.ts'
import { byName, email, page, reason } from './inputs.ts'
import { presentAgent, presentReceipt } from './present-rows.ts'
import { type Route, route } from './route.ts'

/** How long a decommission waits for its confirmations before it answers with what is open (milliseconds). */
const CONFIRM_MS = 8_000

export const agentRoutes: readonly Route[] = [
  route({
    method: 'get',
    path: '/agents',
    acts: ['agent.see'],
    says: 'Agents that were ever in force, by name.',
    query: z.strictObject({ ...page, owner: email.optional() }),
    answer: listOf(agent),
    async run({ deps, caller, reader }, { query: { limit, after, owner } }) {
      const owned = owner === undefined ? null : ownedBy(reader, owner)
      const listed = await listRows(deps, caller, {
        kind: 'agent',
        act: 'agent.see',
        about: (row) => ({ agent: row.id }),
        keep: async (row) => owned === null || owned({ agent: row.id }),
        after,
        limit,
      })
      if (!listed.ok) return listed
      const { rows, next } = listed.value
      return ok({ items: await Promise.all(rows.map((row) => presentAgent(reader, row))), next })
    },
  }),
  route({
    method: 'get',
    path: '/agents/{name}',
    acts: ['agent.see'],
    says: 'One agent, with what its manifest in force lets it ask for.',
    params: byName,
    answer: agentWithAccess,
    async run({ deps, caller, reader }, { params: { name } }) {
      const refused = await authorize(reader, caller, 'agent.see', { agent: name })
      if (refused !== null) return err(refused)
      const row = (await reader.read([keyOf('agent', name)])).get('agent', name)
      if (row === undefined) return err(problem('unknown_agent', 'No agent of this name was ever in force.'))
      const slices = await deps.store.list({ kind: 'slice', where: { agent: name }, limit: 500 })
      const access = slices.rows.flatMap(({ value }) => (value?.of === 'access' ? value.entitlements : []))
      return ok({
        ...(await presentAgent(reader, row)),
        access: access.map(
          ({ tool, scopes, details, approval, grantForSeconds, tokenTtlSeconds, delivery, role, source }) => ({
            tool,
            scopes,
            ...(Object.keys(details).length === 0 ? {} : { details }),
            approval,
            grantForSeconds,
            tokenTtlSeconds,
            delivery,
            role,
            manifest: { file: source.file, line: source.line },
          }),
        ),
      })
    },
  }),
  route({
    method: 'post',
    path: '/agents/{name}/decommission',
    acts: ['agent.decommission'],
    says: 'Ends an agent for ever and answers with the receipt; `wait` (the default) gives the tools some seconds to confirm.',
    params: byName,
    body: z.strictObject({ reason: reason.optional(), wait: z.boolean().default(true) }),
    answer: receipt,
    async run({ deps, context, signal }, { params, body }) {
      const done = await decommissionAgent(deps, context, { agent: params.name, reason: body.reason ?? null })
      if (!done.ok) return done
      const { id } = done.value
      if (body.wait)
        await waitFor(deps, { kind: 'revocation', id, done: (row) => row.state === 'complete' }, CONFIRM_MS, signal)
      const row = (await deps.store.read([keyOf('revocation', id)])).get('revocation', id) ?? done.value
      return ok(presentReceipt(row, deps.clock.now()))
    },
  }),
]
