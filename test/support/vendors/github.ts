// GitHub App installation tokens: what is kept behind the operations of GitHub's published OpenAPI description. The app's
// token is verified as GitHub says that it does: RS256, no more than ten minutes, by the app's own key.

import { Buffer } from 'node:buffer'
import { type KeyObject, verify } from 'node:crypto'
import { type Does, describedTool, Refusal } from '../described-tool.ts'
import { Exactly } from '../published-tool.ts'
import { at, texts } from './vendor.ts'

const OPERATIONS = {
  'POST /app/installations/{installation_id}/access_tokens': {
    status: 201,
    // What a permission is called is part of its pointer.
    allows: ['/repositories', '/repository_ids', '/permissions/issues', '/permissions/contents'],
  },
  'DELETE /installation/token': { status: 204 },
  'GET /installation/repositories': { status: 200, query: ['per_page', 'page'] },
} as const

const SECONDS_MAX = 600

export type Minted = { readonly permissions: unknown; readonly repositories: readonly string[] }

type Operations = keyof typeof OPERATIONS
export type Serves = (does: Does<Operations>) => ReturnType<typeof describedTool>

/**
 * `has`: what the installation may give; `skews`: what GitHub gives in place of what was asked for; `serves`: with the
 * operations written here, or with those of the whole description.
 */
export function github(
  app: string,
  key: KeyObject,
  has: readonly string[],
  skews = (asked: Minted): Minted => asked,
  serves: Serves = (does) => describedTool(OPERATIONS, does),
) {
  const tokens = new Map<string, Minted>()
  let count = 0

  const isApp = (authorization: string): boolean => {
    const [header = '', claims = '', signature = ''] = authorization.replace('Bearer ', '').split('.')
    const read = (part: string): unknown => JSON.parse(Buffer.from(part, 'base64url').toString('utf8'))
    const [issuedAt, expiresAt] = [Number(at(read(claims), 'iat')), Number(at(read(claims), 'exp'))]
    const now = Date.now() / 1000
    return (
      at(read(header), 'alg') === 'RS256' &&
      verify('sha256', Buffer.from(`${header}.${claims}`), key, Buffer.from(signature, 'base64url')) &&
      at(read(claims), 'iss') === app &&
      issuedAt <= now &&
      expiresAt > now &&
      expiresAt - issuedAt <= SECONDS_MAX
    )
  }

  const tool = serves({
    'POST /app/installations/{installation_id}/access_tokens': ({ authorization, params, body }) => {
      if (!isApp(authorization)) return new Refusal(401)
      if (params.installation_id !== '42') return new Refusal(404)
      const repositories = texts(at(body, 'repositories'))
      if (repositories.some((name) => !has.includes(name))) return new Refusal(422)
      count += 1
      const token = `ghs_${count}`
      const given = skews({ repositories, permissions: { ...Object(at(body, 'permissions')), metadata: 'read' } })
      tokens.set(token, given)
      const expires_at = new Date(Date.now() + 3_600_000).toISOString()
      const named = given.repositories.map((name) => ({ id: 1, name, full_name: `acme/${name}` }))
      return {
        token,
        expires_at,
        permissions: new Exactly(given.permissions),
        repositories: named,
        repository_selection: 'selected',
      }
    },
    'DELETE /installation/token': ({ authorization }) =>
      tokens.delete(authorization.replace('Bearer ', '')) ? undefined : new Refusal(401),
    'GET /installation/repositories': ({ authorization }) => {
      const minted = tokens.get(authorization.replace('Bearer ', ''))
      return minted === undefined ? new Refusal(401) : { total_count: minted.repositories.length, repositories: [] }
    },
  })
  return { ...tool, tokens }
}
