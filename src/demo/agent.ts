// The agent: the official MCP client, unmodified. It knows the MCP URL, its name and its private key, and finds the rest
// by itself; the token of a tool is fetched here, by its runtime, and never passes through a model.
import { readFileSync } from 'node:fs'
import {
  Client,
  discoverAuthorizationServerMetadata,
  discoverOAuthProtectedResourceMetadata,
  PrivateKeyJwtProvider,
  StreamableHTTPClientTransport,
} from '@modelcontextprotocol/client'
import { z } from 'zod'
import { expectShape, expectThat } from './steps.ts'

export type Agent = {
  readonly name: string
  /** Signs in with its key, as a new session, and answers the MCP version that was agreed. */
  connect(): Promise<string>
  /** The tool's structured answer; a refusal is one too, as `{error}`. */
  call(tool: string, given?: Record<string, unknown>): Promise<unknown>
  /** The session's own token: for the broker alone. */
  sessionToken(): string
  /** RFC 8693: the session's token and a grant, for a token of the grant's tool. */
  exchange(grantId: string): Promise<Credential>
  close(): Promise<void>
}

export type Credential = {
  readonly token: string
  readonly expiresInSeconds: number
}

const Issued = z.object({
  access_token: z.string(),
  token_type: z.literal('Bearer'),
  expires_in: z.number().positive(),
})

export function createAgent(options: {
  readonly name: string
  readonly mcpUrl: string
  readonly keyPath: string
}): Agent {
  const { name, mcpUrl } = options
  const identity = {
    clientId: name,
    privateKey: readFileSync(options.keyPath, 'utf8'),
    algorithm: 'ES256',
    expectedIssuer: new URL(mcpUrl).origin,
  }
  let provider = new PrivateKeyJwtProvider(identity)
  let client: Client | null = null

  const close = async () => {
    await client?.close()
    client = null
  }

  return {
    name,
    async connect() {
      await close()
      provider = new PrivateKeyJwtProvider(identity)
      client = new Client({ name, version: '1.0.0' }, { versionNegotiation: { mode: 'auto' } })
      await client.connect(new StreamableHTTPClientTransport(new URL(mcpUrl), { authProvider: provider }))
      return client.getNegotiatedProtocolVersion() ?? 'of an unknown version'
    },
    async call(tool, given = {}) {
      expectThat(client !== null, `${name} to be connected`, 'it is not')
      return (await client.callTool({ name: tool, arguments: given })).structuredContent
    },
    sessionToken: () => provider.tokens()?.access_token ?? '',
    async exchange(grantId) {
      const { authorization_servers: servers = [] } = await discoverOAuthProtectedResourceMetadata(mcpUrl)
      const metadata = await discoverAuthorizationServerMetadata(servers[0] ?? new URL(mcpUrl).origin)
      const response = await fetch(metadata?.token_endpoint ?? '', {
        method: 'POST',
        body: new URLSearchParams({
          grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
          subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
          subject_token: provider.tokens()?.access_token ?? '',
          grant_id: grantId,
        }),
      })
      const issued = expectShape(Issued, await response.json(), 'a token of the tool')
      return { token: issued.access_token, expiresInSeconds: issued.expires_in }
    },
    close,
  }
}
