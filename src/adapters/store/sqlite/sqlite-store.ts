// The store on SQLite: one process, one writer, memory that follows the log. Nothing is answered before it is on the
// disk and seen by this process's own reads; after a failed write it is not fresh until a write succeeds again.

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
import { type Key, type Kind, keyOf, type Rows } from '../../../core/model.ts'
import { createFeed } from '../feed.ts'
import { type Prepared, prepare } from '../prepare.ts'
import { createQueue, footprint, type Waiting } from '../queue.ts'
import { partsOf } from '../rows.ts'
import { createView, type Held } from '../view.ts'
import { openHandles } from './open.ts'
import { prepareReader, type Reader } from './reader.ts'
import { prepareUpkeep, type Upkeep } from './upkeep.ts'
import { prepareWriter, type Writer } from './writer.ts'

export type SqliteStoreOptions = {
  readonly path: string
  readonly clock: Clock
  /** How far below the highest time seen a commit's clock may be. */
  readonly skewMs?: number
  readonly log?: Log
  /** Members that may wait, in each lane. */
  readonly maxQueue?: number
  readonly maxGroup?: number
  /** Commits that the change feed reaches back; beyond them a listener reloads. */
  readonly keepChanges?: number
}

const PROBE_MS = 1_000
const BUSY_RETRY_MS = 10
const BUSY_LIMIT_MS = 3_000

type Flight = Waiting & {
  readonly member: Member
  readonly prepared: Prepared
  readonly resolve: (outcome: Outcome) => void
  readonly reject: (error: Error) => void
}

/**
 * Opens the store, creates it where there is none, and holds it until `close` or the end of this process.
 * @throws StoreUnavailable where another process holds it; Error where the file is no store or a newer one's.
 */
export async function openSqliteStore(options: SqliteStoreOptions): Promise<Store> {
  const handles = openHandles(options.path, new Date(options.clock.now()))
  try {
    const writer = prepareWriter(handles.writer, options.skewMs ?? 2_000)
    const upkeep = prepareUpkeep(handles.writer, options.keepChanges ?? 100_000, options.log)
    return createStore(options, { writer, upkeep, reader: prepareReader(handles.reader), close: handles.close })
  } catch (thrown) {
    handles.close()
    throw thrown
  }
}

export type Parts = {
  readonly writer: Writer
  readonly reader: Reader
  readonly upkeep: Upkeep
  close(): void
}

