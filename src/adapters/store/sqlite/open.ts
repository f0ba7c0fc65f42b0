// Opens the database files: one process at a time, readable by their owner alone, every commit on the disk before it
// counts. It never waits for another process.

import { chmodSync, closeSync, existsSync, openSync } from 'node:fs'
import Sqlite, { type Database } from 'better-sqlite3'
import { StoreUnavailable } from '../../../actions/ports.ts'
import { migrate } from './schema.ts'

export type Handles = {
  readonly writer: Database
  /** Reads never use the writer's handle. */
  readonly reader: Database
  close(): void
}

/**
 * Throws StoreUnavailable where another process holds the store, and Error where the file is no store or one of a
 * newer version.
 */
export function openHandles(path: string, now: Date): Handles {
  const opened: Database[] = []
  const close = () => {
    for (const db of opened.splice(0)) db.close()
  }
  const open = (file: string, options?: Sqlite.Options): Database => {
    const db = new Sqlite(file, { ...options, timeout: 0 })
    opened.unshift(db)
    return db
  }
  try {
    hold(open, `${path}.lock`)
    restrict(path)
    const writer = open(path)
    writer.pragma('journal_mode = WAL')
    writer.pragma('synchronous = FULL')
    writer.pragma('trusted_schema = OFF')
    writer.pragma('cell_size_check = ON')
    migrate(writer, now)
    const reader = open(path, { readonly: true })
    reader.pragma('trusted_schema = OFF')
    // The lock goes last: nobody else starts while a handle is still open.
    return { writer, reader, close }
  } catch (thrown) {
    close()
    throw thrown
  }
}

/** Takes the lock for the life of this process; the system gives it back however the process ends. */
function hold(open: (file: string) => Database, file: string): void {
  restrict(file)
  const lock = open(file)
  try {
    lock.exec('BEGIN EXCLUSIVE')
  } catch (thrown) {
    if (thrown instanceof Sqlite.SqliteError && thrown.code.startsWith('SQLITE_BUSY')) {
      throw new StoreUnavailable('The store is held by another process. Speak to that one, or stop it first.')
    }
    throw thrown
  }
}

/** Creates the file for its owner alone. An existing one is never opened here: closing it would free SQLite's locks. */
function restrict(file: string): void {
  if (!existsSync(file)) closeSync(openSync(file, 'wx', 0o600))
  chmodSync(file, 0o600)
}
