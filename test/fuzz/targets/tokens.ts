// Session tokens and credentials, changed without the key, at every edge that takes one.

import { isSameToken, mutateToken } from '../mutate.ts'
import { mustHold, type Target } from '../target.ts'
import { openWholeBroker, TICKETS } from '../whole-broker.ts'

const FORM = ['content-type', 'application/x-www-form-urlencoded'] as const
const JSON_TYPES = [
  ['content-type', 'application/json'],
  ['accept', 'application/json, text/event-stream'],
] as const

export const tokens: Target = {
  name: 'tokens',
  freshAfter: 4_000,
  async open() {
    const broker = await openWholeBroker()
    const { bearers, call } = broker
    const all = [broker.bot.token, broker.other.token, broker.credential.token]
    const list = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list' })
    const edges: Record<string, (token: string) => Promise<boolean>> = {
      '/mcp': async (token) =>
        (await call('POST', '/mcp', [['authorization', `Bearer ${token}`], ...JSON_TYPES], list)).status === 200,
      '/v1': async (token) => (await call('GET', '/v1/whoami', [['authorization', `Bearer ${token}`]])).status === 200,
      '/oauth/introspect': async (token) => {
        const body = new URLSearchParams({ token }).toString()
        return (
          (await call('POST', '/oauth/introspect', [['x-hallpass-verifier', bearers.verifier], FORM], body)).json
            .active === true
        )
      },
      '/oauth/token': async (token) => {
        const body = new URLSearchParams({
          grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
          subject_token: token,
          subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
          grant_id: broker.grant.id,
        })
        return (await call('POST', '/oauth/token', [FORM], body.toString())).status === 200
      },
      '/forward-auth': async (token) => {
        const headers = [
          ['authorization', `Bearer ${token}`],
          ['x-hallpass-verifier', bearers.verifier],
        ] as const
        const query = new URLSearchParams({ resource: TICKETS, scope: 'read', enforces: 'queue' })
        return (await call('GET', `/forward-auth?${query}`, headers)).status === 200
      },
    }
    const takes: Record<string, string> = {
      '/mcp': broker.bot.token,
      '/v1': broker.bot.token,
      '/oauth/introspect': broker.credential.token,
      '/oauth/token': broker.bot.token,
      '/forward-auth': broker.credential.token,
    }
    for (const [edge, good] of Object.entries(takes)) mustHold(await edges[edge]!(good), `${edge} refuses a good token`)
    return {
      async feed(random, note) {
        const edge = random.pick(Object.keys(edges))
        const sent = mutateToken(random, random.oneIn(4) ? random.pick(all) : takes[edge]!, all)
        note({ edge, sent })
        const taken = await edges[edge]!(sent)
        if (!taken) return `${edge} refused`
        mustHold(
          all.some((known) => isSameToken(sent, known)),
          `${edge} took a token that nobody signed`,
        )
        return `${edge} the same`
      },
      close: () => broker.close(),
    }
  },
}
