// Kubernetes (1.30 and later, stable in 1.34): the API server verifies our tokens itself; a scope becomes a group for RBAC.

import { comment, type Snippet, withHead } from './snippet-head.ts'
import type { SnippetInput } from './snippet-input.ts'

const NOTES = [
  'For kube-apiserver --authentication-config=FILE (instead of --oidc-*). Before 1.34 write apiVersion: apiserver.config.k8s.io/v1beta1.',
  'A credential limited by details is refused below: RBAC does not see them.',
  'Keys are fetched by kid, signatures with alg none or HS256 are never tried. exp is checked to the second.',
]

export function kubernetesSnippet(input: SnippetInput): Snippet {
  const { tool, issuer, resource, scopes } = input
  const prefix = `hallpass:${tool}:`
  const body = `
apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
jwt:
  - issuer:
      url: ${quoted(issuer.url)}
      discoveryURL: ${quoted(`${issuer.url}/.well-known/oauth-authorization-server`)}
      audiences: [${quoted(resource.url)}]
      audienceMatchPolicy: MatchAny
    claimValidationRules:
      - expression: '!has(claims.authorization_details)'
        message: a credential limited by details is not for this tool
      - expression: 'has(claims.scope) && has(claims.grant_id) && has(claims.jti)'
        message: this is no tool credential of Hallpass
    claimMappings:
      username:
        expression: '"hallpass:" + claims.sub'
      groups:                             # whole words of the scope claim
        expression: 'claims.scope.split(" ").map(scope, "${prefix}" + scope)'
      uid:
        claim: grant_id
    userValidationRules:
      - expression: 'user.groups.all(group, group.startsWith("${prefix}"))'
        message: no other group comes from here

${comment([
  'Nothing is allowed until a binding says so. One a scope, with a ClusterRole of yours:',
  ...scopes.flatMap((scope, index) => [
    '',
    '  apiVersion: rbac.authorization.k8s.io/v1',
    '  kind: ClusterRoleBinding',
    `  metadata: { name: hallpass-${tool}-${index + 1} }`,
    `  subjects: [{ kind: Group, apiGroup: rbac.authorization.k8s.io, name: ${quoted(prefix + scope)} }]`,
    `  roleRef: { kind: ClusterRole, apiGroup: rbac.authorization.k8s.io, name: role-for-scope-${index + 1} }`,
  ]),
])}`
  return withHead(
    input,
    { name: 'Kubernetes', verifies: 'alone', limitedIs: 'refused', needsTls: true, notes: NOTES },
    body,
  )
}

const quoted = (text: string): string => JSON.stringify(text)
