// Client assertions at the token endpoint: changed and signed again, or changed after signing. None that RFC 7523 and the
// contract do not allow opens a session, and none opens two.

import { mutateJson, mutateToken, oddValue } from '../mutate.ts'
import type { Random } from '../random.ts'
import { mustHold, type Target } from '../target.ts'
import { ISSUER, openWholeBroker } from '../whole-broker.ts'

const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
const HEADERS = [['content-type', 'application/x-www-form-urlencoded']] as const

/** What is allowed at most, written anew: what the broker takes must be within it. */
function isFine(claims: Record<string, unknown>, nowSeconds: number): boolean {
  const { iss, sub, aud, exp, iat, jti } = claims
  return (
    iss === 'bot' &&
    sub === 'bot' &&
    aud === ISSUER &&
    typeof exp === 'number' &&
    exp > nowSeconds - 60 &&
    exp <= nowSeconds + 360 &&
    (iat === undefined || (typeof iat === 'number' && iat <= nowSeconds + 60)) &&
    typeof jti === 'string' &&
    jti !== ''
  )
}

function changedClaims(random: Random, claims: Record<string, unknown>): Record<string, unknown> {
  const kind = random.below(4)
  if (kind === 0) {
    const changed = mutateJson(random, claims)
    return typeof changed === 'object' && changed !== null && !Array.isArray(changed) ? { ...changed } : claims
  }
  const name = random.pick(Object.keys(claims))
  if (kind === 1) return { ...claims, [name]: oddValue(random) }
  const shift = random.pick([-1e6, -361, -61, -60, -59, 0, 1, 59, 60, 61, 300, 301, 1e6, Number.MAX_SAFE_INTEGER])
  return { ...claims, [random.pick(['exp', 'iat', 'nbf'])]: Number(claims.iat) + shift }
}

const oddHeader = (random: Random): object =>
  random.oneIn(2)
    ? {}
    : random.pick([
        ...[
          { typ: 'at+jwt' },
          { typ: 'JWT', kid: 'x' },
          { kid: null },
          { kid: ['a'] },
          { jwk: {} },
          { jku: 'https://x.example' },
        ],
        ...[{ typ: 1 }, { typ: '' }, { x5c: ['AA=='] }, { kid: '\0' }, { cty: 'JWT' }, { typ: 'application/jwt' }],
      ])

export const assertions: Target = {
  name: 'assertions',
  freshAfter: 4_000,
  async open() {
    const broker = await openWholeBroker()
    return {
      async feed(random, note) {
        const claims = random.oneIn(8) ? broker.claims() : changedClaims(random, broker.claims())
        const signed = await broker.assertion(claims, oddHeader(random)).catch(() => null)
        if (signed === null) return 'not signed'
        const touched = random.oneIn(3)
        const sent = touched ? mutateToken(random, signed, [broker.bot.token, broker.credential.token]) : signed
        const form = {
          grant_type: 'client_credentials',
          client_assertion_type: ASSERTION_TYPE,
          client_assertion: sent,
          ...(random.oneIn(4) ? { client_id: random.pick(['bot', 'other', '', 'BOT']) } : {}),
        }
        note({ claims, form })
        const post = () => broker.call('POST', '/oauth/token', HEADERS, new URLSearchParams(form).toString())
        const { status, json } = await post()
        if (status !== 200) return `refused ${status}`
        mustHold(
          sent.split('.').slice(0, 2).join('.') === signed.split('.').slice(0, 2).join('.'),
          'taken though changed',
        )
        mustHold(isFine(claims, broker.deps.clock.now() / 1000), 'taken though not allowed')
        mustHold((await post()).status !== 200, 'taken twice')
        // Given back: an agent may have only so many open, and whoever has them all is refused whatever they send.
        await broker.call(
          'POST',
          '/oauth/revoke',
          [...HEADERS, ['authorization', `Bearer ${json.access_token}`]],
          `token=${json.access_token}`,
        )
        return 'taken once'
      },
      close: () => broker.close(),
    }
  },
}
