// A disk that a test can fill: a small filesystem of its own where this process may mount one, and elsewhere a writer's
// thread that says the same (`full-disk-thread.ts`).

import { execFileSync } from 'node:child_process'
import { appendFileSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export type SmallDisk = {
  readonly path: string
  /** Undefined: the product's own. */
  readonly thread: URL | undefined
  /** Leaves no room at all; what is kept in reserve stays kept. */
  fill(): void
  free(): void
  remove(): void
}

const BLOCK = 4_096

export function smallDisk(megabytes: number): SmallDisk {
  const folder = mkdtempSync(join(tmpdir(), 'disk-'))
  const path = join(folder, 'hallpass.db')
  const isMounted = mounted(folder, megabytes)
  const filler = join(folder, isMounted ? 'filler' : 'full')
  return {
    path,
    thread: isMounted ? undefined : new URL('./full-disk-thread.ts', import.meta.url),
    fill() {
      if (!isMounted) {
        // Once what was kept is given up, filling it again leaves nothing.
        writeFileSync(filler, existsSync(`${path}.reserve`) ? 'but for the reserve' : 'wholly')
        return
      }
      try {
        for (;;) appendFileSync(filler, Buffer.alloc(BLOCK))
      } catch (thrown) {
        if (!(thrown instanceof Error) || !('code' in thrown) || thrown.code !== 'ENOSPC') throw thrown
      }
    },
    free: () => rmSync(filler),
    remove() {
      if (isMounted) execFileSync('/bin/umount', ['-l', folder])
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function mounted(folder: string, megabytes: number): boolean {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false
  try {
    execFileSync('/bin/mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', folder], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
