// Identifiers and random bytes, from the operating system's generator alone.

import { randomFillSync, randomInt } from 'node:crypto'
import type { Clock, Ids } from '../../actions/ports.ts'
import { WORDS } from './words.ts'

const COUNTER_MAX = 0xfff
/** Fetched from the generator at once: a call costs it as much for 4 KiB as for eight bytes. */
const POOL_BYTES = 4096

/**
 * Ids are `prefix_` and the 32 hex digits of a UUIDv7 (RFC 9562 section 5.7, counter in rand_a by section 6.2 method 1):
 * they sort in the order they were made, also within a millisecond and when the clock steps back, and 62 bits of each
 * are fresh random ones.
 */
export function systemIds(clock: Pick<Clock, 'now'>): Ids {
  let at = 0
  let counter = 0
  const pool = Buffer.alloc(POOL_BYTES)
  let used = POOL_BYTES

  /** Where the next bytes lie that were handed out to nobody. */
  function fresh(bytes: number): number {
    if (used + bytes > POOL_BYTES) {
      randomFillSync(pool)
      used = 0
    }
    used += bytes
    return used - bytes
  }

  /** What was handed out stays in memory nowhere but with whoever asked. */
  function random(bytes: number): Uint8Array {
    if (bytes > POOL_BYTES) return randomFillSync(new Uint8Array(bytes))
    const at = fresh(bytes)
    const taken = new Uint8Array(pool.subarray(at, at + bytes))
    pool.fill(0, at, at + bytes)
    return taken
  }

  return {
    next(prefix) {
      const now = clock.now()
      if (now > at) {
        at = now
        counter = randomInt(0x800)
      } else if (++counter > COUNTER_MAX) {
        at += 1
        counter = 0
      }
      const tail = fresh(8)
      pool[tail] = ((pool[tail] ?? 0) & 0x3f) | 0x80
      const time = at.toString(16).padStart(12, '0')
      return `${prefix}_${time}7${counter.toString(16).padStart(3, '0')}${pool.toString('hex', tail, tail + 8)}`
    },
    random,
    words: () => Array.from(random(3), (byte) => WORDS[byte]).join(' '),
  }
}
