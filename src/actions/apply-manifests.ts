// A manifest set becomes the revision in force: what it takes away acts with the commit, what it gives waits for its
// owners (P3). The whole edit is one commit or nothing; it never accepts a widening.

import { type JudgedEdit, judgeEdit, type Standing } from '../core/edit.ts'
import { move } from '../core/lifecycle.ts'
import type { Fault, ManifestSet } from '../core/manifest.ts'
import { faultLine } from '../core/manifest-faults.ts'
import type { Installation, Revision, Revocation, Row, Widening } from '../core/model.ts'
import { type Problem, problem } from '../core/problem.ts'
import { type AuditRecord, personal } from '../core/record.ts'
import { err, ok, type Result } from '../core/result.ts'
import { authorize } from './authorize.ts'
import type { Context, Deps } from './ports.ts'
import { byOf } from './revoke.ts'
import { rowsForMoves } from './slice-rows.ts'
import { currentRevision, readStanding } from './standing.ts'
import { followNarrowed, settleNarrowed, type Taken, takeNarrowed } from './take-narrowed.ts'
import { recordOf, transact } from './transact.ts'
import { type Waiting, waitingAfter } from './widenings.ts'

export type ApplyInput = {
  readonly set: ManifestSet
  /** Digest of the set that this one was made from; must be the one in force where revisions are pushed (S3). */
  readonly base: string | null
}

export type Applied = {
  readonly revision: Revision
  /** False: this very set was in force already. */
  readonly changed: boolean
  readonly waiting: readonly Widening[]
  readonly narrowings: readonly string[]
  readonly revocations: readonly Revocation[]
}

/** Lines of a diff that one record carries. */
const LINES_IN_RECORD = 200

type Draft = {
  readonly revision: Revision
  readonly edit: JudgedEdit
  readonly waiting: Waiting
  readonly taken: Taken
}

/**
 * Refuses with `not_initialized`; `forbidden` where the caller may not propose, or the installation takes revisions from
 * another source; `conflict` where `base` is not the revision in force; `manifest_invalid` for names that are barred.
 */
export async function applyManifests(
  deps: Deps,
  context: Context,
  input: ApplyInput,
): Promise<Result<Applied, Problem>> {
  const done = await transact<Draft | Revision>(deps, 'narrowing', async (look) => {
    const refused = (await authorize(look, context.caller, 'revision.propose')) ?? wrongSource(deps, context)
    if (refused !== null) return err(refused)
    const installation = await look.row('installation', 'self')
    if (installation === undefined || installation.initializedAt === null) return err(NOT_INITIALIZED)
    if (context.caller.role !== 'system' && input.base !== installation.revision)
      return err(movedOn(input.base, installation))
    const current = await currentRevision(deps)
    if (current !== null && installation.revision === input.set.digest) return ok({ value: current, records: [] })

    const standing = await readStanding(deps, look, current)
    const edit = judgeEdit(input.set, standing)
    if (edit.barred.length > 0) return err(barred(edit.barred))
    const unmarked = resumes(edit, standing) ? await settleNarrowed(deps) : null
    if (unmarked !== null) return err(unmarked)
    const id = deps.ids.next('rev')
    const waiting = await waitingAfter(deps, context, look, edit, current, id)
    const moves = [...edit.next].map(([slice, now]) => ({ was: edit.inForce.get(slice) ?? null, now }))
    const rows = await rowsForMoves(look, moves)
    const taken = await takeNarrowed(deps, context, look, { ...edit, cutOff: rows.cutOff, revision: id })
    await look.read(edit.changed.map((slice) => `slice/${slice.id}` as const))
    const revision: Revision = {
      id,
      digest: input.set.digest,
      base: installation.revision,
      proposedBy: byOf(context.caller),
      proposedAt: look.now,
      state: 'in force',
      narrowings: edit.narrowings.flatMap(({ slice, lines }) => lines.map((line) => `${slice}: ${line}`)),
      warnings: [...input.set.warnings, ...edit.ignored].map(faultLine),
      remembers: edit.remembers,
    }
    return ok({
      value: { revision, edit, waiting, taken },
      put: [
        ...edit.changed.map((row): Row => ({ kind: 'slice', row })),
        ...rows.put,
        ...waiting.put,
        ...taken.put,
        { kind: 'revision' as const, row: revision },
        ...(current === null
          ? []
          : [{ kind: 'revision' as const, row: withoutMemory(move('revision', current, 'replaced')) }]),
        { kind: 'installation' as const, row: { ...installation, revision: input.set.digest } },
      ],
      records: [
        ...revisionRecords(context, look.now, revision, current, edit, waiting),
        ...waiting.records,
        ...taken.records,
      ],
    })
  })
  if (!done.ok) return done
  const draft = done.value.value
  if ('digest' in draft) return ok({ revision: draft, changed: false, waiting: [], narrowings: [], revocations: [] })
  const revocations = await followNarrowed(deps, context, draft.taken)
  tell(deps, draft, revocations)
  const { revision, waiting } = draft
  return ok({ revision, changed: true, waiting: waiting.waiting, narrowings: revision.narrowings, revocations })
}

