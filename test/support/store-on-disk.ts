// A real store in a temporary folder, with a clock that the test moves.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Clock, Context, Ids, Log, Store } from '../../src/actions/ports.ts'
import { openSqliteStore } from '../../src/adapters/store/sqlite/sqlite-store.ts'
import { systemIds } from '../../src/adapters/system/ids.ts'

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

/** Room kept on the disk: a test's disk has other things to do. Bytes. */
export const LITTLE_KEPT = { reserveBytes: 65_536, intentBytes: 65_536 }

export type StoreOnDisk = {
  readonly store: Store
  readonly clock: MovableClock
  readonly ids: Ids
  readonly folder: string
  readonly path: string
  close(): Promise<void>
}

export async function storeOnDisk(): Promise<StoreOnDisk> {
  const folder = mkdtempSync(join(tmpdir(), 'hallpass-'))
  const path = join(folder, 'hallpass.db')
  const clock = movableClock()
  const store = await openSqliteStore({ path, clock, ...LITTLE_KEPT })
  return {
    store,
    clock,
    ids: systemIds(clock),
    folder,
    path,
    async close() {
      await store.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
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
