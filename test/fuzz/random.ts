// Random numbers that a seed brings back, and small choices made with them.

export type Random = {
  /** A whole number from 0 to below `n`. */
  below(n: number): number
  pick<T>(items: readonly T[]): T
  /** True once in `n`. */
  oneIn(n: number): boolean
  bytes(length: number): Uint8Array
}

/** mulberry32 over a hash of the parts: the same parts, the same choices. */
export function randomOf(...parts: readonly (string | number)[]): Random {
  let state = 2166136261
  for (const char of parts.join('/')) state = Math.imul(state ^ char.charCodeAt(0), 16777619)
  const next = () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return (mixed ^ (mixed >>> 14)) >>> 0
  }
  const below = (n: number) => next() % n
  return {
    below,
    pick: (items) => {
      const item = items[below(items.length)]
      if (item === undefined) throw new RangeError('nothing to pick from')
      return item
    },
    oneIn: (n) => below(n) === 0,
    bytes: (length) => Uint8Array.from({ length }, () => below(256)),
  }
}
