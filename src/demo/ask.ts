// The first walk: an agent asks, its owner says yes, a token for one tool is minted and used; and what lies outside of
// it is refused.
import type { z } from 'zod'
import type { Credential } from './agent.ts'
import { callTool } from './call-tool.ts'
import type { Tell } from './narrator.ts'
import { createPerson } from './person.ts'
import {
  Access,
  ApiProblem,
  Approved,
  AskedRequest,
  Granted,
  InlineToken,
  Pending,
  Refused,
  Samples,
  Tickets,
  ToolRefusal,
} from './shapes.ts'
import type { Stage } from './stage.ts'
import { expectShape, expectThat } from './steps.ts'

type PendingRequest = z.output<typeof Pending>

const INCIDENTS = { queue: ['incidents'] }

/** The agent signs in, and sees what it may ask for. */
export async function signIn({ agent, mcpUrl }: Stage, tell: Tell): Promise<void> {
  tell.did(`it has nothing but ${mcpUrl}, its name and its private key`)
  const version = await agent.connect()
  const { access } = expectShape(Access, await agent.call('list_access'), 'what the agent may ask for')
  tell.came(`a session over MCP ${version}; its manifest lets it ask for:`)
  for (const { tool, scopes } of access) tell.shown(`${tool}: ${scopes.map(({ name }) => name).join(', ')}`)
  expectThat(
    access.some(({ tool }) => tool === 'tickets'),
    'tickets among what it may ask for',
    access,
  )
}

/** Asking is not having: it waits for an owner. */
export async function askForTickets(
  { agent, owner }: Stage,
  tell: Tell,
  scopes: readonly string[] = ['ticket:read', 'ticket:comment'],
): Promise<PendingRequest> {
  tell.did(`request_access: ${scopes.join(' and ')} in the queue “incidents”, because “INC-1: checkout answers 502”`)
  const answer = await agent.call('request_access', {
    tool: 'tickets',
    scopes,
    details: INCIDENTS,
    reason: 'INC-1: checkout answers 502',
  })
  const pending = expectShape(Pending, answer, 'a request that waits for its owner')
  tell.came(`pending as “${pending.request.words}”: it waits for ${pending.request.owners.join(' or ')}`)
  expectThat(pending.request.owners.includes(owner.name), `${owner.name} to be asked`, pending.request.owners)
  return pending
}

/** Whoever asks can never be the one who says yes. */
export async function approveItself({ agent, broker }: Stage, tell: Tell, pending: PendingRequest): Promise<void> {
  const itself = createPerson({ name: agent.name, url: broker.url, token: agent.sessionToken() })
  tell.did(`POST /v1/requests/…/approve, with the session of ${agent.name}`)
  const reply = await itself.post(`/requests/${pending.request.id}/approve`)
  expectThat(reply.status === 403, 'the agent not to approve its own request', reply)
  tell.came(`403: ${expectShape(ApiProblem, reply.body, 'a refusal').detail}`)
}

/** The owner looks at exactly what is asked, and says yes to exactly that. Answers the grant's id. */
export async function approve({ agent, owner }: Stage, tell: Tell, pending: PendingRequest): Promise<string> {
  const { id } = pending.request
  const seen = expectShape(AskedRequest, (await owner.get(`/requests/${id}`)).body, 'the request, as its owner sees it')
  tell.did(`${owner.name} reads who asks for what and why, and approves what was shown`)
  const reply = await owner.post(`/requests/${id}/approve`, { hash: seen.hash })
  expectThat(reply.status === 200, 'the approval to be accepted', reply)
  const { grant } = expectShape(Approved, reply.body, 'a grant')
  const status = expectShape(
    Granted,
    await agent.call('access_status', { requestId: id }),
    'the agent to see its grant',
  )
  expectThat(status.grant.id === grant.id, 'the agent to see the same grant', status)
  tell.came(`granted to ${agent.name} until ${clock(grant.expiresAt)}, on the word of ${grant.approvedBy.join(', ')}`)
  return grant.id
}

