// Envoy (1.26 and later): ext_authz over HTTP. Its question always carries the caller's path, so a second listener on a local
// socket turns it into /forward-auth with resource and scope from this text alone (S14).

import { comment, detailsNote, type Snippet, withHead } from './snippet-head.ts'
import { isEverythingBelow, type Place, questionPath, type Route, type SnippetInput } from './snippet-input.ts'

const NOTES = [
  'The tool gets no Authorization, and X-Hallpass-Agent, -Session, -Grant, -Scope and -Details from here alone, never from the caller. It must be reachable through this proxy alone.',
  'Each path has one spelling: Envoy cleans it before anything looks at it, and refuses escaped slashes. What is not listed is refused.',
]

const HTTP = 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'
const FILTERS = 'type.googleapis.com/envoy.extensions.filters.http'
const SAID = ['agent', 'session', 'grant', 'scope', 'details'].map((name) => `x-hallpass-${name}`)

export function envoySnippet(input: SnippetInput): Snippet {
  const { tool, resource, issuer, upstream, routes } = input
  const verifierFile = `/etc/hallpass/${tool}-verifier`
  const socket = `/run/envoy/hallpass-${tool}.sock`
  const body = `
${comment([
  'The verifier token, in a file for the eyes of Envoy alone (0600), never in here:',
  `  (umask 077; hallpass verifier token ${tool} > ${verifierFile})`,
])}
static_resources:
  listeners:
    - name: ${tool}
      address: { socket_address: { address: ${quoted(listenAddress(resource))}, port_value: ${resource.port} } }
      filter_chains:
        - ${resource.secure ? transport('DownstreamTlsContext', `common_tls_context: { tls_certificates: [{ certificate_chain: { filename: ${quoted(`/etc/hallpass/${tool}.crt`)} }, private_key: { filename: ${quoted(`/etc/hallpass/${tool}.key`)} } }] }`, '          ') : ''}filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": ${HTTP}
                stat_prefix: ${tool}
                normalize_path: true
                merge_slashes: true
                path_with_escaped_slashes_action: REJECT_REQUEST
                http_filters:
                  - name: envoy.filters.http.ext_authz
                    typed_config:
                      "@type": ${FILTERS}.ext_authz.v3.ExtAuthz
                      transport_api_version: V3
                      failure_mode_allow: false          # nothing passes unasked
                      status_on_error: { code: ServiceUnavailable }
                      http_service:
                        server_uri: { uri: "http://hallpass.internal", cluster: ${tool}_question, timeout: 5s }
                        authorization_response:
                          allowed_upstream_headers:      # these replace what the caller wrote
                            patterns:
${SAID.map((name) => `                              - exact: ${name}\n`).join('')}                          allowed_client_headers:
                            patterns:
                              - exact: www-authenticate
                  - name: envoy.filters.http.router
                    typed_config:
                      "@type": ${FILTERS}.router.v3.Router
                route_config:
                  request_headers_to_remove: [authorization, x-hallpass-verifier]     # our token ends here
                  virtual_hosts:
                    - name: ${tool}
                      domains: ["*"]
                      routes:
                        - match: { prefix: "/" }
                          route: { cluster: ${tool}_tool }

    # The question: the same path and method come in, and what goes out is written here.
    - name: ${tool}_question
      address: { pipe: { path: ${quoted(socket)}, mode: 384 } }      # 0600
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": ${HTTP}
                stat_prefix: ${tool}_question
                http_filters:
                  - name: envoy.filters.http.lua
                    typed_config:
                      "@type": ${FILTERS}.lua.v3.Lua
                      default_source_code:
                        inline_string: |
                          local file = assert(io.open("${verifierFile}", "r"))
                          local verifier = file:read("*l")
                          file:close()
                          function envoy_on_request(handle)
                            local scope = handle:metadata():get("scope")
                            if scope == nil then
                              handle:respond({[":status"] = "403"}, "No scope allows this path and method.")
                              return
                            end
                            local headers = handle:headers()
                            headers:replace(":method", "GET")
                            headers:replace(":path", "${questionPath(input, '')}" .. scope)
                            headers:replace(":authority", "${new URL(issuer.url).host}")
                            headers:replace("x-hallpass-verifier", verifier)
                          end
                  - name: envoy.filters.http.router
                    typed_config:
                      "@type": ${FILTERS}.router.v3.Router
                route_config:
                  virtual_hosts:
                    - name: ${tool}_question
                      domains: ["*"]
                      routes:                            # the first that fits decides
${routes.map((route) => questionRoute(input, route)).join('')}                        - match: { prefix: "/" }
                          direct_response: { status: 403 }

  clusters:
    - name: ${tool}_question
      type: STATIC
      load_assignment:
        cluster_name: ${tool}_question
        endpoints: [{ lb_endpoints: [{ endpoint: { address: { pipe: { path: ${quoted(socket)} } } } }] }]
${cluster(`${tool}_hallpass`, issuer)}${cluster(`${tool}_tool`, upstream)}`
  return withHead(
    input,
    { name: 'Envoy', verifies: 'asks', limitedIs: 'refused', notes: [...NOTES, ...detailsNote(input)] },
    body,
  )
}

/** A double-quoted YAML scalar: JSON is one. */
const quoted = (text: string): string => JSON.stringify(text)

const isAddress = (host: string): boolean => host.startsWith('[') || /^\d+(\.\d+){3}$/.test(host)
const bare = (host: string): string => host.replace(/^\[(.*)\]$/, '$1')
const listenAddress = ({ host }: Place): string => (isAddress(host) ? bare(host) : '0.0.0.0')

function questionRoute({ tool }: SnippetInput, route: Route): string {
  const path = isEverythingBelow(route) ? `prefix: ${quoted(route.path)}` : `path: ${quoted(route.path)}`
  const methods =
    route.methods.length === 0
      ? ''
      : `, headers: [{ name: ":method", string_match: { safe_regex: { regex: ${quoted(route.methods.join('|'))} } } }]`
  return `                        - match: { ${path}${methods} }
                          metadata: { filter_metadata: { envoy.filters.http.lua: { scope: ${quoted(route.scope)} } } }
                          route: { cluster: ${tool}_hallpass, timeout: 5s }
`
}

const transport = (kind: string, context: string, indent: string): string =>
  `transport_socket:
${indent}  name: envoy.transport_sockets.tls
${indent}  typed_config: { "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.${kind}, ${context} }
${indent}`

const cluster = (name: string, place: Place): string => `    - name: ${name}
      type: ${isAddress(place.host) ? 'STATIC' : 'STRICT_DNS'}
${
  place.secure
    ? `      ${transport('UpstreamTlsContext', `sni: ${quoted(place.host)}, common_tls_context: { validation_context: { trusted_ca: { filename: /etc/ssl/certs/ca-certificates.crt }, match_typed_subject_alt_names: [{ san_type: ${isAddress(place.host) ? 'IP_ADDRESS' : 'DNS'}, matcher: { exact: ${quoted(bare(place.host))} } }] } }`, '      ').trimEnd()}\n`
    : ''
}      load_assignment:
        cluster_name: ${name}
        endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: ${quoted(bare(place.host))}, port_value: ${place.port} } } } }] }]
`
