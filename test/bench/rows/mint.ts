// Durable audited mints, over MCP and by token exchange, against servers that do nothing and keep nothing.

import { type BenchBroker, TOOLS } from '../broker.ts'
import { type Aim, httpRequest } from '../load.ts'
import { type Server, startRival } from '../processes.ts'
import { type Compared, compare, type Pace } from '../rounds.ts'

const VERSION = '2026-07-28'

const issueToken = (session: string, grant: string) =>
  httpRequest(
    'POST',
    '/mcp',
    {
      authorization: `Bearer ${session}`,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-protocol-version': VERSION,
      'mcp-method': 'tools/call',
      'mcp-name': 'issue_token',
    },
    JSON.stringify({
      jsonrpc: '2.0',
      id: 1,
      method: 'tools/call',
      params: {
        name: 'issue_token',
        arguments: { grantId: grant },
        _meta: {
          'io.modelcontextprotocol/protocolVersion': VERSION,
          'io.modelcontextprotocol/clientInfo': { name: 'bench', version: '1.0.0' },
          'io.modelcontextprotocol/clientCapabilities': {},
        },
      },
    }),
  )

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

export async function mintOverMcp(broker: BenchBroker, pace: Pace): Promise<readonly Compared[]> {
  const requests = broker.agents.map(({ session, grants }) => issueToken(session, grants.asks))
  const marker = '"accessToken"'
  return withRivals(
    { hoisted: startRival('mcp.ts', 'hoisted'), documented: startRival('mcp.ts', 'documented') },
    (of) =>
      compare(
        [
          { name: 'mint over MCP', server: broker.server, aim: { port: broker.port, requests, marker } },
          { name: 'SDK no-op, hoisted', server: of.hoisted, aim: { port: of.hoisted.port, requests, marker } },
          {
            name: 'SDK no-op, as documented',
            server: of.documented,
            aim: { port: of.documented.port, requests, marker },
          },
        ],
        pace,
      ),
  )
}

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

/** Starts all, and ends all however it goes. */
async function withRivals<N extends string, T>(
  starting: Readonly<Record<N, Promise<Server>>>,
  run: (servers: Readonly<Record<N, Server>>) => Promise<T>,
): Promise<T> {
  const started = await Promise.allSettled(Object.values<Promise<Server>>(starting))
  try {
    const failed = started.find((one) => one.status === 'rejected')
    if (failed !== undefined) throw failed.reason
    const servers: Partial<Record<N, Server>> = {}
    for (const name of Object.keys(starting) as N[]) servers[name] = await starting[name]
    return await run(servers as Record<N, Server>)
  } finally {
    for (const one of started) if (one.status === 'fulfilled') await one.value.stop()
  }
}
