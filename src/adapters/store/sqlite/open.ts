// Opens the database files: one process at a time, readable by their owner alone, every commit on the disk before it
// counts. It never waits for another process.

import { chmodSync, closeSync, existsSync, openSync } from 'node:fs'
import Sqlite, { type Database } from 'better-sqlite3'
import { StoreUnavailable } from '../../../actions/ports.ts'
import { openWriter } from './open-writer.ts'
import { migrate } from './schema.ts'

export type Held = {
  /** Reads never use the writer's handle. */
  readonly reader: Database
  /** Lets somebody else hold it. Nothing of it may still be open, in this thread or another. */
  release(): void
}

/**
 * Takes the store for this process and brings its schema up to date.
 * Throws StoreUnavailable where another process holds it, and Error where the file is no store or one of a newer version.
 */
export function holdStore(path: string, now: Date): Held {
  const opened: Database[] = []
  const close = () => {
    for (const db of opened.splice(0).reverse()) db.close()
  }
  try {
    opened.push(lockOf(`${path}.lock`))
    restrict(path)
    const writer = openWriter(path)
    opened.push(writer)
    migrate(writer, now)
    const reader = new Sqlite(path, { readonly: true, timeout: 0 })
    opened.push(reader)
    reader.pragma('trusted_schema = OFF')
    // It sees the log that is written ahead before the writer that made it goes.
    reader.prepare('select size from head').get()
    writer.close()
    return { reader, release: close }
  } catch (thrown) {
    close()
    throw thrown
  }
}

/** The lock, held for the life of this process; the system gives it back however the process ends. */
function lockOf(file: string): Database {
  restrict(file)
  const lock = new Sqlite(file, { timeout: 0 })
  try {
    lock.exec('BEGIN EXCLUSIVE')
    return lock
  } catch (thrown) {
    lock.close()
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