/** The store over its parts, which a test may damage. */
export function createStore(options: SqliteStoreOptions, parts: Parts): Store {
  const { clock, log, maxQueue = 10_000, maxGroup = 32 } = options
  const { writer, reader, upkeep } = parts
  const view = createView()
  const queue = createQueue<Flight>(maxQueue, maxGroup)
  const doubted = new Set<string>()
  let time = 0
  let isFresh = true
  /** Why this store stopped for good. */
  let broken: string | null = null
  let closing: PromiseWithResolvers<void> | null = null
  let isScheduled = false
  let probing: ReturnType<typeof setInterval> | undefined

  const load = () =>
    reader.snapshot((head) => {
      view.load(reader.whole(), head.size)
      time = head.time
    })
  load()
  const feed = createFeed({ seq: view.seq, missed: reader.changes, isFresh: () => isFresh })
  upkeep.catchUp(view.seq)

  function commit(member: Member): Promise<Outcome> {
    if (closing !== null) return Promise.reject(new StoreUnavailable('The store is closed.'))
    const { promise, resolve, reject } = Promise.withResolvers<Outcome>()
    const flight: Flight = { ...footprint(member), member, prepared: prepare(member), resolve, reject }
    if (!queue.add(flight)) return Promise.resolve({ ok: false, why: 'overloaded', keys: [] })
    schedule()
    return promise
  }

  function schedule(): void {
    if (isScheduled) return
    isScheduled = true
    setImmediate(() => {
      const group = queue.take()
      if (group.length > 0) fly(group, clock.monotonic())
      else land()
    })
  }

  function land(): void {
    isScheduled = false
    if (queue.size > 0) schedule()
    else closing?.resolve()
  }

  function fly(group: readonly Flight[], since: number): void {
    if (!isFresh && !recover()) {
      for (const { reject } of group) reject(new StoreUnavailable(broken ?? 'The store cannot be written.'))
      land()
      return
    }
    const members = group.map(({ prepared }) => prepared)
    const result = writer.commitGroup({ members, now: clock.now(), size: view.seq })
    if (result.ok) {
      settle(group, result.outcomes)
    } else if (result.why === 'busy' && clock.monotonic() - since < BUSY_LIMIT_MS) {
      setTimeout(() => fly(group, since), BUSY_RETRY_MS)
      return
    } else {
      fail(group, result.why, result.error)
    }
    land()
  }

  /** Memory first, then the listeners, then whoever asked. */
  function settle(group: readonly Flight[], outcomes: readonly Outcome[]): void {
    group.forEach(({ member, resolve }, index) => {
      const outcome = outcomes[index]!
      if (outcome.ok && outcome.first === view.seq) {
        time = Math.max(time, member.at)
        const change = { first: outcome.first, last: outcome.last, at: member.at, put: member.put }
        view.apply(change)
        feed.push(change)
      }
      resolve(outcome)
    })
    upkeep.after(view.seq, clock.now())
  }

  function fail(group: readonly Flight[], why: 'busy' | 'failed' | 'in doubt' | 'differs', error: string): void {
    isFresh = false
    log?.error({ why, error, members: group.length }, 'the store could not be written')
    if (why === 'differs')
      broken = `The log is not what this process knows: ${error}. Nothing is issued until a restart.`
    for (const { member, reject } of group) {
      if (why === 'in doubt') doubted.add(member.id)
      reject(why === 'in doubt' ? new StoreInDoubt(member.id) : new StoreUnavailable(broken ?? `Not written: ${error}`))
    }
    probing ??= setInterval(recover, PROBE_MS)
  }

  /** Tries to write; once that works the fate of every commit in doubt is known and memory follows it. */
  function recover(): boolean {
    if (broken !== null || writer.probe() !== null) return false
    const { size } = reader.head()
    if (size < view.seq || (size > view.seq && doubted.size === 0)) {
      broken = `The log has ${size} records where memory has ${view.seq}. Nothing is issued until a restart.`
      log?.error({ size, known: view.seq }, 'the log is not what this process knows')
      return false
    }
    if (size > view.seq) {
      load()
      feed.restart(view.seq)
    }
    doubted.clear()
    isFresh = true
    clearInterval(probing)
    probing = undefined
    log?.info({ size }, 'the store is written again')
    return true
  }

  function read(keys: readonly Key[]): Snapshot {
    const parts = keys.map((key) => ({ key, ...partsOf(key) }))
    const found = new Map<Key, Held | null>()
    for (const { key, kind, id } of parts) {
      const held = view.find(kind, id)
      if (held !== undefined) found.set(key, held)
    }
    if (parts.every(({ key }) => found.has(key))) return snapshotOf(found, view.seq)
    return reader.snapshot(({ size }) => {
      for (const { key, kind, id } of parts) {
        // Where the log is ahead of memory, nothing of memory belongs in this snapshot.
        if (size === view.seq && found.has(key)) continue
        const held = reader.row(kind, id) ?? null
        found.set(key, held)
        if (held !== null) view.fill(kind, held, size)
      }
      return snapshotOf(found, size)
    })
  }

  /** What the engine throws becomes the port's own error; faults of the program stay what they are. */
  function guarded<T>(work: () => T): T {
    if (closing !== null) throw new StoreUnavailable('The store is closed.')
    try {
      return work()
    } catch (thrown) {
      if (thrown instanceof Error && thrown.name === 'SqliteError') throw new StoreUnavailable(thrown.message)
      throw thrown
    }
  }

  return {
    commit: async (member) => commit(member),
    read: async (keys) => guarded(() => read(keys)),
    outcomeOf: async (commitId) =>
      guarded(() => {
        if (doubted.has(commitId) && !recover()) throw new StoreUnavailable('What became of it is not known yet.')
        const found = reader.outcome(commitId)
        return found === undefined ? 'never' : { ok: true, ...found }
      }),
    list: async (query) =>
      guarded(() => {
        const { hash, ...others } = query.where ?? {}
        const isByHash = query.kind === 'bearer' && hash !== undefined && query.after === undefined
        if (isByHash && Object.values(others).every((value) => value === undefined)) {
          const bearer = view.bearerByHash(hash)
          return { rows: bearer === undefined ? [] : [bearer as Rows[typeof query.kind]], seq: view.seq, next: null }
        }
        return reader.snapshot(({ size }) => ({ ...reader.list(query), seq: size }))
      }),
    changes: (after, signal) => feed.listen(after, signal),
    records: async (from, limit, filter) => guarded(() => reader.snapshot(() => reader.records(from, limit, filter))),
    tree: async () => guarded(() => reader.snapshot(({ size }) => ({ size, root: reader.root(size) }))),
    node: async (level, index) =>
      guarded(() => {
        const found = Number.isSafeInteger(level) && level >= 0 && index >= 0 ? reader.node(level, index) : undefined
        if (found === undefined) throw new RangeError(`the log has no complete subtree ${level}/${index}`)
        return found
      }),
    fresh: () => isFresh && broken === null && closing === null,
    highestTime: () => time,
    async close() {
      if (closing !== null) return closing.promise
      closing = Promise.withResolvers<void>()
      if (!isScheduled) closing.resolve()
      await closing.promise
      clearInterval(probing)
      feed.close()
      parts.close()
    },
  }
}

function snapshotOf(found: ReadonlyMap<Key, Held | null>, seq: number): Snapshot {
  const versions = new Map<Key, number>()
  for (const [key, held] of found) versions.set(key, held?.version ?? 0)
  return {
    seq,
    versions,
    get<K extends Kind>(kind: K, id: string) {
      const held = found.get(keyOf(kind, id))
      if (held === undefined) throw new Error(`${kind}/${id} was not asked for`)
      return held?.row as Rows[K] | undefined
    },
  }
}
