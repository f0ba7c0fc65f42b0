// Credentials at a guard that is up to date: changed without the key none passes; really signed, none that says what a
// credential may not say.

import { event, GUARD_ISSUER, GUARD_RESOURCE, goodCredential, guardHearing, guardKey } from '../guard-stage.ts'
import { isSameToken, mutateJson, mutateText, mutateToken } from '../mutate.ts'
import { mustHold, type Target } from '../target.ts'

const need = { scopes: ['ticket:read'] }

export const guardTokens: Target = {
  name: 'guard-tokens',
  freshAfter: Number.POSITIVE_INFINITY,
  async open() {
    const key = await guardKey()
    const token = await goodCredential(key)
    const heartbeats = Buffer.from(event({ seq: 0, synced: true }))
    const guard = guardHearing(key, [heartbeats], 0)
    mustHold(await guard.ready(), 'the guard does not come up')
    const claims = JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString('utf8'))
    return {
      async feed(random, note) {
        const resigned = random.oneIn(3)
        const said = resigned ? mutateJson(random, claims) : claims
        const isObject = typeof said === 'object' && said !== null && !Array.isArray(said)
        const signed = resigned && isObject ? await goodCredential(key, said).catch(() => token) : token
        const sent = resigned ? signed : mutateToken(random, token)
        const scheme = random.oneIn(10) ? mutateText(random, 'Bearer ') : 'Bearer '
        note({ sent, scheme, said })
        const result = await guard.verify(
          random.oneIn(20) ? [`${scheme}${sent}`, `${scheme}${sent}`] : `${scheme}${sent}`,
          need,
        )
        if (!result.ok) return `refused ${result.status}`
        const { claims: taken } = result
        mustHold(isSameToken(sent, signed), 'a token passed that nobody signed')
        mustHold(taken.iss === GUARD_ISSUER && taken.aud === GUARD_RESOURCE, 'a token for another passed', taken)
        mustHold(
          result.expiresAt > Date.now() - 60_000 && result.scopes.includes('ticket:read'),
          'too much passed',
          taken,
        )
        return resigned ? 'passed, signed' : 'passed, the same'
      },
      close: () => guard.close(),
    }
  },
}
