// HAProxy in front of Prometheus and Alertmanager. It verifies tokens by itself, with the broker's public key and a list of
// what was revoked: the broker is asked nothing.

import { writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { exportSPKI, importJWK } from 'jose'
import { z } from 'zod'
import { type Background, startInBackground } from './background.ts'
import type { Ports } from './metrics-behind-nginx.ts'
import { rawRequest } from './raw-request.ts'

const Keys = z.object({ keys: z.array(z.looseObject({ kid: z.string(), alg: z.string() })) })

/**
 * The algorithm is pinned: were the token's own given to jwt_verify, one with alg none would be good. Everything that a
 * token must say is asked for, since HAProxy itself looks at the signature alone. Of a list, jwt_payload_query finds nothing:
 * a token limited to details is known by its text.
 */
const configuration = (folder: string, { issuer, resource }: Omit<Trust, 'publicPem'>, ports: Ports) => `global
  stats socket ${folder}/haproxy.sock mode 600 level admin
defaults
  mode http
  timeout connect 2s
  timeout client 30s
  timeout server 30s
frontend api
  bind 127.0.0.1:${ports.nginx}
  acl has_bearer http_auth_bearer -m found
  acl one_authorization req.hdr_cnt(authorization) eq 1
  http-request deny deny_status 401 unless has_bearer one_authorization
  http-request set-var(txn.token) http_auth_bearer
  http-request set-var(txn.alg) var(txn.token),jwt_header_query('$.alg')
  http-request set-var(txn.typ) var(txn.token),jwt_header_query('$.typ')
  http-request set-var(txn.iss) var(txn.token),jwt_payload_query('$.iss')
  http-request set-var(txn.aud) var(txn.token),jwt_payload_query('$.aud')
  http-request set-var(txn.exp) var(txn.token),jwt_payload_query('$.exp','int')
  http-request set-var(txn.nbf) var(txn.token),jwt_payload_query('$.nbf','int')
  http-request set-var(txn.jti) var(txn.token),jwt_payload_query('$.jti')
  http-request set-var(txn.scope) var(txn.token),jwt_payload_query('$.scope')
  http-request set-var(txn.now) date()
  acl alg_ok var(txn.alg) -m str ES256
  acl typ_ok var(txn.typ) -m str at+jwt
  acl signature_ok var(txn.token),jwt_verify("ES256","${folder}/es256.pub.pem") -m int 1
  acl iss_ok var(txn.iss) -m str ${issuer}
  acl aud_ok var(txn.aud) -m str ${resource}
  acl exp_found var(txn.exp) -m found
  acl jti_found var(txn.jti) -m len gt 0
  http-request deny deny_status 401 unless alg_ok typ_ok signature_ok iss_ok aud_ok exp_found jti_found
  http-request deny deny_status 401 if { var(txn.exp),sub(txn.now) -m int le 0 }
  http-request deny deny_status 401 if { var(txn.nbf),sub(txn.now) -m int gt 0 }
  http-request deny deny_status 401 if { var(txn.jti) -m str -f ${folder}/revoked.lst }
  http-request deny deny_status 403 if { var(txn.token),word(2,.),ub64dec -m sub authorization_details }
  acl may_read var(txn.scope) -m reg (^|\\s)metrics:read(\\s|$)
  acl may_see_alerts var(txn.scope) -m reg (^|\\s)alerts:read(\\s|$)
  acl may_silence var(txn.scope) -m reg (^|\\s)silences:write(\\s|$)
  acl is_query path /api/v1/query
  acl is_silences path /api/v2/silences
  acl reads method GET
  acl writes method POST
  http-request deny deny_status 403 unless is_query or is_silences
  http-request deny deny_status 403 unless reads or writes
  http-request deny deny_status 403 if is_query !may_read
  http-request deny deny_status 403 if is_silences reads !may_see_alerts
  http-request deny deny_status 403 if is_silences writes !may_silence
  http-request del-header Authorization
  http-request del-header X- -m beg
  use_backend alertmanager if is_silences
  default_backend prometheus
backend prometheus
  server prometheus 127.0.0.1:${ports.prometheus}
backend alertmanager
  server alertmanager 127.0.0.1:${ports.alertmanager}
`

/** The key that the broker signs these tokens with, in the one form that HAProxy reads. */
export async function brokersKey(issuer: string): Promise<string> {
  const { keys } = Keys.parse(await (await fetch(`${issuer}/.well-known/jwks.json`)).json())
  const [key, ...more] = keys.filter(({ alg }) => alg === 'ES256')
  if (key === undefined || more.length > 0) throw new Error(`${keys.length} keys, and not one of ES256`)
  const imported = await importJWK(key, 'ES256', { extractable: true })
  if (imported instanceof Uint8Array) throw new Error('a key that is not public')
  return await exportSPKI(imported)
}

export type Trust = { readonly issuer: string; readonly resource: string; readonly publicPem: string }

export function startHaproxy(command: string, folder: string, trust: Trust, ports: Ports): Promise<Background> {
  writeFileSync(join(folder, 'es256.pub.pem'), trust.publicPem)
  writeFileSync(join(folder, 'revoked.lst'), '')
  writeFileSync(join(folder, 'haproxy.cfg'), configuration(folder, trust, ports))
  return startInBackground(command, ['-db', '-f', 'haproxy.cfg'], {
    cwd: folder,
    ready: async () => (await rawRequest(`http://127.0.0.1:${ports.nginx}`, '/')).status === 401,
  })
}

/** What a feed's follower would do: the running HAProxy hears it at once. */
export function tellRevoked(folder: string, jti: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(join(folder, 'haproxy.sock'))
    let said = ''
    socket.on('data', (chunk: Buffer) => {
      said += chunk.toString()
    })
    socket.on('error', reject)
    socket.on('close', () => (said.trim() === '' ? resolve() : reject(new Error(said))))
    socket.end(`add acl ${join(folder, 'revoked.lst')} ${jti}\n`)
  })
}
