// The credential out of a request: the Authorization header alone (never query or body), exactly one, bounded.

const MAX_TOKEN_CHARS = 8 * 1024

export type AuthorizationSource =
  | string
  | readonly string[]
  | null
  | undefined
  | { readonly headers: { get(name: string): string | null } }

export type Bearer =
  | { readonly found: true; readonly token: string }
  | { readonly found: false; readonly fault: string | undefined }

const COMPACT_JWS = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*$/

const headerValues = (source: AuthorizationSource): readonly string[] => {
  if (source === null || source === undefined) return []
  if (typeof source === 'string') return [source]
  if ('headers' in source) return headerValues(source.headers.get('authorization'))
  return source
}

/** RFC 6750 section 2.1. `fault` is undefined when there is no bearer credential at all. */
export const readBearer = (source: AuthorizationSource): Bearer => {
  const values = headerValues(source)
  const [value] = values
  if (value === undefined) return { found: false, fault: undefined }
  // Headers joins repeated fields with a comma; a credential has none.
  if (values.length > 1 || value.includes(',')) return { found: false, fault: 'There is more than one credential.' }
  if (value.length > MAX_TOKEN_CHARS + 16) return { found: false, fault: 'The credential is too long.' }
  const [, scheme = '', token = ''] = /^([^ ]+)(?: +(.*))?$/.exec(value.trim()) ?? []
  if (scheme.toLowerCase() !== 'bearer') return { found: false, fault: undefined }
  if (token.length > MAX_TOKEN_CHARS) return { found: false, fault: 'The credential is too long.' }
  if (!COMPACT_JWS.test(token)) return { found: false, fault: 'The credential is not in a form that Hallpass issues.' }
  return { found: true, token }
}
