// What clients discover: RFC 8414 of the authorization server, RFC 9728 of `/mcp`. The official clients demand
// `authorization_endpoint` and `response_types_supported` even where there is no code flow.

import type { Settings } from '../../actions/ports.ts'
import { DETAILS_TYPE } from '../../core/claims.ts'
import { TOKEN_ALGS } from '../../core/manifest.ts'

export const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'

export const PATHS = {
  authorize: '/oauth/authorize',
  token: '/oauth/token',
  introspect: '/oauth/introspect',
  revoke: '/oauth/revoke',
  jwks: '/.well-known/jwks.json',
  server: '/.well-known/oauth-authorization-server',
  resource: '/.well-known/oauth-protected-resource',
} as const

export const serverMetadata = ({ issuer, mcpUrl }: Settings) => ({
  issuer,
  authorization_endpoint: issuer + PATHS.authorize,
  token_endpoint: issuer + PATHS.token,
  jwks_uri: issuer + PATHS.jwks,
  introspection_endpoint: issuer + PATHS.introspect,
  revocation_endpoint: issuer + PATHS.revoke,
  response_types_supported: [],
  grant_types_supported: ['client_credentials', TOKEN_EXCHANGE],
  token_endpoint_auth_methods_supported: ['private_key_jwt'],
  token_endpoint_auth_signing_alg_values_supported: TOKEN_ALGS,
  introspection_endpoint_auth_methods_supported: ['client_secret_basic', 'Bearer'],
  revocation_endpoint_auth_methods_supported: ['private_key_jwt'],
  revocation_endpoint_auth_signing_alg_values_supported: TOKEN_ALGS,
  authorization_details_types_supported: [DETAILS_TYPE],
  protected_resources: [mcpUrl],
})

export const resourceMetadata = ({ issuer, mcpUrl }: Settings) => ({
  resource: mcpUrl,
  resource_name: 'Hallpass',
  authorization_servers: [issuer],
  bearer_methods_supported: ['header'],
})
