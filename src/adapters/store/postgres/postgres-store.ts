// The store on PostgreSQL: groups of members through one connection, memory that follows the log whoever writes it.
// Nothing is answered before it is durable and seen by this process's own reads. What is in doubt is settled before
// anything else is written; a log that is not the one that memory holds stops everything.

import {
  type Clock,
  type Log,
  type Member,
  type Outcome,
  type Snapshot,
  type Store,
  StoreInDoubt,
  StoreUnavailable,
} from '../../../actions/ports.ts'
import { type Key, keyOf, type Rows, type Seq } from '../../../core/model.ts'
import { createInDoubt } from '../in-doubt.ts'
import { formsOf } from '../insisted.ts'
import { type Prepared, prepare } from '../prepare.ts'
import { createQueue, footprint, type Waiting } from '../queue.ts'
import { partsOf } from '../rows.ts'
import { snapshotOf } from '../snapshot.ts'
import type { Held } from '../view.ts'
import { type Connections, connectionsTo, type Line, QueryError, type Readers } from './connections.ts'
import { follow } from './follower.ts'
import { createMemory } from './memory.ts'
import { createReader } from './reader.ts'
import { migrate } from './schema.ts'
import { checkServer, hold } from './server.ts'
import { createUpkeep } from './upkeep.ts'
import { createWriter } from './writer.ts'

export type PostgresStoreOptions = {
  /** postgres://user:password@host:port/database; no message repeats it. */
  readonly url: string
  readonly clock: Clock
  /** Where all tables are; made where there is none. */
  readonly schema?: string
  /** Nobody else may have it open with this; what only one process at a time may do can rely on it. */
  readonly exclusive?: boolean
  /** How far below the highest time seen a commit's clock may be. */
  readonly skewMs?: number
  readonly log?: Log
  /** Members that may wait, in each lane. */
  readonly maxQueue?: number
  readonly maxGroup?: number
  /** Commits that the change feed reaches back; beyond them a listener reloads. */
  readonly keepChanges?: number
  /** Connections for reads, besides three for writing, following and upkeep. */
  readonly maxReaders?: number
}

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

/**
 * Opens the store, and makes it where there is none. Several may be open over one database.
 * @throws StoreUnavailable where the database cannot be reached, does not keep what it commits, or is held; Error where its
 * schema is newer than this code; TypeError where `url` is no address.
 */
export async function openPostgresStore(
  options: PostgresStoreOptions,
  connect: (url: string, schema: string) => Connections = connectionsTo,
): Promise<Store> {
  const schema = options.schema ?? 'hallpass'
  if (!/^[a-z_][a-z0-9_]{0,50}$/.test(schema)) throw new TypeError(`${schema} is no name of a schema`)
  const connections = connect(options.url, schema)
  const channel = schema
  let onRing = (_from: number): void => {}
  const lines = {
    writer: connections.line('writer', { onConnect: checkServer }),
    doorbell: connections.line('doorbell', {
      onConnect: async (query) => {
        if (options.exclusive) await hold(query, schema)
        await query({ text: `listen "${channel}"` })
      },
      onNotification: (from) => onRing(from),
    }),
    upkeep: connections.line('upkeep'),
    readers: connections.readers(options.maxReaders ?? 8),
  }
  try {
    for (const line of [lines.writer, lines.doorbell]) await line.query({ text: 'select 1' })
    await migrate(lines.upkeep.query, schema, new Date(options.clock.now()))
    return await createStore(options, channel, lines, (ring) => {
      onRing = ring
    })
  } catch (thrown) {
    await closeAll(lines)
    throw thrown instanceof QueryError ? unavailable(thrown) : thrown
  }
}

const unavailable = ({ message }: QueryError) => new StoreUnavailable(`PostgreSQL: ${message}`)

type Lines = {
  readonly writer: Line
  readonly doorbell: Line
  readonly upkeep: Line
  readonly readers: Readers
}

async function closeAll({ writer, doorbell, upkeep, readers }: Lines): Promise<void> {
  await Promise.all([writer, doorbell, upkeep, readers].map((each) => each.close()))
}

