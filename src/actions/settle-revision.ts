// Saying yes or no to what waits in a revision (S1–S3). One act settles all that the caller may settle; a yes binds the
// slice's digests, so what moved meanwhile is void. Nobody says yes by a right that the edit itself would give.

import { valueDigest } from '../core/compile-slices.ts'
import { move } from '../core/lifecycle.ts'
import { keyOf, type Revocation, type Row, type Slice, type Widening } from '../core/model.ts'
import { type Problem, problem } from '../core/problem.ts'
import { type AuditRecord, personal } from '../core/record.ts'
import { err, ok, type Result } from '../core/result.ts'
import { type SliceValue, sliceId } from '../core/slice.ts'
import { barredName, lockOn, needsMet, notYours, stillGiven, unfit } from './may-settle.ts'
import type { Context, Deps } from './ports.ts'
import { byOf } from './revoke.ts'
import { type CutOff, rowsForMoves } from './slice-rows.ts'
import { listAll } from './standing.ts'
import { followNarrowed, settleNarrowed, type Taken, takeNarrowed } from './take-narrowed.ts'
import { type Look, recordOf, transact } from './transact.ts'
import { subjectOf, voided } from './widenings.ts'

export type SettleInput = {
  /** A revision's id, or that of one widening. */
  readonly id: string
  readonly decision: 'accept' | 'decline'
  readonly reason: string | null
}

export type SettledRevision = {
  /** What this act touched, as it is now; one that still waits needs somebody else's yes too. */
  readonly settled: readonly Widening[]
  /** What waits in the revision for others. */
  readonly others: readonly Widening[]
  readonly revocations: readonly Revocation[]
}

/** `forbidden` says who can; `conflict` where nothing waits, or all that did has moved. */
export async function settleRevision(
  deps: Deps,
  context: Context,
  input: SettleInput,
): Promise<Result<SettledRevision, Problem>> {
  const lane = input.decision === 'accept' ? 'normal' : 'narrowing'
  const done = await transact<{ result: SettledRevision; taken: Taken }>(deps, lane, async (look) => {
    const broken = await unfit(look, context)
    if (broken !== null) return err(broken)
    const waiting = await waitingIn(deps, look, input.id)
    if (waiting.length === 0) return err(nothingWaits(input.id))
    const judged = await Promise.all(
      waiting.map(async (row) => {
        const widening = await stillGiven(look, row)
        return { widening, meets: await needsMet(look, context, widening) }
      }),
    )
    const mine = judged.filter(({ meets }) => meets.length > 0)
    if (mine.length === 0) return err(notYours(waiting))
    const free: typeof mine = []
    let locked: Problem | null = null
    for (const one of mine) {
      const refused = await lockOn(look, one.widening)
      if (refused === null) free.push(one)
      else locked = refused
    }
    if (locked !== null && free.length === 0) return err(locked)
    const act = input.decision === 'accept' ? accept : decline
    const acts = await act(deps, context, look, free, input.reason)
    if (!acts.ok) return acts
    const { settled, put, records, taken } = acts.value
    const others = judged
      .filter(({ widening }) => !free.some((one) => one.widening === widening))
      .map(({ widening }) => widening)
    return ok({ value: { result: { settled, others, revocations: [] }, taken }, put, records })
  })
  if (!done.ok) return done
  const { result, taken } = done.value.value
  const revocations = await followNarrowed(deps, context, taken)
  const stale = result.settled.length > 0 && result.settled.every(({ state }) => state === 'void')
  if (stale)
    return err(
      problem('conflict', 'What waited here has moved, so it can no longer be accepted.', {
        hint: 'Look at `hallpass revision list` for what waits now.',
      }),
    )
  return ok({ ...result, revocations })
}

type Mine = { readonly widening: Widening; readonly meets: readonly number[] }
type Acts = {
  readonly settled: readonly Widening[]
  readonly put: readonly Row[]
  readonly records: readonly AuditRecord[]
  readonly taken: Taken
}

const NOTHING_TAKEN: Taken = { put: [], records: [], revocations: [], quiet: [] }

