// What a server answered, without the secrets that it was given (P7) and without what is meant for a client's own
// machinery. It finds a secret as it was sent and in the encodings that tools print; it is a net, not a proof.

const MASK = '[secret]'
/** What is shorter would be found in anything. Characters. */
const SHORTEST = 8

export type Mask = {
  /** From now on these are looked for too. */
  add(secrets: Iterable<string>): void
  text(text: string): string
  /** A copy; names of fields too. The value is not too deep. */
  value(value: unknown): unknown
  /** The end of a text that was cut off in front, without what could be the rest of a secret that was cut. */
  endOf(text: string): string
}

export function createMask(secrets: Iterable<string> = []): Mask {
  const known = new Set<string>()
  let forms: readonly string[] = []
  const mask: Mask = {
    add(more) {
      const before = known.size
      for (const one of more) if (one.length >= SHORTEST) known.add(one)
      if (known.size === before) return
      // The longest first: one may begin another.
      forms = [...new Set([...known].flatMap(encodingsOf))]
        .filter((form) => form.length >= SHORTEST)
        .sort((a, b) => b.length - a.length)
    },
    text: (text) => forms.reduce((left, form) => left.replaceAll(form, MASK), text),
    value: (value) => withoutSecrets(value, mask),
    endOf: (text) => mask.text(text.slice(lengthOfRest(text, forms))),
  }
  mask.add(secrets)
  return mask
}

/** How much of the start of a text could be the rest of one of these. */
function lengthOfRest(text: string, forms: readonly string[]): number {
  let longest = 0
  for (const form of forms)
    for (let at = 1; at < form.length - longest; at++) if (text.startsWith(form.slice(at))) longest = form.length - at
  return longest
}

const lowerPercent = (text: string) => text.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase())
const HTML: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

function encodingsOf(form: string): string[] {
  const bytes = Buffer.from(form, 'utf8')
  const hex = bytes.toString('hex')
  const json = JSON.stringify(form).slice(1, -1)
  const percent = [encodeURI(form), encodeURIComponent(form), hex.toUpperCase().replace(/../g, '%$&')]
  return [
    form,
    json,
    json.replaceAll('/', '\\/'),
    form.replace(/[&<>"']/g, (one) => HTML[one] ?? one),
    ...percent.flatMap((text) => [text, lowerPercent(text), encodeURIComponent(text)]),
    encodeURIComponent(form).replaceAll('%20', '+'),
    hex,
    hex.toUpperCase(),
    ...(['base64', 'base64url'] as const).flatMap((encoding) => withinBase64(bytes, encoding)),
  ]
}

/** As it stands in the base64 of a text that it is part of: of each way to fall into groups, what it alone decides. */
const withinBase64 = (bytes: Buffer, encoding: 'base64' | 'base64url'): string[] =>
  [0, 1, 2].map((before) =>
    Buffer.concat([Buffer.alloc(before), bytes])
      .toString(encoding)
      .slice(Math.ceil((before * 8) / 6), Math.floor(((before + bytes.length) * 8) / 6)),
  )

/** Whether it is nested in more levels than these: nothing that walks through it may run out of stack. */
export function isTooDeep(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  return levels === 0 || Object.values(value).some((item) => isTooDeep(item, levels - 1))
}

function withoutSecrets(value: unknown, mask: Mask): unknown {
  if (typeof value === 'string') return mask.text(value)
  if (Array.isArray(value)) return value.map((item) => withoutSecrets(item, mask))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [mask.text(key), withoutSecrets(item, mask)]))
}

/** `_meta` speaks to clients, not to models: of the broker's own connection, it is nobody else's. */
export function withoutMeta(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutMeta)
  if (typeof value !== 'object' || value === null) return value
  const { _meta: _, ...rest } = value as { readonly [key: string]: unknown }
  return Object.fromEntries(Object.entries(rest).map(([key, item]) => [key, withoutMeta(item)]))
}
