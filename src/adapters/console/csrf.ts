// A token that says: this bearer was shown this very thing on our page, not long ago. It holds for one decision of one
// person; the key lives and dies with the process.

import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { Clock } from '../../actions/ports.ts'

/** How long a page may be looked at before it must be loaded again (seconds). */
const TTL_SECONDS = 15 * 60

type ShownThing = {
  readonly bearer: string
  /** Id of the request or widening. */
  readonly id: string
  /** What an approval would bind; empty where nothing is bound. */
  readonly hash: string
}

export type Csrf = {
  issue(shown: ShownThing): string
  verify(token: string, shown: ShownThing): boolean
}

export function createCsrf(clock: Pick<Clock, 'now'>): Csrf {
  const key = randomBytes(32)
  const mac = (shown: ShownThing, expiresAt: string) =>
    createHmac('sha256', key)
      .update(JSON.stringify([shown.bearer, shown.id, shown.hash, expiresAt]))
      .digest('base64url')
  return {
    issue(shown) {
      const expiresAt = String(clock.now() + TTL_SECONDS * 1000)
      return `${expiresAt}.${mac(shown, expiresAt)}`
    },
    verify(token, shown) {
      const [, expiresAt, given] = /^(\d{1,15})\.([A-Za-z0-9_-]{43})$/.exec(token) ?? []
      if (expiresAt === undefined || given === undefined || Number(expiresAt) <= clock.now()) return false
      return timingSafeEqual(Buffer.from(given), Buffer.from(mac(shown, expiresAt)))
    },
  }
}