/** Does something come back into force by itself (S3)? Everything else that an edit gives waits for its owners. */
const resumes = (edit: JudgedEdit, { slices }: Standing): boolean =>
  [...edit.inForce].some(([id, value]) => value !== (slices.get(id)?.value ?? null))

const NOT_INITIALIZED = problem('not_initialized', 'This broker has accepted no manifest set yet.', {
  hint: 'Whoever holds its data folder: run `hallpass init --owner EMAIL`.',
})

/** One source at a time (S3). */
function wrongSource(deps: Deps, context: Context): Problem | null {
  const isWatcher = context.caller.role === 'system'
  if (isWatcher === (deps.settings.scopesMode === 'watch')) return null
  return isWatcher
    ? problem('forbidden', 'Revisions are pushed to this broker, so its folder is not watched.', {
        hint: 'Use `hallpass scopes apply`.',
      })
    : problem('forbidden', 'This broker watches its manifests folder, so revisions are not pushed to it.', {
        hint: 'Edit the files in its folder, or have the operator set HALLPASS_SCOPES_MODE=push.',
      })
}

const movedOn = (base: string | null, installation: Installation): Problem =>
  problem('conflict', 'The revision in force is not the one that this set was made from.', {
    hint: `Bring your files up to date with ${installation.revision ?? 'what is in force'}, look at \`hallpass scopes plan\`, and apply again.`,
    detail: `base ${base ?? 'none'}, in force ${installation.revision ?? 'none'}`,
  })

const barred = (faults: readonly Fault[]): Problem =>
  problem('manifest_invalid', faults.map(faultLine).join('\n'), {
    hint: 'Names are for ever: choose another one. Nothing was changed.',
  })

/** Only the revision in force is read against: those before it need not remember. */
function withoutMemory({ remembers: _, ...revision }: Revision): Revision {
  return revision
}

function revisionRecords(
  context: Context,
  at: number,
  revision: Revision,
  replaced: Revision | null,
  edit: JudgedEdit,
  waiting: Waiting,
): AuditRecord[] {
  const subject = { revision: revision.id }
  const lines = [
    ...revision.narrowings,
    ...edit.widenings.flatMap(({ slice, diff }) => diff.map((line) => `${slice}: ${line} (waits)`)),
  ]
  return [
    recordOf(context, at, 'revision.proposed', subject, {
      revision: revision.id,
      digest: revision.digest,
      base: revision.base,
      source: context.caller.role === 'system' ? 'watch' : 'push',
      narrowings: edit.narrowings.length,
      widenings: edit.widenings.length,
    }),
    recordOf(context, at, 'revision.in_force', subject, {
      revision: revision.id,
      digest: revision.digest,
      replaced: replaced?.id ?? null,
      narrowings: revision.narrowings.length,
      waiting: waiting.waiting.length,
      diff: lines.slice(0, LINES_IN_RECORD).map((line) => personal(line)),
    }),
    ...edit.orphaned.map(({ of, name, fallback }) =>
      recordOf(context, at, 'authority.orphaned', subject, { of, name, fallback }),
    ),
  ]
}

function tell(deps: Deps, { revision, edit, waiting }: Draft, revocations: readonly Revocation[]): void {
  for (const { agent, counts } of revocations)
    if (agent !== null && counts.sessions > 0) deps.notifier.notify({ type: 'agent.cut', agent })
  if (waiting.fresh.length > 0) deps.notifier.notify({ type: 'widening.waiting' })
  for (const { of, name, fallback } of edit.orphaned)
    deps.log.warn({ revision: revision.id, of, name, fallback }, 'nobody is left who may decide for this')
}
