// Which engine the tests run on: SQLite in a folder, or PostgreSQL where HALLPASS_TEST_STORE says so.

import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { inject } from 'vitest'
import type { Clock, Store } from '../../src/actions/ports.ts'
import { openPostgresStore } from '../../src/adapters/store/postgres/postgres-store.ts'
import { openSqliteStore } from '../../src/adapters/store/sqlite/sqlite-store.ts'
import { administer, freshSchema } from './postgres-schema.ts'

const isPostgres = process.env.HALLPASS_TEST_STORE === 'postgres'

/** Room kept on the disk: a test's disk has other things to do. Bytes. */
export const LITTLE_KEPT = { reserveBytes: 65_536, intentBytes: 65_536 }

export type TestStore = {
  /** Opens it, or opens it again after it was closed. */
  open(): Promise<Store>
  /** The bytes of everything that the store keeps. */
  kept(): Promise<Buffer[]>
  /** After it was closed. */
  forget(): Promise<void>
}

/** `path` is in a folder of its own, which whoever made it removes. */
export function testStore(path: string, { now, monotonic }: Clock): TestStore {
  if (!isPostgres) {
    const folder = dirname(path)
    return {
      open: () => openSqliteStore({ path, clock: { now, monotonic }, ...LITTLE_KEPT }),
      kept: async () => readdirSync(folder).map((name) => readFileSync(join(folder, name))),
      forget: async () => {},
    }
  }
  const url = inject('postgresServer').url
  const schema = freshSchema(url)
  // How old its knowledge is goes by true time: a clock that a test moves by an hour would make it an hour old.
  const clock = { now, monotonic: () => performance.now() }
  return {
    open: () => openPostgresStore({ url, schema: schema.name, clock }),
    kept: schema.contents,
    forget: schema.drop,
  }
}

let made = 0

/** For a whole broker: the address of a database of its own, or nothing, and then it is SQLite in the data folder. */
export async function testDatabase(): Promise<{ readonly database?: string }> {
  if (!isPostgres) return {}
  const url = new URL(inject('postgresServer').url)
  const name = `broker_${process.pid}_${++made}`
  await administer(url.href, `create database ${name}`)
  url.pathname = `/${name}`
  return { database: url.href }
}