async function decline(
  _: Deps,
  context: Context,
  look: Look,
  mine: readonly Mine[],
  reason: string | null,
): Promise<Result<Acts, Problem>> {
  const settled = mine.map(
    ({ widening }): Widening => ({
      ...move('widening', widening, 'declined'),
      decidedBy: byOf(context.caller),
      decidedAt: look.now,
    }),
  )
  return ok({
    settled,
    put: settled.map((row): Row => ({ kind: 'widening', row })),
    records: settled.map((widening) =>
      recordOf(context, look.now, 'widening.declined', subjectOf(widening), said(widening, reason)),
    ),
    taken: NOTHING_TAKEN,
  })
}

async function accept(
  deps: Deps,
  context: Context,
  look: Look,
  mine: readonly Mine[],
  reason: string | null,
): Promise<Result<Acts, Problem>> {
  const by = byOf(context.caller)
  const settled: Widening[] = []
  const records: AuditRecord[] = []
  const moved: Slice[] = []
  const before = new Map<string, SliceValue | null>()
  for (const { widening, meets } of mine) {
    const slice = await look.row('slice', widening.slice)
    const now = slice?.value ?? null
    if (valueDigest(now) !== widening.before || valueDigest(widening.to) !== widening.after) {
      settled.push({ ...move('widening', widening, 'void'), decidedAt: look.now })
      records.push(voided(context, look.now, widening, 'its slice moved'))
      continue
    }
    const given = [...widening.given, ...meets.map((need) => ({ need, by, at: look.now }))]
    const isMet = widening.needs.every((_, need) => given.some((one) => one.need === need))
    const barred = isMet && widening.to.of === 'agent' ? await barredName(deps, look, widening.to.name) : null
    if (barred !== null) return err(barred)
    const next = { ...widening, given }
    settled.push(isMet ? { ...move('widening', next, 'accepted'), decidedBy: by, decidedAt: look.now } : next)
    records.push(recordOf(context, look.now, 'widening.accepted', subjectOf(widening), said(widening, reason)))
    if (!isMet) continue
    before.set(widening.slice, now)
    moved.push({ id: widening.slice, value: widening.to, digest: widening.after, resumable: null })
  }
  const unmarked = moved.length === 0 ? null : await settleNarrowed(deps)
  if (unmarked !== null) return err(unmarked)
  const rows = await rowsForMoves(
    look,
    moved.map((slice) => ({ was: before.get(slice.id) ?? null, now: slice.value })),
  )
  const taken = await takenBy(deps, context, look, moved, before, rows.cutOff, settled[0]?.revision ?? '')
  return ok({
    settled,
    put: [
      ...settled.map((row): Row => ({ kind: 'widening', row })),
      ...moved.map((row): Row => ({ kind: 'slice', row })),
      ...rows.put,
      ...taken.put,
    ],
    records: [...records, ...taken.records],
    taken,
  })
}

/** A widening takes nothing, but for another connection under a tool's name: its grants end (S1). */
async function takenBy(
  deps: Deps,
  context: Context,
  look: Look,
  moved: readonly Slice[],
  before: ReadonlyMap<string, SliceValue | null>,
  cutOff: readonly CutOff[],
  revision: string,
): Promise<Taken> {
  const tools = cutOff.filter(({ kind }) => kind === 'tool').map(({ name }) => sliceId.tool(name))
  if (tools.length === 0) return NOTHING_TAKEN
  const inForce = new Map(tools.map((id) => [id, before.get(id) ?? null]))
  const next = new Map(moved.filter(({ id }) => tools.includes(id)).map(({ id, value }) => [id, value]))
  return takeNarrowed(deps, context, look, { inForce, next, cutOff, revision })
}

const said = (widening: Widening, reason: string | null) => ({
  revision: widening.revision,
  widening: widening.id,
  slice: widening.slice,
  before: widening.before,
  after: widening.after,
  ...(reason === null ? {} : { reason: personal(reason) }),
})

async function waitingIn(deps: Deps, look: Look, id: string): Promise<readonly Widening[]> {
  const listed = (await listAll(deps, 'widening', { revision: id, state: 'waiting' })).map((widening) => widening.id)
  const snapshot = await look.read((listed.length > 0 ? listed : [id]).map((widening) => keyOf('widening', widening)))
  return (listed.length > 0 ? listed : [id]).flatMap((widening) => {
    const row = snapshot.get('widening', widening)
    return row?.state === 'waiting' ? [row] : []
  })
}

const nothingWaits = (id: string): Problem =>
  problem('conflict', `Nothing waits in ${id}.`, {
    hint: 'Look at `hallpass revision list`: what waits moves on to the newest revision.',
  })
