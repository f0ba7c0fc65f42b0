// What a tool holds beside what it should hold, sorted: managed, ghost, missing, over-scoped, unlocked, others. It only
// compares; whether a finding still holds is for whoever acts on it to look at again.

import type { ReconcilePolicy } from './manifest.ts'
import type { AccountState } from './model.ts'
import type { HeldAccount } from './target.ts'

/**
 * `ghost`: named as ours, and no row explains it. `unlocked`: ours, was confirmed gone, and is active again. `missing`:
 * should be there and is not, or is inactive. `over-scoped`, `under-scoped`: other rights than were given. `other`:
 * nobody of ours, and not expected.
 */
export const DRIFTS = ['ghost', 'unlocked', 'missing', 'over-scoped', 'under-scoped', 'other'] as const
export type Drift = (typeof DRIFTS)[number]

/** How a drill ended: `not made`; `unusable`: made, and its secret opened nothing; `outstanding`: not confirmed dead in time. */
export const DRILL_OUTCOMES = ['dead', 'not made', 'unusable', 'outstanding'] as const

/** An account as we know it. `rights` are those that its grant gives under the manifest in force; null: unknown. */
export type KnownAccount = {
  readonly id: string
  readonly name: string
  readonly state: AccountState
  readonly rights: readonly string[] | null
}

export type Finding = {
  readonly drift: Drift
  readonly name: string
  readonly account: string | null
  /** Over-scoped: what is too much; under-scoped: what is not there; else what it has. */
  readonly rights: readonly string[]
}

export type Sorted = { readonly managed: number; readonly findings: readonly Finding[] }

/** `ours` tells our names from others'. `known` has a row for each held name that has one, and each that should be held. */
export function sortHeld(
  held: readonly HeldAccount[],
  known: ReadonlyMap<string, KnownAccount>,
  ours: (name: string) => boolean,
  policy: Pick<ReconcilePolicy, 'others' | 'exempt'>,
): Sorted {
  const findings: Finding[] = []
  let managed = 0
  const active = new Set<string>()
  const isExpected = expected(policy.exempt)
  for (const account of held) {
    if (!account.active) continue
    active.add(account.name)
    const row = known.get(account.name)
    if (row === undefined) {
      const isOurs = ours(account.name)
      if (isOurs || (policy.others === 'report' && !isExpected(account.name)))
        findings.push({
          drift: isOurs ? 'ghost' : 'other',
          name: account.name,
          account: null,
          rights: account.rights,
        })
    } else if (row.state === 'gone')
      findings.push({ drift: 'unlocked', name: row.name, account: row.id, rights: account.rights })
    else if (row.state === 'present') {
      const found = rightsDrift(account.rights, row.rights)
      if (found === null) managed++
      else findings.push({ ...found, name: row.name, account: row.id })
    }
  }
  for (const { id, name, state } of known.values())
    if (state === 'present' && !active.has(name)) findings.push({ drift: 'missing', name, account: id, rights: [] })
  return { managed, findings }
}

function rightsDrift(
  has: readonly string[],
  should: readonly string[] | null,
): Pick<Finding, 'drift' | 'rights'> | null {
  if (should === null) return null
  const tooMuch = has.filter((right) => !should.includes(right))
  if (tooMuch.length > 0) return { drift: 'over-scoped', rights: tooMuch }
  const notThere = should.filter((right) => !has.includes(right))
  return notThere.length > 0 ? { drift: 'under-scoped', rights: notThere } : null
}

/** Whether a name fits one of these, `*` any run of characters; without a pattern engine that a name could stall. */
export function expected(exempt: readonly string[]): (name: string) => boolean {
  const patterns = exempt.map((pattern) => pattern.split('*'))
  return (name) => patterns.some((parts) => fits(name, parts))
}

function fits(name: string, parts: readonly string[]): boolean {
  const [first = '', ...rest] = parts
  if (rest.length === 0) return name === first
  const last = rest.pop() ?? ''
  if (!name.startsWith(first) || name.length < first.length + last.length || !name.endsWith(last)) return false
  let from = first.length
  const end = name.length - last.length
  for (const part of rest) {
    const at = name.indexOf(part, from)
    if (at === -1 || at + part.length > end) return false
    from = at + part.length
  }
  return true
}
