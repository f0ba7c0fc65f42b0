// Every "no" a guard says, as a value and as a response: RFC 6750 challenges, RFC 9457 bodies. Never a token, never a claim.

export type RefusalCode =
  | 'unauthenticated'
  | 'invalid_request'
  | 'invalid_token'
  | 'insufficient_scope'
  | 'details_not_allowed'
  | 'stale_view'

export type Refusal = {
  readonly ok: false
  readonly status: 401 | 403 | 503
  readonly code: RefusalCode
  readonly message: string
  /** What the agent can do next. */
  readonly hint: string
  readonly headers: Readonly<Record<string, string>>
}

/** What challenges name: this tool's resource, and the page that says where to get tokens for it (RFC 9728), if there is one. */
export type Realm = { readonly resource: string; readonly resourceMetadata?: string | undefined }

// RFC 6750 section 3: a quoted value has no `"`, no `\`, and nothing outside printable ASCII.
const quoted = (value: string) => `"${value.replace(/[^\x20\x21\x23-\x5b\x5d-\x7e]/g, '?')}"`

const challenge = (realm: Realm, parameters: Record<string, string>): string => {
  const all = {
    realm: realm.resource,
    ...parameters,
    ...(realm.resourceMetadata ? { resource_metadata: realm.resourceMetadata } : {}),
  }
  return `Bearer ${Object.entries(all)
    .map(([name, value]) => `${name}=${quoted(value)}`)
    .join(', ')}`
}

const askAgain =
  'Get a fresh credential from Hallpass: redeem your grant again, or call request_access if the grant is gone. Do not retry this token.'

export const noToken = (realm: Realm): Refusal => ({
  ok: false,
  status: 401,
  code: 'unauthenticated',
  message: 'This tool wants a Hallpass credential in the Authorization header.',
  hint: `Ask Hallpass for the scopes that you need on ${realm.resource} (request_access), then send "Authorization: Bearer <credential>".`,
  headers: { 'WWW-Authenticate': challenge(realm, {}) },
})

export const malformed = (realm: Realm, message: string): Refusal => ({
  ok: false,
  status: 401,
  code: 'invalid_request',
  message,
  hint: 'Send one Authorization header with the scheme Bearer and one credential.',
  headers: { 'WWW-Authenticate': challenge(realm, { error: 'invalid_request', error_description: message }) },
})

export const invalidToken = (realm: Realm, message: string): Refusal => ({
  ok: false,
  status: 401,
  code: 'invalid_token',
  message,
  hint: askAgain,
  headers: { 'WWW-Authenticate': challenge(realm, { error: 'invalid_token', error_description: message }) },
})

/** `needed` is every scope the request needs, not only the missing ones (RFC 6750 section 3.1). */
export const insufficientScope = (realm: Realm, needed: readonly string[], missing: readonly string[]): Refusal => {
  const message = `The credential lacks ${missing.join(', ')}.`
  return {
    ok: false,
    status: 403,
    code: 'insufficient_scope',
    message,
    hint: `Ask Hallpass for ${needed.join(', ')} on ${realm.resource} (request_access); an owner may have to approve it.`,
    headers: {
      'WWW-Authenticate': challenge(realm, {
        error: 'insufficient_scope',
        error_description: message,
        scope: needed.join(' '),
      }),
    },
  }
}

export const detailsNotAllowed = (realm: Realm, key: string): Refusal => {
  const message = `The credential is limited in "${key.slice(0, 64)}", and this request is outside of it.`
  return {
    ok: false,
    status: 403,
    code: 'details_not_allowed',
    message,
    hint: `Stay within the details of your grant (list_access shows them), or ask Hallpass for others with request_access.`,
    headers: { 'WWW-Authenticate': challenge(realm, { error: 'insufficient_scope', error_description: message }) },
  }
}

export const staleView = (message: string): Refusal => ({
  ok: false,
  status: 503,
  code: 'stale_view',
  message,
  hint: 'Nothing is wrong with the credential. Try again in a few seconds.',
  headers: { 'Retry-After': '2' },
})

/** The refusal as problem+json (RFC 9457), never to be cached. */
export const refusalResponse = ({ status, code, message, hint, headers }: Refusal): Response =>
  new Response(JSON.stringify({ type: 'about:blank', title: message, status, code, message, hint }), {
    status,
    headers: { 'Content-Type': 'application/problem+json', 'Cache-Control': 'no-store', ...headers },
  })
