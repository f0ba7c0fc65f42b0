// A value that must reach nobody by accident: printed, logged, serialized or inspected it is `[secret]`.
// Only `reveal()` gives it, so that a reader finds every place where a secret leaves.

import { createHash, timingSafeEqual } from 'node:crypto'

const PLACEHOLDER = '[secret]'

/** A secret text. Compare with `equals`, never with `===`. */
export class Secret {
  readonly #text: string

  constructor(text: string) {
    this.#text = text
  }

  /** The secret itself: for the one place that needs it. */
  reveal(): string {
    return this.#text
  }

  /** Takes the same time wherever the two differ, whatever their lengths. */
  equals(other: Secret | string): boolean {
    const digest = (text: string) => createHash('sha256').update(text, 'utf8').digest()
    return timingSafeEqual(digest(this.#text), digest(typeof other === 'string' ? other : other.reveal()))
  }

  toString(): string {
    return PLACEHOLDER
  }

  toJSON(): string {
    return PLACEHOLDER
  }

  [Symbol.toPrimitive](): string {
    return PLACEHOLDER
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return PLACEHOLDER
  }
}
