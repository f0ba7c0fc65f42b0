// The one handle that writes. Whoever opens it holds the store already, and opens no second one beside it.

import Sqlite, { type Database } from 'better-sqlite3'

export function openWriter(path: string): Database {
  const writer = new Sqlite(path, { timeout: 0, fileMustExist: true })
  try {
    writer.pragma('journal_mode = WAL')
    writer.pragma('synchronous = FULL')
    writer.pragma('trusted_schema = OFF')
    writer.pragma('cell_size_check = ON')
    return writer
  } catch (thrown) {
    writer.close()
    throw thrown
  }
}
