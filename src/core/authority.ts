// What an edit changes (S1): each slice is at once the meet of what is in force and what is proposed; the rest waits as
// one widening a slice. Files are never compared, only effective authority, and nothing here accepts anything.

import { isDeepStrictEqual } from 'node:util'
import { type Authority, valueDigest } from './compile-slices.ts'
import { meet } from './meet.ts'
import type { Need } from './model.ts'
import { type Edit, editOf, isNamed, needsOf, ownersOf, peopleOf } from './needs.ts'
import { readableDiff } from './readable-diff.ts'
import type { SliceValue } from './slice.ts'

export type Narrowed = { readonly slice: string; readonly lines: readonly string[] }

/** What waits on one slice: from what is in force at once (`before`) to what is proposed (`after`). */
export type WideningDraft = {
  readonly slice: string
  readonly before: string
  readonly after: string
  readonly to: SliceValue
  readonly diff: readonly string[]
  readonly needs: readonly Need[]
}

/** Somebody had the last word on it before the edit and nobody has after; who may stand in (S2). */
export type Orphaned = { readonly of: 'agent' | 'tool' | 'team'; readonly name: string; readonly fallback: string }

export type AuthorityDiff = {
  /** Every slice that is in force or proposed → what is in force at once. */
  readonly next: Authority
  readonly narrowings: readonly Narrowed[]
  readonly widenings: readonly WideningDraft[]
  readonly orphaned: readonly Orphaned[]
}

/**
 * The diff of a whole set against all that is in force. `resumable`: values that an identical document would bring back
 * by itself (S3); a team that only they name is still named.
 */
export function diffSets(inForce: Authority, proposed: Authority, resumable: Iterable<SliceValue> = []): AuthorityDiff {
  const left = new Map<string, SliceValue | null>()
  const moved: string[] = []
  const edit = editOf(inForce, proposed, left, resumable)
  for (const id of [...new Set([...inForce.keys(), ...proposed.keys()])].sort()) {
    const was = inForce.get(id) ?? null
    const wanted = proposed.get(id) ?? null
    // Almost every slice of a large set: where nothing moved the very same value stays, so that whoever goes on sees it at a glance.
    const isUnmoved = isDeepStrictEqual(was, wanted)
    if (!isUnmoved) moved.push(id)
    left.set(id, isUnmoved ? was : isNeutral(edit, wanted) ? wanted : meet(was, wanted))
  }
  const narrowings: Narrowed[] = []
  const widenings: WideningDraft[] = []
  for (const id of moved) {
    const now = left.get(id) ?? null
    const was = inForce.get(id) ?? null
    const wanted = proposed.get(id) ?? null
    const before = valueDigest(now)
    const after = valueDigest(wanted)
    if (before !== valueDigest(was) && !isNeutral(edit, wanted))
      narrowings.push({ slice: id, lines: readableDiff(was, now, inForce) })
    if (wanted !== null && before !== after)
      widenings.push({
        slice: id,
        before,
        after,
        to: wanted,
        diff: readableDiff(now, wanted, proposed),
        needs: needsOf(edit, now, wanted),
      })
  }
  return { next: left, narrowings, widenings, orphaned: orphanedBy(inForce, left) }
}

/** Who is in a team that nothing names decides nothing. */
const isNeutral = (edit: Edit, wanted: SliceValue | null) => wanted?.of === 'team' && !isNamed(edit, wanted.name)

const FALLBACKS = {
  agent: 'an owner of each tool it has',
  tool: 'an admin',
  team: 'whoever decides for each thing it owns',
} as const

function orphanedBy(inForce: Authority, next: Authority): readonly Orphaned[] {
  const orphaned: Orphaned[] = []
  for (const [id, value] of next) {
    if (value === null || value.of === 'access') continue
    const people = (authority: Authority) => (value.of === 'team' ? peopleOf(authority, [id]) : ownersOf(authority, id))
    if (people(next).length === 0 && people(inForce).length > 0)
      orphaned.push({ of: value.of, name: value.name, fallback: FALLBACKS[value.of] })
  }
  return orphaned
}
