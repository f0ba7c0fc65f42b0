// OpenSearch's security plugin (2.11 and later): it verifies our tokens itself; role mappings check scopes.

import { comment, type Snippet, withHead } from './snippet-head.ts'
import type { SnippetInput } from './snippet-input.ts'

const NOTES = [
  'For config/opensearch-security/config.yml and roles_mapping.yml; load both with securityadmin.sh.',
  'Type openid, because it takes any document that names a jwks_uri, and so fetches keys again when they change. Audience and issuer are required below: without them any token of this issuer would do.',
  'The algorithm is bound by the key set, which holds public keys alone.',
  'In opensearch.yml: plugins.security.cache.ttl_minutes: 0, or a verified user stays in the cache past exp.',
]

export function opensearchSnippet(input: SnippetInput): Snippet {
  const { tool, issuer, resource, leewaySeconds, scopes } = input
  const body = `
# config.yml
_meta: { type: config, config_version: 2 }
config:
  dynamic:
    authc:
      hallpass_${input.identifier}:
        http_enabled: true
        transport_enabled: true
        order: 0
        http_authenticator:
          type: openid
          challenge: false
          config:
            openid_connect_url: ${quoted(`${issuer.url}/.well-known/oauth-authorization-server`)}
            jwt_header: Authorization
            subject_key: sub
            roles_key: scope
            required_audience: ${quoted(resource.url)}
            required_issuer: ${quoted(issuer.url)}
            jwt_clock_skew_tolerance_seconds: ${leewaySeconds}      # the manifest's leeway: "revoked" is said at exp + this
        authentication_backend:
          type: noop

${comment([
  'roles_mapping.yml: the scope claim is words with blanks between and arrives here as one backend role, so each scope has four spellings. Put the roles of yours in.',
  `  _meta: { type: rolesmapping, config_version: 2 }`,
  ...scopes.flatMap((scope, index) => [
    `  ${tool}_role_for_scope_${index + 1}:`,
    `    backend_roles: ${JSON.stringify([scope, `${scope} *`, `* ${scope}`, `* ${scope} *`])}`,
  ]),
])}`
  return withHead(
    input,
    { name: 'OpenSearch', verifies: 'alone', limitedIs: 'unseen', needsTls: true, notes: NOTES },
    body,
  )
}

const quoted = (text: string): string => JSON.stringify(text)
