// Durable audited mints by token exchange, and checks of them, against servers that do nothing and keep nothing.

import { type BenchBroker, TOOLS } from '../broker.ts'
import { type Aim, httpRequest } from '../load.ts'
import { type Server, startRival, withRivals } from '../processes.ts'
import { type Compared, compare, type Pace } from '../rounds.ts'

const exchanging = (session: string, more: Readonly<Record<string, string>>) =>
  httpRequest(
    'POST',
    '/oauth/token',
    { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' },
    new URLSearchParams({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: session,
      subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      ...more,
    }).toString(),
  )

const byGrant = ({ agents }: BenchBroker) =>
  agents.map(({ session, grants }) => exchanging(session, { grant_id: grants.asks }))

/** Exchanges of all agents' grants, for rows that need mints going on beside. */
export const exchangeAim = (broker: BenchBroker): Aim => ({
  port: broker.port,
  requests: byGrant(broker),
  marker: '"access_token"',
})

export async function tokenExchange(broker: BenchBroker, pace: Pace): Promise<readonly Compared[]> {
  const { resource, scope } = TOOLS.asks
  const byResource = broker.agents.map(({ session }) => exchanging(session, { resource, scope }))
  const secret = Buffer.from('agent:a-secret-of-the-bench-alone-0123456789').toString('base64')
  const credentials = httpRequest(
    'POST',
    '/token',
    {
      'content-type': 'application/x-www-form-urlencoded',
      accept: 'application/json',
      authorization: `Basic ${secret}`,
    },
    'grant_type=client_credentials&scope=metrics%3Aread',
  )
  const marker = '"access_token"'
  const at = (server: Server, requests: readonly Buffer[]) => ({ port: server.port, requests, marker })
  return withRivals(
    {
      hono: startRival('hono.ts', 'bare'),
      form: startRival('hono.ts', 'form'),
      opaque: startRival('oidc.mjs', 'opaque'),
      jwt: startRival('oidc.mjs', 'jwt'),
    },
    (of) =>
      compare(
        [
          { name: 'exchange of a grant', server: broker.server, aim: exchangeAim(broker) },
          { name: 'exchange by resource and scope', server: broker.server, aim: at(broker.server, byResource) },
          { name: 'Hono no-op', server: of.hono, aim: { port: of.hono.port, requests: byGrant(broker) } },
          { name: 'Hono, form in, JSON out', server: of.form, aim: at(of.form, byGrant(broker)) },
          { name: 'oidc-provider, opaque', server: of.opaque, aim: at(of.opaque, [credentials]) },
          { name: 'oidc-provider, ES256 JWT', server: of.jwt, aim: at(of.jwt, [credentials]) },
        ],
        pace,
      ),
  )
}

export async function forwardAuth(broker: BenchBroker, pace: Pace): Promise<readonly Compared[]> {
  const { resource, scope } = TOOLS.asks
  const path = `/forward-auth?resource=${encodeURIComponent(resource)}&scope=${encodeURIComponent(scope)}`
  const requests: Buffer[] = []
  for (const agent of broker.agents)
    requests.push(
      httpRequest('GET', path, {
        authorization: `Bearer ${await broker.mint(agent, 'asks')}`,
        'x-hallpass-verifier': broker.verifiers.asks,
      }),
    )
  return withRivals({ hono: startRival('hono.ts', 'bare') }, (of) =>
    compare(
      [
        { name: 'forward-auth', server: broker.server, aim: { port: broker.port, requests } },
        { name: 'Hono no-op', server: of.hono, aim: { port: of.hono.port, requests } },
      ],
      pace,
    ),
  )
}
