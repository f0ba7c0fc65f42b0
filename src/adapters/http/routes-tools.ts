// Tools: what is held in them, to look through one now, and what their MCP servers say of themselves.

import { z } from '@hono/zod-openapi'
import { drillTool } from '../../actions/drill-tool.ts'
import { listDefinitions, pinDefinitions, withdrawDefinitions } from '../../actions/pin-definition.ts'
import { listTools, presentReconciled, reconcileToolNow } from '../../actions/see-tools.ts'
import { DEFINITION } from '../../core/limits.ts'
import { rfc3339 } from '../../core/record.ts'
import { ok } from '../../core/result.ts'
import { listOf } from './answers.ts'
import { definitions, drilled, pinned, reconciled, tool, withdrawn } from './answers-house.ts'
import { byName, details, mcpName, page, reason, scope, sha256 } from './inputs.ts'
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
  route({
    method: 'get',
    path: '/tools/{name}/definitions',
    acts: ['tool.see'],
    says: "What the tool's MCP server says of its tools: accepted, waiting or suspended, with what changed as a readable diff.",
    params: byName,
    answer: definitions,
    async run({ deps, caller }, { params: { name } }) {
      const listed = await listDefinitions(deps, caller, name)
      if (!listed.ok) return listed
      const last = deps.looks.get(name)
      return ok({
        tool: name,
        ...(last === undefined ? {} : { lookedAt: rfc3339(last.at) }),
        ...(last?.failure == null ? {} : { failure: last.failure }),
        definitions: listed.value,
      })
    },
  }),
  route({
    method: 'post',
    path: '/tools/{name}/definitions/pin',
    acts: ['tool.pin'],
    says: 'Accepts definitions by the digests that were shown: all of these, or none where one has changed since.',
    params: byName,
    body: z.strictObject({
      definitions: z
        .array(z.strictObject({ name: mcpName, digest: sha256 }))
        .min(1)
        .max(DEFINITION.perCall)
        .refine((all) => new Set(all.map(({ name }) => name)).size === all.length, 'names one twice'),
    }),
    answer: pinned,
    async run({ deps, context }, { params, body }) {
      const done = await pinDefinitions(deps, context, { tool: params.name, definitions: body.definitions })
      return done.ok ? ok({ pinned: done.value }) : done
    },
  }),
  route({
    method: 'post',
    path: '/tools/{name}/definitions/withdraw',
    acts: ['tool.pin'],
    says: 'Takes back what was accepted: agents see and call it no longer, and calls under way are ended.',
    params: byName,
    body: z.strictObject({
      names: z
        .array(mcpName)
        .min(1)
        .max(DEFINITION.perCall)
        .transform((all) => [...new Set(all)].sort()),
      reason: reason.optional(),
    }),
    answer: withdrawn,
    async run({ deps, context }, { params, body }) {
      const given = { tool: params.name, names: body.names, reason: body.reason ?? null }
      const done = await withdrawDefinitions(deps, context, given)
      return done.ok ? ok({ withdrawn: done.value }) : done
    },
  }),
]
