// Apache httpd 2.4 with mod_auth_openidc (2.4): introspection at each call (RFC 7662), and which path needs which scope.

import { comment, type Snippet, withHead } from './snippet-head.ts'
import { type Route, routePattern, type SnippetInput } from './snippet-input.ts'

const NOTES = [
  'Modules: auth_openidc, authn_core, authz_core, headers, proxy, proxy_http (a2enmod). Apache has no subrequest that could ask /forward-auth, so each token is introspected.',
  'The tool gets no Authorization, no X-Hallpass-Session, -Grant, -Scope or -Details, and X-Hallpass-Agent from here. It must be reachable through this proxy alone.',
  'What no section below names is refused (403). A token without the scope is refused with 401 here, not 403.',
]

export function apacheSnippet(input: SnippetInput): Snippet {
  const { tool, resource, issuer, upstream } = input
  const verifierFile = `/etc/hallpass/${tool}-verifier.apache`
  const address = resource.host.startsWith('[') || /^\d+(\.\d+){3}$/.test(resource.host) ? resource.host : '*'
  const body = `
${comment([
  'The verifier token, in a file for the eyes of root alone (0600; Apache reads it before it gives up its rights), never in here:',
  `  (umask 077; echo "OIDCOAuthClientSecret $(hallpass verifier token ${tool})" > ${verifierFile})`,
])}
<VirtualHost ${address}:${resource.port}>
  ServerName ${resource.host}
${resource.secure ? `  SSLEngine on\n  SSLCertificateFile /etc/hallpass/${tool}.crt\n  SSLCertificateKeyFile /etc/hallpass/${tool}.key\n` : ''}
  OIDCOAuthIntrospectionEndpoint ${issuer.url}/oauth/introspect
  OIDCOAuthIntrospectionEndpointAuth client_secret_basic
  OIDCOAuthClientID ${tool}
  Include ${verifierFile}
  OIDCOAuthSSLValidateServer On
  OIDCOAuthRemoteUserClaim sub

  <Location "/">
    AuthType oauth20
    # No answer is kept: with one that is, a revoked token would pass for as long.
    OIDCOAuthTokenIntrospectionInterval -1
    OIDCOAuthAcceptTokenAs header
    OIDCPassClaimsAs none
    Require all denied
  </Location>

  # Which scope a call needs: whole words of the scope that introspection answers. The last section that fits decides.
${[...byPath(input.routes)].reverse().map(section).join('')}
  AllowEncodedSlashes Off
  MergeSlashes On

  # What the tool sees: our token ends here, and who is calling is said by Hallpass.
  RequestHeader unset Authorization
  RequestHeader unset X-Hallpass-Session
  RequestHeader unset X-Hallpass-Grant
  RequestHeader unset X-Hallpass-Scope
  RequestHeader unset X-Hallpass-Details
  RequestHeader unset X-Hallpass-Verifier
  RequestHeader set X-Hallpass-Agent "expr=%{REMOTE_USER}"

  ProxyRequests Off
${upstream.secure ? '  SSLProxyEngine On\n' : ''}  ProxyPass "/" "${new URL(upstream.url).origin}/"
</VirtualHost>
`
  return withHead(input, { name: 'Apache', verifies: 'asks', limitedIs: 'unseen', notes: NOTES }, body)
}

/** A later section's Require replaces an earlier one's, so what one path needs stands together. */
function byPath(routes: readonly Route[]): ReadonlyMap<string, readonly Route[]> {
  const paths = new Map<string, Route[]>()
  for (const route of routes) paths.set(route.path, [...(paths.get(route.path) ?? []), route])
  return paths
}

function section([, routes]: readonly [string, readonly Route[]]): string {
  const named = routes.flatMap(({ methods }) => methods)
  return `  <LocationMatch "${routePattern(routes[0]!, 'path')}">
    <RequireAny>
${routes
  .map(
    ({ methods, scope }) => `      <RequireAll>
${methods.length > 0 ? `        Require method ${methods.join(' ')}\n` : named.length > 0 ? `        <RequireNone>\n          Require method ${named.join(' ')}\n        </RequireNone>\n` : ''}        Require claim "scope~(^| )${scope.replaceAll('.', '[.]')}( |$)"
      </RequireAll>
`,
  )
  .join('')}    </RequireAny>
  </LocationMatch>
`
}
