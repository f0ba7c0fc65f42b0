// oidc-provider with the store in memory that it brings, client_credentials for one client. `opaque` is what costs it least;
// `jwt` signs access tokens as ours are (RFC 9068, ES256).

import { generateKeyPairSync } from 'node:crypto'
import Provider from 'oidc-provider'

const [, , kind, port] = process.argv
const issuer = `http://127.0.0.1:${port}`
const resource = 'http://127.0.0.1:8432'
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: 'agent',
      client_secret: 'a-secret-of-the-bench-alone-0123456789',
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
      token_endpoint_auth_method: 'client_secret_basic',
      id_token_signed_response_alg: 'ES256',
    },
  ],
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig' }] },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: kind === 'jwt',
      defaultResource: () => resource,
      getResourceServerInfo: () => ({
        scope: 'metrics:read',
        accessTokenTTL: 120,
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: 'ES256' } },
      }),
    },
  },
  scopes: ['metrics:read'],
  ttl: { ClientCredentials: 120 },
})
provider.listen(Number(port), '127.0.0.1')
