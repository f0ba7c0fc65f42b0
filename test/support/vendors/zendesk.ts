// Zendesk's OAuth clients and tokens: operations, fields and statuses as its published reference has them.

import { describedTool, Refusal } from '../described-tool.ts'
import { at, texts, type Vendor } from './vendor.ts'

const OPERATIONS = {
  'GET /api/v2/oauth/clients': { status: 200, query: ['page', 'per_page', 'sort'] },
  'POST /api/v2/oauth/clients': {
    status: 201,
    requires: ['/client/name', '/client/identifier'],
    allows: ['/client/kind', '/client/company', '/client/description', '/client/redirect_uri', '/client/user_id'],
  },
  'DELETE /api/v2/oauth/clients/{oauth_client_id}': { status: 204 },
  'GET /api/v2/oauth/tokens': { status: 200, query: ['page', 'per_page', 'client_id', 'all', 'global_client_id'] },
  'POST /api/v2/oauth/tokens': { status: 201, requires: ['/token/client_id', '/token/scopes'] },
  'GET /api/v2/oauth/tokens/current': { status: 200 },
  'DELETE /api/v2/oauth/tokens/{oauth_token_id}': { status: 204 },
} as const

type Token = { id: number; client_id: number; scopes: string[]; full: string }

export function zendesk(): Vendor {
  const clients = new Map<number, string>()
  let tokens: Token[] = []
  let ids = 0
  let lies = false
  const ADMIN = 'admin-oauth-token'
  const asAdmin = <T>(authorization: string, act: () => T) =>
    authorization === `Bearer ${ADMIN}` ? act() : new Refusal(401)
  const paged = <T>(rows: readonly T[], query: URLSearchParams): readonly T[] => {
    const [page, size] = [Number(query.get('page') ?? 1), Number(query.get('per_page') ?? 100)]
    return rows.slice((page - 1) * size, page * size)
  }
  const add = (identifier: string) => {
    ids += 1
    clients.set(ids, identifier)
    return { id: ids, identifier, name: identifier }
  }
  const holder = (authorization: string) => tokens.find(({ full }) => authorization === `Bearer ${full}`)
  const tool = describedTool(OPERATIONS, {
    'GET /api/v2/oauth/clients': ({ authorization, query }) =>
      asAdmin(authorization, () => ({
        clients: paged([...clients], query).map(([id, identifier]) => ({ id, identifier, name: identifier })),
      })),
    'POST /api/v2/oauth/clients': ({ authorization, body }) =>
      asAdmin(authorization, () => {
        const identifier = String(at(body, 'client', 'identifier'))
        return [...clients.values()].includes(identifier) ? new Refusal(422) : { client: add(identifier) }
      }),
    'DELETE /api/v2/oauth/clients/{oauth_client_id}': ({ authorization, params }) =>
      asAdmin(authorization, () => {
        if (!clients.has(Number(params.oauth_client_id))) return new Refusal(404)
        if (!lies) clients.delete(Number(params.oauth_client_id))
        return undefined
      }),
    'GET /api/v2/oauth/tokens': ({ authorization, query }) =>
      asAdmin(authorization, () => ({
        // Without "all" one sees one's own alone, and whoever made these may be somebody else by now.
        tokens: paged(query.get('all') === 'true' ? tokens : [], query).map(({ id, client_id, scopes, full }) => ({
          id,
          client_id,
          scopes,
          token: full.slice(0, 10),
        })),
      })),
    'POST /api/v2/oauth/tokens': ({ authorization, body }) =>
      asAdmin(authorization, () => {
        ids += 1
        const token = {
          id: ids,
          client_id: Number(at(body, 'token', 'client_id')),
          scopes: texts(at(body, 'token', 'scopes')),
          full: `of-client-${ids}-in-full`,
        }
        tokens.push(token)
        return { token: { id: token.id, scopes: token.scopes, full_token: token.full } }
      }),
    'GET /api/v2/oauth/tokens/current': ({ authorization }) => {
      const token = holder(authorization)
      return token === undefined ? new Refusal(401) : { token: { id: token.id, scopes: token.scopes } }
    },
    'DELETE /api/v2/oauth/tokens/{oauth_token_id}': ({ authorization, params }) =>
      asAdmin(authorization, () => {
        if (!lies) tokens = tokens.filter(({ id }) => id !== Number(params.oauth_token_id))
        return undefined
      }),
  })
  return {
    ...tool,
    admin: ADMIN,
    values: {},
    rights: ['tickets:read', 'users:read'],
    many: true,
    allowed: (secret) => holder(`Bearer ${secret}`)?.scopes ?? null,
    count: (name) => [...clients.values()].filter((identifier) => identifier === name).length,
    addByHand: (name) => void add(name),
    lie(now) {
      lies = now
    },
  }
}
