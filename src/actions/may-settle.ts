// Who may settle a widening now, and what stands in the way: rights are looked up at each use (S10), for people who were
// eligible since before the edit (S2). It decides nothing by itself.

import { confusableSkeleton } from '../core/confusable.ts'
import { isLocked, judgeInstallation } from '../core/judge.ts'
import { cellOf } from '../core/matrix.ts'
import type { Need, Widening } from '../core/model.ts'
import { type Problem, problem } from '../core/problem.ts'
import { sliceId } from '../core/slice.ts'
import { ownersOf, peopleOf } from './authorize.ts'
import type { Context, Deps } from './ports.ts'
import { listAll } from './standing.ts'
import type { Look } from './transact.ts'
import { subjectOf } from './widenings.ts'

/** The needs, not met yet, that this caller meets: eligible since before the edit, and in force as such now (S2). */
export async function needsMet(look: Look, { caller }: Context, widening: Widening): Promise<number[]> {
  const met: number[] = []
  for (const [index, need] of widening.needs.entries()) {
    if (widening.given.some((one) => one.need === index)) continue
    if (need.as === 'admin') {
      if (
        (caller.role === 'admin' || caller.role === 'operator') &&
        cellOf(caller.role, 'widening.accept_tool') === 'any'
      )
        met.push(index)
    } else if (caller.role === 'owner' && need.eligible.includes(caller.email)) {
      if ((await inForceAs(look, need)).includes(caller.email)) met.push(index)
    }
  }
  return met
}

/** The widening with the yeses that still count: who is removed or locked since decides nothing more (S2, S12). */
export async function stillGiven(look: Look, widening: Widening): Promise<Widening> {
  const given: Widening['given'][number][] = []
  for (const one of widening.given) {
    const need = widening.needs[one.need]
    if (need === undefined) continue
    const counts =
      need.as === 'admin' ||
      ((await inForceAs(look, need)).includes(one.by) && !isLocked(await look.row('person', one.by), look.now))
    if (counts) given.push(one)
  }
  return { ...widening, given }
}

const inForceAs = (look: Look, need: Need): Promise<readonly string[]> => {
  switch (need.as) {
    case 'owner of agent':
      return ownersOf(look, 'agent', need.of)
    case 'owner of tool':
      return ownersOf(look, 'tool', need.of)
    case 'member of team':
      return peopleOf(look, [sliceId.team(need.of)])
    case 'admin':
      return Promise.resolve([])
  }
}

/** Not set up, everything locked, or a person who is locked and decides nothing (S12). */
export async function unfit(look: Look, { caller }: Context): Promise<Problem | null> {
  const installation = (await look.row('installation', 'self')) ?? null
  const broken = judgeInstallation({ installation, now: look.now })
  if (broken !== null) return broken
  if (caller.role !== 'owner' || !isLocked(await look.row('person', caller.email), look.now)) return null
  return problem('forbidden', 'You are locked and can decide nothing.', { hint: 'Ask an admin to lift the lock.' })
}

/** While a lock stands on the agent or the tool, nothing is accepted for it (S12). */
export async function lockOn(look: Look, widening: Widening): Promise<Problem | null> {
  const { agent, tool } = { agent: undefined, tool: undefined, ...subjectOf(widening) }
  if (agent !== undefined) {
    const row = await look.row('agent', agent)
    if (row !== undefined && row.state !== 'active')
      return problem('agent_decommissioned', `${agent} is decommissioned: nothing is accepted for it any more.`)
    if (isLocked(row, look.now))
      return problem('agent_locked', `${agent} is locked: nothing is accepted for it.`, {
        hint: 'Lift the lock first.',
      })
  }
  if (tool !== undefined && isLocked(await look.row('tool', tool), look.now))
    return problem('tool_locked', `${tool} is locked: nothing is accepted for it.`, { hint: 'Lift the lock first.' })
  return null
}

/** A name that is, or looks like, a decommissioned one is not used again (S4). */
export async function barredName(deps: Deps, look: Look, name: string): Promise<Problem | null> {
  if ((await look.row('agent', name)) !== undefined) return null
  const skeleton = confusableSkeleton(name)
  for (const state of ['decommissioning', 'decommissioned'] as const)
    for (const ended of await listAll(deps, 'agent', { state }))
      if (ended.skeleton === skeleton)
        return problem('agent_decommissioned', `"${name}" looks like "${ended.id}", which is decommissioned.`, {
          hint: 'Choose another name.',
        })
  return null
}

export const notYours = (waiting: readonly Widening[]): Problem => {
  const lines = waiting.map(({ slice, needs, given }) => {
    const open = needs.filter((_, index) => !given.some((one) => one.need === index))
    return `${slice}: ${open.map(whoCan).join(', and ')}`
  })
  return problem('forbidden', 'You may not settle anything that waits here.', { hint: `Who can: ${lines.join('; ')}.` })
}

/** Who can meet a need, in words. */
const whoCan = ({ as, of, eligible }: Need): string => {
  if (as === 'admin') return `an admin (for ${of})`
  if (eligible.length === 0) return of === '' ? 'nobody until it asks for a tool' : `an ${as} ${of}, but nobody is left`
  return `${as === 'member of team' ? 'a' : 'an'} ${as} ${of} (${eligible.join(', ')})`
}
