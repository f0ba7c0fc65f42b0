// Room on the disk that is given up for one thing only: so that what is taken away can be written when nothing else can
// be (S17). It is taken again once there is room for it twice.

import { rmSync, statSync } from 'node:fs'
import { rm, statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Log } from '../../../actions/ports.ts'
import { preallocate } from '../preallocate.ts'

export type Reserve = {
  isHeld(): boolean
  /** Gives the room up; false where there is none left to give. */
  release(): boolean
  /** Takes the room again; false while there is too little of it, be it that it was never given up. */
  restore(): Promise<boolean>
  /** Is there any room beside it? */
  hasRoom(): Promise<boolean>
}

/** With less than this the next commits are about to fail. */
const LEAST_BYTES = 1_048_576

export async function openReserve(path: string, bytes: number, log?: Log): Promise<Reserve> {
  let isHeld = statSync(path, { throwIfNoEntry: false })?.size === bytes

  let restoring: Promise<boolean> | null = null

  async function free(): Promise<number> {
    try {
      const { bavail, bsize } = await statfs(dirname(path))
      return bavail * bsize
    } catch (thrown) {
      log?.warn({ error: String(thrown) }, 'the room on the disk cannot be measured, so it counts as none')
      return 0
    }
  }

  async function take(): Promise<boolean> {
    try {
      if ((await free()) < 2 * bytes) return false
      await preallocate(path, bytes)
      isHeld = true
    } catch (thrown) {
      log?.warn({ error: String(thrown) }, 'the room for taking away cannot be kept free')
      await rm(path, { force: true }).catch((error: unknown) => log?.warn({ error: String(error) }, 'nor given back'))
    }
    return isHeld
  }

  async function restore(): Promise<boolean> {
    if (isHeld) return (await free()) >= bytes
    restoring ??= take().finally(() => {
      restoring = null
    })
    return restoring
  }

  await restore()
  return {
    isHeld: () => isHeld,
    release() {
      if (!isHeld) return false
      isHeld = false
      try {
        rmSync(path)
      } catch (thrown) {
        log?.error({ error: String(thrown) }, 'the room for taking away cannot be given up')
        return false
      }
      return true
    },
    restore,
    hasRoom: async () => (await free()) >= Math.min(LEAST_BYTES, bytes),
  }
}
