// Every value of a header as it came over the wire. Node keeps only the first of two `Authorization` headers, so what a
// proxy before us saw and what we see could differ: whoever decides by a header reads it here.

import type { Context } from 'hono'

const hasRawHeaders = (value: unknown): value is { readonly rawHeaders: readonly string[] } =>
  typeof value === 'object' && value !== null && 'rawHeaders' in value && Array.isArray(value.rawHeaders)

/** All values of the header, in order; empty where it was not sent. */
export function rawHeader(c: Context, name: string): readonly string[] {
  const env: unknown = c.env
  const incoming = typeof env === 'object' && env !== null && 'incoming' in env ? env.incoming : null
  if (!hasRawHeaders(incoming)) {
    const joined = c.req.header(name)
    return joined === undefined ? [] : [joined]
  }
  const values: string[] = []
  for (let i = 0; i + 1 < incoming.rawHeaders.length; i += 2)
    if (incoming.rawHeaders[i]?.toLowerCase() === name) values.push(incoming.rawHeaders[i + 1] ?? '')
  return values
}
