// What waits to be written, group after group: whatever arrived while the last one flew. Nothing is answered before it is
// durable and seen by this process's own reads. What is in doubt is settled before anything else is written; a log that
// is not the one that memory holds stops everything.

import {
  type Clock,
  type Log,
  type Member,
  type Outcome,
  type Store,
  StoreInDoubt,
  StoreUnavailable,
} from '../../../actions/ports.ts'
import type { Seq } from '../../../core/model.ts'
import { createInDoubt, type InDoubt } from '../in-doubt.ts'
import { formsOf } from '../insisted.ts'
import type { Intents } from '../intents.ts'
import { type Prepared, prepare } from '../prepare.ts'
import { createQueue, footprint, type Waiting } from '../queue.ts'
import { QueryError } from './connections.ts'
import type { Follower } from './follower.ts'
import type { Memory } from './memory.ts'
import type { Upkeep } from './upkeep.ts'
import type { GroupResult, Writer } from './writer.ts'

const PROBE_MS = 1_000
const BUSY_RETRY_MS = 10
const BUSY_LIMIT_MS = 3_000
/** How long a commit that is durable waits to be seen here, before it is called in doubt. */
const SEEN_MS = 5_000

type Flight = Waiting & {
  readonly member: Member
  readonly prepared: Prepared
  readonly resolve: (outcome: Outcome) => void
  readonly reject: (error: Error) => void
}

export type CommitLoop = Pick<Store, 'commit' | 'insist' | 'fresh'> & {
  readonly inDoubt: Pick<InDoubt, 'wait'>
  /** Resolves where it is known whether this was committed; rejects with StoreUnavailable where it is not. */
  fateKnown(commitId: string): Promise<void>
  /** Resolves once memory shows everything below `seq`; rejects with StoreUnavailable where that takes too long. */
  seen(seq: Seq): Promise<void>
  /** The log is not what memory holds: nothing is issued until a restart. */
  stop(what: string): void
  /** Writes what an earlier process insisted on; before anything is served. */
  start(): Promise<void>
  /** Lets what waits be written, and takes no more. */
  close(): Promise<void>
}

