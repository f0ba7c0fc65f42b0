// A real store, with a clock that the test moves: SQLite in a temporary folder, or PostgreSQL where
// HALLPASS_TEST_STORE says so.

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inject } from 'vitest'
import type { Clock, Context, Ids, Log, Store } from '../../src/actions/ports.ts'
import { openPostgresStore } from '../../src/adapters/store/postgres/postgres-store.ts'
import { openSqliteStore } from '../../src/adapters/store/sqlite/sqlite-store.ts'
import { systemIds } from '../../src/adapters/system/ids.ts'
import { freshSchema } from './postgres-schema.ts'

export type MovableClock = Clock & { advance(seconds: number): void }

export function movableClock(start = Date.UTC(2026, 0, 15, 9)): MovableClock {
  let at = start
  return {
    now: () => at,
    monotonic: () => at,
    advance(seconds) {
      at += seconds * 1000
    },
  }
}

export type StoreOnDisk = {
  readonly store: Store
  readonly clock: MovableClock
  readonly ids: Ids
  readonly folder: string
  readonly path: string
  /** The bytes of everything that the store keeps. */
  kept(): Promise<Buffer[]>
  close(): Promise<void>
}

export async function storeOnDisk(): Promise<StoreOnDisk> {
  const folder = mkdtempSync(join(tmpdir(), 'hallpass-'))
  const path = join(folder, 'hallpass.db')
  const clock = movableClock()
  const onSqlite = async (): Promise<Opened> => ({
    store: await openSqliteStore({ path, clock }),
    kept: async () => readdirSync(folder).map((name) => readFileSync(join(folder, name))),
    forget: async () => {},
  })
  const { store, kept, forget } = await (process.env.HALLPASS_TEST_STORE === 'postgres'
    ? onPostgres(clock)
    : onSqlite())
  return {
    store,
    clock,
    ids: systemIds(clock),
    folder,
    path,
    kept,
    async close() {
      await store.close()
      await forget()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

type Opened = { readonly store: Store; kept(): Promise<Buffer[]>; forget(): Promise<void> }

async function onPostgres({ now }: Clock): Promise<Opened> {
  const url = inject('postgresUrl')
  const schema = freshSchema(url)
  // How old its knowledge is goes by true time: a clock that a test moves by an hour would make it an hour old.
  const clock = { now, monotonic: () => performance.now() }
  const store = await openPostgresStore({ url, schema: schema.name, clock })
  return { store, kept: schema.contents, forget: schema.drop }
}

export const operator: Context = { caller: { role: 'operator' }, requestId: 'req_test' }

export const silentLog: Log = { info: () => {}, warn: () => {}, error: () => {} }

/** The value of a result that must be one; throws the refusal otherwise. */
export function unwrap<T, E>(
  result: { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: E },
): T {
  if (!result.ok) throw new Error(`refused: ${JSON.stringify(result.error)}`)
  return result.value
}
