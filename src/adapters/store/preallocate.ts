// Files whose blocks are taken ahead of need. They hold bytes that no filesystem can shrink away, and nothing of value.

import { randomBytes } from 'node:crypto'
import { open } from 'node:fs/promises'

const CHUNK = 1_048_576

/** Writes a file of `bytes`, for its owner alone, and waits for the disk. Rejects where there is no room for all of it. */
export async function preallocate(path: string, bytes: number): Promise<void> {
  const filler = randomBytes(Math.min(bytes, CHUNK))
  const file = await open(path, 'w', 0o600)
  try {
    for (let left = bytes; left > 0; left -= filler.length) await file.writeFile(filler.subarray(0, left))
    await file.sync()
  } finally {
    await file.close()
  }
}
