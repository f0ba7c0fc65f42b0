// Every value of a header as it came over the wire. Node keeps only the first of two `Authorization` headers, so what a
// proxy before us saw and what we see could differ: whoever decides by a header reads it here.

/** As much of a request as this needs: Hono's context, with Node's request in its bindings. */
export type RequestLike = { readonly env: unknown; readonly req: { header(name: string): string | undefined } }

/** All values of the header (its name in lower case), in order; empty where it was not sent. */
export function rawHeader(c: RequestLike, name: string): readonly string[] {
  const raw = rawHeadersOf(c.env)
  if (raw === null) {
    const joined = c.req.header(name)
    return joined === undefined ? [] : [joined]
  }
  return valuesIn(raw, name)
}

/** The same of Node's `rawHeaders`: names and values by turns. */
export function valuesIn(raw: readonly string[], name: string): readonly string[] {
  const values: string[] = []
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const sent = raw[at]!
    if (sent.length === name.length && sent.toLowerCase() === name) values.push(raw[at + 1]!)
  }
  return values
}

function rawHeadersOf(env: unknown): readonly string[] | null {
  if (typeof env !== 'object' || env === null || !('incoming' in env)) return null
  const { incoming } = env
  if (typeof incoming !== 'object' || incoming === null || !('rawHeaders' in incoming)) return null
  return Array.isArray(incoming.rawHeaders) ? incoming.rawHeaders : null
}
