// Holds a call open until a row is as wanted, for so long and no longer. It decides nothing.

import { type Kind, keyOf, type Rows } from '../core/model.ts'
import type { Deps } from './ports.ts'

/** Resolves when `done` says so of the row, after `waitMs`, or when `signal` aborts: whichever is first. */
export async function waitFor<K extends Kind>(
  deps: Pick<Deps, 'store'>,
  of: { readonly kind: K; readonly id: string; done(row: Rows[K]): boolean },
  waitMs: number,
  signal: AbortSignal,
): Promise<void> {
  if (waitMs <= 0) return
  const snapshot = await deps.store.read([keyOf(of.kind, of.id)])
  const row = snapshot.get(of.kind, of.id)
  if (row === undefined || of.done(row)) return
  const stop = new AbortController()
  const abort = () => stop.abort()
  const timer = setTimeout(abort, waitMs)
  signal.addEventListener('abort', abort, { once: true })
  if (signal.aborted) abort()
  try {
    for await (const feed of deps.store.changes(snapshot.seq, stop.signal)) {
      if (feed.type === 'reload') return
      if (feed.type !== 'change') continue
      const touched = feed.change.put.some((put) => put.kind === of.kind && put.row.id === of.id)
      if (!touched) continue
      const now = (await deps.store.read([keyOf(of.kind, of.id)])).get(of.kind, of.id)
      if (now === undefined || of.done(now)) return
    }
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', abort)
    stop.abort()
  }
}
