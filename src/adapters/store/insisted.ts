// The forms in which what was insisted on is written, once anything can be: it only takes away, so it must come to stand.

import type { Member } from '../../actions/ports.ts'
import type { Instant, Key } from '../../core/model.ts'

/** As it was judged; where that no longer fits, all the same, and no earlier than the highest time. */
export function formsOf(member: Member, highestTime: Instant): readonly [Member, Member] {
  const anyway = { expect: new Map<Key, number>(), once: [], notAfter: null, setsTime: false }
  return [member, { ...member, ...anyway, at: Math.max(member.at, highestTime) }]
}
