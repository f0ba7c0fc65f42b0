// Elasticsearch's jwt realm (8.7 and later, access tokens): it verifies our tokens itself; role mappings check scopes.

import { formatDuration } from '../duration.ts'
import { comment, type Snippet, withHead } from './snippet-head.ts'
import { jwksUrl, type SnippetInput } from './snippet-input.ts'

const NOTES = [
  'For elasticsearch.yml of every node. The JWT realm needs a Platinum licence or higher (a trial will do to see it).',
  'Our tokens are typed "at+jwt" (RFC 9068). Releases whose realm takes only "typ": "JWT" refuse every one of them ("invalid jwt typ header"): see it pass before you rely on it.',
  'A role, and so an index and an action, is given by a role mapping below; without one an agent can do nothing.',
]

export function elasticsearchSnippet(input: SnippetInput): Snippet {
  const { tool, alg, issuer, resource, leewaySeconds, scopes } = input
  const realm = `xpack.security.authc.realms.jwt.hallpass-${tool}`
  const body = `
${realm}:
  order: 2
  token_type: access_token
  client_authentication.type: none        # the agent's token alone, in Authorization: Bearer
  allowed_issuer: ${quoted(issuer.url)}
  allowed_audiences: [${quoted(resource.url)}]
  allowed_signature_algorithms: [${alg}]
  pkc_jwkset_path: ${quoted(jwksUrl(input))}
  allowed_clock_skew: ${formatDuration(leewaySeconds)}               # the manifest's leeway: "revoked" is said at exp + this
  allowed_subject_patterns: ["/[a-z0-9-]+/"]      # or allowed_subjects with the agents' names
  claims.principal: sub
  populate_user_metadata: true            # the mappings below read jwt_claim_scope
  # What was verified is not kept past its exp; a shorter time costs a signature check.
  jwt.cache.ttl: 1m

${comment([
  'Whole words of the scope claim, a mapping a scope; put the roles of yours in. PUT them once:',
  ...scopes.flatMap((scope, index) => [
    '',
    `  PUT /_security/role_mapping/hallpass-${tool}-${index + 1}`,
    `  ${JSON.stringify({
      enabled: true,
      roles: [`role-for-scope-${index + 1}`],
      rules: {
        all: [
          { field: { 'realm.name': `hallpass-${tool}` } },
          { field: { 'metadata.jwt_claim_scope': `/(.* )?${lucene(scope)}( .*)?/` } },
        ],
      },
    })}`,
  ]),
])}`
  return withHead(
    input,
    { name: 'Elasticsearch', verifies: 'alone', limitedIs: 'unseen', needsTls: true, notes: NOTES },
    body,
  )
}

const quoted = (text: string): string => JSON.stringify(text)

/** A scope in a Lucene regular expression: whatever is neither letter nor digit is escaped. */
const lucene = (scope: string): string => scope.replace(/[^A-Za-z0-9]/g, (character) => `\\${character}`)
