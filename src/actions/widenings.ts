// Which widenings wait after an edit: an unchanged pair of digests stays as it was, over any number of unrelated edits;
// a pair that is proposed no more is void, and is asked again from the beginning when it returns (S3).

import type { AuthorityDiff, WideningDraft } from '../core/authority.ts'
import { move } from '../core/lifecycle.ts'
import { type Instant, keyOf, type Need, type Revision, type Row, type Widening } from '../core/model.ts'
import type { AuditRecord } from '../core/record.ts'
import type { Context, Deps } from './ports.ts'
import { listAll } from './standing.ts'
import { type Look, recordOf } from './transact.ts'

export type Waiting = {
  readonly put: readonly Row[]
  readonly records: readonly AuditRecord[]
  /** All that wait now, old and new. */
  readonly waiting: readonly Widening[]
  /** Those that did not wait before. */
  readonly fresh: readonly Widening[]
}

/** `current` is the revision before; its widenings are read through `look`, so that the commit asserts them. */
export async function waitingAfter(
  deps: Deps,
  context: Context,
  look: Look,
  diff: AuthorityDiff,
  current: Revision | null,
  revision: string,
): Promise<Waiting> {
  const before = current === null ? [] : await undecidedOf(deps, look, current.id)
  const put: Row[] = []
  const records: AuditRecord[] = []
  const waiting: Widening[] = []
  const fresh: Widening[] = []
  const left = new Map(before.map((widening) => [pairOf(widening), widening]))
  for (const draft of diff.widenings) {
    const known = left.get(pairOf(draft))
    left.delete(pairOf(draft))
    const widening =
      known === undefined ? newWidening(deps, draft, revision, look.now) : carried(known, draft, revision)
    put.push({ kind: 'widening', row: widening })
    if (widening.state === 'waiting') waiting.push(widening)
    if (known === undefined) fresh.push(widening)
  }
  for (const widening of left.values()) {
    if (widening.state !== 'waiting') continue
    put.push({ kind: 'widening', row: { ...move('widening', widening, 'void'), decidedAt: look.now } })
    records.push(voided(context, look.now, widening, 'what was proposed moved'))
  }
  return { put, records, waiting, fresh }
}

export const voided = (context: Context, at: Instant, widening: Widening, because: string): AuditRecord =>
  recordOf(context, at, 'widening.voided', subjectOf(widening), {
    revision: widening.revision,
    widening: widening.id,
    slice: widening.slice,
    because,
  })

/** The agent and tool that a widening is about. */
export function subjectOf({ slice, revision }: Pick<Widening, 'slice' | 'revision'>) {
  const [of, first = '', second = ''] = slice.split('/')
  if (of === 'agent') return { revision, agent: first }
  if (of === 'access') return { revision, agent: first, tool: second }
  return of === 'tool' ? { revision, tool: first } : { revision }
}

async function undecidedOf(deps: Deps, look: Look, revision: string): Promise<readonly Widening[]> {
  const listed = [
    ...(await listAll(deps, 'widening', { revision, state: 'waiting' })),
    ...(await listAll(deps, 'widening', { revision, state: 'declined' })),
  ]
  if (listed.length === 0) return []
  const snapshot = await look.read(listed.map(({ id }) => keyOf('widening', id)))
  return listed.flatMap(({ id }) => snapshot.get('widening', id) ?? [])
}

const pairOf = ({ slice, before, after }: Pick<Widening, 'slice' | 'before' | 'after'>) => `${slice} ${before} ${after}`

const newWidening = (deps: Deps, draft: WideningDraft, revision: string, at: Instant): Widening => ({
  ...draft,
  id: deps.ids.next('wid'),
  revision,
  given: [],
  state: 'waiting',
  decidedBy: null,
  decidedAt: null,
  createdAt: at,
})

/** The same pair in a later revision. A need keeps the people it began with, unless none of them is left (S2). */
function carried(known: Widening, draft: WideningDraft, revision: string): Widening {
  if (known.state !== 'waiting') return { ...known, revision }
  const needs = draft.needs.map((need): Need => {
    const began = known.needs.find((other) => isSameNeed(other, need))
    return began?.eligible.some((person) => need.eligible.includes(person)) ? began : need
  })
  const given = known.given.flatMap(({ need, by, at }) => {
    const was = known.needs[need]
    const now = needs.findIndex((other) => was !== undefined && isSameNeed(other, was))
    return now >= 0 && (needs[now]!.as === 'admin' || needs[now]!.eligible.includes(by)) ? [{ need: now, by, at }] : []
  })
  return { ...known, revision, to: draft.to, diff: draft.diff, needs, given }
}

const isSameNeed = (a: Need, b: Need) => a.as === b.as && a.of === b.of
