// A machine client that was told the MCP URL and its own key finds everything else: whom to ask for a token, and how.

import {
  Client,
  ClientCredentialsProvider,
  PrivateKeyJwtProvider,
  StreamableHTTPClientTransport,
} from '@modelcontextprotocol/client'
import { PrivateKeyJwtProvider as OldProvider } from '@modelcontextprotocol/sdk/client/auth-extensions.js'
import { Client as OldClient } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport as OldTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { importPKCS8, SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { type SampleBroker, startSampleBroker } from '../../src/commands/sample-broker.ts'
import { keyOf } from '../support/mcp-clients.ts'
import { testDatabase } from '../support/test-store.ts'
import { post, rpc } from './support.ts'

const EXTENSION = { 'io.modelcontextprotocol/oauth-client-credentials': {} }
const AGENT = 'triage-bot'

const RESOURCE = z.looseObject({ resource: z.string(), authorization_servers: z.tuple([z.string()]) })
const SERVER = z.looseObject({ issuer: z.string(), token_endpoint: z.string() })
const TOKEN = z.looseObject({ access_token: z.string(), token_type: z.string() })

let broker: SampleBroker
let url: URL
beforeAll(async () => {
  broker = await startSampleBroker(await testDatabase())
  url = new URL(`${broker.url}/mcp`)
})
afterAll(() => broker.close())

const info = { name: 'discovers', version: '1' }
const onlyTheKey = () => ({ clientId: AGENT, privateKey: keyOf(broker, AGENT), algorithm: 'ES256' })

describe('from nothing but the MCP URL and a key', () => {
  test.each([
    ['pinned to 2026-07-28', { versionNegotiation: { mode: { pin: '2026-07-28' } } } as const],
    ['in its legacy mode', {}],
  ])('the official client, %s, signs in and is told that this is how', async (_, options) => {
    const client = new Client(info, options)
    const authProvider = new PrivateKeyJwtProvider(onlyTheKey())
    await client.connect(new StreamableHTTPClientTransport(url, { authProvider }))
    expect(client.getServerCapabilities()?.extensions).toMatchObject(EXTENSION)
    expect((await client.listTools()).tools.length).toBeGreaterThan(4)
    await client.close()
  })

  test('the 1.x SDK signs in and is told that this is how', async () => {
    const client = new OldClient(info)
    await client.connect(new OldTransport(url, { authProvider: new OldProvider(onlyTheKey()) }))
    expect(client.getServerCapabilities()?.extensions).toMatchObject(EXTENSION)
    await client.close()
  })

  test('each step names the next: the refusal, the resource, the authorization server, the token (RFC 9728, RFC 8414)', async () => {
    const refused = await post(url.href, rpc('tools/list'))
    expect(refused.status).toBe(401)
    const [, resourceAt = ''] = /resource_metadata="([^"]+)"/.exec(refused.headers.get('www-authenticate') ?? '') ?? []
    const resource = RESOURCE.parse(await (await fetch(resourceAt)).json())
    expect(resource).toMatchObject({ resource: url.href, bearer_methods_supported: ['header'] })
    const [issuer] = resource.authorization_servers
    const server = SERVER.parse(await (await fetch(`${issuer}/.well-known/oauth-authorization-server`)).json())
    // What the extension demands of it.
    expect(server).toMatchObject({
      issuer,
      grant_types_supported: expect.arrayContaining(['client_credentials']),
      token_endpoint_auth_methods_supported: ['private_key_jwt'],
      token_endpoint_auth_signing_alg_values_supported: expect.arrayContaining(['ES256', 'RS256']),
    })
    const assertion = await new SignJWT({})
      .setProtectedHeader({ alg: 'ES256' })
      .setIssuer(AGENT)
      .setSubject(AGENT)
      .setAudience(server.issuer)
      .setJti('discovery-1')
      .setIssuedAt()
      .setExpirationTime('60s')
      .sign(await importPKCS8(keyOf(broker, AGENT), 'ES256'))
    const answered = await fetch(server.token_endpoint, {
      method: 'POST',
      // As the extension's own example writes it: without a client_id, with the resource.
      body: new URLSearchParams({
        grant_type: 'client_credentials',
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        client_assertion: assertion,
        resource: resource.resource,
      }),
    })
    const { access_token: token, token_type: type } = TOKEN.parse(await answered.json())
    expect({ status: answered.status, type }).toEqual({ status: 200, type: 'Bearer' })
    const listed = await post(url.href, rpc('tools/list'), { Authorization: `Bearer ${token}` })
    expect(listed.status).toBe(200)
  })

  test('a client with a shared secret is refused in words that say what to use instead (P8)', async () => {
    const client = new Client(info)
    const authProvider = new ClientCredentialsProvider({ clientId: AGENT, clientSecret: 'not-a-secret-of-anybody' })
    const failed = await client.connect(new StreamableHTTPClientTransport(url, { authProvider })).catch(String)
    expect(failed).toContain('private_key_jwt')
  })
})
