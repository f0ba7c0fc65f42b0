// HAProxy (2.5 and later): tokens verified offline with the pinned algorithm, and a deny list for what is taken away early.

import { comment, type Snippet, withHead } from './snippet-head.ts'
import { jwksUrl, ODD_SPELLING, type Route, routePattern, type SnippetInput, scopesOf } from './snippet-input.ts'

const NOTES = [
  'The algorithm is written here. Never hand the token’s own alg to jwt_verify: a token with "alg":"none" is then accepted.',
  'The tool gets no Authorization, and X-Hallpass-Agent, -Session, -Grant, -Scope and -Details from here alone, never from the caller. It must be reachable through this proxy alone.',
]

export function haproxySnippet(input: SnippetInput): Snippet {
  const { tool, alg, resource, issuer, upstream, routes } = input
  const folder = `/etc/hallpass/${tool}`
  const scopes = scopesOf(input)
  const body = `
${comment([
  `Keys: HAProxy takes files, and this reads two, so that a key can change without a gap. Run this after each \`hallpass key rotate\` (the new key signs 6 minutes later), and reload:`,
  `  curl -sf ${jwksUrl(input)} | node -e '`,
  '    const { createPublicKey } = require("node:crypto"), fs = require("node:fs")',
  `    const keys = JSON.parse(fs.readFileSync(0)).keys.filter((key) => key.alg === "${alg}")`,
  '    const pem = (key) => createPublicKey({ key, format: "jwk" }).export({ type: "spki", format: "pem" })',
  `    fs.writeFileSync("${folder}/key-1.pem", pem(keys[0]))`,
  `    fs.writeFileSync("${folder}/key-2.pem", pem(keys.at(-1)))'`,
  '',
  `The deny list (${folder}/denied.lst, which must exist, empty at first) holds ids of credentials, sessions and grants, and names of agents, one a line. What is in it is refused at once; what is not passes until exp. Every line goes to both, the running process and the file:`,
  `  echo crd_… >> ${folder}/denied.lst`,
  `  echo "add acl ${folder}/denied.lst crd_…" | socat - /run/haproxy/admin.sock     # stats socket … level admin`,
  `What to put there is told by ${issuer.url}/guard/feed (server-sent events, with the verifier token in X-Hallpass-Verifier). A name refuses the agent's later credentials too: take it out (del acl) when its lock is lifted. A list that nobody feeds is stale: \`hallpass tool check ${tool}\` finds that.`,
])}
frontend ${tool}
  bind ${bind(input)}

  # Exactly one Authorization, a Bearer.
  acl one_authorization req.hdr_cnt(authorization) eq 1
  acl has_bearer http_auth_bearer -m found
  http-request deny deny_status 401 unless one_authorization has_bearer

  http-request set-var(txn.token) http_auth_bearer
  http-request set-var(txn.alg) var(txn.token),jwt_header_query('$.alg')
  http-request set-var(txn.iss) var(txn.token),jwt_payload_query('$.iss')
  http-request set-var(txn.aud) var(txn.token),jwt_payload_query('$.aud')
  http-request set-var(txn.exp) var(txn.token),jwt_payload_query('$.exp','int')
  http-request set-var(txn.nbf) var(txn.token),jwt_payload_query('$.nbf','int')
  http-request set-var(txn.scope) var(txn.token),jwt_payload_query('$.scope')
  http-request set-var(txn.jti) var(txn.token),jwt_payload_query('$.jti')
  http-request set-var(txn.sid) var(txn.token),jwt_payload_query('$.sid')
  http-request set-var(txn.grant) var(txn.token),jwt_payload_query('$.grant_id')
  http-request set-var(txn.sub) var(txn.token),jwt_payload_query('$.sub')
  http-request set-var(txn.limited) var(txn.token),jwt_payload_query('$.authorization_details[0].type')
  http-request set-var(txn.now) date()

  acl alg_is_ours var(txn.alg) -m str ${alg}
  acl signed_by_us var(txn.token),jwt_verify("${alg}","${folder}/key-1.pem") -m int 1
  acl signed_by_us var(txn.token),jwt_verify("${alg}","${folder}/key-2.pem") -m int 1
  acl iss_is_ours var(txn.iss) -m str ${issuer.url}
  acl aud_is_this var(txn.aud) -m str ${resource.url}
  acl has_exp var(txn.exp) -m found
  acl has_jti var(txn.jti) -m len gt 0
  http-request deny deny_status 401 unless alg_is_ours signed_by_us iss_is_ours aud_is_this has_exp has_jti
  http-request deny deny_status 401 if { var(txn.exp),sub(txn.now) -m int le 0 }
  http-request deny deny_status 401 if { var(txn.nbf),sub(txn.now) -m int gt 0 }

  acl denied var(txn.jti) -m str -f ${folder}/denied.lst
  acl denied var(txn.sid) -m str -f ${folder}/denied.lst
  acl denied var(txn.grant) -m str -f ${folder}/denied.lst
  acl denied var(txn.sub) -m str -f ${folder}/denied.lst
  http-request deny deny_status 401 if denied

  # A credential limited by details: nothing here looks into requests, so it is refused.
  http-request deny deny_status 403 if { var(txn.limited) -m found }

  # Which scope a call needs: whole words of the scope claim. The first line that fits decides.
${scopes.map((scope, index) => `  acl scope_${index + 1} var(txn.scope) -m reg '(^| )${scope.replaceAll('.', '[.]')}( |$)'\n`).join('')}  acl odd_path path -m reg '${ODD_SPELLING}'
  http-request deny deny_status 403 if odd_path
${routes.map((route, index) => acls(route, index + 1)).join('')}
${routes.map((route, index) => decision(route, index + 1, scopes)).join('')}  http-request deny deny_status 403 unless { var(txn.routed) -m found }

  # What the tool sees: our token ends here, and who is calling is said by the token that was verified.
  http-request del-header Authorization
  http-request del-header X-Hallpass- -m beg
  http-request set-header X-Hallpass-Agent %[var(txn.sub)]
  http-request set-header X-Hallpass-Grant %[var(txn.grant)]
  default_backend ${tool}

backend ${tool}
  server ${tool} ${upstream.host}:${upstream.port}${upstream.secure ? ` ssl verify required ca-file /etc/ssl/certs/ca-certificates.crt sni str(${upstream.host})` : ''}
`
  return withHead(input, { name: 'HAProxy', verifies: 'alone', limitedIs: 'refused', notes: NOTES }, body)
}

function bind({ resource, tool }: SnippetInput): string {
  const isAddress = resource.host.startsWith('[') || /^\d+(\.\d+){3}$/.test(resource.host)
  return `${isAddress ? resource.host.replace(/^\[(.*)\]$/, '$1') : '*'}:${resource.port}${resource.secure ? ` ssl crt /etc/hallpass/${tool}.pem` : ''}`
}

const acls = (route: Route, number: number): string =>
  `  acl path_${number} path -m reg '${routePattern(route, 'path')}'\n${route.methods.length === 0 ? '' : `  acl method_${number} method ${route.methods.join(' ')}\n`}`

/** Only the first route that fits sets `txn.routed`, so a later and wider one cannot allow what it refused. */
function decision(route: Route, number: number, scopes: readonly string[]): string {
  const fits = `{ var(txn.routed) -m found }`
  const route_ = `path_${number}${route.methods.length === 0 ? '' : ` method_${number}`}`
  return `  http-request deny deny_status 403 if !${fits} ${route_} !scope_${scopes.indexOf(route.scope) + 1}
  http-request set-var(txn.routed) int(${number}) if !${fits} ${route_}
`
}
