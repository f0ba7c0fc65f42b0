// A tool's resource: the URL that is its tokens' audience (RFC 8707 section 2). Two spellings of one place must
// come out as one string; nothing here fetches.

import type { Result } from './result.ts'
import { err, ok } from './result.ts'

const MAX_URL = 500

const isLoopback = (hostname: string): boolean =>
  hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname)

/**
 * The one form in which a resource is stored, compared and written into `aud`: lower-case scheme and host, no default
 * port, dot segments resolved, no slash at the end. The error is what is wrong with it, as the end of a sentence.
 */
export const normalizeResource = (text: string): Result<string, string> => {
  if (text.length > MAX_URL) return err(`must be at most ${MAX_URL} characters`)
  if (/[\s\\]|[^\x21-\x7e]/.test(text)) return err('must be plain ASCII without spaces or backslashes')
  if (!/^https?:\/\/[^/]/i.test(text)) return err('must be an absolute URL that starts with https://')
  if (text.includes('#')) return err('must not have a fragment (#…): RFC 8707 forbids it')
  if (text.includes('?')) return err('must not have a query (?…)')
  if (!URL.canParse(text)) return err('is not a URL')
  const url = new URL(text)
  if (url.username !== '' || url.password !== '' || /^https?:\/\/[^/]*@/i.test(text)) {
    return err('must not carry a user name or password')
  }
  if (url.hostname.endsWith('.')) return err('must not have a host name that ends in a dot')
  if (url.protocol === 'http:' && !isLoopback(url.hostname)) return err('must use https off loopback')
  return ok(url.origin + url.pathname.replace(/\/+$/, ''))
}

/** An origin in which the names of loopback are one place: `localhost`, `[::1]` and `127.x` reach the same program. */
const place = (url: URL): string =>
  isLoopback(url.hostname)
    ? `${url.protocol}//loopback:${url.port || (url.protocol === 'https:' ? '443' : '80')}`
    : url.origin

/** Whether a (normalized) resource lies on the origin of that issuer, whatever loopback is called (S13). */
export const isOnOrigin = (resource: string, issuerOrigin: string): boolean =>
  URL.canParse(resource) && URL.canParse(issuerOrigin) && place(new URL(resource)) === place(new URL(issuerOrigin))
