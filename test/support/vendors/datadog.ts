// Datadog's service accounts: operations, required fields and statuses as its published OpenAPI description has them.

import { describedTool, Refusal } from '../described-tool.ts'
import { at, texts, type Vendor } from './vendor.ts'

const OPERATIONS = {
  'GET /api/v2/users': {
    status: 200,
    query: ['page[size]', 'page[number]', 'sort', 'sort_dir', 'filter', 'filter[status]'],
  },
  'GET /api/v2/users/{user_id}': { status: 200 },
  'PATCH /api/v2/users/{user_id}': {
    status: 200,
    requires: ['/data/type', '/data/id'],
    allows: ['/data/attributes/disabled', '/data/attributes/email', '/data/attributes/name'],
  },
  'DELETE /api/v2/users/{user_id}': { status: 204 },
  'POST /api/v2/service_accounts': {
    status: 201,
    requires: ['/data/type', '/data/attributes/email', '/data/attributes/service_account'],
    allows: ['/data/attributes/name', '/data/attributes/title', '/data/relationships/roles/data'],
  },
  'GET /api/v2/service_accounts/{service_account_id}/access_tokens': {
    status: 200,
    query: ['page[size]', 'page[number]', 'sort', 'filter'],
  },
  'POST /api/v2/service_accounts/{service_account_id}/access_tokens': {
    status: 201,
    requires: ['/data/type', '/data/attributes/name', '/data/attributes/scopes'],
    allows: ['/data/attributes/expires_at'],
  },
  'DELETE /api/v2/service_accounts/{service_account_id}/access_tokens/{token_id}': { status: 204 },
} as const

type Token = { id: string; key: string; name: string; scopes: string[] }
type User = { id: string; name: string; service: boolean; disabled: boolean; tokens: Token[] }

export function datadog(): Vendor {
  const users = new Map<string, User>([
    ['u-0', { id: 'u-0', name: 'Alice', service: false, disabled: false, tokens: [] }],
  ])
  let ids = 0
  let lies = false
  const ADMIN = 'ddpat_admin'
  const resource = ({ id, name, service, disabled }: User) => ({
    type: 'users',
    id,
    attributes: { name, email: `${name}@example.com`, service_account: service, disabled },
  })
  const asAdmin = <T>(authorization: string, act: () => T) =>
    authorization === `Bearer ${ADMIN}` ? act() : new Refusal(401)
  const one = (authorization: string, id: string | undefined, act: (user: User) => unknown) =>
    asAdmin(authorization, () => {
      const user = users.get(id ?? '')
      return user === undefined ? new Refusal(404) : act(user)
    })
  const paged = <T>(rows: readonly T[], query: URLSearchParams): readonly T[] => {
    const [page, size] = [Number(query.get('page[number]') ?? 0), Number(query.get('page[size]') ?? 10)]
    return rows.slice(page * size, (page + 1) * size)
  }
  const add = (name: string) => {
    ids += 1
    const user: User = { id: `u-${ids}`, name, service: true, disabled: false, tokens: [] }
    users.set(user.id, user)
    return user
  }
  const tool = describedTool(OPERATIONS, {
    'GET /api/v2/users': ({ authorization, query }) =>
      asAdmin(authorization, () => {
        const found = [...users.values()].filter(({ name }) => name.includes(query.get('filter') ?? ''))
        return {
          data: paged(found, query).map(resource),
          meta: { page: { total_count: users.size, total_filtered_count: found.length } },
        }
      }),
    'GET /api/v2/users/{user_id}': ({ authorization, params }) =>
      one(authorization, params.user_id, (user) => ({ data: resource(user) })),
    'PATCH /api/v2/users/{user_id}': ({ authorization, params, body }) =>
      one(authorization, params.user_id, (user) => {
        if (!lies) user.disabled = at(body, 'data', 'attributes', 'disabled') === true
        return { data: resource(user) }
      }),
    'DELETE /api/v2/users/{user_id}': ({ authorization, params }) =>
      one(authorization, params.user_id, (user) => {
        if (!lies) user.disabled = true
        return undefined
      }),
    'POST /api/v2/service_accounts': ({ authorization, body }) =>
      asAdmin(authorization, () => {
        const roles = at(body, 'data', 'relationships', 'roles', 'data')
        if (!Array.isArray(roles) || at(roles[0], 'id') !== 'role-1') return new Refusal(400)
        return { data: resource(add(String(at(body, 'data', 'attributes', 'name')))) }
      }),
    'GET /api/v2/service_accounts/{service_account_id}/access_tokens': ({ authorization, params, query }) =>
      one(authorization, params.service_account_id, ({ tokens }) => ({
        data: paged(tokens, query).map(({ id, name, scopes }) => ({
          type: 'service_access_tokens',
          id,
          attributes: { name, scopes },
        })),
      })),
    'POST /api/v2/service_accounts/{service_account_id}/access_tokens': ({ authorization, params, body }) =>
      one(authorization, params.service_account_id, ({ tokens }) => {
        // The personal ones are made elsewhere; the vendor's own client knows no other type here.
        if (at(body, 'data', 'type') !== 'service_access_tokens') return new Refusal(400)
        ids += 1
        const [id, key] = [`t-${ids}`, `ddsat_${ids}`]
        const name = String(at(body, 'data', 'attributes', 'name'))
        const scopes = texts(at(body, 'data', 'attributes', 'scopes'))
        tokens.push({ id, key, name, scopes })
        return { data: { type: 'service_access_tokens', id, attributes: { name, scopes, key } } }
      }),
    'DELETE /api/v2/service_accounts/{service_account_id}/access_tokens/{token_id}': ({ authorization, params }) =>
      one(authorization, params.service_account_id, (user) => {
        if (!lies) user.tokens = user.tokens.filter(({ id }) => id !== params.token_id)
        return undefined
      }),
  })
  return {
    ...tool,
    admin: ADMIN,
    values: { role: 'role-1' },
    rights: ['dashboards_read', 'monitors_read'],
    many: true,
    allowed(secret) {
      const user = [...users.values()].find(({ tokens }) => tokens.some(({ key }) => key === secret))
      if (user === undefined || user.disabled) return null
      return user.tokens.find(({ key }) => key === secret)?.scopes ?? null
    },
    count: (name) => [...users.values()].filter((user) => user.name === name).length,
    addByHand: (name) => void add(name),
    lie(now) {
      lies = now
    },
  }
}
