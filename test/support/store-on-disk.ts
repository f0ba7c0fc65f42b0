// A real store in a temporary folder, or in PostgreSQL, with a clock that the test moves.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Clock, Context, Ids, Log, Store } from '../../src/actions/ports.ts'
import { systemIds } from '../../src/adapters/system/ids.ts'
import { testStore } from './test-store.ts'

export type MovableClock = Clock & {
  /** Time passes. Negative: the wall clock is set back, and no time passes. */
  advance(seconds: number): void
  /** Somebody sets the wall clock; the monotonic one does not notice. */
  set(seconds: number): void
}

export function movableClock(start = Date.UTC(2026, 0, 15, 9)): MovableClock {
  let at = start
  let passed = 0
  return {
    now: () => at,
    monotonic: () => passed,
    advance(seconds) {
      at += seconds * 1000
      passed += Math.max(0, seconds) * 1000
    },
    set(seconds) {
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
  /** After it was closed; whoever asks for it closes it. */
  reopen(): Promise<Store>
  close(): Promise<void>
}

export async function storeOnDisk(): Promise<StoreOnDisk> {
  const folder = mkdtempSync(join(tmpdir(), 'hallpass-'))
  const path = join(folder, 'hallpass.db')
  const clock = movableClock()
  const { open, kept, forget } = testStore(path, clock)
  const store = await open()
  return {
    store,
    clock,
    ids: systemIds(clock),
    folder,
    path,
    kept,
    reopen: open,
    async close() {
      await store.close()
      await forget()
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
