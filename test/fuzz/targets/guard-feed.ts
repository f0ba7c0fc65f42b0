// Feed events as a broken broker or a proxy might cut and change them. A guard that heard of a denial never lets that token
// through again, whatever else it hears; and it never throws.

import { event, goodCredential, guardHearing, guardKey } from '../guard-stage.ts'
import { mutateBytes, mutateJson } from '../mutate.ts'
import type { Random } from '../random.ts'
import { mustHold, type Target } from '../target.ts'

const need = { scopes: [] }

export const guardFeed: Target = {
  name: 'guard-feed',
  freshAfter: Number.POSITIVE_INFINITY,
  async open() {
    const key = await guardKey()
    const token = await goodCredential(key)
    const until = new Date(Date.now() + 3_600_000).toISOString()
    const denials = [{ jti: 'crd_1' }, { sid: 'ses_1' }, { grant_id: 'grt_1' }, { kid: key.kid }]
    const corpus: object[] = [
      { seq: 3 },
      { seq: 3, synced: true },
      { reset: true, seq: 3 },
      { seq: 3, deny: { jti: 'crd_2' }, until },
      { seq: 4, deny: { sub: 'triage-bot' }, before: 1, until, more: true },
      { seq: 1, deny: { grant_id: 'grt_2' }, until, before: '2026-01-01T00:00:00Z' },
    ]
    const said = (random: Random) => {
      const events = Array.from({ length: 1 + random.below(4) }, () => {
        const one = random.pick(corpus)
        return event(random.oneIn(3) ? one : mutateJson(random, one))
      }).join('')
      return random.oneIn(2) ? mutateBytes(random, Buffer.from(events)) : Buffer.from(events)
    }
    return {
      async feed(random, note) {
        const isDenied = random.oneIn(2)
        const denial = { seq: 2, deny: random.pick(denials), until }
        const good = (isDenied ? event(denial) : '') + event({ seq: 2, synced: true })
        const odd = said(random)
        const feeds = [
          Buffer.concat([Buffer.from(good), odd]),
          random.oneIn(3) ? odd : Buffer.from(good),
          Buffer.from(good),
        ]
        note({ isDenied, feeds: feeds.map((bytes) => bytes.toString('latin1')) })
        const guard = guardHearing(key, feeds, 2)
        try {
          const results = []
          await guard.ready(100)
          for (let i = 0; i < 2; i++) results.push(await guard.verify(`Bearer ${token}`, need))
          if (isDenied) mustHold(!results.some(({ ok }) => ok), 'a denied token passed')
          return `${isDenied ? 'denied' : 'not denied'} ${results.map((one) => (one.ok ? 'passed' : one.status)).join(' ')}`
        } finally {
          await guard.close()
        }
      },
      close: async () => {},
    }
  },
}
