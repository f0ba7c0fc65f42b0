// nginx: auth_request puts every call to /forward-auth, with resource and scope from this text alone (S14).

import { comment, detailsNote, type Snippet, withHead } from './snippet-head.ts'
import { ODD_TARGET, questionPath, routePattern, type SnippetInput } from './snippet-input.ts'

const NOTES = [
  'Include it in http { }. It needs ngx_http_auth_request_module, which every distribution has.',
  'The tool gets no Authorization, and X-Hallpass-Agent, -Session, -Grant, -Scope and -Details from here alone, never from the caller. It must be reachable through this proxy alone.',
  'Each path has one spelling, and one that is not listed is refused. The method is the request’s own: no X-Forwarded-Method has a say.',
]

export function nginxSnippet(input: SnippetInput): Snippet {
  const { identifier: id, tool, issuer, upstream, resource, routes } = input
  const verifierFile = `/etc/hallpass/${tool}-verifier.nginx`
  const body = `
${comment([
  'The verifier token, in a file for the eyes of nginx’s master alone (0600), never in here:',
  `  (umask 077; echo "proxy_set_header X-Hallpass-Verifier $(hallpass verifier token ${tool});" > ${verifierFile})`,
])}
upstream ${id}_hallpass {
  server ${issuer.host}:${issuer.port};
  keepalive 8;
}
upstream ${id}_tool {
  server ${upstream.host}:${upstream.port};               # where the tool itself listens
}

# Which scope a call needs. The first line that fits decides.
map "$request_method $request_uri" $${id}_scope {
  default "";
  "~^[^ ]+ ${ODD_TARGET.slice(1)}" "";     # a path with more than one spelling
${routes
  .map(
    (route) =>
      `  "~^${route.methods.length === 0 ? '[A-Z]+' : `(${route.methods.join('|')})`} ${routePattern(route, 'target').slice(1)}" ${route.scope};`,
  )
  .join('\n')}
}

server {
${listen(input)}
  if ($${id}_scope = "") {
    return 403 "No scope allows this path and method.\\n";
  }

  # The question. Nothing of the caller's goes along but Authorization. (A doubled Authorization nginx answers with 400.)
  location = /_hallpass {
    internal;
    proxy_pass_request_headers off;
    proxy_pass_request_body off;
    proxy_method GET;
    include ${verifierFile};
    proxy_set_header Authorization $http_authorization;
    proxy_set_header Host ${hostHeader(issuer)};
    proxy_set_header Content-Length "";
    proxy_set_header Connection "";
    proxy_http_version 1.1;
    proxy_connect_timeout 2s;
    proxy_read_timeout 5s;
${tlsTo(issuer, '    ')}    proxy_pass ${issuer.secure ? 'https' : 'http'}://${id}_hallpass${questionPath(input, `$${id}_scope`)};
  }

  location / {
    auth_request /_hallpass;
    auth_request_set $${id}_agent $upstream_http_x_hallpass_agent;
    auth_request_set $${id}_session $upstream_http_x_hallpass_session;
    auth_request_set $${id}_grant $upstream_http_x_hallpass_grant;
    auth_request_set $${id}_scopes $upstream_http_x_hallpass_scope;
    auth_request_set $${id}_details $upstream_http_x_hallpass_details;
    auth_request_set $${id}_challenge $upstream_http_www_authenticate;
    error_page 403 @forbidden;
    error_page 500 =503 @unanswered;

    # What the tool sees: our token ends here, and who is calling is said by Hallpass.
    proxy_set_header Authorization "";
    proxy_set_header X-Hallpass-Verifier "";
    proxy_set_header X-Hallpass-Agent $${id}_agent;
    proxy_set_header X-Hallpass-Session $${id}_session;
    proxy_set_header X-Hallpass-Grant $${id}_grant;
    proxy_set_header X-Hallpass-Scope $${id}_scopes;
    proxy_set_header X-Hallpass-Details $${id}_details;
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Host $http_host;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
${tlsTo(upstream, '    ')}    proxy_pass ${upstream.secure ? 'https' : 'http'}://${id}_tool;
  }

  location @forbidden {
    add_header WWW-Authenticate $${id}_challenge always;
    return 403 "The credential does not allow this: see WWW-Authenticate.\\n";
  }
  location @unanswered {
    add_header Retry-After 2 always;
    return 503 "Hallpass cannot be asked at the moment, so nothing is let through.\\n";
  }
}
`
  return withHead(
    input,
    {
      name: 'nginx',
      verifies: 'asks',
      limitedIs: 'refused',
      notes: [...NOTES, ...detailsNote(input), `Agents call it at ${resource.url}.`],
    },
    body,
  )
}

const isAddress = (host: string): boolean => host.startsWith('[') || /^\d+(\.\d+){3}$/.test(host)

const hostHeader = ({ url }: SnippetInput['issuer']): string => new URL(url).host

function listen({ resource, tool }: SnippetInput): string {
  const at = isAddress(resource.host) ? `${resource.host}:${resource.port}` : String(resource.port)
  const name = `  server_name ${resource.host};\n`
  return resource.secure
    ? `  listen ${at} ssl;\n${name}  ssl_certificate /etc/hallpass/${tool}.crt;\n  ssl_certificate_key /etc/hallpass/${tool}.key;\n`
    : `  listen ${at};\n${name}`
}

const tlsTo = ({ secure, host }: SnippetInput['issuer'], indent: string): string =>
  secure
    ? [
        'proxy_ssl_verify on;',
        'proxy_ssl_verify_depth 4;',
        'proxy_ssl_trusted_certificate /etc/ssl/certs/ca-certificates.crt;',
        'proxy_ssl_server_name on;',
        `proxy_ssl_name ${host};`,
      ]
        .map((line) => `${indent}${line}\n`)
        .join('')
    : ''
