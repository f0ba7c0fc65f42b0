// What waits to be written, group after group: whatever arrived while the last one flew. It alone tells memory what was
// committed. After a failed write nothing is fresh until a write succeeds and memory and log agree again.

import {
  type Clock,
  type Log,
  type Member,
  type Outcome,
  type Store,
  StoreInDoubt,
  StoreUnavailable,
} from '../../../actions/ports.ts'
import type { Instant } from '../../../core/model.ts'
import type { ChangeFeed } from '../feed.ts'
import { createInDoubt, type InDoubt } from '../in-doubt.ts'
import { formsOf } from '../insisted.ts'
import type { Intents } from '../intents.ts'
import { type Prepared, prepare } from '../prepare.ts'
import { createQueue, footprint, type Waiting } from '../queue.ts'
import type { View } from '../view.ts'
import type { Reader } from './reader.ts'
import type { Reserve } from './reserve.ts'
import type { GroupResult } from './writer.ts'
import type { WriterClient } from './writer-client.ts'

const TEND_MS = 1_000
const BUSY_RETRY_MS = 10
const BUSY_LIMIT_MS = 3_000
const CLOSED = 'The store is closed.'

type Flight = Waiting & {
  readonly member: Member
  readonly prepared: Prepared
  readonly resolve: (outcome: Outcome) => void
  readonly reject: (error: Error) => void
}

type Failure = GroupResult & { ok: false }

export type CommitLoop = Pick<Store, 'commit' | 'insist' | 'fresh' | 'hasRoom' | 'highestTime'> & {
  readonly inDoubt: Pick<InDoubt, 'wait'>
  /** Resolves where it is known whether this was committed; rejects with StoreUnavailable where it is not. */
  fateKnown(commitId: string): Promise<void>
  /** Writes what an earlier process insisted on; before anything is served. */
  start(): Promise<void>
  /** Lets what waits be written, and takes no more. */
  close(): Promise<void>
}

