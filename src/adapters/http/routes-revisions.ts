// Revisions: proposed by publishers, looked over by whoever must accept what they widen, settled act by act (S1–S3).

import { z } from '@hono/zod-openapi'
import { applyManifests } from '../../actions/apply-manifests.ts'
import { authorize } from '../../actions/authorize.ts'
import { forbidden, mayAtAll } from '../../actions/list-rows.ts'
import { listRevisions, readRevision } from '../../actions/list-widenings.ts'
import { planManifests } from '../../actions/plan-manifests.ts'
import { settleRevision } from '../../actions/settle-revision.ts'
import { knownNames } from '../../actions/standing.ts'
import { BODY_BYTES } from '../../core/limits.ts'
import type { ManifestFiles, ManifestSet } from '../../core/manifest.ts'
import { faultLine, parseManifests } from '../../core/manifest-parse.ts'
import { type Problem, problem } from '../../core/problem.ts'
import { err, ok, type Result } from '../../core/result.ts'
import { listOf } from './answers.ts'
import { applied, plan, revision, settled } from './answers-house.ts'
import { byId, page, why } from './inputs.ts'
import { presentReceipt, presentRevision, presentWidening } from './present-rows.ts'
import { type Call, type Route, route } from './route.ts'

const FAULTS_SHOWN = 50
const FILES_MAX = 10_000

const files = z
  .record(
    z.string().min(1).max(300),
    z.union([z.string(), z.strictObject({ base64: z.base64() })]).openapi({ description: 'Text, or bytes as base64.' }),
  )
  .refine((all) => Object.keys(all).length <= FILES_MAX, 'has too many files')
  .openapi({ description: 'Path relative to the manifests folder → content, key files and recipes included.' })

async function parsed({ deps, parts }: Call, given: z.output<typeof files>): Promise<Result<ManifestSet, Problem>> {
  const bytes: ManifestFiles = new Map(
    Object.entries(given).map(([path, content]) => [
      path,
      typeof content === 'string' ? new TextEncoder().encode(content) : Buffer.from(content.base64, 'base64'),
    ]),
  )
  const read = parseManifests(bytes, {
    issuerOrigin: new URL(deps.settings.issuer).origin,
    secretsFolder: parts.config.secretsPath,
    known: await knownNames(deps),
    ...(parts.recipes === undefined ? {} : { recipes: parts.recipes }),
  })
  if (read.ok) return ok(read.set)
  const lines = read.faults.slice(0, FAULTS_SHOWN).map(faultLine)
  const more = read.faults.length - lines.length
  return err(
    problem('manifest_invalid', [...lines, ...(more > 0 ? [`and ${more} more faults`] : [])].join('\n'), {
      hint: 'Nothing was changed. Check the files with `hallpass scopes check`.',
    }),
  )
}

const settleRoute = (decision: 'accept' | 'decline') =>
  route({
    method: 'post',
    path: `/revisions/{id}/${decision}`,
    acts: [`widening.${decision}`, `widening.${decision}_tool`],
    says: `${decision === 'accept' ? 'Accepts' : 'Declines'} all that waits in a revision, or one widening by its id, as far as it is the caller's.`,
    params: byId,
    body: why,
    answer: settled,
    async run({ deps, caller, context }, { params, body }) {
      if (!mayAtAll(caller, `widening.${decision}`) && !mayAtAll(caller, `widening.${decision}_tool`))
        return err(forbidden(caller, `widening.${decision}`))
      const done = await settleRevision(deps, context, { id: params.id, decision, reason: body.reason ?? null })
      if (!done.ok) return done
      const now = deps.clock.now()
      return ok({
        settled: done.value.settled.map((row) => presentWidening(row, caller)),
        others: done.value.others.map((row) => presentWidening(row, caller)),
        receipts: done.value.revocations.map((row) => presentReceipt(row, now)),
      })
    },
  })

export const revisionRoutes: readonly Route[] = [
  route({
    method: 'get',
    path: '/revisions',
    acts: ['revision.see'],
    says: 'Revisions, newest first, with what waits in them; an owner sees what touches them.',
    query: z.strictObject({ ...page, status: z.enum(['proposed', 'in force', 'replaced']).optional() }),
    answer: listOf(revision),
    async run({ deps, caller }, { query: { limit, after, status } }) {
      const listed = await listRevisions(deps, caller, {
        limit,
        ...(status === undefined ? {} : { state: status }),
        ...(after === undefined ? {} : { after }),
      })
      if (!listed.ok) return listed
      return ok({ items: listed.value.rows.map((row) => presentRevision(row, caller)), next: listed.value.next })
    },
  }),
  route({
    method: 'post',
    path: '/revisions',
    acts: ['revision.propose'],
    says: 'Proposes a manifest set made from `base`: what it takes away is in force at once, what it gives waits.',
    body: z.strictObject({ files, base: z.string().max(128).nullable() }),
    bodyBytes: BODY_BYTES.revision,
    answer: applied,
    async run(call, { body }) {
      const { deps, caller, context, reader } = call
      const refused = await authorize(reader, caller, 'revision.propose')
      if (refused !== null) return err(refused)
      if (deps.settings.scopesMode === 'watch')
        return err(
          problem(
            'conflict',
            'This broker watches its manifests folder (HALLPASS_SCOPES_MODE is watch), so no set is pushed to it.',
            {
              hint: 'Edit the files in its folder, or have the operator set HALLPASS_SCOPES_MODE=push.',
            },
          ),
        )
      const set = await parsed(call, body.files)
      if (!set.ok) return set
      const done = await applyManifests(deps, context, { set: set.value, base: body.base })
      if (!done.ok) return done
      const { revision: row, changed, waiting, revocations } = done.value
      const now = deps.clock.now()
      return ok({
        revision: presentRevision({ revision: row, widenings: waiting }, caller),
        changed,
        receipts: revocations.map((receipt) => presentReceipt(receipt, now)),
      })
    },
  }),
  route({
    method: 'post',
    path: '/revisions/plan',
    acts: ['revision.see'],
    says: 'What applying a set would do, and who would lose what; changes nothing. Not for owners: it shows every agent.',
    body: z.strictObject({ files }),
    bodyBytes: BODY_BYTES.revision,
    answer: plan,
    async run(call, { body }) {
      const refused = await authorize(call.reader, call.caller, 'revision.see')
      if (refused !== null) return err(refused)
      const set = await parsed(call, body.files)
      if (!set.ok) return set
      const { digest, inForce, narrowings, widenings, orphaned, barred, warnings, dies } = await planManifests(
        call.deps,
        set.value,
      )
      return ok({
        digest,
        inForce,
        narrowings: narrowings.map(({ slice, lines }) => ({ slice, lines })),
        widenings: widenings.map(({ slice, diff, needs }) => ({
          slice,
          diff,
          needs: needs.map(({ as, of, eligible }) => ({ as, of, eligible })),
        })),
        orphaned: orphaned.map(({ of, name, fallback }) => ({ of, name, fallback })),
        faults: barred.map(faultLine),
        warnings: warnings.map(faultLine),
        dies,
      })
    },
  }),
  route({
    method: 'get',
    path: '/revisions/{id}',
    acts: ['revision.see'],
    says: 'One revision, with its widenings as readable diffs and who must accept each.',
    params: byId,
    answer: revision,
    async run({ deps, caller }, { params }) {
      const seen = await readRevision(deps, caller, params.id)
      return seen.ok ? ok(presentRevision(seen.value, caller)) : seen
    },
  }),
  settleRoute('accept'),
  settleRoute('decline'),
]
