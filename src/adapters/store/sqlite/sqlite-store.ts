// The store on SQLite: one process, one writer in its own thread, memory that follows the log. Nothing is answered before
// it is on the disk and seen by this process's own reads.

import {
  type Clock,
  type ListQuery,
  type Log,
  type Page,
  type Snapshot,
  type Store,
  StoreUnavailable,
} from '../../../actions/ports.ts'
import { CLOCK_STEP_MS, STORE_WAITING } from '../../../core/limits.ts'
import { type Key, type Kind, keyOf, type Rows } from '../../../core/model.ts'
import { createFeed } from '../feed.ts'
import { type Intents, openIntents } from '../intents.ts'
import { partsOf } from '../rows.ts'
import { snapshotOf } from '../snapshot.ts'
import { createView, type Held } from '../view.ts'
import { createCommitLoop } from './commit-loop.ts'
import { holdStore } from './open.ts'
import { prepareReader, type Reader } from './reader.ts'
import { openReserve, type Reserve } from './reserve.ts'
import { startWriter, type WriterClient } from './writer-client.ts'

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
  /** Room kept on the disk for what takes away, and for what of it cannot be committed. */
  readonly reserveBytes?: number
  readonly intentBytes?: number
  /** The module that the writer's thread runs; a test's is a slower or a mortal one. */
  readonly thread?: URL
}

/**
 * Opens the store, creates it where there is none, and holds it until `close` or the end of this process.
 * @throws StoreUnavailable where another process holds it; Error where the file is no store or a newer one's.
 */
export async function openSqliteStore(options: SqliteStoreOptions): Promise<Store> {
  const { path, clock, log, skewMs = CLOCK_STEP_MS, keepChanges = 100_000, thread } = options
  const { reserveBytes = 16 * 1_048_576, intentBytes = 2 * 1_048_576 } = options
  const held = holdStore(path, new Date(clock.now()))
  const writer = await startWriter(
    { path, skewMs, keepChanges },
    { ...(log === undefined ? {} : { log }), ...(thread === undefined ? {} : { thread }) },
  ).catch((thrown: unknown) => {
    held.release()
    throw thrown
  })
  const close = async () => {
    // The writer goes last: it folds the log that is written ahead into the database.
    held.reader.close()
    await writer.close()
    held.release()
  }
  try {
    const reserve = await openReserve(`${path}.reserve`, reserveBytes, log)
    const intents = await openIntents(`${path}.intents`, intentBytes, log)
    return await createStore(options, { writer, reader: prepareReader(held.reader), reserve, intents, close })
  } catch (thrown) {
    await close()
    throw thrown
  }
}

export type Parts = {
  readonly writer: WriterClient
  readonly reader: Reader
  readonly reserve: Reserve
  readonly intents: Intents
  close(): Promise<void>
}

