// The printed configurations by their structure: what each must say, that each parses in its own language, and that no name,
// URL or path out of a manifest or an option is read as anything but itself.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import type { ToolManifest } from '../../src/core/manifest.ts'
import { SNIPPET_KINDS, SNIPPETS, type SnippetFor } from '../../src/core/snippets/snippet.ts'
import { readSnippetInput, type SnippetInput } from '../../src/core/snippets/snippet-input.ts'

const ISSUER = 'https://hallpass.example.com'

const tool = (more: Partial<ToolManifest> = {}): ToolManifest => ({
  kind: 'Tool',
  name: 'log-store',
  labels: {},
  owners: ['a@example.com'],
  category: 'observability',
  resource: 'https://logs.example.com/api',
  scopes: {
    'logs:read': { description: '"; } evil {', risk: 'low', approval: 'none' },
    'logs.read': { description: '', risk: 'low', approval: 'none' },
    'logs:delete': { description: '', risk: 'high', approval: 'owner' },
  },
  details: { index: { description: '', enforcedBy: 'proxy' } },
  token: { alg: 'ES256', maxTtlSeconds: 600, verifiedBy: 'asks', leewaySeconds: 30 },
  target: { type: 'none' },
  source: { file: 'tools/log-store.yaml', line: 1, column: 1 },
  ...more,
})

const ROUTES = ['GET,HEAD /api/search=logs:read', '/api/search=logs:delete', 'DELETE /api/index/=logs:delete']

function input(more: Partial<ToolManifest> = {}, routes: readonly string[] = ROUTES, issuer = ISSUER): SnippetInput {
  const read = readSnippetInput(tool(more), issuer, { routes, upstream: 'http://10.0.0.7:9200' })
  if (!read.ok) throw new Error(read.error.join('\n'))
  return read.value
}