async function createStore(
  options: PostgresStoreOptions,
  channel: string,
  lines: Lines,
  onRing: (ring: (from: number) => void) => void,
): Promise<Store> {
  const { clock, log, maxQueue = 10_000, maxGroup = 32 } = options
  const reader = createReader(lines.readers)
  const writer = createWriter(lines.writer, channel, options.skewMs ?? 2_000)
  const upkeep = createUpkeep(lines.upkeep, options.keepChanges ?? 100_000, log)
  const queue = createQueue<Flight>(maxQueue, maxGroup)
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

  const since = clock.monotonic()
  const fresh = () => isWritten && broken === null && closing === null && follower.isFresh()
  // A listener hears of a database that does not answer by the heartbeat that stays away, and of the rest by a reload.
  const missed = (after: Seq, limit: number) =>
    reader.missed(after, limit).catch((thrown: unknown) => {
      if (thrown instanceof QueryError) return []
      throw thrown
    })
  const memory = createMemory(await reader.whole(), missed, () => fresh())
  const { view } = memory
  const follower = follow({
    line: lines.doorbell,
    memory,
    reader,
    clock,
    log,
    since,
    onDifferent: stop,
  })
  onRing((from) => {
    if (from !== lines.writer.pid) follower.ring()
  })
  upkeep.after(view.seq, clock.now())

  function stop(what: string): void {
    broken = `The log is not what this process knows: ${what}. Nothing is issued until a restart.`
    log?.error({ what }, 'the log is not what this process knows')
  }

  function commit(member: Member): Promise<Outcome> {
    if (closing !== null) return Promise.reject(new StoreUnavailable('The store is closed.'))
    const { promise, resolve, reject } = Promise.withResolvers<Outcome>()
    const flight: Flight = { ...footprint(member), member, prepared: prepare(member), resolve, reject }
    if (!queue.add(flight)) return Promise.resolve({ ok: false, why: 'overloaded', keys: [] })
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
        fail(group, result.why, result.error)
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

  function fail(group: readonly Flight[], why: 'busy' | 'failed' | 'in doubt' | 'differs', error: string): void {
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

  async function read(keys: readonly Key[]): Promise<Snapshot> {
    const known = new Map<Key, Held | null>()
    for (const key of keys) {
      const { kind, id } = partsOf(key)
      const held = view.find(kind, id)
      if (held !== undefined) known.set(key, held)
    }
    if (known.size === new Set(keys).size) return snapshotOf(known, view.seq)
    // All of them anew: what memory knows may be of another size than what the database answers.
    const { found, size } = await reader.rows(keys)
    for (const [key, held] of found) if (held !== null) view.fill(partsOf(key).kind, held, size)
    return snapshotOf(found, size)
  }

  /** What the engine throws becomes the port's own error; faults of the program stay what they are. */
  async function guarded<T>(work: () => Promise<T>): Promise<T> {
    if (closing !== null) throw new StoreUnavailable('The store is closed.')
    try {
      return await work()
    } catch (thrown) {
      if (thrown instanceof QueryError) throw unavailable(thrown)
      throw thrown
    }
  }

  return {
    commit: async (member) => commit(member),
    // It is in force here at once; there is no file beside the database that would outlive this process.
    async insist(member) {
      log?.error({ commit: member.id }, 'something is taken away that cannot be written: everything is denied')
      isWritten = false
      if (!insisted.has(member.id)) insisted.set(member.id, { member, release: inDoubt.hold(member) })
      if (closing === null) probe()
      return 'in memory'
    },
    read: (keys) =>
      guarded(async () => {
        await inDoubt.wait(keys)
        return read(keys)
      }),
    outcomeOf: (commitId) =>
      guarded(async () => {
        if (doubted.has(commitId) && !(await recover())) {
          throw new StoreUnavailable('What became of it is not known yet.')
        }
        const found = await reader.outcome(commitId)
        if (found === undefined) return 'never'
        if (!(await memory.reached(found.last + 1, SEEN_MS))) throw new StoreUnavailable('It is not seen here yet.')
        return { ok: true, ...found }
      }),
    list: (query) =>
      guarded(async () => {
        const { hash, ...others } = query.where ?? {}
        const isByHash = query.kind === 'bearer' && hash !== undefined && query.after === undefined
        if (isByHash && Object.values(others).every((value) => value === undefined)) {
          // A bearer token is checked by it: while it is being revoked, its row is in doubt like any other.
          const known = view.bearerByHash(hash)
          if (known !== undefined) await inDoubt.wait([keyOf('bearer', known.id)])
          const bearer = view.bearerByHash(hash)
          return { rows: bearer === undefined ? [] : [bearer as Rows[typeof query.kind]], seq: view.seq, next: null }
        }
        const { rows, next, size } = await reader.list(query)
        return { rows, next, seq: size }
      }),
    changes: (after, signal) => memory.feed.listen(after, signal),
    records: (from, limit, filter) => guarded(() => reader.records(from, limit, filter)),
    tree: () => guarded(() => reader.tree()),
    node: (level, index) =>
      guarded(async () => {
        const isPlace = Number.isSafeInteger(level) && Number.isSafeInteger(index) && level >= 0 && index >= 0
        const found = isPlace ? await reader.node(level, index) : undefined
        if (found === undefined) throw new RangeError(`the log has no complete subtree ${level}/${index}`)
        return found
      }),
    fresh,
    highestTime: () => memory.time,
    async close() {
      if (closing !== null) return closing.promise
      closing = Promise.withResolvers<void>()
      if (!isFlying) closing.resolve()
      await closing.promise
      clearInterval(probing)
      memory.feed.close()
      await recovering
      await Promise.all([follower.close(), upkeep.close()])
      await closeAll(lines)
    },
  }
}
