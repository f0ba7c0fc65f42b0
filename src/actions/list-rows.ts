// Lists, row by row, what a caller may see (S7): an agent its own, an owner what they own, readers all of it. A page is
// found by scanning in order of id, so that a cursor stays good whatever is added meanwhile.

import { type Act, cellOf, type MatrixRow } from '../core/matrix.ts'
import type { Kind, Rows } from '../core/model.ts'
import { type Problem, problem } from '../core/problem.ts'
import { err, ok, type Result } from '../core/result.ts'
import { authorize, ownersOf, type Target } from './authorize.ts'
import type { Caller, Context, Deps, Where } from './ports.ts'
import type { Look } from './transact.ts'

/** Rows looked at for one page: an owner who owns little is told to go on rather than kept waiting. */
const SCAN_MAX = 5_000
const CHUNK = 500

export type Reader = Pick<Look, 'read' | 'now'>
export const readerOf = (deps: Pick<Deps, 'store' | 'clock'>): Reader => ({
  now: deps.clock.now(),
  read: (keys) => deps.store.read(keys),
})

export type ListInput<K extends Kind> = {
  readonly kind: K
  readonly act: Act
  /** Whose row it is. */
  readonly about: (row: Rows[K]) => Target
  readonly where?: Where
  /** Keeps rows that no column finds. */
  readonly keep?: (row: Rows[K]) => boolean | Promise<boolean>
  readonly after?: string | undefined
  readonly limit: number
  readonly newestFirst?: boolean
}

export type Listed<R> = { readonly rows: readonly R[]; readonly next: string | null }

const matrixRows = (caller: Context['caller']): readonly MatrixRow[] =>
  caller.role === 'owner' ? ['agent-owner', 'tool-owner'] : caller.role === 'system' ? [] : [caller.role]

/** Is there anything at all that this caller may do this to? */
export const mayAtAll = (caller: Context['caller'], act: Act): boolean =>
  matrixRows(caller).some((row) => cellOf(row, act) !== 'no')

export const forbidden = (caller: Caller, act: Act): Problem =>
  problem(
    'forbidden',
    `This is not for ${caller.role === 'agent' || caller.role === 'owner' ? 'an' : 'the'} ${caller.role}.`,
    {
      hint: 'See who may do what: the owner of the agent decides for it, an admin takes away, an auditor reads.',
      detail: `${act} by ${caller.role}`,
    },
  )

/** A page of rows that the caller may see. It may be shorter than asked and still have a `next`. */
export async function listRows<K extends Kind>(
  deps: Pick<Deps, 'store' | 'clock'>,
  caller: Caller,
  input: ListInput<K>,
): Promise<Result<Listed<Rows[K]>, Problem>> {
  if (!mayAtAll(caller, input.act)) return err(forbidden(caller, input.act))
  const sees = seesRows(readerOf(deps), caller, input.act)
  const where =
    caller.role === 'agent' && input.kind !== 'agent' ? { ...input.where, agent: caller.agent } : input.where
  if (caller.role === 'agent' && (input.where?.agent ?? caller.agent) !== caller.agent)
    return err(forbidden(caller, input.act))
  const rows: Rows[K][] = []
  let after = input.after
  for (let looked = 0; looked < SCAN_MAX; looked += CHUNK) {
    const page = await deps.store.list({
      kind: input.kind,
      limit: CHUNK,
      newestFirst: input.newestFirst ?? false,
      ...(where === undefined ? {} : { where }),
      ...(after === undefined ? {} : { after }),
    })
    for (const [index, row] of page.rows.entries()) {
      if (!(await sees(input.about(row))) || (input.keep !== undefined && !(await input.keep(row)))) continue
      rows.push(row)
      const isLast = index === page.rows.length - 1 && page.next === null
      if (rows.length === input.limit) return ok({ rows, next: isLast ? null : row.id })
    }
    if (page.next === null) return ok({ rows, next: null })
    after = page.next
  }
  return ok({ rows, next: after ?? null })
}

/** The same question for many rows: owners are looked up once an agent or tool. */
export function seesRows(reader: Reader, caller: Caller, act: Act): (target: Target) => Promise<boolean> {
  const known = new Map<string, Promise<boolean>>()
  return (target) => {
    const key = `${target.agent ?? ''} ${target.tool ?? ''} ${target.owner ?? ''}`
    const before = known.get(key)
    if (before !== undefined) return before
    const answer = authorize(reader, caller, act, target).then((refused) => refused === null)
    known.set(key, answer)
    return answer
  }
}

/** Whether this person is an owner in force of the row's agent or tool. */
export function ownedBy(reader: Reader, email: string): (target: Target) => Promise<boolean> {
  const known = new Map<string, Promise<readonly string[]>>()
  const people = (kind: 'agent' | 'tool', name: string) => {
    const key = `${kind} ${name}`
    const found = known.get(key) ?? ownersOf(reader, kind, name)
    known.set(key, found)
    return found
  }
  return async ({ agent, tool }) =>
    (agent != null && (await people('agent', agent)).includes(email)) ||
    (tool != null && (await people('tool', tool)).includes(email))
}
