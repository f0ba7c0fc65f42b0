// Run before the broker (`node --import`), in each of its threads: the disk is what the file that CRASH_DISK names says
// of it, well where there is no such file. For places where nothing may be mounted; better-sqlite3 and node:fs are wrapped.

import fs from 'node:fs'
import fsPromises from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import Sqlite from 'better-sqlite3'

/** `full`: but for what is kept in reserve. */
export type Bent = 'full' | 'wholly full' | 'read-only'

const file = process.env.CRASH_DISK ?? ''

function bent(): Bent | null {
  try {
    return fs.readFileSync(file, 'utf8') as Bent
  } catch {
    return null
  }
}

/** As SQLite says it of a disk like that. */
function refuse(database: string): void {
  const how = bent()
  if (how === 'read-only') throw new Sqlite.SqliteError('disk I/O error', 'SQLITE_IOERR_WRITE')
  if (how === 'wholly full' || (how === 'full' && fs.existsSync(`${database}.reserve`)))
    throw new Sqlite.SqliteError('database or disk is full', 'SQLITE_FULL')
}

const { prepare } = Sqlite.prototype
Sqlite.prototype.prepare = function (this: Sqlite.Database, source: string) {
  const statement = prepare.call(this, source)
  if (this.readonly || !/^\s*(insert|update|delete)\b/i.test(source)) return statement
  const { run } = statement
  const value = (...bound: unknown[]) => {
    refuse(this.name)
    return Reflect.apply(run, statement, bound)
  }
  return Object.defineProperty(statement, 'run', { value })
} as typeof prepare

const { chmodSync } = fs
fs.chmodSync = (path, mode) => {
  if (bent() !== 'read-only') return chmodSync(path, mode)
  const said = `EROFS: read-only file system, chmod '${path}'`
  throw Object.assign(new Error(said), { code: 'EROFS', syscall: 'chmod', path })
}
const { statfs } = fsPromises
fsPromises.statfs = (async (path: fs.PathLike) => {
  const found = await statfs(path)
  return bent() === null ? found : Object.assign(found, { bavail: 0 })
}) as typeof statfs
syncBuiltinESMExports()