/** The store over its parts, which a test may damage. What was insisted on before is written before it is there. */
export async function createStore(options: SqliteStoreOptions, parts: Parts): Promise<Store> {
  const { clock, log, maxQueue = STORE_WAITING, maxGroup = 32 } = options
  const { writer, reader, reserve, intents } = parts
  const view = createView()
  const load = () =>
    reader.snapshot((head) => {
      view.load(reader.whole(), head.size)
      return head.time
    })
  const time = load()
  const feed = createFeed({ seq: view.seq, missed: reader.changes, isFresh: () => loop.fresh() })
  const loop = createCommitLoop({
    ...{ clock, log, writer, reader, reserve, intents, view, feed, load, time, maxQueue, maxGroup },
  })
  let closing: Promise<void> | null = null
  await loop.start()

  function read(keys: readonly Key[]): Snapshot {
    const found = new Map<Key, Held | null>()
    let isWhole = true
    for (const key of keys) {
      const held = view.at(key)
      if (held === undefined) isWhole = false
      else found.set(key, held)
    }
    if (isWhole) return snapshotOf(found, view.seq)
    const parts = keys.map((key) => ({ key, ...partsOf(key) }))
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

  /** Asked by every exchange that names a tool instead of a grant. */
  function activeGrants({ agent, tool }: Pair, limit: number): Page<'grant'> {
    const known = view.activeGrants(agent, tool)
    if (known !== undefined && known.length <= limit) return { rows: known, seq: view.seq, next: null }
    return reader.snapshot(({ size }) => {
      const page = reader.list({ kind: 'grant', where: { agent, tool, state: 'active' }, newestFirst: true, limit })
      if (page.next === null) view.fillGrants(agent, tool, page.rows, size)
      return { ...page, seq: size }
    })
  }

  /** Asked by every list and call of an agent over MCP. */
  function listOf<K extends Kind>(query: ListQuery<K>): Page<K> {
    const known = view.listed(query)
    if (known !== undefined) return { rows: known, seq: view.seq, next: null }
    return reader.snapshot(({ size }) => {
      const page = reader.list(query)
      if (page.next === null) view.fillList(query, page.rows, size)
      return { ...page, seq: size }
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
    commit: loop.commit,
    insist: loop.insist,
    async read(keys) {
      const known = loop.inDoubt.wait(keys)
      if (known !== undefined) await known
      return guarded(() => read(keys))
    },
    async outcomeOf(commitId) {
      await loop.fateKnown(commitId)
      return guarded(() => {
        const found = reader.outcome(commitId)
        return found === undefined ? 'never' : { ok: true, ...found }
      })
    },
    async list(query) {
      const pair = pairAsked(query)
      if (pair !== null) return guarded(() => activeGrants(pair, query.limit)) as Page<Kind> as Page<typeof query.kind>
      const { hash, ...others } = query.where ?? {}
      const isByHash = query.kind === 'bearer' && hash !== undefined && query.after === undefined
      if (!isByHash || Object.values(others).some((value) => value !== undefined)) return guarded(() => listOf(query))
      // A bearer token is checked by it: while it is being revoked, its row is in doubt like any other.
      const bearer = view.bearerByHash(hash)
      const known = bearer === undefined ? undefined : loop.inDoubt.wait([keyOf('bearer', bearer.id)])
      if (known !== undefined) await known
      return guarded(() => {
        const found = view.bearerByHash(hash)
        return { rows: found === undefined ? [] : [found as Rows[typeof query.kind]], seq: view.seq, next: null }
      })
    },
    changes: (after, signal) => feed.listen(after, signal),
    records: async (from, limit, filter) => guarded(() => reader.snapshot(() => reader.records(from, limit, filter))),
    tree: async () => guarded(() => reader.snapshot(({ size }) => ({ size, root: reader.root(size) }))),
    node: async (level, index) =>
      guarded(() => {
        const found = Number.isSafeInteger(level) && level >= 0 && index >= 0 ? reader.node(level, index) : undefined
        if (found === undefined) throw new RangeError(`the log has no complete subtree ${level}/${index}`)
        return found
      }),
    fresh: loop.fresh,
    // Nobody else writes, so that memory does not age.
    refresh: async () => {},
    hasRoom: loop.hasRoom,
    highestTime: loop.highestTime,
    close() {
      closing ??= loop.close().then(() => {
        feed.close()
        return parts.close()
      })
      return closing
    },
  }
}

type Pair = { readonly agent: string; readonly tool: string }

/** The agent and tool where all that is asked for is the active grants of one on the other, the newest first. */
function pairAsked({ kind, where = {}, after, newestFirst }: ListQuery<Kind>): Pair | null {
  const { agent, tool, state, ...others } = where
  const isPlain =
    after === undefined && newestFirst === true && Object.values(others).every((value) => value === undefined)
  return kind === 'grant' && isPlain && state === 'active' && agent !== undefined && tool !== undefined
    ? { agent, tool }
    : null
}
