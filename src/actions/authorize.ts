// May this caller do this to that? The matrix of S7, with rights looked up now, never frozen in a token (S10).

import { isLocked } from '../core/judge.ts'
import { type Act, may } from '../core/matrix.ts'
import { type Key, keyOf } from '../core/model.ts'
import { type Problem, problem } from '../core/problem.ts'
import { sliceId } from '../core/slice.ts'
import type { Context } from './ports.ts'
import type { Look } from './transact.ts'

type Reader = Pick<Look, 'read' | 'now'>

/** Resolves `team/NAME` to its members in force; e-mails stay. Sorted, unique. */
export async function peopleOf(reader: Reader, owners: readonly string[]): Promise<readonly string[]> {
  const teams = owners.filter((owner) => owner.startsWith('team/'))
  const people = new Set(owners.filter((owner) => !owner.startsWith('team/')))
  if (teams.length > 0) {
    const snapshot = await reader.read(teams.map((team) => keyOf('slice', team)))
    for (const team of teams) {
      const value = snapshot.get('slice', team)?.value
      if (value?.of === 'team') for (const member of value.members) people.add(member)
    }
  }
  return [...people].sort()
}

export async function ownersOf(reader: Reader, kind: 'agent' | 'tool', name: string): Promise<readonly string[]> {
  const id = sliceId[kind](name)
  const value = (await reader.read([keyOf('slice', id)])).get('slice', id)?.value
  return value?.of === 'agent' || value?.of === 'tool' ? peopleOf(reader, value.owners) : []
}

/** What an act is done to: whose rows they are, and for an owner's own lock, who set it. */
export type Target = { readonly agent?: string | null; readonly tool?: string | null; readonly owner?: string | null }

/** Null where the caller may; the refusal otherwise. A locked person decides nothing (S12), but may look. */
export async function authorize(
  reader: Reader,
  caller: Context['caller'],
  act: Act,
  target: Target = {},
): Promise<Problem | null> {
  const keys: Key[] = caller.role === 'owner' ? [keyOf('person', caller.email)] : []
  if (caller.role === 'owner' && !isReading(act)) {
    const person = (await reader.read(keys)).get('person', caller.email)
    if (isLocked(person, reader.now))
      return problem('forbidden', 'You are locked and can decide nothing.', { hint: 'Ask an admin to lift the lock.' })
  }
  const owned = caller.role === 'owner'
  const agentOwners = owned && target.agent ? await ownersOf(reader, 'agent', target.agent) : []
  const toolOwners = owned && target.tool ? await ownersOf(reader, 'tool', target.tool) : []
  const object = {
    ...(target.agent ? { agent: target.agent } : {}),
    ...(target.tool ? { tool: target.tool } : {}),
    ...(target.owner ? { owner: target.owner } : {}),
  }
  if (caller.role === 'system') return null
  if (may(caller, act, object, { agentOwners, toolOwners })) return null
  return problem('forbidden', `${describe(caller)} may not do this (${act}).`, {
    hint: 'See who may do what: the owner of the agent decides for it, an admin takes away, an auditor reads.',
    detail: `${act} by ${caller.role}`,
  })
}

const isReading = (act: Act) => act.endsWith('.see') || act.endsWith('.read') || act === 'can.ask'

function describe(caller: Context['caller']): string {
  switch (caller.role) {
    case 'agent':
      return `The agent ${caller.agent}`
    case 'owner':
      return `An owner (${caller.email})`
    case 'operator':
      return 'The operator'
    case 'system':
      return 'The broker'
    case 'verifier':
      return `The verifier of ${caller.tool}`
    default:
      return `An ${caller.role}`
  }
}
