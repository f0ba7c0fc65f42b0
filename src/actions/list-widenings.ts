// Widenings and revisions that a caller may see (S7): whoever may be asked to accept one, whoever owns what it touches,
// and those who read all. What is not theirs is left out, not merely marked.

import type { Revision, Widening } from '../core/model.ts'
import { type Problem, problem } from '../core/problem.ts'
import { err, ok, type Result } from '../core/result.ts'
import type { Target } from './authorize.ts'
import { forbidden, type Listed, mayAtAll, readerOf, seesRows } from './list-rows.ts'
import type { Caller, Deps } from './ports.ts'

/** The agent and tool that a slice is about. */
function targetOfSlice(slice: string): Target {
  const [of, first, second] = slice.split('/')
  if (of === 'agent') return { agent: first ?? null }
  if (of === 'access') return { agent: first ?? null, tool: second ?? null }
  return of === 'tool' ? { tool: first ?? null } : {}
}

type Reads = Pick<Deps, 'store' | 'clock'>

function seesWidenings(deps: Reads, caller: Caller): (widening: Widening) => Promise<boolean> {
  const sees = seesRows(readerOf(deps), caller, 'revision.see')
  return async (widening) =>
    (caller.role === 'owner' && widening.needs.some((need) => need.eligible.includes(caller.email))) ||
    sees(targetOfSlice(widening.slice))
}

/** May this caller meet a need of it that is still open? (S1, S2; judged again on acceptance.) */
export const mayMeet = (caller: Caller, widening: Widening): boolean =>
  widening.state === 'waiting' &&
  widening.needs.some(
    (need, index) =>
      !widening.given.some((given) => given.need === index) &&
      (need.as === 'admin'
        ? caller.role === 'admin' || caller.role === 'operator'
        : caller.role === 'owner' && need.eligible.includes(caller.email)),
  )

/** All widenings of one revision, or all that wait, as far as the caller may see them; at most 2,000. */
export async function listWidenings(
  deps: Reads,
  caller: Caller,
  where: { readonly revision?: string; readonly state?: 'waiting' },
): Promise<readonly Widening[]> {
  if (!mayAtAll(caller, 'revision.see')) return []
  const sees = seesWidenings(deps, caller)
  const seen: Widening[] = []
  let after: string | undefined
  do {
    const page = await deps.store.list({
      kind: 'widening',
      where,
      limit: 500,
      ...(after === undefined ? {} : { after }),
    })
    for (const row of page.rows) if (await sees(row)) seen.push(row)
    after = page.next ?? undefined
  } while (after !== undefined && seen.length < 2_000)
  return seen
}

export type SeenRevision = { readonly revision: Revision; readonly widenings: readonly Widening[] }

/** A revision with what the caller may see of it. To an owner of nothing in it, it is not there. */
export async function readRevision(deps: Reads, caller: Caller, id: string): Promise<Result<SeenRevision, Problem>> {
  if (!mayAtAll(caller, 'revision.see')) return err(forbidden(caller, 'revision.see'))
  const revision = (await deps.store.read([`revision/${id}`])).get('revision', id)
  const seen = revision === undefined ? null : await asSeen(deps, caller, revision)
  if (seen !== null) return ok(seen)
  if (caller.role === 'owner') return err(forbidden(caller, 'revision.see'))
  return err(problem('invalid_request', 'There is no such revision.', { missing: true }))
}

export async function listRevisions(
  deps: Reads,
  caller: Caller,
  input: { readonly state?: string; readonly after?: string; readonly limit: number },
): Promise<Result<Listed<SeenRevision>, Problem>> {
  if (!mayAtAll(caller, 'revision.see')) return err(forbidden(caller, 'revision.see'))
  const page = await deps.store.list({
    kind: 'revision',
    limit: input.limit,
    newestFirst: true,
    ...(input.state === undefined ? {} : { where: { state: input.state } }),
    ...(input.after === undefined ? {} : { after: input.after }),
  })
  const seen = await Promise.all(page.rows.map((revision) => asSeen(deps, caller, revision)))
  return ok({ rows: seen.filter((one) => one !== null), next: page.next })
}

/** An owner is not shown the narrowings: they name agents of others. */
async function asSeen(deps: Reads, caller: Caller, revision: Revision): Promise<SeenRevision | null> {
  const widenings = await listWidenings(deps, caller, { revision: revision.id })
  if (caller.role !== 'owner') return { revision, widenings }
  return widenings.length === 0 ? null : { revision: { ...revision, narrowings: [], warnings: [] }, widenings }
}
