// Mends the highest time seen after a clock that once ran ahead (S18): lowers it to now, and ends every session and
// credential, which may have been given times that are still to come. Used single-use values stay used.

import { type Revocation, raised } from '../core/model.ts'
import { type Problem, problem } from '../core/problem.ts'
import { rfc3339 } from '../core/record.ts'
import { err, ok, type Result } from '../core/result.ts'
import { authorize } from './authorize.ts'
import { finishRevocation } from './finish-revocation.ts'
import type { Context, Deps } from './ports.ts'
import { newRevocation } from './revoke.ts'
import { recordOf, transact } from './transact.ts'

export type ClockReset = {
  /** The highest time seen before. */
  readonly highest: number
  /** The highest time seen from here on. */
  readonly mark: number
  /** Grants were ended as well: at least one was given at a time that is still to come, and would outlast its approval. */
  readonly grantsToo: boolean
  readonly revocation: Revocation
}

/** `conflict` where the clock is not behind the highest time seen: there is nothing to mend. */
export async function resetClock(deps: Deps, context: Context): Promise<Result<ClockReset, Problem>> {
  const done = await transact<ClockReset>(deps, 'normal', async (look) => {
    const refused = await authorize(look, context.caller, 'clock.reset')
    if (refused !== null) return err(refused)
    const installation = await look.row('installation', 'self')
    if (installation === undefined)
      return err(problem('not_initialized', 'This broker has accepted no manifest set yet.'))
    const highest = deps.store.highestTime()
    if (highest <= look.now)
      return err(
        problem('conflict', 'The clock is not behind the highest time seen, so there is nothing to mend.', {
          hint: 'Set the clock of the host right first; then reset.',
        }),
      )
    // Ids are time-ordered: where any grant was made later than now, the last one was.
    const [newest] = (await deps.store.list({ kind: 'grant', limit: 1, newestFirst: true })).rows
    const grantsToo = newest !== undefined && newest.createdAt > look.now
    const revocation = newRevocation(deps, context, look.now, {
      act: 'clock reset',
      target: 'everything',
      agent: null,
      tool: null,
      reason: null,
      takes: [{}],
    })
    return ok({
      value: { highest, mark: look.now, grantsToo, revocation },
      put: [
        { kind: 'installation' as const, row: raised(installation, look.now, grantsToo) },
        { kind: 'revocation' as const, row: revocation },
      ],
      setsTime: true,
      records: [
        recordOf(
          context,
          look.now,
          'clock.reset',
          { revocation: revocation.id },
          { highest: rfc3339(highest), grantsToo },
        ),
      ],
    })
  })
  if (!done.ok) return done
  deps.notifier.notify({ type: 'agent.cut' })
  const { value } = done.value
  deps.expiry.restart(value.mark)
  return ok({ ...value, revocation: await finishRevocation(deps, value.revocation) })
}