const printed = (kind: SnippetFor, of = input()) => SNIPPETS[kind](of)
const code = (text: string) =>
  text
    .split('\n')
    .filter((line) => !/^\s*#/.test(line))
    .join('\n')
const ASKS = ['nginx', 'caddy', 'traefik', 'envoy', 'apache'] as const
const ALONE = ['haproxy', 'grafana', 'elasticsearch', 'opensearch', 'kubernetes'] as const

describe('every printed configuration', () => {
  test.each(SNIPPET_KINDS)('for %s names resource, issuer, scopes and what it cannot do in its first lines', (kind) => {
    const { text } = printed(kind)
    const head = text.slice(0, text.search(/^[^#]/m)).replaceAll('\n# ', ' ')
    for (const part of ['https://logs.example.com/api', ISSUER, 'logs:read', 'index (enforced by proxy)', 'leeway 30s'])
      expect(head).toContain(part)
    expect(head).toMatch(/asked at each call|asks nobody: a credential that was revoked passes until its exp, 10m/)
    expect(text.split('\n').every((line) => !/\s$/.test(line))).toBe(true)
  })

  test.each(SNIPPET_KINDS)('for %s carries no description, no secret and no verifier token', (kind) => {
    const { text } = printed(kind)
    expect(text).not.toContain('evil')
    expect(text).not.toMatch(/hp_[a-z]+_[A-Za-z0-9]/)
  })

  test.each(ASKS)('for %s asks with a literal resource and scope, or introspects (S14)', (kind) => {
    const { text } = printed(kind)
    if (kind === 'apache') expect(text).toContain(`OIDCOAuthIntrospectionEndpoint ${ISSUER}/oauth/introspect`)
    else expect(text).toContain('/forward-auth?resource=https://logs.example.com/api&scope=')
    expect(code(text)).not.toContain('enforces=')
  })

  test.each(ALONE)('for %s pins issuer and audience, and warns where the manifest claims more (S15)', (kind) => {
    const { text, warnings } = printed(kind)
    expect(code(text)).toContain('https://logs.example.com/api')
    expect(code(text)).toContain(ISSUER)
    expect(warnings.join()).toContain('verifiedBy: alone')
    const token = { ...tool().token, verifiedBy: 'alone' } as const
    expect(printed(kind, input({ token })).warnings.join()).not.toContain('verifiedBy: alone')
  })

  test('that cannot see details says so where the manifest has some, and only there (S9)', () => {
    for (const kind of ['apache', 'grafana', 'elasticsearch', 'opensearch'] as const) {
      expect(printed(kind).warnings.join()).toContain('(index)')
      expect(printed(kind, input({ details: {} })).warnings.join()).not.toContain('details')
    }
  })

  test('whose paths were made up says so', () => {
    for (const kind of [...ASKS, 'haproxy'] as const)
      expect(printed(kind, input({}, [])).warnings.join()).toContain('--route')
    expect(printed('nginx').warnings.join()).not.toContain('--route')
  })
})

describe('of those that cannot be run here, by the vendor’s keys:', () => {
  test('Traefik: in order, the caller’s word goes, Hallpass is asked, our token goes', () => {
    const { http } = parse(printed('traefik').text)
    const routers: readonly { rule: string; priority: number; middlewares: readonly string[]; service: string }[] =
      Object.values(http.routers)
    expect(routers.map(({ rule, priority }) => [rule, priority])).toEqual([
      ['Host(`logs.example.com`) && (Method(`GET`) || Method(`HEAD`)) && Path(`/api/search`)', 3],
      ['Host(`logs.example.com`) && Path(`/api/search`)', 2],
      ['Host(`logs.example.com`) && (Method(`DELETE`)) && PathPrefix(`/api/index/`)', 1],
    ])
    for (const { middlewares, service } of routers) {
      expect(middlewares[0]).toBe('log-store-incoming')
      expect(middlewares[1]).toBe('log-store-verifier')
      expect(http.middlewares[middlewares[2]!].forwardAuth).toMatchObject({
        trustForwardHeader: false,
        authRequestHeaders: ['Authorization', 'X-Hallpass-Verifier'],
      })
      expect(http.middlewares[middlewares[3]!].headers.customRequestHeaders).toEqual({
        Authorization: '',
        'X-Hallpass-Verifier': '',
      })
      expect(http.services[service].loadBalancer.servers).toEqual([{ url: 'http://10.0.0.7:9200' }])
    }
    expect(http.middlewares['log-store-asks-2'].forwardAuth.address).toBe(
      `${ISSUER}/forward-auth?resource=https://logs.example.com/api&scope=logs:delete`,
    )
    expect(http.middlewares['log-store-incoming'].headers.customRequestHeaders['X-Hallpass-Agent']).toBe('')
  })

  test('Envoy: fails closed, asks by the route’s own metadata, takes the token out', () => {
    const { listeners, clusters } = parse(printed('envoy').text).static_resources
    const manager = (index: number) => listeners[index].filter_chains[0].filters[0].typed_config
    const [authz] = manager(0).http_filters
    expect(authz.typed_config).toMatchObject({ failure_mode_allow: false, transport_api_version: 'V3' })
    expect(manager(0)).toMatchObject({ normalize_path: true, path_with_escaped_slashes_action: 'REJECT_REQUEST' })
    expect(manager(0).route_config.request_headers_to_remove).toContain('authorization')
    const { routes } = manager(1).route_config.virtual_hosts[0]
    expect(routes.at(-1)).toEqual({ match: { prefix: '/' }, direct_response: { status: 403 } })
    expect(
      routes.slice(0, -1).map((route: { metadata: { filter_metadata: object } }) => route.metadata.filter_metadata),
    ).toEqual(['logs:read', 'logs:delete', 'logs:delete'].map((scope) => ({ 'envoy.filters.http.lua': { scope } })))
    const lua: string = manager(1).http_filters[0].typed_config.default_source_code.inline_string
    expect(lua).toContain('"/forward-auth?resource=https://logs.example.com/api&scope=" .. scope')
    expect(lua).toContain('io.open("/etc/hallpass/log-store-verifier"')
    expect(clusters.map(({ name }: { name: string }) => name)).toEqual([
      'log-store_question',
      'log-store_hallpass',
      'log-store_tool',
    ])
    expect(clusters[1].transport_socket.typed_config.sni).toBe('hallpass.example.com')
  })

  test('Grafana: whole words of scope, no role for the rest', () => {
    const lines = new Map(
      code(printed('grafana').text)
        .split('\n')
        .filter((line) => line.includes(' = '))
        .map((line): [string, string] => [line.slice(0, line.indexOf(' = ')), line.slice(line.indexOf(' = ') + 3)]),
    )
    expect(JSON.parse(lines.get('expect_claims') ?? '')).toEqual({ iss: ISSUER, aud: 'https://logs.example.com/api' })
    expect(lines.get('role_attribute_path')).toContain(
      `contains(join('', [' ', scope, ' ']), ' logs:read ') && 'Viewer' || contains(`,
    )
    expect(Object.fromEntries(lines)).toMatchObject({
      enabled: 'true',
      header_name: 'Authorization',
      jwk_set_url: `${ISSUER}/.well-known/jwks.json`,
      role_attribute_strict: 'true',
      allow_assign_grafana_admin: 'false',
      url_login: 'false',
    })
  })

  test('Elasticsearch: an access-token realm bound to issuer, audience and algorithm, and scopes as whole words', () => {
    const { text } = printed('elasticsearch')
    expect(parse(text)['xpack.security.authc.realms.jwt.hallpass-log-store']).toMatchObject({
      token_type: 'access_token',
      allowed_issuer: ISSUER,
      allowed_audiences: ['https://logs.example.com/api'],
      allowed_signature_algorithms: ['ES256'],
      allowed_clock_skew: '30s',
      'claims.principal': 'sub',
    })
    const mappings = [...text.matchAll(/^# {3}(\{.*\})$/gm)].map(([, json]) => JSON.parse(json!))
    expect(mappings.map(({ rules }) => rules.all[1].field['metadata.jwt_claim_scope'])).toEqual([
      '/(.* )?logs\\:read( .*)?/',
      '/(.* )?logs\\.read( .*)?/',
      '/(.* )?logs\\:delete( .*)?/',
    ])
  })

  test('OpenSearch: audience and issuer are required, and scopes are whole words', () => {
    const { text } = printed('opensearch')
    const { config } = parse(text)
    expect(config.dynamic.authc.hallpass_log_store.http_authenticator).toMatchObject({
      type: 'openid',
      challenge: false,
      config: {
        required_audience: 'https://logs.example.com/api',
        required_issuer: ISSUER,
        roles_key: 'scope',
        jwt_clock_skew_tolerance_seconds: 30,
      },
    })
    expect(text).toContain('["logs:read","logs:read *","* logs:read","* logs:read *"]')
  })

  test('Kubernetes: one issuer and audience, groups from whole scopes, limited credentials refused', () => {
    const [document, ...more] = parseAllDocuments(printed('kubernetes').text)
    expect(more).toEqual([])
    const { apiVersion, kind, jwt } = document!.toJS()
    expect([apiVersion, kind]).toEqual(['apiserver.config.k8s.io/v1', 'AuthenticationConfiguration'])
    expect(jwt).toHaveLength(1)
    expect(jwt[0].issuer).toEqual({
      url: ISSUER,
      discoveryURL: `${ISSUER}/.well-known/oauth-authorization-server`,
      audiences: ['https://logs.example.com/api'],
      audienceMatchPolicy: 'MatchAny',
    })
    expect(jwt[0].claimValidationRules[0].expression).toBe('!has(claims.authorization_details)')
    expect(jwt[0].claimMappings.groups.expression).toContain('claims.scope.split(" ")')
  })
})

test('a tool with accounts of its own has no configuration: it sees no token of ours', () => {
  const target = {
    type: 'redmine',
    url: 'https://tickets.example.com',
    secret: 'env:HALLPASS_TOOL_TICKETS',
    recipe: null,
    values: {},
    rights: {},
    reconcile: { ghosts: 'report', others: 'report', overScoped: 'report', exempt: [] },
  } as const
  expect(readSnippetInput(tool({ target }), ISSUER)).toMatchObject({
    ok: false,
    error: [expect.stringContaining('target redmine')],
  })
})

describe('routes', () => {
  const faults = (...routes: string[]) => {
    const read = readSnippetInput(tool(), ISSUER, { routes })
    return read.ok ? [] : read.error
  }

  test('stand most specific first, whatever their order', () => {
    const routes = ['/a/=logs:read', '/a/b/=logs:delete', '/a/b/c=logs:read', 'GET /a/b/c=logs:delete']
    const order = ['GET /a/b/c', ' /a/b/c', ' /a/b/', ' /a/']
    for (const given of [routes, [...routes].reverse()])
      expect(input({}, given).routes.map(({ methods, path }) => `${methods.join()} ${path}`)).toEqual(order)
  })

  test('that are not given get a path of their own for each scope, however alike two scopes are', () => {
    expect(
      input({}, [])
        .routes.map(({ path }) => path)
        .sort(),
    ).toEqual(['/api/logs/delete/', '/api/logs/read/', '/api/logs/read/2/'])
  })

  test.each([
    ['a scope that the manifest has not', '/a=logs:other'],
    ['no path', 'GET logs:read'],
    ['a dot segment', '/a/../b=logs:read'],
    ['a doubled slash', '/a//b=logs:read'],
    ['an encoded slash', '/a%2Fb=logs:read'],
    ['a variable', '/a$http_x=logs:read'],
    ['a placeholder', '/a{env.X}=logs:read'],
    ['a quote', '/a"=logs:read'],
    ['a line break', '/a\n}=logs:read'],
    ['a method that is none', 'GET; /a=logs:read'],
  ])('with %s are refused', (_, route) => {
    expect(faults(route)).toHaveLength(1)
  })

  test('that say two things of one call are refused', () => {
    expect(faults('GET,POST /a=logs:read', 'POST /a=logs:delete')).toEqual([expect.stringContaining('POST /a')])
  })
})

describe('hostile values', () => {
  const HOSTILE = [
    ...[
      '"',
      "'",
      '`',
      ';',
      '{',
      '}',
      '$',
      '\\',
      '\n',
      '\r',
      '\t',
      ' ',
      '#',
      '%',
      '<',
      '>',
      '|',
      '&',
      '(',
      ')',
      '*',
      '^',
      '?',
    ],
    ...['\u0000', '\u2028', 'é', '$HOME', '{{', '%[src]', '$(id)', '/../', '//'],
  ]

  test('in a resource, an issuer or an upstream are refused, never quoted', () => {
    for (const bad of HOSTILE)
      for (const url of [`https://logs.example.com/a${bad}b`, `https://logs${bad}.example.com/`]) {
        expect(readSnippetInput(tool({ resource: url }), ISSUER).ok, JSON.stringify(url)).toBe(false)
        expect(readSnippetInput(tool(), url).ok, JSON.stringify(url)).toBe(false)
        expect(readSnippetInput(tool(), ISSUER, { upstream: url }).ok, JSON.stringify(url)).toBe(false)
      }
  })

  test('in the name of a tool, a scope or a details key are refused too, whatever let them through before', () => {
    for (const bad of HOSTILE.filter((text) => !['/../', '//'].includes(text))) {
      const scope = { description: '', risk: 'low', approval: 'none' } as const
      expect(readSnippetInput(tool({ name: `a${bad}b` }), ISSUER).ok).toBe(false)
      expect(readSnippetInput(tool({ scopes: { [`a${bad}b`]: scope } }), ISSUER).ok).toBe(false)
      expect(
        readSnippetInput(tool({ details: { [`a${bad}b`]: { description: '', enforcedBy: 'tool' } } }), ISSUER).ok,
      ).toBe(false)
    }
  })

  const word = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._:/-]{0,20}$/)
  const name = fc.stringMatching(/^[a-z0-9]+(-[a-z0-9]+)?$/)
  test('that are allowed change no other line: the shape of the text is the same for every name and URL', () => {
    const lines = (kind: SnippetFor, of: SnippetInput) => code(SNIPPETS[kind](of).text).split('\n').length
    const plain = input({ name: 'a', scopes: { b: tool().scopes['logs:read']! } }, ['GET /c=b'])
    fc.assert(
      fc.property(name, word, (called, scope) => {
        const read = readSnippetInput(
          tool({ name: called, scopes: { [scope]: tool().scopes['logs:read']! } }),
          ISSUER,
          { routes: [`GET /c=${scope}`], upstream: 'http://10.0.0.7:9200' },
        )
        if (!read.ok) throw new Error(read.error.join())
        for (const kind of SNIPPET_KINDS) {
          expect(lines(kind, read.value), kind).toBe(lines(kind, plain))
          if (['traefik', 'envoy', 'elasticsearch', 'opensearch', 'kubernetes'].includes(kind))
            expect(parseAllDocuments(SNIPPETS[kind](read.value).text)[0]!.errors, kind).toEqual([])
        }
      }),
      { numRuns: 60 },
    )
  })

  test('and any text at all as a route is either refused or of the alphabet of paths', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 40 }), (text) => {
        const read = readSnippetInput(tool(), ISSUER, { routes: [`/${text}=logs:read`] })
        if (read.ok) expect(read.value.routes[0]!.path).toMatch(/^\/[A-Za-z0-9._~:@,+=/-]*$/)
      }),
      { numRuns: 500 },
    )
  })
})
