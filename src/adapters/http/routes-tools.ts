// Tools: what is held in them, and to look through one now.

import { z } from '@hono/zod-openapi'
import { drillTool } from '../../actions/drill-tool.ts'
import { listTools, presentReconciled, reconcileToolNow } from '../../actions/see-tools.ts'
import { ok } from '../../core/result.ts'
import { listOf } from './answers.ts'
import { drilled, reconciled, tool } from './answers-house.ts'
import { byName, details, page, scope } from './inputs.ts'
import { type Route, route } from './route.ts'

export const toolRoutes: readonly Route[] = [
  route({
    method: 'get',
    path: '/tools',
    acts: ['tool.see'],
    says: 'Tools in force: what they are, how many accounts are in them, and what was last found there.',
    query: z.strictObject(page),
    answer: listOf(tool),
    run: ({ deps, caller }, { query }) => listTools(deps, caller, query),
  }),
  route({
    method: 'post',
    path: '/tools/{name}/reconcile',
    acts: ['tool.reconcile'],
    says: 'Lists what the tool holds, sorts it against what it should hold, and heals or reports as its manifest says.',
    params: byName,
    answer: reconciled,
    async run({ deps, context }, { params }) {
      const done = await reconcileToolNow(deps, context, params.name)
      return done.ok ? ok(presentReconciled(done.value)) : done
    },
  }),
  route({
    method: 'post',
    path: '/tools/{name}/drill',
    acts: ['tool.drill'],
    says: 'Makes a canary account in the tool, uses it, takes it away and waits until it is dead: how long each took.',
    params: byName,
    body: z.strictObject({ scope: scope.optional(), details: details.default({}) }),
    answer: drilled,
    run: ({ deps, context, signal }, { params, body }) =>
      drillTool(deps, context, { tool: params.name, scope: body.scope ?? null, details: body.details }, signal),
  }),
]
