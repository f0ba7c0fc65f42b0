// Watches a folder of manifests. Hands over a snapshot only when two scans agree and git is not writing (S3); what
// cannot be believed is told once and changes nothing. fs.watch is a doorbell alone: polling finds what it misses.

import type { FSWatcher } from 'node:fs'
import { watch } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'
import type { ManifestFiles } from '../../core/manifest.ts'
import type { FolderRead } from './read-folder.ts'
import { folderStamp, GIT_IS_WRITING, readManifestFolder } from './read-folder.ts'

/** How far apart two scans are that must agree. */
const AGREEMENT_MS = 50
/** A lock that git holds for longer was most likely left behind, and is told. */
const PATIENCE_WITH_GIT_MS = 10_000
const RETRY_MS = 1000
/** Looking takes at most one part in this many of the time, up to the longest pause: a large folder is a long look. */
const SHARE_OF_TIME = 20
const LONGEST_PAUSE_MS = 700
const MAX_TOLD = 100

export type WatchOptions = {
  /** Called with each new content, one at a time; where it rejects, the same content is handed over again. */
  readonly onSnapshot: (files: ManifestFiles) => void | Promise<void>
  /** Called once for each distinct message until a scan succeeds again. */
  readonly onFault: (message: string) => void
  readonly signal: AbortSignal
  /** How often to look without being rung; 200 ms unless given. */
  readonly intervalMs?: number
}

/** A bell that rings for each change that the system reports, and once for each wait that it ends. */
const doorbell = (path: string, signal: AbortSignal) => {
  let ring = () => {}
  let rung = false
  let watcher: FSWatcher | null = null
  const hear = () => {
    rung = true
    ring()
  }
  signal.addEventListener('abort', hear, { once: true })
  /** Stops listening: the folder behind the path may become another one. */
  const disarm = () => {
    watcher?.close()
    watcher = null
  }
  /** Starts listening where it can; a folder that cannot be watched is found by polling. */
  const arm = () => {
    if (watcher || signal.aborted) return
    try {
      watcher = watch(path, { recursive: true, persistent: false }, hear)
      watcher.on('error', disarm)
    } catch {
      watcher = null
    }
  }
  /** Resolves when rung, or after a time. */
  const sleep = async (ms: number): Promise<void> => {
    if (!rung && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms)
        ring = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    rung = false
  }
  return { arm, disarm, sleep }
}

/**
 * Two scans that agree, or the fault that both show; null while the folder is still moving. A file that is being written
 * again and again can look the same twice, empty say: so nothing may have been touched since `stamp` either.
 */
const agreedRead = async (path: string, stamp: string): Promise<FolderRead | null> => {
  const first = await readManifestFolder(path)
  await wait(AGREEMENT_MS)
  const second = await readManifestFolder(path)
  if ((await folderStamp(path)) !== stamp) return null
  if (first.ok && second.ok) return first.fingerprint === second.fingerprint ? second : null
  if (!first.ok && !second.ok) return first.message === second.message ? second : null
  return null
}

/**
 * Hands over the folder's content, and again after each change, until the signal aborts; resolves then, with nothing
 * left running. An edit reaches `onSnapshot` within about `AGREEMENT_MS` and a scan, or `intervalMs` more where the
 * system reports no changes.
 */
export const watchManifestFolder = async (path: string, options: WatchOptions): Promise<void> => {
  const { onSnapshot, onFault, signal, intervalMs = 200 } = options
  const bell = doorbell(path, signal)
  const told = new Set<string>()
  let delivered: string | null = null
  let seen: string | null = null
  let waitingForGitSince: number | null = null

  const tell = (message: string) => {
    delivered = null
    if (told.has(message)) return
    if (told.size >= MAX_TOLD) told.clear()
    told.add(message)
    onFault(message)
  }

  /** What to do with one agreed scan; true where nothing is left to do until the folder changes. */
  const settle = async (read: FolderRead): Promise<boolean> => {
    if (!read.ok) {
      if (!read.message.startsWith(GIT_IS_WRITING)) {
        bell.disarm()
        tell(read.message)
        return true
      }
      waitingForGitSince ??= performance.now()
      if (performance.now() - waitingForGitSince > PATIENCE_WITH_GIT_MS) {
        tell(`${read.message} for a long time: if no git is running, delete that file`)
      }
      return false
    }
    waitingForGitSince = null
    if (read.fingerprint === delivered) return true
    try {
      await onSnapshot(read.files)
    } catch {
      tell('the manifests were read but could not be applied; trying again')
      await bell.sleep(RETRY_MS)
      return false
    }
    delivered = read.fingerprint
    told.clear()
    return true
  }

  while (!signal.aborted) {
    bell.arm()
    const began = performance.now()
    const stamp = await folderStamp(path)
    const pauseMs = Math.min((performance.now() - began) * SHARE_OF_TIME, LONGEST_PAUSE_MS)
    if (stamp !== seen) {
      const read = await agreedRead(path, stamp)
      if (read !== null && !signal.aborted && (await settle(read))) seen = stamp
    }
    if (seen === stamp) await bell.sleep(Math.max(intervalMs, pauseMs))
    else await wait(AGREEMENT_MS / 2)
  }
  bell.disarm()
}
