// GET /forward-auth: queries and headers that a proxy was misled to send. It lets through only what is asked once, plainly,
// for its own resource, with one good credential; and the side door, where it answers, answers as the front door does.

import { isSameToken, mutateText, mutateToken } from '../mutate.ts'
import type { Random } from '../random.ts'
import { mustHold, type Target } from '../target.ts'
import { openWholeBroker, TICKETS } from '../whole-broker.ts'

const QUERIES: readonly (readonly [string, string])[] = [
  ['resource', TICKETS],
  ['scope', 'read'],
  ['scope', 'read comment'],
  ['scope', 'close'],
  ['enforces', 'queue'],
  ['enforces', ''],
  ['resource', 'https://metrics.example.com'],
]

function changedQuery(random: Random): string {
  const pairs: (readonly [string, string])[] = [
    ['resource', random.oneIn(6) ? mutateText(random, TICKETS) : TICKETS],
    [
      'scope',
      random.oneIn(3) ? mutateText(random, 'read comment') : random.pick(['read', 'comment', 'read comment', 'close']),
    ],
    ['enforces', random.oneIn(6) ? mutateText(random, 'queue') : 'queue'],
  ]
  const kind = random.below(6)
  if (kind === 0) pairs.push(random.pick(QUERIES))
  if (kind === 1) pairs.splice(random.below(3), 1)
  const text = pairs.map(([name, value]) => `${name}=${encodeURIComponent(value.toWellFormed())}`).join('&')
  return random.oneIn(3) ? mutateText(random, text) : text
}

/** No client can send the others. */
function isSendable(header: [string, string]): boolean {
  try {
    return new Headers([header]) !== null
  } catch {
    return false
  }
}

const withoutId = (text: string): string => text.replace(/"requestId":"[^"]*"/, '')

export const forwardAuth: Target = {
  name: 'forward-auth',
  freshAfter: 5_000,
  async open() {
    const broker = await openWholeBroker()
    const { credential, bearers } = broker
    const tokens = [credential.token, broker.bot.token, bearers.owner]
    return {
      async feed(random, note) {
        const query = changedQuery(random)
        const token = random.oneIn(4) ? mutateToken(random, credential.token, tokens) : credential.token
        const headers: [string, string][] = [
          [
            random.pick(['authorization', 'Authorization']),
            `${random.pick(['Bearer', 'Bearer', 'bearer', 'Basic', 'Bearer  '])} ${token}`,
          ],
          ['x-hallpass-verifier', random.oneIn(8) ? mutateText(random, bearers.verifier) : bearers.verifier],
        ]
        if (random.oneIn(5))
          headers.splice(random.below(3), 0, [
            random.pick([
              'authorization',
              'x-hallpass-verifier',
              'x-forwarded-uri',
              'x-forwarded-method',
              'x-original-url',
            ]),
            random.pick([`Bearer ${token}`, bearers.verifier, '/?scope=read', '']),
          ])
        if (!headers.every(isSendable)) return 'no header'
        note({ query, headers })
        let url: URL
        try {
          url = new URL(`/forward-auth?${query}`, 'https://hallpass.example.com')
        } catch {
          return 'no URL'
        }
        const { status, text } = await broker.call('GET', `${url.pathname}${url.search}`, headers)
        const beside = await broker.callBeside(`/forward-auth?${query}`, headers)
        if (beside !== null) {
          mustHold(beside.status === status, `the side door answers ${beside.status}, the front door`, status)
          mustHold(withoutId(beside.text) === withoutId(text), 'the doors say other things', [beside.text, text])
        }
        if (status !== 200) return `refused ${status}`
        const asked = [...url.searchParams]
        const one = (name: string) => asked.filter(([other]) => other === name).map(([, value]) => value)
        mustHold(
          asked.every(([name]) => ['resource', 'scope', 'enforces'].includes(name)),
          'an unknown parameter passed',
        )
        mustHold(
          one('resource').length === 1 && new URL(one('resource')[0]!).origin === TICKETS,
          'a foreign resource passed',
        )
        const scopes = one('scope').flatMap((value) => value.split(' ').filter((scope) => scope !== ''))
        mustHold(one('scope').length === 1 && scopes.length > 0, 'no scope passed')
        mustHold(
          scopes.every((scope) => credential.credential.scopes.includes(scope)),
          'a scope passed that is not there',
        )
        mustHold(
          one('enforces').length === 1 && one('enforces')[0]!.split(',').includes('queue'),
          'details nobody holds',
        )
        const shown = headers.filter(([name]) => name.toLowerCase() === 'authorization')
        mustHold(shown.length === 1, 'doubled Authorization passed')
        mustHold(isSameToken(shown[0]![1].replace(/^bearer +/i, ''), credential.token), 'a changed token passed')
        const verifiers = headers.filter(([name]) => name.toLowerCase() === 'x-hallpass-verifier')
        mustHold(verifiers.length === 1 && verifiers[0]![1].trim() === bearers.verifier, 'a changed verifier passed')
        return beside === null ? 'passed' : 'passed by both doors'
      },
      close: () => broker.close(),
    }
  },
}
