// The one way an action changes something: look, judge, commit; what was looked at is asserted inside the commit.
// It must never let anything leave before the commit is durable (P1).

import type { Instant, Key, Kind, Row, Rows, Seq } from '../core/model.ts'
import { type Problem, problem } from '../core/problem.ts'
import { type Actor, type AuditRecord, personal, rfc3339, type Subject, seal } from '../core/record.ts'
import type { RecordBody, RecordKind } from '../core/record-kinds.ts'
import { err, ok, type Result } from '../core/result.ts'
import { pastOf } from './history.ts'
import type { Context, Deps, Lane, Member, Outcome, Snapshot } from './ports.ts'
import { StoreInDoubt, StoreUnavailable } from './ports.ts'
import { stepSpan } from './tracing.ts'

/** What an action wants done, judged from what it looked at. Without records nothing is committed. */
export type Intent<T> = {
  readonly value: T
  readonly put?: readonly Row[]
  readonly records: readonly AuditRecord[]
  readonly once?: Member['once']
  /** The earliest expiry that was judged. */
  readonly notAfter?: Instant | null
  /** The store's highest time becomes this instant, be it lower (S18). */
  readonly setsTime?: boolean
}

/** Reads within one attempt; every key read is asserted by the commit. */
export type Look = {
  readonly now: Instant
  read(keys: readonly Key[]): Promise<Snapshot>
  row<K extends Kind>(kind: K, id: string): Promise<Rows[K] | undefined>
}

export type Committed<T> = { readonly value: T; readonly seq: Seq }

const ATTEMPTS = 3

/** How often one member is handed to the store, where it is known that it was not written. */
const WRITES = 2

/**
 * Runs `attempt`, commits what it intends, and runs it again (at most three times) when something it looked at moved.
 * Refusals by the store become problems: `conflict` for a single-use value used before, `audit_unavailable` when the
 * record could not be made durable.
 */
export async function transact<T>(
  deps: Pick<Deps, 'store' | 'clock' | 'ids'>,
  lane: Lane,
  attempt: (look: Look) => Promise<Result<Intent<T>, Problem>>,
): Promise<Result<Committed<T>, Problem>> {
  for (let left = ATTEMPTS; left > 0; left--) {
    const versions = new Map<Key, number>()
    // What takes away works by any clock (S17): by one that went back it is judged and recorded at the highest time seen.
    const now = lane === 'narrowing' ? Math.max(deps.clock.now(), deps.store.highestTime()) : deps.clock.now()
    let seq = 0
    const read = async (keys: readonly Key[]) => {
      const snapshot = await deps.store.read(keys)
      for (const [key, version] of snapshot.versions) if (!versions.has(key)) versions.set(key, version)
      seq = snapshot.seq
      return snapshot
    }
    const row = async <K extends Kind>(kind: K, id: string) => (await read([`${kind}/${id}`])).get(kind, id)

    const judged = await stepSpan('decide', {}, () => attempt({ now, read, row })).catch((thrown: unknown) => {
      if (thrown instanceof StoreUnavailable) return err(auditUnavailable(thrown.message))
      throw thrown
    })
    if (!judged.ok) return judged
    const [first, ...rest] = judged.value.records.map((draft) => seal(draft, () => deps.ids.random(16)))
    if (first === undefined) return ok({ value: judged.value.value, seq })

    const put = judged.value.put ?? []
    const member: Member = {
      id: deps.ids.next('cmt'),
      lane,
      at: now,
      notAfter: judged.value.notAfter ?? null,
      expect: versions,
      put: [...put, ...pastOf(deps, now, put, versions)],
      once: judged.value.once ?? [],
      ...(judged.value.setsTime === true ? { setsTime: true } : {}),
      records: [first, ...rest],
    }
    const about = { 'hallpass.lane': lane, 'hallpass.records': member.records.length }
    const outcome = await stepSpan('store commit', about, () => durable(deps, member))
    if (!outcome.ok) return outcome
    if (outcome.value.ok) return ok({ value: judged.value.value, seq: outcome.value.last })
    const refused = refusalOf(deps, outcome.value)
    if (refused !== null) return err(refused)
  }
  return err(problem('conflict', 'What this rests on kept changing.', { retryable: true, hint: 'Try again.' }))
}

