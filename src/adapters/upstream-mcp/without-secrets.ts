// What a server answered, without the secrets that it was given (P7) and without what is meant for a client's own
// machinery. It finds a secret as it was sent and in the encodings that tools print; it is a net, not a proof.

const MASK = '[secret]'

/** Every form of these secrets that is looked for. */
export function encodedForms(forms: Iterable<string>): readonly string[] {
  const all = [...forms].flatMap((form) => {
    const bytes = Buffer.from(form, 'utf8')
    const base64 = bytes.toString('base64')
    return [
      form,
      encodeURIComponent(form),
      base64.replace(/=+$/, ''),
      bytes.toString('base64url'),
      bytes.toString('hex'),
    ]
  })
  // The longest first: one may begin another.
  return [...new Set(all)].filter((form) => form.length >= 8).sort((a, b) => b.length - a.length)
}

/** `forms` as `encodedForms` makes them. */
export const textWithout = (text: string, forms: readonly string[]): string =>
  forms.reduce((left, form) => left.replaceAll(form, MASK), text)

/** Whether it is nested in more levels than these: nothing that walks through it may run out of stack. */
export function isTooDeep(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  return levels === 0 || Object.values(value).some((item) => isTooDeep(item, levels - 1))
}

/** A copy; names of fields too. The value is not too deep. */
export function withoutSecrets(value: unknown, forms: readonly string[]): unknown {
  if (typeof value === 'string') return textWithout(value, forms)
  if (Array.isArray(value)) return value.map((item) => withoutSecrets(item, forms))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [textWithout(key, forms), withoutSecrets(item, forms)]),
  )
}

/** `_meta` speaks to clients, not to models: of the broker's own connection, it is nobody else's. */
export function withoutMeta<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  const { _meta: _, ...rest } = value as { _meta?: unknown }
  return rest as T
}