export function createCommitLoop(parts: {
  readonly clock: Clock
  readonly log: Log | undefined
  readonly writer: Writer
  readonly memory: Memory
  readonly follower: Pick<Follower, 'look' | 'ring' | 'sawAt' | 'isFresh'>
  readonly upkeep: Pick<Upkeep, 'after'>
  readonly intents: Intents | null
  readonly maxQueue: number
  readonly maxGroup: number
}): CommitLoop {
  const { clock, log, writer, memory, follower, upkeep, intents } = parts
  const { view } = memory
  const queue = createQueue<Flight>(parts.maxQueue, parts.maxGroup)
  const inDoubt = createInDoubt()
  const doubted = new Set<string>()
  /** Taken away in this process and not written yet: while there is one, everything is denied. */
  const insisted = new Map<string, { readonly member: Member; readonly release: () => void }>()
  let isWritten = true
  /** Why this store stopped for good. */
  let broken: string | null = null
  let closing: PromiseWithResolvers<void> | null = null
  let isFlying = false
  let recovering: Promise<boolean> | null = null
  let probing: ReturnType<typeof setInterval> | undefined

  function stop(what: string): void {
    broken = `The log is not what this process knows: ${what}. Nothing is issued until a restart.`
    log?.error({ what }, 'the log is not what this process knows')
  }

  async function commit(member: Member): Promise<Outcome> {
    if (closing !== null) throw new StoreUnavailable('The store is closed.')
    const { promise, resolve, reject } = Promise.withResolvers<Outcome>()
    const flight: Flight = { ...footprint(member), member, prepared: prepare(member), resolve, reject }
    if (!queue.add(flight)) return { ok: false, why: 'overloaded', keys: [] }
    schedule()
    if (member.lane === 'normal') return promise
    const release = inDoubt.hold(member)
    return promise.finally(release)
  }

  function schedule(): void {
    if (isFlying) return
    isFlying = true
    setImmediate(async () => {
      for (let group = queue.take(); group.length > 0; group = queue.take()) await fly(group)
      isFlying = false
      closing?.resolve()
    })
  }

  async function fly(group: readonly Flight[]): Promise<void> {
    if (broken !== null || (!isWritten && !(await recover()))) {
      for (const { reject } of group) reject(new StoreUnavailable(broken ?? 'The store cannot be written.'))
      return
    }
    const members = group.map(({ prepared }) => prepared)
    const since = clock.monotonic()
    for (;;) {
      const sentAt = clock.monotonic()
      const result = await writer.commitGroup({ members, now: clock.now(), known: view.seq, tail: memory.tail })
      if (result.ok) {
        settle(group, result.outcomes)
        if (view.seq >= result.size) follower.sawAt(sentAt)
        else follower.ring()
        return
      }
      if (result.why !== 'busy' || clock.monotonic() - since >= BUSY_LIMIT_MS) {
        fail(group, result)
        return
      }
      await new Promise((resolve) => setTimeout(resolve, BUSY_RETRY_MS))
    }
  }

  /** Memory first, then the listeners, then whoever asked: at once where nobody else wrote in between. */
  function settle(group: readonly Flight[], outcomes: readonly Outcome[]): void {
    for (const [index, { member, resolve, reject }] of group.entries()) {
      const outcome = outcomes[index]!
      if (!outcome.ok) {
        resolve(outcome)
        continue
      }
      apply(member, outcome)
      memory.reached(outcome.last + 1, SEEN_MS).then((isSeen) => {
        if (isSeen) resolve(outcome)
        else reject(new StoreInDoubt(member.id))
      })
    }
    upkeep.after(view.seq, clock.now())
  }

  /** Unless others wrote in between: then the follower tells memory, in order. */
  function apply({ at, put, records, setsTime }: Member, { first, last }: Outcome & { ok: true }): void {
    if (first !== view.seq) return
    const time = setsTime ? at : Math.max(memory.time, at)
    memory.apply({ change: { first, last, at, put }, leaf: records.at(-1)!.leaf, time })
  }

  function fail(group: readonly Flight[], { why, error }: GroupResult & { ok: false }): void {
    isWritten = false
    log?.error({ why, error, members: group.length }, 'the store could not be written')
    if (why === 'differs') stop(error)
    for (const { member, reject } of group) {
      if (why === 'in doubt') doubted.add(member.id)
      reject(why === 'in doubt' ? new StoreInDoubt(member.id) : new StoreUnavailable(broken ?? `Not written: ${error}`))
    }
    probe()
  }

  function probe(): void {
    probing ??= setInterval(recover, PROBE_MS)
  }

  /** Tries to write; once that works the fate of every commit in doubt is fixed and memory follows it. */
  function recover(): Promise<boolean> {
    recovering ??= recoverOnce().finally(() => {
      recovering = null
    })
    return recovering
  }

  async function recoverOnce(): Promise<boolean> {
    if (broken !== null || closing !== null) return false
    // What was insisted on must still come to stand: writing it fixes its fate as well.
    const ids = [...doubted].filter((id) => !insisted.has(id))
    try {
      await writer.settle(ids, clock.now())
      await follower.look()
      if (!(await writeInsisted())) return false
    } catch (thrown) {
      if (thrown instanceof QueryError) return false
      throw thrown
    }
    if (broken !== null) return false
    for (const id of ids) doubted.delete(id)
    // Something may have failed, or been insisted on, meanwhile.
    if (doubted.size > 0 || insisted.size > 0) return false
    isWritten = true
    clearInterval(probing)
    probing = undefined
    log?.info({ size: view.seq }, 'the store is written again')
    return true
  }

  /** False where one of them is still not written. */
  async function writeInsisted(): Promise<boolean> {
    const hadSome = insisted.size > 0
    for (const [id, { member, release }] of insisted) {
      const last = await insistedOn(member)
      if (last === null) return false
      if (view.seq <= last) await follower.look()
      if (view.seq <= last) return false
      release()
      insisted.delete(id)
      doubted.delete(id)
      log?.info({ commit: id }, 'what was taken away without being written is written')
    }
    if (hadSome) await intents?.clear()
    return true
  }

  /** Index of its last record, or null. */
  async function insistedOn(member: Member): Promise<Seq | null> {
    const [asJudged, anyway] = formsOf(member, memory.time)
    // Its own id may have been settled as never, and no form of it is written under that any more.
    for (const form of [asJudged, anyway, { ...anyway, id: `${member.id}_anew` }]) {
      const group = { members: [prepare(form)], now: clock.now(), known: view.seq, tail: memory.tail }
      const result = await writer.commitGroup(group)
      if (!result.ok) {
        if (result.why === 'differs') stop(result.error)
        return null
      }
      const [outcome] = result.outcomes
      if (!outcome?.ok) continue
      apply(form, outcome)
      return outcome.last
    }
    return null
  }

  function denyUntilWritten(member: Member): void {
    isWritten = false
    if (!insisted.has(member.id)) insisted.set(member.id, { member, release: inDoubt.hold(member) })
  }

  return {
    commit,
    async insist(member) {
      log?.error({ commit: member.id }, 'something is taken away that cannot be written: everything is denied')
      denyUntilWritten(member)
      if (closing === null) probe()
      return (await intents?.keep(member)) ? 'kept' : 'in memory'
    },
    fresh: () => isWritten && broken === null && closing === null && follower.isFresh(),
    inDoubt,
    async fateKnown(commitId) {
      if (doubted.has(commitId) && !(await recover())) throw new StoreUnavailable('What became of it is not known yet.')
    },
    async seen(seq) {
      if (!(await memory.reached(seq, SEEN_MS))) throw new StoreUnavailable('It is not seen here yet.')
    },
    stop,
    async start() {
      for (const member of intents?.read() ?? []) denyUntilWritten(member)
      if (!isWritten && !(await recover())) probe()
    },
    async close() {
      if (closing !== null) return closing.promise
      closing = Promise.withResolvers<void>()
      if (!isFlying) closing.resolve()
      await closing.promise
      clearInterval(probing)
      await recovering
    },
  }
}