/**
 * Commits, and where the reply was lost asks what became of it before anything else happens. A narrowing that cannot be
 * made durable is insisted on: from then on this process denies everything, and says so (S17).
 */
async function durable(deps: Pick<Deps, 'store'>, member: Member): Promise<Result<Outcome, Problem>> {
  for (let left = WRITES; ; left--) {
    try {
      return ok(await deps.store.commit(member))
    } catch (thrown) {
      if (thrown instanceof StoreInDoubt) {
        const outcome = await deps.store.outcomeOf(thrown.commitId).catch(() => null)
        if (outcome !== null && outcome !== 'never') return ok(outcome)
        // It is known not to be there, and whoever knows that can write again.
        if (outcome === 'never' && left > 1) continue
      } else if (!(thrown instanceof StoreUnavailable)) throw thrown
      return err(member.lane === 'narrowing' ? await insisted(deps, member, thrown) : auditUnavailable(thrown.message))
    }
  }
}

async function insisted(deps: Pick<Deps, 'store'>, member: Member, thrown: Error): Promise<Problem> {
  const held = await deps.store.insist(member)
  const says = 'It is in force here, not yet durable: this broker denies everything until it can be written.'
  return problem('audit_unavailable', says, {
    hint:
      held === 'kept'
        ? 'An operator: make room on the disk, or mend it. A restart writes this first; nothing has to be repeated.'
        : 'An operator: make room on the disk, or mend it. It could not be kept for a restart: repeat after a restart.',
    detail: thrown.message,
  })
}

/** What whoever wants something is told while the store cannot be written (P1); `detail` is for the trail alone. */
export const auditUnavailable = (detail: string): Problem =>
  problem('audit_unavailable', 'The audit trail cannot be written, so nothing is issued or changed.', {
    retryable: true,
    retryAfterSeconds: 5,
    hint: 'Try again in a few seconds; tell an admin if it lasts.',
    detail,
  })

/** What whoever wants something is told while the clock is below the highest time seen (S18). */
export const clockWentBack = (): Problem =>
  problem('stale_view', 'The clock of the broker went backwards, so nothing is issued.', {
    retryable: true,
    hint: 'An operator: set the clock right; the broker goes on once it is past the highest time it has seen. Where it once ran ahead and is right now: `hallpass clock reset`, on the broker’s host.',
  })

/** Null: what was read moved; look again. */
function refusalOf({ clock, store }: Pick<Deps, 'store' | 'clock'>, outcome: Outcome & { ok: false }): Problem | null {
  switch (outcome.why) {
    case 'stale':
      return null
    case 'used':
      return problem('conflict', 'This was used before and works once.', { detail: `used: ${outcome.keys.join(', ')}` })
    case 'late':
      return problem('grant_expired', 'What this rests on expired meanwhile.', {
        hint: 'Ask again with request_access.',
      })
    case 'clock':
      // What waited for longer than the clock may step back looks like a step back. With the clock ahead of the log it is none.
      if (clock.now() >= store.highestTime()) return overloaded()
      return clockWentBack()
    case 'overloaded':
      return overloaded()
  }
}

const overloaded = () =>
  problem('overloaded', 'Too much is waiting to be written.', { retryable: true, retryAfterSeconds: 1 })

/** The caller as the trail names it. */
export function actorOf(caller: Context['caller']): Actor {
  switch (caller.role) {
    case 'agent':
      return { type: 'agent', id: caller.agent }
    case 'owner':
      return { type: 'owner', id: personal(caller.email) }
    case 'verifier':
      return { type: 'verifier', id: caller.tool }
    case 'operator':
      return { type: 'operator', id: 'socket' }
    case 'system':
      return { type: 'system', id: caller.part }
    default:
      return { type: caller.role, id: personal(caller.id) }
  }
}

/** A record of this call at this instant. E-mails and free text in it are `personal()`. */
export const recordOf = <K extends RecordKind>(
  context: Context,
  at: Instant,
  kind: K,
  subject: Subject,
  body: RecordBody<K>,
): AuditRecord =>
  ({
    v: 1,
    kind,
    at: rfc3339(at),
    actor: actorOf(context.caller),
    subject,
    request: context.requestId,
    body,
  }) as Extract<AuditRecord, { kind: K }>
