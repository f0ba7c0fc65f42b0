// Grafana's service accounts: operations, fields and statuses as its published Swagger 2.0 description has them.

import { describedTool, Refusal } from '../described-tool.ts'
import { at, type Vendor } from './vendor.ts'

const OPERATIONS = {
  'GET /api/serviceaccounts/search': { status: 200, query: ['Disabled', 'expiredTokens', 'query', 'perpage', 'page'] },
  'GET /api/serviceaccounts/{serviceAccountId}': { status: 200 },
  'POST /api/serviceaccounts': { status: 201, allows: ['/name', '/role', '/isDisabled'] },
  'PATCH /api/serviceaccounts/{serviceAccountId}': {
    status: 200,
    allows: ['/name', '/role', '/isDisabled', '/serviceAccountId'],
  },
  'DELETE /api/serviceaccounts/{serviceAccountId}': { status: 200 },
  'GET /api/serviceaccounts/{serviceAccountId}/tokens': { status: 200 },
  'POST /api/serviceaccounts/{serviceAccountId}/tokens': { status: 200, allows: ['/name', '/secondsToLive'] },
  'DELETE /api/serviceaccounts/{serviceAccountId}/tokens/{tokenId}': { status: 200 },
  'GET /api/org': { status: 200 },
} as const

type Account = { id: number; name: string; role: string; tokens: { id: number; name: string; key: string }[] }

export function grafana(): Vendor {
  const accounts = new Map<number, Account>()
  let ids = 0
  let lies = false
  const ADMIN = 'glsa_admin'
  const dto = ({ id, name, role }: Account) => ({ id, name, login: `sa-${name}`, role, orgId: 1 })
  const asAdmin = <T>(authorization: string, act: () => T) =>
    authorization === `Bearer ${ADMIN}` ? act() : new Refusal(401)
  const one = (authorization: string, id: string | undefined, act: (account: Account) => unknown) =>
    asAdmin(authorization, () => {
      const account = accounts.get(Number(id))
      return account === undefined ? new Refusal(404) : act(account)
    })
  const holder = (key: string) => [...accounts.values()].find(({ tokens }) => tokens.some((token) => token.key === key))
  const add = (name: string, role: string) => {
    ids += 1
    const account = { id: ids, name, role, tokens: [] }
    accounts.set(ids, account)
    return account
  }
  const tool = describedTool(OPERATIONS, {
    'GET /api/serviceaccounts/search': ({ authorization, query }) =>
      asAdmin(authorization, () => {
        const found = [...accounts.values()].filter(({ name }) => name.includes(query.get('query') ?? ''))
        const [page, perPage] = [Number(query.get('page') ?? 1), Number(query.get('perpage') ?? 1000)]
        const rows = found.slice((page - 1) * perPage, page * perPage).map(dto)
        return { totalCount: found.length, serviceAccounts: rows, page, perPage }
      }),
    'GET /api/serviceaccounts/{serviceAccountId}': ({ authorization, params }) =>
      one(authorization, params.serviceAccountId, dto),
    'POST /api/serviceaccounts': ({ authorization, body }) =>
      asAdmin(authorization, () => dto(add(String(at(body, 'name')), String(at(body, 'role') ?? 'Viewer')))),
    'PATCH /api/serviceaccounts/{serviceAccountId}': ({ authorization, params, body }) =>
      one(authorization, params.serviceAccountId, (account) => {
        const role = at(body, 'role')
        if (!lies && typeof role === 'string') account.role = role
        return { message: 'Service account updated', id: account.id, name: account.name, serviceaccount: dto(account) }
      }),
    'DELETE /api/serviceaccounts/{serviceAccountId}': ({ authorization, params }) =>
      one(authorization, params.serviceAccountId, ({ id }) => {
        if (!lies) accounts.delete(id)
        return { message: 'Service account deleted' }
      }),
    'GET /api/serviceaccounts/{serviceAccountId}/tokens': ({ authorization, params }) =>
      one(authorization, params.serviceAccountId, ({ tokens }) => tokens.map(({ id, name }) => ({ id, name }))),
    'POST /api/serviceaccounts/{serviceAccountId}/tokens': ({ authorization, params, body }) =>
      one(authorization, params.serviceAccountId, ({ tokens }) => {
        const name = String(at(body, 'name'))
        // Names of tokens are unique in an account; a life without end is none that was asked for.
        if (tokens.some((token) => token.name === name)) return new Refusal(409)
        if (!(Number(at(body, 'secondsToLive')) > 0)) return new Refusal(400)
        ids += 1
        tokens.push({ id: ids, name, key: `glsa_${ids}` })
        return { id: ids, name, key: `glsa_${ids}` }
      }),
    'DELETE /api/serviceaccounts/{serviceAccountId}/tokens/{tokenId}': ({ authorization, params }) =>
      one(authorization, params.serviceAccountId, (account) => {
        account.tokens = account.tokens.filter(({ id }) => id !== Number(params.tokenId))
        return { message: 'Service account token deleted' }
      }),
    'GET /api/org': ({ authorization }) => {
      const account = holder(authorization.slice('Bearer '.length))
      if (account === undefined) return new Refusal(401)
      return account.role === 'None' ? new Refusal(403) : { id: 1, name: 'Main Org.' }
    },
  })
  return {
    ...tool,
    admin: ADMIN,
    values: {},
    rights: ['Editor', 'Viewer'],
    many: false,
    allowed(secret) {
      const account = holder(secret)
      return account === undefined ? null : account.role === 'None' ? [] : [account.role]
    },
    count: (name) => [...accounts.values()].filter((account) => account.name === name).length,
    addByHand: (name) => void add(name, 'Admin'),
    lie(now) {
      lies = now
    },
  }
}