export function createCommitLoop(parts: {
  readonly clock: Clock
  readonly log?: Log | undefined
  readonly writer: WriterClient
  readonly reader: Pick<Reader, 'head'>
  readonly reserve: Reserve
  readonly intents: Intents
  readonly view: View
  readonly feed: ChangeFeed
  /** Reads memory anew from the log and answers its highest time. */
  readonly load: () => Instant
  readonly time: Instant
  readonly maxQueue: number
  readonly maxGroup: number
}): CommitLoop {
  const { clock, log, writer, reader, reserve, intents, view, feed, load } = parts
  const queue = createQueue<Flight>(parts.maxQueue, parts.maxGroup)
  const inDoubt = createInDoubt()
  const doubted = new Set<string>()
  /** Taken away in this process and not written yet: while there is one, everything is denied. */
  const insisted = new Map<string, { readonly member: Member; readonly release: () => void }>()
  let time = parts.time
  let isFresh = true
  /** There is room for narrowings alone. */
  let isLow = !reserve.isHeld()
  /** Why this store stopped for good. */
  let broken: string | null = null
  let closing: PromiseWithResolvers<void> | null = null
  let isRunning = false
  let turn: Promise<unknown> = Promise.resolve()
  let tending: ReturnType<typeof setInterval> | undefined

  async function commit(member: Member): Promise<Outcome> {
    if (closing !== null) throw new StoreUnavailable(CLOSED)
    if (isLow && member.lane === 'normal') throw noRoom()
    const { promise, resolve, reject } = Promise.withResolvers<Outcome>()
    const flight: Flight = { ...footprint(member), member, prepared: prepare(member), resolve, reject }
    if (!queue.add(flight)) return { ok: false, why: 'overloaded', keys: [] }
    if (!isRunning) void run()
    if (member.lane === 'normal') return promise
    const release = inDoubt.hold(member)
    return promise.finally(release)
  }

  async function run(): Promise<void> {
    isRunning = true
    while (queue.size > 0) {
      // Whoever was answered by the last group has its turn first, and may be in this one.
      await new Promise((resolve) => setImmediate(resolve))
      const group = queue.take()
      await inTurn(() => fly(group))
    }
    isRunning = false
    closing?.resolve()
  }

  /** Flights and recoveries, one at a time: memory is never read anew while a group is on its way. */
  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = turn.then(work)
    turn = done.then(nothing, nothing)
    return done
  }

  async function fly(group: readonly Flight[]): Promise<void> {
    if (!(await recovered())) {
      for (const { reject } of group) reject(new StoreUnavailable(broken ?? 'The store cannot be written.'))
      return
    }
    const flown = isLow ? narrowingsOf(group) : group
    if (flown.length === 0) return
    const result = await written(flown.map(({ prepared }) => prepared))
    if (result.ok) {
      flown.forEach(({ member, resolve }, index) => {
        const outcome = result.outcomes[index]!
        apply(member, outcome)
        resolve(outcome)
      })
    } else if (result.why === 'full') {
      runLow(result.error)
      const narrowings = narrowingsOf(flown)
      if (narrowings.length === 0) return
      if (reserve.release()) await fly(narrowings)
      else fail(narrowings, result)
    } else fail(flown, result)
  }

  /** The narrowings of a group; the others are refused for want of room. */
  function narrowingsOf(group: readonly Flight[]): Flight[] {
    for (const { member, reject } of group) if (member.lane === 'normal') reject(noRoom())
    return group.filter(({ member }) => member.lane === 'narrowing')
  }

  async function written(members: readonly Prepared[]): Promise<GroupResult> {
    for (const since = clock.monotonic(); ; ) {
      const result = await writer.commitGroup({ members, now: clock.now(), size: view.seq })
      if (result.ok || result.why !== 'busy' || clock.monotonic() - since >= BUSY_LIMIT_MS) return result
      await new Promise((resolve) => setTimeout(resolve, BUSY_RETRY_MS))
    }
  }

  /** Memory first, then the listeners; whoever asked comes after them. */
  function apply(member: Member, outcome: Outcome): void {
    if (!outcome.ok || outcome.first !== view.seq) return
    time = member.setsTime ? member.at : Math.max(time, member.at)
    const change = { first: outcome.first, last: outcome.last, at: member.at, put: member.put }
    view.apply(change)
    feed.push(change)
  }

  function fail(group: readonly Flight[], { why, error }: Failure): void {
    isFresh = false
    log?.error({ why, error, members: group.length }, 'the store could not be written')
    if (why === 'differs')
      broken = `The log is not what this process knows: ${error}. Nothing is issued until a restart.`
    for (const { member, reject } of group) {
      if (why === 'in doubt') doubted.add(member.id)
      reject(why === 'in doubt' ? new StoreInDoubt(member.id) : new StoreUnavailable(broken ?? `Not written: ${error}`))
    }
    tend()
  }

  function runLow(error: string): void {
    if (!isLow) log?.error({ error }, 'the disk is full: only taking away is written')
    isLow = true
    tend()
  }

  /** Tries again every second, until all is well. */
  function tend(): void {
    tending ??= setInterval(async () => {
      const isWell = (await recover()) && (await reserve.restore())
      if (isWell && isLow) log?.info({}, 'there is room on the disk again')
      if (isWell) isLow = false
      if (isWell || closing !== null) stopTending()
    }, TEND_MS)
  }

  function stopTending(): void {
    clearInterval(tending)
    tending = undefined
  }

  const recover = () => (isFresh ? Promise.resolve(true) : inTurn(recovered))

  /** Tries to write; once that works the fate of every commit in doubt is known, and memory follows it. */
  async function recovered(): Promise<boolean> {
    if (isFresh) return true
    if (broken !== null || (await writer.probe()) !== null) return false
    const { size } = reader.head()
    if (size < view.seq || (size > view.seq && doubted.size === 0)) {
      broken = `The log has ${size} records where memory has ${view.seq}. Nothing is issued until a restart.`
      log?.error({ size, known: view.seq }, 'the log is not what this process knows')
      return false
    }
    if (size > view.seq) {
      time = load()
      feed.restart(view.seq)
    }
    doubted.clear()
    if (!(await writeInsisted())) return false
    isFresh = true
    log?.info({ size: view.seq }, 'the store is written again')
    return true
  }

  async function writeInsisted(): Promise<boolean> {
    if (insisted.size === 0) return true
    for (const [id, { member, release }] of insisted) {
      if (!(await insistedOn(member))) return false
      release()
      insisted.delete(id)
    }
    log?.info({}, 'what was taken away without being written is written')
    await intents.clear()
    return true
  }

  async function insistedOn(member: Member): Promise<boolean> {
    for (const each of formsOf(member, time)) {
      let result = await written([prepare(each)])
      if (!result.ok && result.why === 'full') {
        runLow(result.error)
        if (reserve.release()) result = await written([prepare(each)])
      }
      if (!result.ok) {
        if (result.why === 'in doubt') doubted.add(member.id)
        return false
      }
      apply(each, result.outcomes[0]!)
      if (result.outcomes[0]!.ok) return true
    }
    return false
  }

  function denyUntilWritten(member: Member): void {
    isFresh = false
    if (!insisted.has(member.id)) insisted.set(member.id, { member, release: inDoubt.hold(member) })
  }

  return {
    commit,
    async insist(member) {
      log?.error({ commit: member.id }, 'something is taken away that cannot be written: everything is denied')
      denyUntilWritten(member)
      if (closing === null) tend()
      return (await intents.keep(member)) ? 'kept' : 'in memory'
    },
    fresh: () => isFresh && broken === null && closing === null,
    hasRoom: async () => !isLow && (await reserve.hasRoom()),
    highestTime: () => time,
    inDoubt,
    async fateKnown(commitId) {
      if (doubted.has(commitId) && !(await recover())) throw new StoreUnavailable('What became of it is not known yet.')
    },
    async start() {
      for (const member of intents.read()) denyUntilWritten(member)
      await recover()
      if (isLow) log?.error({}, 'the disk is nearly full: only taking away is written')
      if (!isFresh || isLow) tend()
    },
    async close() {
      if (closing !== null) return closing.promise
      closing = Promise.withResolvers<void>()
      stopTending()
      if (!isRunning) closing.resolve()
      await closing.promise
      await turn
    },
  }
}

const nothing = () => undefined

const noRoom = () => new StoreUnavailable('The disk is full: only what takes away is written.')
