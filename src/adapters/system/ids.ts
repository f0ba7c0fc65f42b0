// Identifiers and random bytes, from the operating system's generator alone.

import { randomBytes, randomInt } from 'node:crypto'
import type { Clock, Ids } from '../../actions/ports.ts'
import { WORDS } from './words.ts'

const COUNTER_MAX = 0xfff

/**
 * Ids are `prefix_` and the 32 hex digits of a UUIDv7 (RFC 9562 section 5.7, counter in rand_a by section 6.2 method 1):
 * they sort in the order they were made, also within a millisecond and when the clock steps back, and 62 bits of each
 * are fresh random ones.
 */
export function systemIds(clock: Pick<Clock, 'now'>): Ids {
  let at = 0
  let counter = 0
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
      const tail = randomBytes(8)
      tail[0] = ((tail[0] ?? 0) & 0x3f) | 0x80
      const time = at.toString(16).padStart(12, '0')
      return `${prefix}_${time}7${counter.toString(16).padStart(3, '0')}${tail.toString('hex')}`
    },
    random: (bytes) => randomBytes(bytes),
    words: () => Array.from(randomBytes(3), (byte) => WORDS[byte]).join(' '),
  }
}
