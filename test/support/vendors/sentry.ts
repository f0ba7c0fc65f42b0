// Sentry's internal integrations. Reading and deleting them is published; making them and their tokens is as Sentry's own
// pages ask for it, and no promise of the vendor's.

import { describedTool, Refusal } from '../described-tool.ts'
import { at, texts, type Vendor } from './vendor.ts'

const OPERATIONS = {
  'GET /api/0/organizations/{organization}/sentry-apps/': { status: 200 },
  'POST /api/0/sentry-apps/': {
    status: 201,
    requires: ['/name', '/organization', '/scopes', '/isInternal'],
    allows: ['/verifyInstall', '/events', '/webhookUrl'],
  },
  'DELETE /api/0/sentry-apps/{sentry_app}/': { status: 204 },
  'GET /api/0/sentry-apps/{sentry_app}/api-tokens/': { status: 200 },
  'POST /api/0/sentry-apps/{sentry_app}/api-tokens/': { status: 201 },
  'DELETE /api/0/sentry-apps/{sentry_app}/api-tokens/{api_token}/': { status: 204 },
  'GET /api/0/organizations/{organization}/': { status: 200 },
} as const

/** What follows is named in a header. */
const PAGE = 100

type App = { slug: string; name: string; scopes: string[]; tokens: { id: string; token: string }[] }

export function sentry(): Vendor {
  const apps = new Map<string, App>()
  let ids = 0
  let lies = false
  const ADMIN = 'sntryu_admin'
  const asAdmin = <T>(authorization: string, act: () => T) =>
    authorization === `Bearer ${ADMIN}` ? act() : new Refusal(401)
  const one = (authorization: string, slug: string | undefined, act: (app: App) => unknown) =>
    asAdmin(authorization, () => {
      const app = apps.get(slug ?? '')
      return app === undefined ? new Refusal(404) : act(app)
    })
  const mint = (app: App) => {
    ids += 1
    const made = { id: String(ids), token: `sntrys_${ids}` }
    app.tokens.push(made)
    return made
  }
  const add = (name: string, scopes: string[]) => {
    ids += 1
    const app: App = { slug: `${name}-${ids}`, name, scopes, tokens: [] }
    apps.set(app.slug, app)
    // An integration comes with a token that nobody asked for.
    mint(app)
    return app
  }
  const holder = (secret: string) =>
    [...apps.values()].find(({ tokens }) => tokens.some(({ token }) => token === secret))
  const shown = ({ slug, name, scopes }: App) => ({ slug, name, scopes, status: 'internal' })
  const tool = describedTool(OPERATIONS, {
    'GET /api/0/organizations/{organization}/sentry-apps/': ({ authorization, params }) =>
      asAdmin(authorization, () =>
        params.organization === 'acme' ? [...apps.values()].reverse().slice(0, PAGE).map(shown) : new Refusal(404),
      ),
    'POST /api/0/sentry-apps/': ({ authorization, body }) =>
      asAdmin(authorization, () => shown(add(String(at(body, 'name')), texts(at(body, 'scopes'))))),
    'DELETE /api/0/sentry-apps/{sentry_app}/': ({ authorization, params }) =>
      one(authorization, params.sentry_app, ({ slug }) => {
        if (!lies) apps.delete(slug)
        return undefined
      }),
    'GET /api/0/sentry-apps/{sentry_app}/api-tokens/': ({ authorization, params }) =>
      one(authorization, params.sentry_app, ({ tokens }) => tokens.map(({ id }) => ({ id }))),
    'POST /api/0/sentry-apps/{sentry_app}/api-tokens/': ({ authorization, params }) =>
      one(authorization, params.sentry_app, mint),
    'DELETE /api/0/sentry-apps/{sentry_app}/api-tokens/{api_token}/': ({ authorization, params }) =>
      one(authorization, params.sentry_app, (app) => {
        app.tokens = app.tokens.filter(({ id }) => id !== params.api_token)
        return undefined
      }),
    'GET /api/0/organizations/{organization}/': ({ authorization }) =>
      holder(authorization.slice('Bearer '.length)) === undefined ? new Refusal(401) : { slug: 'acme' },
  })
  return {
    ...tool,
    admin: ADMIN,
    values: { organization: 'acme' },
    rights: ['event:read', 'project:read'],
    many: true,
    allowed: (secret) => holder(secret)?.scopes ?? null,
    count: (name) => [...apps.values()].filter((app) => app.name === name).length,
    addByHand: (name) => void add(name, []),
    lie(now) {
      lies = now
    },
  }
}
