// Requests, grants and what may be asked for, in the shapes of the contract. Times are RFC 3339, durations seconds.

import { proxyUrl } from '../core/claims.ts'
import { reachesTool } from '../core/judge-mcp-call.ts'
import { shownName } from '../core/manifest-mcp.ts'
import type { AccessRequest, Grant, Instant } from '../core/model.ts'
import { rfc3339 } from '../core/record.ts'
import type { ToolValue } from '../core/slice.ts'

export type PresentedGrant = ReturnType<typeof presentGrant>
export type PresentedRequest = ReturnType<typeof presentRequest>

const HOW = {
  exchange:
    'Your runtime redeems this grant at the token endpoint: grant_type urn:ietf:params:oauth:grant-type:token-exchange with your session token as subject_token and this grant_id. You need no token yourself.',
  inline: 'Call issue_token with this grantId, then send the token as "Authorization: Bearer …" to the resource.',
  proxy:
    'Your runtime redeems this grant at the token endpoint (token exchange with this grant_id), and calls the tool below the resource with what it gets as "Authorization: Bearer …". The credential of the tool itself stays with the broker.',
} as const

/** An account's secret is no bearer token: what is issued says itself how it is sent. */
const howOf = ({ delivery }: Grant, tool: ToolValue | null) =>
  delivery === 'inline' && tool !== null && tool.target.type !== 'none'
    ? 'Call issue_token with this grantId, then send what it answers in the header that its `use` names: `prefix` and then the token.'
    : HOW[delivery]

/** The tools of the tool's own MCP server that the grant reaches, as the agent sees them once their definitions are accepted. */
function mcpToolsOf(grant: Grant, tool: ToolValue | null): string[] {
  const { tools = {} } = tool?.mcp ?? {}
  if (grant.delivery !== 'proxy') return []
  const reached = Object.keys(tools).filter((name) => reachesTool(tools[name]!, grant))
  return reached.map((name) => shownName(grant.tool, name)).sort()
}

const NAMED = 5

function callTools(names: readonly string[]): string {
  const more = names.length > NAMED ? ` and ${names.length - NAMED} more` : ''
  return `List your tools again and call ${names.slice(0, NAMED).join(', ')}${more}: you need no token. What is not listed waits for an owner of the tool.`
}

function useOf(grant: Grant, tool: ToolValue | null, issuer: string) {
  const isProxied = grant.delivery === 'proxy'
  const use = {
    resource: isProxied ? proxyUrl(issuer, grant.tool) : (tool?.resource ?? ''),
    how: howOf(grant, tool),
  }
  const tools = mcpToolsOf(grant, tool)
  if (tools.length === 0) return use
  // Without an upstream there is nothing below the proxy's address.
  return tool?.upstream === undefined
    ? { resource: `${issuer}/mcp`, how: callTools(tools), tools }
    : { ...use, how: `${callTools(tools)} Or over HTTP: ${use.how}`, tools }
}

/** `issuer` is the broker's own. */
export const presentGrant = (grant: Grant, tool: ToolValue | null, endsAt: Instant, issuer: string) => ({
  id: grant.id,
  tool: grant.tool,
  scopes: grant.scopes,
  ...(Object.keys(grant.details).length === 0 ? {} : { details: grant.details }),
  expiresAt: rfc3339(endsAt),
  delivery: grant.delivery,
  use: useOf(grant, tool, issuer),
})

/** A request's status as people see it: expiry by time is derived, never stored. */
export const statusOf = (request: AccessRequest, now: Instant) =>
  request.state === 'pending' && now >= request.expiresAt ? ('expired' as const) : request.state

export const presentRequest = (request: AccessRequest, owners: readonly string[], now: Instant) => ({
  id: request.id,
  words: request.words,
  tool: request.tool,
  scopes: request.scopes,
  ...(Object.keys(request.details).length === 0 ? {} : { details: request.details }),
  status: statusOf(request, now),
  owners,
  ...(request.decidedReason === null ? {} : { decidedReason: request.decidedReason }),
  expiresAt: rfc3339(request.expiresAt),
})
