// The first manifest set of a new store, accepted whole by whoever holds the data folder (S6). It works once: a store
// that was initialised is never accepted into again.

import { compileSlices, valueDigest } from '../core/compile-slices.ts'
import { judgeEdit, NOTHING_REMEMBERED } from '../core/edit.ts'
import type { ManifestSet } from '../core/manifest.ts'
import { faultLine } from '../core/manifest-faults.ts'
import { keyOf, NEW_LOCKABLE, type Revision, type Row, type Slice } from '../core/model.ts'
import { type Problem, problem } from '../core/problem.ts'
import { personal } from '../core/record.ts'
import { err, ok, type Result } from '../core/result.ts'
import type { Context, Deps } from './ports.ts'
import { byOf } from './revoke.ts'
import { rowsForMoves } from './slice-rows.ts'
import { recordOf, transact } from './transact.ts'

export type InitializeInput = {
  readonly set: ManifestSet
  /** E-mail of the first owner, for the record. */
  readonly ownerEmail: string
}

/** `forbidden` for anyone but the operator; `conflict` for a store that was initialised. */
export async function initialize(
  deps: Deps,
  context: Context,
  input: InitializeInput,
): Promise<Result<Revision, Problem>> {
  const { set } = input
  const done = await transact<Revision>(deps, 'normal', async (look) => {
    if (context.caller.role !== 'operator')
      return err(
        problem('forbidden', 'Only whoever holds the data folder may initialise it.', {
          hint: 'Run `hallpass init` on its host.',
        }),
      )
    const installation = await look.row('installation', 'self')
    if (installation !== undefined && installation.initializedAt !== null)
      return err(
        problem('conflict', 'This store was initialised already.', {
          hint: 'Start it with `hallpass serve`; edits of the manifests are accepted with `hallpass revision accept`.',
        }),
      )
    const values = compileSlices(set)
    const slices = [...values].map(([id, value]): Slice => ({ id, value, digest: valueDigest(value), resumable: null }))
    if (slices.length > 0) await look.read(slices.map(({ id }) => keyOf('slice', id)))
    const rows = await rowsForMoves(
      look,
      slices.map(({ value }) => ({ was: null, now: value })),
    )
    // Judged against itself: only for what the next revision has to remember of it.
    const { remembers } = judgeEdit(set, {
      now: look.now,
      slices: new Map(slices.map((slice) => [slice.id, slice])),
      ended: [],
      remembered: NOTHING_REMEMBERED,
    })
    const revision: Revision = {
      id: deps.ids.next('rev'),
      digest: set.digest,
      base: null,
      proposedBy: byOf(context.caller),
      proposedAt: look.now,
      state: 'in force',
      narrowings: [],
      warnings: set.warnings.map(faultLine),
      remembers,
    }
    const subject = { revision: revision.id }
    return ok({
      value: revision,
      put: [
        ...slices.map((row): Row => ({ kind: 'slice', row })),
        ...rows.put,
        { kind: 'revision' as const, row: revision },
        {
          kind: 'installation' as const,
          row: { ...(installation ?? { ...NEW_LOCKABLE, id: 'self' }), initializedAt: look.now, revision: set.digest },
        },
      ],
      records: [
        recordOf(
          context,
          look.now,
          'installation.initialized',
          { ...subject, owner: personal(input.ownerEmail) },
          {
            owner: personal(input.ownerEmail),
            revision: set.digest,
            issuer: deps.settings.issuer,
          },
        ),
        recordOf(context, look.now, 'revision.proposed', subject, {
          revision: revision.id,
          digest: set.digest,
          base: null,
          source: 'init',
          narrowings: 0,
          widenings: slices.length,
        }),
        recordOf(context, look.now, 'revision.in_force', subject, {
          revision: revision.id,
          digest: set.digest,
          replaced: null,
          narrowings: 0,
          waiting: 0,
        }),
      ],
    })
  })
  return done.ok ? ok(done.value.value) : done
}
