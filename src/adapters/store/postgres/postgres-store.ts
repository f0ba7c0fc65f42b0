// The store on PostgreSQL: groups of members through one connection, memory that follows the log whoever writes it.
// Nothing is answered before it is durable and seen by this process's own reads.

import { type Clock, type Log, type Snapshot, type Store, StoreUnavailable } from '../../../actions/ports.ts'
import { CLOCK_STEP_MS, STORE_WAITING } from '../../../core/limits.ts'
import { type Key, keyOf, type Rows, type Seq } from '../../../core/model.ts'
import { openIntents } from '../intents.ts'
import { partsOf } from '../rows.ts'
import { snapshotOf } from '../snapshot.ts'
import type { Held } from '../view.ts'
import { createCommitLoop } from './commit-loop.ts'
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
  /** File beside this process for what is taken away and cannot be written; without it, only memory has that (S17). */
  readonly intentsPath?: string
  /** Room taken for it ahead of need. */
  readonly intentBytes?: number
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
  const { clock, log, maxQueue = STORE_WAITING, maxGroup = 32 } = options
  const reader = createReader(lines.readers)
  const { intentsPath, intentBytes = 2 * 1_048_576 } = options
  const intents = intentsPath === undefined ? null : await openIntents(intentsPath, intentBytes, log)
  const upkeep = createUpkeep(lines.upkeep, options.keepChanges ?? 100_000, log)
  const since = clock.monotonic()
  // A listener hears of a database that does not answer by the heartbeat that stays away, and of the rest by a reload.
  const missed = (after: Seq, limit: number) =>
    reader.missed(after, limit).catch((thrown: unknown) => {
      if (thrown instanceof QueryError) return []
      throw thrown
    })
  const memory = createMemory(await reader.whole(), missed, () => loop.fresh())
  const { view } = memory
  const follower = follow({
    ...{ memory, reader, clock, log, since },
    line: lines.doorbell,
    onDifferent: (what) => loop.stop(what),
  })
  const writer = createWriter(lines.writer, channel, options.skewMs ?? CLOCK_STEP_MS)
  const loop = createCommitLoop({ clock, log, writer, memory, follower, upkeep, intents, maxQueue, maxGroup })
  let closing: Promise<void> | null = null
  onRing((from) => {
    if (from !== lines.writer.pid) follower.ring()
  })
  upkeep.after(view.seq, clock.now())
  await loop.start()

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
    commit: loop.commit,
    insist: loop.insist,
    read: (keys) =>
      guarded(async () => {
        await loop.inDoubt.wait(keys)
        return read(keys)
      }),
    outcomeOf: (commitId) =>
      guarded(async () => {
        await loop.fateKnown(commitId)
        const found = await reader.outcome(commitId)
        if (found === undefined) return 'never'
        await loop.seen(found.last + 1)
        return { ok: true, ...found }
      }),
    list: (query) =>
      guarded(async () => {
        const { hash, ...others } = query.where ?? {}
        const isByHash = query.kind === 'bearer' && hash !== undefined && query.after === undefined
        if (isByHash && Object.values(others).every((value) => value === undefined)) {
          // A bearer token is checked by it: while it is being revoked, its row is in doubt like any other.
          const known = view.bearerByHash(hash)
          if (known !== undefined) await loop.inDoubt.wait([keyOf('bearer', known.id)])
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
    fresh: loop.fresh,
    refresh: follower.wake,
    // The server's disk is the server's: a write that it refuses ends freshness.
    hasRoom: async () => true,
    highestTime: () => memory.time,
    close() {
      closing ??= loop.close().then(async () => {
        memory.feed.close()
        await Promise.all([follower.close(), upkeep.close()])
        await closeAll(lines)
      })
      return closing
    },
  }
}
