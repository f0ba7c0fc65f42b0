// Setting and lifting a lock (S12). Setting it kills the credentials for good and suspends grants; lifting revives none.

import { isLocked } from '../core/judge.ts'
import { move } from '../core/lifecycle.ts'
import {
  type Lock,
  type Lockable,
  type LockKind,
  NEW_LOCKABLE,
  type Revocation,
  type Row,
  raised,
} from '../core/model.ts'
import { type Problem, problem } from '../core/problem.ts'
import { personal, rfc3339 } from '../core/record.ts'
import { err, ok, type Result } from '../core/result.ts'
import { authorize } from './authorize.ts'
import { finishRevocation } from './finish-revocation.ts'
import type { Context, Deps } from './ports.ts'
import { byOf, newRevocation } from './revoke.ts'
import { type Look, recordOf, transact } from './transact.ts'

export type LockInput = {
  readonly kind: LockKind
  /** Ignored for `everything`. */
  readonly name: string
  readonly reason: string
  readonly forSeconds: number | null
  readonly revokeGrants: boolean
}

type Target = {
  readonly row: Lockable
  readonly put: (row: Lockable) => Row
  readonly owned: { agent?: string; tool?: string; owner?: string }
}

/** The row that the lock stands on. A person needs no row before; an agent or tool must have been in force once. */
async function targetOf(look: Look, kind: LockKind, name: string): Promise<Target | null> {
  switch (kind) {
    case 'agent': {
      const row = await look.row('agent', name)
      return row === undefined
        ? null
        : { row, owned: { agent: name }, put: (next) => ({ kind, row: { ...row, ...next } }) }
    }
    case 'tool': {
      const row = await look.row('tool', name)
      return row === undefined
        ? null
        : { row, owned: { tool: name }, put: (next) => ({ kind, row: { ...row, ...next } }) }
    }
    case 'owner': {
      const row = (await look.row('person', name)) ?? { ...NEW_LOCKABLE, id: name }
      return { row, owned: { owner: name }, put: (next) => ({ kind: 'person', row: { ...row, ...next } }) }
    }
    case 'everything': {
      const row = await look.row('installation', 'self')
      return row === undefined
        ? null
        : { row, owned: {}, put: (next) => ({ kind: 'installation', row: { ...row, ...next } }) }
    }
  }
}

const takesOf = (kind: LockKind, name: string): Revocation['takes'] => {
  switch (kind) {
    case 'agent':
      return [{ agent: name }]
    case 'tool':
      return [{ tool: name }]
    case 'owner':
      return [{ approver: name }]
    case 'everything':
      return [{}]
  }
}

export async function setLock(
  deps: Deps,
  context: Context,
  input: LockInput,
): Promise<Result<{ readonly lock: Lock; readonly revocation: Revocation }, Problem>> {
  const name =
    input.kind === 'everything' ? 'everything' : input.kind === 'owner' ? input.name.toLowerCase() : input.name
  const done = await transact(deps, 'narrowing', async (look) => {
    const target = await targetOf(look, input.kind, name)
    const refused = await authorize(look, context.caller, 'lock.set', target?.owned ?? {})
    if (refused !== null) return err(refused)
    if (target === null)
      return err(
        problem(
          input.kind === 'tool' ? 'unknown_tool' : input.kind === 'agent' ? 'unknown_agent' : 'not_initialized',
          `No ${input.kind} "${name}" was ever in force.`,
        ),
      )
    const revocation = newRevocation(deps, context, look.now, {
      act: 'locked',
      target: input.kind === 'everything' ? 'everything' : `${input.kind}/${name}`,
      agent: input.kind === 'agent' ? name : null,
      tool: input.kind === 'tool' ? name : null,
      reason: input.reason,
      takes: takesOf(input.kind, name),
    })
    const role = context.caller.role === 'owner' || context.caller.role === 'operator' ? context.caller.role : 'admin'
    const lock: Lock = {
      id: deps.ids.next('lck'),
      kind: input.kind,
      name,
      reason: input.reason,
      by: { role, id: byOf(context.caller) },
      setAt: look.now,
      until: input.forSeconds === null ? null : look.now + input.forSeconds * 1000,
      state: 'standing',
      liftedBy: null,
      liftedAt: null,
      revocation: revocation.id,
    }
    const standing = target.row.locks.filter((other) => other.until === null || look.now < other.until)
    const locked: Lockable = {
      ...raised(target.row, look.now, input.revokeGrants),
      locks: [...standing, { id: lock.id, until: lock.until, by: lock.by.role, since: look.now }],
    }
    return ok({
      value: { lock, revocation },
      put: [target.put(locked), { kind: 'lock' as const, row: lock }, { kind: 'revocation' as const, row: revocation }],
      records: [
        recordOf(
          context,
          look.now,
          'lock.set',
          { ...subjectOf(lock), revocation: revocation.id },
          {
            target: input.kind,
            reason: personal(input.reason),
            until: lock.until === null ? null : rfc3339(lock.until),
            revokeGrants: input.revokeGrants,
          },
        ),
      ],
    })
  })
  if (!done.ok) return done
  const { lock, revocation } = done.value.value
  if (lock.kind === 'agent') deps.notifier.notify({ type: 'agent.cut', agent: lock.name })
  if (lock.kind === 'everything') deps.notifier.notify({ type: 'agent.cut' })
  return ok({ lock, revocation: await finishRevocation(deps, revocation) })
}

export async function liftLock(
  deps: Deps,
  context: Context,
  input: { readonly lock: string; readonly reason: string | null },
): Promise<Result<Lock, Problem>> {
  const done = await transact<Lock>(deps, 'normal', async (look) => {
    const lock = await look.row('lock', input.lock)
    const own = lock?.by.role === 'owner' && context.caller.role === 'owner' && lock.by.id === context.caller.email
    const target = lock === undefined ? null : await targetOf(look, lock.kind, lock.name)
    const refused = await authorize(look, context.caller, own ? 'lock.lift_own' : 'lock.lift', {
      ...target?.owned,
      ...(lock === undefined ? {} : { owner: lock.by.id }),
    })
    if (refused !== null) return err(refused)
    if (lock === undefined || target === null)
      return err(problem('invalid_request', 'There is no such lock.', { missing: true }))
    if (lock.state === 'lifted') return ok({ value: lock, records: [] })
    const lifted: Lock = { ...move('lock', lock, 'lifted'), liftedBy: byOf(context.caller), liftedAt: look.now }
    return ok({
      value: lifted,
      put: [
        target.put({ ...target.row, locks: target.row.locks.filter((other) => other.id !== lock.id) }),
        { kind: 'lock' as const, row: lifted },
      ],
      records: [
        recordOf(
          context,
          look.now,
          'lock.lifted',
          subjectOf(lock),
          input.reason === null ? {} : { reason: personal(input.reason) },
        ),
      ],
    })
  })
  return done.ok ? ok(done.value.value) : done
}

const subjectOf = (lock: Lock) => ({
  lock: lock.id,
  ...(lock.kind === 'agent' ? { agent: lock.name } : {}),
  ...(lock.kind === 'tool' ? { tool: lock.name } : {}),
  ...(lock.kind === 'owner' ? { owner: personal(lock.name) } : {}),
})

/** Standing and not past its time. */
export const stands = (lock: Lock, now: number): boolean =>
  lock.state === 'standing' && isLocked({ ...NEW_LOCKABLE, locks: [{ id: lock.id, until: lock.until }] }, now)
