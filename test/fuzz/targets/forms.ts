// Forms at the OAuth endpoints: parameters doubled, dropped, renamed and misspelt, bodies that are no forms. Whatever is
// minted lies within the one grant there is.

import { mutateText } from '../mutate.ts'
import type { Random } from '../random.ts'
import { mustHold, type Target } from '../target.ts'
import { openWholeBroker, TICKETS, type WholeBroker } from '../whole-broker.ts'

const TYPES = [
  ...[
    'application/x-www-form-urlencoded',
    'application/x-www-form-urlencoded; charset=utf-8',
    'application/json',
    'text/plain',
  ],
  ...['multipart/form-data; boundary=x', '', 'application/x-www-form-urlencoded, application/json'],
]

async function goodForms(broker: WholeBroker): Promise<Record<string, Record<string, string>>> {
  const exchange = {
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token: broker.bot.token,
    subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
  }
  const details = JSON.stringify([{ type: 'hallpass_details', constraints: { queue: ['incidents'] } }])
  return {
    '/oauth/token#grant': { ...exchange, grant_id: broker.grant.id, scope: 'read', authorization_details: details },
    '/oauth/token#resource': { ...exchange, resource: TICKETS, scope: 'read comment' },
    '/oauth/token#audience': { ...exchange, audience: 'tickets', requested_token_type: exchange.subject_token_type },
    '/oauth/token#session': {
      grant_type: 'client_credentials',
      client_id: 'bot',
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: await broker.assertion(broker.claims()),
      scope: 'mcp',
      resource: 'https://hallpass.example.com/mcp',
    },
    '/oauth/introspect#': { token: broker.credential.token, token_type_hint: 'access_token' },
    '/oauth/revoke#': { token: broker.other.token, token_type_hint: 'access_token' },
  }
}

function changed(random: Random, form: Record<string, string>, other: Record<string, string>): string {
  let pairs = Object.entries(form)
  for (let left = random.below(4); left > 0; left--) {
    const at = random.below(pairs.length)
    const [name, value] = pairs[at] ?? ['', '']
    const kind = random.below(7)
    if (kind === 0) pairs = pairs.filter((_, i) => i !== at)
    else if (kind === 1) pairs.splice(random.below(pairs.length + 1), 0, [name, value])
    else if (kind === 2) pairs.splice(at, 1, [name, random.pick(Object.values(other))])
    else if (kind === 3) pairs.splice(at, 1, [mutateText(random, name), value])
    else if (kind === 4) pairs.push(random.pick(Object.entries(other)))
    else pairs.splice(at, 1, [name, mutateText(random, value)])
  }
  const body = pairs
    .map(([name, value]) => `${encodeURIComponent(name.toWellFormed())}=${encodeURIComponent(value.toWellFormed())}`)
    .join('&')
  return random.oneIn(4) ? mutateText(random, body) : body
}

export const forms: Target = {
  name: 'forms',
  freshAfter: 3_000,
  async open() {
    const broker = await openWholeBroker()
    const { verifier } = broker.bearers
    return {
      async feed(random, note) {
        const good = await goodForms(broker)
        const route = random.pick(Object.keys(good))
        const body = changed(random, good[route]!, good[random.pick(Object.keys(good))]!)
        const path = route.split('#')[0]!
        const type = random.oneIn(8) ? random.pick(TYPES) : TYPES[0]!
        const headers: [string, string][] = [['content-type', type]]
        if (path === '/oauth/introspect' || random.oneIn(10)) headers.push(['x-hallpass-verifier', verifier])
        if (random.oneIn(10))
          headers.push(['authorization', `Bearer ${random.pick([broker.bot.token, verifier, 'x'])}`])
        note({ path, headers, body })
        const { status, json } = await broker.call('POST', path, headers, body)
        if (path === '/oauth/token' && status === 200 && json.grant_id !== undefined) {
          mustHold(json.grant_id === broker.grant.id, 'another grant was used', json)
          const scopes = String(json.scope ?? '').split(' ')
          mustHold(
            scopes.every((scope) => broker.grant.scopes.includes(scope)),
            'more scopes than granted',
            json,
          )
          const claims = JSON.parse(
            Buffer.from(String(json.access_token).split('.')[1] ?? '', 'base64url').toString('utf8'),
          )
          const queues: unknown = claims.authorization_details?.[0]?.constraints?.queue
          mustHold(
            Array.isArray(queues) &&
              queues.length > 0 &&
              queues.every((queue) => ['incidents', 'news'].includes(queue)),
            'wider details than granted',
            claims,
          )
          return `${path} minted`
        }
        if (path === '/oauth/introspect' && json.active === true)
          mustHold(json.sub === 'bot' && json.aud === TICKETS, 'active for another', json)
        return `${path} ${status}`
      },
      close: () => broker.close(),
    }
  },
}
