// An agent: the official MCP client with its own private-key-JWT provider, started with nothing but a URL and a key. It
// asks for access, waits for its owner, gets a credential, and gives everything back. It never prints a token.
//
//   node examples/mcp-client/agent.ts TOOL SCOPE[,SCOPE…] REASON [DETAIL=VALUE[,VALUE…] …]

import { readFileSync } from 'node:fs'
import { Client, PrivateKeyJwtProvider, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'

const { HALLPASS_MCP_URL, HALLPASS_AGENT, HALLPASS_AGENT_KEY } = process.env
const [tool, scopes, reason, ...limits] = process.argv.slice(2)
if (!HALLPASS_MCP_URL || !HALLPASS_AGENT || !HALLPASS_AGENT_KEY || !tool || !scopes || !reason) {
  console.error('Set HALLPASS_MCP_URL, HALLPASS_AGENT and HALLPASS_AGENT_KEY (the path of the private key), then run:')
  console.error('node examples/mcp-client/agent.ts tickets ticket:read "INC-4211: find the cause" queue=incidents')
  process.exit(1)
}

const url = new URL(HALLPASS_MCP_URL)
const authProvider = new PrivateKeyJwtProvider({
  clientId: HALLPASS_AGENT,
  privateKey: readFileSync(HALLPASS_AGENT_KEY, 'utf8'),
  algorithm: 'ES256',
  expectedIssuer: url.origin,
})
const client = new Client(
  { name: 'example-agent', version: '1.0.0' },
  { versionNegotiation: { mode: { pin: '2026-07-28' } } },
)

type Refusal = { code: string; message: string; hint: string; manifestPatch?: string }
type Grant = { id: string; expiresAt: string; delivery: string; use: { resource: string } }
type Outcome =
  | { status: 'granted'; grant: Grant }
  | { status: 'pending'; request: { id: string; words: string; owners: string[] }; approveUrl: string }

class Refused extends Error {}

/** The structured answer of a tool; a refusal is thrown in words that say what to do next. */
async function call<T>(name: string, args: Record<string, unknown>): Promise<T> {
  const { structuredContent, isError } = await client.callTool({ name, arguments: args })
  if (!isError) return structuredContent as T
  const { error } = structuredContent as { error: Refusal }
  throw new Refused([`${error.code}: ${error.message}`, error.hint, error.manifestPatch].filter(Boolean).join('\n'))
}

/** What an agent's runtime does for a grant with delivery `exchange`: the model never sees the token (RFC 8693). */
async function exchange(grant: Grant): Promise<{ expiresInSeconds: number }> {
  const response = await fetch(new URL('/oauth/token', url), {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: authProvider.tokens()?.access_token ?? '',
      subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      grant_id: grant.id,
    }),
  })
  const answer = (await response.json()) as { expires_in?: number; error?: string; error_description?: string }
  if (!response.ok) throw new Refused(`${answer.error}: ${answer.error_description}`)
  return { expiresInSeconds: answer.expires_in ?? 0 }
}

async function run(): Promise<void> {
  await client.connect(new StreamableHTTPClientTransport(url, { authProvider }))
  const { access } = await call<{ access: { tool: string; scopes: { name: string }[] }[] }>('list_access', {})
  for (const one of access) console.log(`may ask for ${one.tool}: ${one.scopes.map(({ name }) => name).join(', ')}`)

  const details = Object.fromEntries(
    limits.map((limit) => limit.split('=', 2)).map(([k, v]) => [k, v?.split(',') ?? []]),
  )
  let outcome = await call<Outcome>('request_access', { tool, scopes: scopes?.split(','), reason, details })
  if (outcome.status === 'pending') {
    const { owners, words } = outcome.request
    console.log(`waiting for ${owners.join(' or ')} ("${words}"): ${outcome.approveUrl}`)
  }
  while (outcome.status === 'pending')
    outcome = await call<Outcome>('access_status', { requestId: outcome.request.id, waitSeconds: 50 })

  const { grant } = outcome
  console.log(`granted until ${grant.expiresAt}`)
  if (grant.delivery === 'inline') {
    const { expiresAt } = await call<{ expiresAt: string }>('issue_token', { grantId: grant.id })
    console.log(`holds a token for ${grant.use.resource} until ${expiresAt}`)
  } else {
    const { expiresInSeconds } = await exchange(grant)
    console.log(`holds a token for ${grant.use.resource} for ${expiresInSeconds} s`)
  }
  const { status, receipt } = await call<{ status: string; receipt: string }>('release_access', { grantId: grant.id })
  console.log(`given back: ${status}, receipt ${receipt}`)
}

try {
  await run()
} catch (thrown) {
  console.error(thrown instanceof Refused ? thrown.message : `could not talk to ${url.href}: ${String(thrown)}`)
  process.exitCode = 2
} finally {
  await client.close()
}
