// What an agent may ask for, asked for and holds, as resources: its own alone (S7), and no token in any of them (P7). What is
// another's is answered as what never was.

import {
  ProtocolError,
  ProtocolErrorCode,
  type Resource,
  ResourceNotFoundError,
  type Server,
} from '@modelcontextprotocol/server'
import { accessStatus } from '../../actions/access-status.ts'
import type { Edge } from '../../actions/edge.ts'
import { type AccessView, viewAccess } from '../../actions/list-access.ts'
import { MCP_SUBSCRIPTIONS_PER_SESSION } from '../../core/limits.ts'
import { type Problem, problem } from '../../core/problem.ts'
import type { Call, CallOf } from './call.ts'
import { forCall } from './for-call.ts'

export const ACCESS_URI = 'hallpass://access'
export const grantUri = (id: string) => `hallpass://grants/${id}`
export const requestUri = (id: string) => `hallpass://requests/${id}`

const OWN = /^hallpass:\/\/(grants|requests)\/([A-Za-z0-9_-]{1,128})$/
const JSON_TYPE = { mimeType: 'application/json' }

const ACCESS: Resource = {
  uri: ACCESS_URI,
  name: 'access',
  title: 'What you may ask for',
  description: 'Your part of the manifests in force: tools, scopes, details, owners.',
  ...JSON_TYPE,
}

const TEMPLATES = [
  { uriTemplate: 'hallpass://grants/{id}', name: 'grant', title: 'How a grant of yours stands', ...JSON_TYPE },
  { uriTemplate: 'hallpass://requests/{id}', name: 'request', title: 'How a request of yours stands', ...JSON_TYPE },
]

/** The resource behind `hallpass://access`: nothing in it moves by what becomes of others. */
export const accessOf = ({ listed, identity }: AccessView) => ({
  agent: listed.agent,
  purpose: identity.purpose,
  owners: identity.owners,
  ...(identity.reviewBy === null ? {} : { reviewBy: identity.reviewBy }),
  access: listed.access,
})

const byId = <T extends { readonly id: string }>(rows: readonly T[]): T[] =>
  [...rows].sort((a, b) => (a.id < b.id ? -1 : 1))

const listOf = ({ listed }: AccessView): Resource[] => [
  ACCESS,
  ...byId(listed.requests).map(({ id, tool, words }) => ({
    uri: requestUri(id),
    name: `request ${id}`,
    title: `Waits: ${tool}, "${words}"`,
    ...JSON_TYPE,
  })),
  ...byId(listed.grants).map(({ id, tool, scopes }) => ({
    uri: grantUri(id),
    name: `grant ${id}`,
    title: `Held: ${tool} ${scopes.join(' ')}`,
    ...JSON_TYPE,
  })),
]

/** @param subscribed what a session of 2025 wants to hear of; null where nothing of this server outlives its request. */
export function serveResources(server: Server, edge: Edge, callOf: CallOf, subscribed: Set<string> | null): void {
  server.setRequestHandler('resources/list', (_request, { http }) => {
    const call = callOf(http?.req)
    return forCall(edge, call, 'resources/list', async () => ({ resources: listOf(await view(edge, call)) }))
  })
  server.setRequestHandler('resources/templates/list', () => ({ resourceTemplates: TEMPLATES }))
  server.setRequestHandler('resources/read', ({ params: { uri } }, { http }) => {
    const call = callOf(http?.req)
    return forCall(edge, call, 'resources/read', async () => {
      const text = JSON.stringify(await read(edge, call, uri), null, 1)
      return { contents: [{ uri, ...JSON_TYPE, text }] }
    })
  })
  if (subscribed === null) return
  server.setRequestHandler('resources/subscribe', ({ params: { uri } }, { http }) => {
    const call = callOf(http?.req)
    return forCall(edge, call, 'resources/subscribe', async () => {
      await read(edge, call, uri)
      if (!subscribed.has(uri) && subscribed.size >= MCP_SUBSCRIPTIONS_PER_SESSION)
        throw new ProtocolError(
          ProtocolErrorCode.InvalidRequest,
          `A session has at most ${MCP_SUBSCRIPTIONS_PER_SESSION} subscriptions: end one first.`,
        )
      subscribed.add(uri)
      return {}
    })
  })
  server.setRequestHandler('resources/unsubscribe', ({ params: { uri } }) => {
    subscribed.delete(uri)
    return {}
  })
}

async function view(edge: Edge, { caller }: Call): Promise<AccessView> {
  const seen = await viewAccess(edge.deps, edge.toolsetOf, caller.agent)
  if (seen.ok) return seen.value
  throw new ProtocolError(ProtocolErrorCode.InvalidRequest, wordsOf(seen.error), { code: seen.error.code })
}

async function read(edge: Edge, call: Call, uri: string): Promise<object> {
  if (uri === ACCESS_URI) return accessOf(await view(edge, call))
  const [, kind, id] = OWN.exec(uri) ?? []
  if (id !== undefined) {
    const wanted = {
      grantId: kind === 'grants' ? id : null,
      requestId: kind === 'requests' ? id : null,
      waitSeconds: 0,
    }
    const stands = await accessStatus(edge.deps, call.caller, wanted, call.cut)
    if (stands.ok) return stands.value
    const { code, message, hint } = stands.error
    if (code !== 'invalid_request') return { status: 'ended', error: { code, message, hint } }
  }
  const unknown = problem('invalid_request', 'You have no such resource.', { hint: 'resources/list shows yours.' })
  await edge.refusals.note({ caller: call.caller, requestId: call.requestId }, unknown, 'mcp resource', {
    agent: call.caller.agent,
  })
  throw new ResourceNotFoundError(uri.slice(0, ECHO_MAX), wordsOf(unknown))
}

/** The longest a URI that a caller made up is repeated to it, characters. */
const ECHO_MAX = 256

const wordsOf = ({ message, hint }: Problem) => (hint === undefined ? message : `${message} ${hint}`)
