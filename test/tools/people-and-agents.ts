// What a person and an agent's runtime do, over the wire alone: the agent proves itself with its key, asks, waits for its
// owner and redeems what was granted; people approve and take away.

import { createPublicKey, randomUUID } from 'node:crypto'
import { type CryptoKey, decodeJwt, exportSPKI, generateKeyPair, importPKCS8, SignJWT } from 'jose'

export type AgentIdentity = {
  readonly name: string
  readonly publicPem: string
  sign(issuer: string, at?: Date): Promise<string>
}

/** A key pair whose private half stays here. */
export async function createIdentity(name: string): Promise<AgentIdentity> {
  const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true })
  return identityOf(name, privateKey, await exportSPKI(publicKey))
}

/** An agent whose private key, PKCS#8 in PEM, is there already. */
export async function readIdentity(name: string, pem: string): Promise<AgentIdentity> {
  const publicPem = createPublicKey(pem).export({ type: 'spki', format: 'pem' })
  return identityOf(name, await importPKCS8(pem, 'ES256'), publicPem.toString())
}

const identityOf = (name: string, privateKey: CryptoKey, publicPem: string): AgentIdentity => ({
  name,
  publicPem,
  sign: (issuer, at = new Date()) =>
    new SignJWT()
      .setProtectedHeader({ alg: 'ES256' })
      .setIssuer(name)
      .setSubject(name)
      .setAudience(issuer)
      .setJti(randomUUID())
      .setIssuedAt(at)
      .setExpirationTime(new Date(at.getTime() + 60_000))
      .sign(privateKey),
})

export type Json = { readonly [key: string]: unknown }

export type Answered = { readonly status: number; readonly body: Json }

/** One call of `/v1` with a bearer token: POST where there is a body, else GET, unless a method is named. */
export async function callApi(
  issuer: string,
  bearer: string,
  path: string,
  body?: Json,
  method = body === undefined ? 'GET' : 'POST',
): Promise<Answered> {
  const response = await fetch(`${issuer}/v1${path}`, {
    method,
    // A kept connection may be closed by the other side, or by its death, at the moment that it is used.
    headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json', connection: 'close' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  return { status: response.status, body: (await response.json()) as Json }
}

/** As `callApi`, and an error where it was refused. */
export async function expectDone(call: Promise<Answered>): Promise<Json> {
  const { status, body } = await call
  if (status < 200 || status > 299) throw new Error(`refused with ${status}: ${JSON.stringify(body)}`)
  return body
}

/** POST to the token endpoint. */
async function postToken(issuer: string, form: Readonly<Record<string, string>>): Promise<Answered> {
  const response = await fetch(`${issuer}/oauth/token`, { method: 'POST', body: new URLSearchParams(form) })
  return { status: response.status, body: (await response.json()) as Json }
}

/** client_credentials with private_key_jwt (RFC 7523 section 2.2): the session's token. */
export async function openSession(issuer: string, agent: AgentIdentity): Promise<string> {
  const body = await expectDone(
    postToken(issuer, {
      grant_type: 'client_credentials',
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: await agent.sign(issuer),
    }),
  )
  return String(body.access_token)
}

/** Token exchange (RFC 8693) under a grant. */
export const exchange = (issuer: string, session: string, grant: string): Promise<Answered> =>
  postToken(issuer, {
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token: session,
    subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    grant_id: grant,
  })

export type Ask = {
  readonly tool: string
  readonly scopes: readonly string[]
  readonly details?: Readonly<Record<string, readonly string[]>>
}

export type Held = {
  readonly token: string
  readonly session: string
  readonly sessionToken: string
  readonly grant: string
  readonly credential: string
}

/** The whole way: session, request, the owner's yes where one is needed, exchange. */
export async function obtainCredential(
  issuer: string,
  agent: AgentIdentity,
  ownerToken: string,
  ask: Ask,
): Promise<Held> {
  const sessionToken = await openSession(issuer, agent)
  const asked = await expectDone(callApi(issuer, sessionToken, '/requests', { ...ask, reason: 'INC-4711: look at it' }))
  let granted = asked
  if (asked.status === 'pending') {
    const request = idOf(asked.request)
    await expectDone(callApi(issuer, ownerToken, `/requests/${request}/approve`, {}))
    granted = await expectDone(callApi(issuer, sessionToken, `/requests/${request}?wait=5`))
  }
  const grant = idOf(granted.grant)
  const token = String((await expectDone(exchange(issuer, sessionToken, grant))).access_token)
  const { sid, jti } = decodeJwt(token)
  return { token, sessionToken, session: String(sid), grant, credential: String(jti) }
}

/** Of a row in an answer. */
export function idOf(row: unknown): string {
  if (typeof row === 'object' && row !== null && 'id' in row && typeof row.id === 'string') return row.id
  throw new Error(`no id in ${JSON.stringify(row)}`)
}
