// Grafana's [auth.jwt]: it verifies our tokens itself, and a scope becomes an organisation role.

import { type Snippet, withHead } from './snippet-head.ts'
import { jwksUrl, type SnippetInput } from './snippet-input.ts'

const NOTES = [
  'For grafana.ini (or GF_AUTH_JWT_*). Grafana knows organisation roles, so a scope is as fine as Viewer, Editor, Admin: a call is not checked for its scope by its path. Finer, put a proxy in front that asks.',
  'An agent becomes a user of its name (auto_sign_up) and stays in the list when it is taken away; its tokens do not.',
  'The key decides the algorithm: Grafana takes it from the key set, not from the token alone.',
  'Authorization is read by Grafana’s own schemes too: an agent that is refused here must not have a service account there.',
]

export function grafanaSnippet(input: SnippetInput): Snippet {
  const { scopes, issuer, resource } = input
  // JMESPath: whole words, for "metrics:read" is also the beginning of "metrics:read-all".
  const has = (scope: string) => `contains(join('', [' ', scope, ' ']), ' ${scope} ') && 'Viewer'`
  const body = `
[auth.jwt]
enabled = true
header_name = Authorization
username_claim = sub
auto_sign_up = true

jwk_set_url = ${jwksUrl(input)}
cache_ttl = 5m

# Issuer and audience must both fit; exp is always checked.
expect_claims = {"iss": "${issuer.url}", "aud": "${resource.url}"}

# Whole words of the scope claim. Every scope gives Viewer until you say otherwise (Editor, Admin); no scope, no way in.
role_attribute_path = ${scopes.map(has).join(' || ')} || 'Refused'
role_attribute_strict = true
allow_assign_grafana_admin = false
skip_org_role_sync = false

# No token in a URL, where it would end up in logs.
url_login = false
`
  return withHead(
    input,
    { name: 'Grafana', verifies: 'alone', limitedIs: 'unseen', needsTls: true, notes: NOTES },
    body,
  )
}