/** The agent's runtime redeems the grant: the model never sees the token. */
export async function mint({ agent, tickets }: Stage, tell: Tell, grantId: string): Promise<Credential> {
  tell.did('token exchange (RFC 8693): the session’s token and the grant, for a token of the tool')
  const credential = await agent.exchange(grantId)
  tell.came(`a token that lives ${credential.expiresInSeconds} seconds and opens ${tickets.resource} alone`)
  expectThat(
    credential.expiresInSeconds <= 300,
    'a life of at most the five minutes in the manifest',
    credential.expiresInSeconds,
  )
  return credential
}

/** A real call, and a real answer. */
export async function readTickets({ tickets }: Stage, tell: Tell, { token }: Credential): Promise<void> {
  tell.did('GET /tickets')
  const answer = await callTool(`${tickets.resource}/tickets`, token)
  expectThat(answer.status === 200, 'the tickets', answer)
  const list = expectShape(Tickets, answer.body, 'a list of tickets').tickets
  tell.came(`200: ${list.map(({ id, subject }) => `${id} “${subject}”`).join(', ')}`)
  expectThat(list.length === 2, 'the two tickets of the incidents queue, and none of another', list)
}

export async function comment({ tickets }: Stage, tell: Tell, { token }: Credential): Promise<void> {
  tell.did('POST /tickets/INC-1/comments “Looking into it.”')
  const answer = await callTool(`${tickets.resource}/tickets/INC-1/comments`, token, { text: 'Looking into it.' })
  expectThat(answer.status === 201, 'the comment to be taken', answer)
  tell.came('201: the comment is there')
}

/** Where the manifest wants nobody asked, the grant is there at once, and the token comes in the tool’s result. */
export async function readMetrics({ agent, metrics }: Stage, tell: Tell): Promise<string> {
  tell.did('request_access: metrics:read, which its manifest gives without asking anybody')
  const given = { tool: 'metrics', scopes: ['metrics:read'], reason: 'INC-1: is checkout up?' }
  const { grant } = expectShape(Granted, await agent.call('request_access', given), 'a grant at once')
  const inline = expectShape(
    InlineToken,
    await agent.call('issue_token', { grantId: grant.id }),
    'a token of the metrics service',
  )
  tell.came('granted at once, and the token with it')
  tell.did('GET /api/v1/query?query=up')
  const answer = await callTool(`${metrics.resource}/api/v1/query?query=up`, inline.accessToken)
  expectThat(answer.status === 200, 'an answer of the metrics service', answer)
  const [sample] = expectShape(Samples, answer.body, 'a sample').data.result
  expectThat(sample !== undefined, 'a sample', answer.body)
  tell.came(`200: up = ${sample.value[1]}`)
  return inline.accessToken
}

/** The tool holds the token to its details; the broker holds the agent to its manifest, and says what would change that. */
export async function stepOutside({ agent, tickets }: Stage, tell: Tell, { token }: Credential): Promise<void> {
  tell.did('GET /tickets?queue=hr with the same token')
  const answer = await callTool(`${tickets.resource}/tickets?queue=hr`, token)
  expectThat(answer.status === 403, 'the tool to refuse another queue', answer)
  tell.came(`403: ${expectShape(ToolRefusal, answer.body, 'a refusal').message}`)
  tell.did('request_access: ticket:close, which its manifest does not name')
  const asked = { tool: 'tickets', scopes: ['ticket:close'], details: INCIDENTS, reason: 'INC-1 is solved' }
  const { error } = expectShape(Refused, await agent.call('request_access', asked), 'a refusal')
  expectThat(
    error.code === 'scope_not_in_manifest' && error.manifestPatch !== undefined,
    'a refusal with a patch',
    error,
  )
  tell.came(`${error.code}: ${error.message} For an owner to consider, the edit that would allow it:`)
  tell.shown(error.manifestPatch)
}

const clock = (time: string) => `${time.slice(11, 16)} UTC`
